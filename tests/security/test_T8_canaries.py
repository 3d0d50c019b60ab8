"""T8: secrets that are planted in the environment of a run are found in nothing that it leaves or says.

Every way in which a child can fail is tried, and what a child prints of its own environment is looked at too: a crash
must not leave a core file, and no error may quote what a token was.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from tests.support.fault_tasks import BAD
from tests.support.faulty_step import MANIFEST, run_step_in

if TYPE_CHECKING:
    from pathlib import Path

CANARIES = {
    name: f"canary-{name.lower().replace('_', '-')}-0123456789abcdef"
    for name in (
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_RUNTIME_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "CI_JOB_TOKEN", "GITHUB_TOKEN", "GITLAB_TOKEN", "SOME_PASSWORD", "TRT_ENGINE_CACHE_SECRET",
    )
}  # fmt: skip


def leaks(folder: Path, said: str) -> list[str]:
    """Where a canary is found below ``folder`` or in ``said``, and core files."""
    texts = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts["its output"] = said.encode()
    found = [
        f"{name} in {where}"
        for where, data in texts.items()
        for name, value in CANARIES.items()
        if value.encode() in data
    ]
    return found + [where for where in texts if where.rpartition("/")[2].startswith("core")]


def allow_core_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


@pytest.mark.parametrize("fault", [*BAD, "tell_environment"])
def test_T8_no_secret_is_told_whatever_a_child_does(fault: str, tmp_path: Path, recordings: Path) -> None:
    faults = [{"name": "build-int8-8.9", "fault": fault, "path": str(tmp_path / "secret")}]
    result = run_step_in(
        tmp_path,
        "run",
        "--manifest",
        str(MANIFEST),
        "--only",
        "digits/sm_89/*",
        faults=faults,
        recordings=recordings,
        environment=CANARIES,
        preexec_fn=allow_core_files,
    )
    assert result.returncode in {0, 6}, result.stderr
    assert leaks(tmp_path, result.stdout + result.stderr) == []


@pytest.mark.parametrize(
    "cache", ["s3://bucket/prefix?endpoint=http://127.0.0.1:9&addressing=path", "/proc/nowhere", "folder"]
)
def test_T8_no_secret_is_told_by_a_cache_that_fails(cache: str, tmp_path: Path, recordings: Path) -> None:
    result = run_step_in(
        tmp_path,
        "run",
        "--manifest",
        str(MANIFEST),
        "--only",
        "digits/sm_89/fp16",
        "--cache",
        cache,
        "--cache-scope",
        "trusted",
        recordings=recordings,
        environment=CANARIES | {"AWS_ACCESS_KEY_ID": "id", "AWS_DEFAULT_REGION": "us-east-1"},
    )
    assert result.returncode == 0, result.stderr
    assert leaks(tmp_path, result.stdout + result.stderr) == []


@pytest.mark.parametrize(
    "command", [("doctor",), ("doctor", "--json"), ("plan", "--manifest", str(MANIFEST)), ("run", "--cache", "ftp://x")]
)
def test_T8_no_secret_is_told_by_other_commands(command: tuple[str, ...], tmp_path: Path) -> None:
    result = run_step_in(tmp_path, *command, environment=CANARIES)
    assert leaks(tmp_path, result.stdout + result.stderr) == []


def test_T8_a_canary_that_is_told_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(CANARIES["GITHUB_TOKEN"])
    core = tmp_path / "core.1"
    core.touch()
    found = leaks(tmp_path, CANARIES["CI_JOB_TOKEN"])
    core.unlink()  # or it fails the whole session
    assert len(found) == 3
