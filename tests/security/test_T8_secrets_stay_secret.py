"""T8: no token reaches a log, a file, a comment or an error, whatever goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.action.step import run_step
from pipeline.errors import PublishError
from tests.support import fake_github, fake_gitlab
from tests.support.fake_github import FakeGitHub
from tests.support.fake_gitlab import FakeGitLab
from tests.support.fake_host import HANG_UP, Fault
from tests.support.publications import github_environment, github_place, publish

if TYPE_CHECKING:
    from tests.support.fake_host import FakeHost

ROOT = Path(__file__).parents[2]
SAMPLE = str(ROOT / "examples/report-sample")
FAULTS = (
    Fault("GET", 401, message=f"Bad credentials: {fake_github.TOKEN} {fake_gitlab.TOKEN}"),
    Fault("POST", 403, path="s", message=f"not for {fake_github.TOKEN} {fake_gitlab.TOKEN}"),
    Fault("POST", 422, path="s", message=f"cannot take {fake_github.TOKEN} {fake_gitlab.TOKEN}"),
    Fault("GET", 429, headers={"Retry-After": "9999"}, message=f"{fake_github.TOKEN} {fake_gitlab.TOKEN}"),
    Fault("POST", HANG_UP, path="s"),
    Fault("GET", 302, headers={"Location": "http://127.0.0.1:9/steal"}),
)


def everything_written(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def shown(stderr: str) -> str:
    """What GitHub's runner shows of it: all but the lines by which it learns what to hide."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not line.startswith("::add-mask::"))


def check(host: FakeHost, token: str, output: str, folder: Path) -> None:
    assert token not in output
    assert token not in everything_written(folder)
    for seen in host.seen:
        assert token not in seen.path
        assert token not in seen.text


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.method}-{fault.status}")
def test_on_github(
    fault: Fault, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeGitHub()
    # This GitHub says what none would.
    monkeypatch.setattr(host, "check_answer", lambda *_arguments: [])
    with host:
        host.faults = [fault]
        environment = github_environment(host, tmp_path) | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
        run_step(["report", "--from", SAMPLE, "--publish-required"], environment)
    output = capsys.readouterr()
    check(host, fake_github.TOKEN, output.out + shown(output.err), tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.method}-{fault.status}")
def test_on_gitlab(
    fault: Fault, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeGitLab()
    monkeypatch.setattr(host, "check_answer", lambda *_arguments: [])
    with host:
        host.faults = [fault]
        run_step(["report", "--from", SAMPLE, "--publish-required"], host.environment())
    output = capsys.readouterr()
    check(host, fake_gitlab.TOKEN, output.out + output.err, tmp_path)


def test_an_input_with_a_token_is_no_argument_of_any_process(tmp_path: Path) -> None:
    with FakeGitHub() as host:
        environment = github_environment(host, tmp_path)
        del environment["GITHUB_TOKEN"]
        inputs = {
            "INPUT_COMMAND": "report",
            "INPUT_FROM": SAMPLE,
            "INPUT_PUBLISH": "true",
            "INPUT_GITHUB-TOKEN": fake_github.TOKEN,
        }
        done = subprocess.run(
            [sys.executable, str(ROOT / "entrypoint.py")],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **environment, **inputs},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert len(host.own_bodies) == 1, done.stderr
    check(host, fake_github.TOKEN, done.stdout + shown(done.stderr), tmp_path)


def test_no_form_of_a_place_or_an_error_shows_it(tmp_path: Path) -> None:
    with FakeGitHub(may_write=False) as host:
        place = github_place(host, tmp_path)
        assert fake_github.TOKEN not in f"{place} {place!r} {place.token}"
        with pytest.raises(PublishError) as caught:
            publish(place)
    error: BaseException | None = caught.value
    while error is not None:
        assert fake_github.TOKEN not in repr(error)
        error = error.__cause__ or error.__context__


def test_no_redirect_takes_the_token_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = FakeGitHub()
    monkeypatch.setattr(elsewhere, "check_request", lambda *_arguments: [])
    with FakeGitHub() as host, elsewhere:
        monkeypatch.setattr(host, "check_answer", lambda *_arguments: [])
        host.faults = [Fault("GET", 307, headers={"Location": f"{elsewhere.url}/steal"})]
        with pytest.raises(PublishError, match="answered 307"):
            publish(github_place(host, tmp_path))
        assert elsewhere.seen == []


def test_a_netrc_puts_no_other_password_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login stranger password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with FakeGitHub() as host:
        assert publish(github_place(host, tmp_path)).written
        assert {seen.headers["Authorization"] for seen in host.seen} == {f"Bearer {fake_github.TOKEN}"}


def test_native_code_gets_no_token() -> None:
    from pipeline.child.launch import child_environment

    secrets = {"GITHUB_TOKEN": "a", "INPUT_GITHUB-TOKEN": "b", "GITLAB_TOKEN": "c", "PATH": "/bin"}
    assert not set(child_environment(secrets, Path("/home"))) & (secrets.keys() - {"PATH"})
