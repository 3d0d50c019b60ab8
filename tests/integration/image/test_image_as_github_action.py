"""The image as GitHub's runner starts it: root, in a workspace of another user, inputs in the environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.child.identity import NOBODY
from tests.support.github_runner import RUNNER_UID, GithubRunner, github_runner

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.support.container_image import ContainerImage


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> GithubRunner:
    return github_runner(tmp_path_factory.mktemp("runner") / "job")


@pytest.fixture(scope="module")
def first(image: ContainerImage, runner: GithubRunner) -> subprocess.CompletedProcess[str]:
    return runner.use(image, {"only": "digits/*", "out": "built/engines"})


def test_a_push_builds_every_engine(first: subprocess.CompletedProcess[str]) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    assert "passed: 9 jobs, 9 built" in first.stdout


@pytest.mark.usefixtures("first")
def test_the_outputs_of_the_step_lead_to_the_engines(runner: GithubRunner) -> None:
    outputs = runner.outputs
    assert (outputs["verdict"], outputs["built"], outputs["exit-code"]) == ("passed", "9", "0")
    assert outputs["engines"] == "built/engines"
    report = json.loads((runner.workspace / "built/engines/report.json").read_text())
    assert outputs["report"] == "built/engines/report.json"
    assert len(report["jobs"]) == 9


@pytest.mark.usefixtures("first")
def test_the_summary_holds_the_report(runner: GithubRunner) -> None:
    assert "digits" in runner.summary


@pytest.mark.usefixtures("first")
def test_everything_that_was_written_belongs_to_the_owner_of_the_workspace(runner: GithubRunner) -> None:
    written = [runner.workspace / "built", runner.workspace / ".trt-cache"]
    paths = [*written, *(path for folder in written for path in folder.rglob("*"))]
    assert len(paths) > 20
    assert {path.lstat().st_uid for path in paths} == {RUNNER_UID}


@pytest.mark.usefixtures("first")
def test_T5_what_parses_models_and_builds_engines_for_a_root_step_is_nobody(runner: GithubRunner) -> None:
    logs = sorted((runner.workspace / "built/engines").rglob("*.log"))
    told = {line for path in logs for line in path.read_text().splitlines() if line.startswith("confinement: user")}
    assert len(logs) >= 9
    assert told == {f"confinement: user {NOBODY}"}


def test_T5_a_workspace_that_only_its_owner_may_read_is_worked_on_by_its_owner(
    image: ContainerImage, tmp_path: Path
) -> None:
    closed = github_runner(tmp_path / "job")
    for path in (closed.workspace, *closed.workspace.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    done = closed.use(image, {"only": "digits/sm_89/*", "out": "engines"})
    assert done.returncode == 0, done.stdout + done.stderr
    told = "".join(path.read_text() for path in (closed.workspace / "engines").rglob("*.log"))
    users = {line for line in told.splitlines() if line.startswith("confinement: ")}
    assert f"confinement: user {RUNNER_UID}" in users
    assert users <= {f"confinement: user {RUNNER_UID}", f"confinement: user {NOBODY}"}


@pytest.mark.usefixtures("first")
def test_the_next_step_finds_everything_in_the_cache(image: ContainerImage, runner: GithubRunner) -> None:
    again = runner.use(image, {"out": "built/engines"})
    assert again.returncode == 0, again.stderr
    assert "passed: 9 jobs, 9 cached" in again.stdout


def test_a_wrong_input_is_told_without_a_traceback(image: ContainerImage, runner: GithubRunner) -> None:
    refused = runner.use(image, {"cache-required": "perhaps"})
    assert refused.returncode == 2
    assert "\nerror: the input `cache-required` is 'perhaps'; set it to true or false\n" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_it_works_as_the_runners_own_user(image: ContainerImage, runner: GithubRunner) -> None:
    done = runner.use(
        image, {"cache": ".own-cache", "out": "own", "only": "digits/sm_89/fp16"}, user=f"{RUNNER_UID}:{RUNNER_UID}"
    )
    assert done.returncode == 0, done.stderr
    assert (runner.workspace / "own/digits/sm_89/fp16.engine").stat().st_uid == RUNNER_UID
