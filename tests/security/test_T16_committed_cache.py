"""T16: entries that a pull request commits beside its models say nothing of their accuracy, and are not believed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.checkout import committed_below
from pipeline.commands.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).parents[2] / "examples/digits"
ENTRY = ".trt-cache/v1/receipt/check/ab/" + "ab" * 32 + ".json"
RUNNER = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "pull_request",
    "GITHUB_REPOSITORY_ID": "1",
    "GITHUB_REF": "refs/pull/7/merge",
}
BROKEN = [b"", b"DIRC", b"DIRC\0\0\0\x02\xff\xff\xff\xff", b"DIRC\0\0\0\x04\0\0\0\x02" + b"\xff" * 99]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(params=["2", "4"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "checkout")
    folder = tmp_path / "checkout"
    (folder / ENTRY).parent.mkdir(parents=True)
    (folder / ENTRY).write_text("{}")
    (folder / "a/.trt-cache").mkdir(parents=True)
    (folder / "a/.trt-cache/file").write_text("another folder of that name")
    git(folder, "init", "--quiet")
    git(folder, "config", "index.version", request.param)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("more", [[], ["--cache", ".trt-cache,s3://bucket/prefix"]], ids=["folder", "before a bucket"])
def test_T16_a_cache_that_is_part_of_the_commit_is_refused(
    checkout: Path, capfd: pytest.CaptureFixture[str], more: list[str]
) -> None:
    git(checkout, "add", "--all", "--force")
    assert main(["run", *more], RUNNER) == 2
    told = capfd.readouterr().err
    assert ENTRY in told
    assert "is part of the commit" in told


def further_worktree(checkout: Path, folder: Path) -> None:
    git(checkout, "worktree", "add", "--quiet", str(folder))


def submodule(checkout: Path, folder: Path) -> None:
    folder.parent.mkdir()
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(checkout), folder.name)


@pytest.mark.parametrize("check_out", [further_worktree, submodule])
def test_T16_a_cache_in_a_commit_is_refused_where_git_keeps_its_folder_elsewhere(
    check_out: Callable[[Path, Path], None],
    checkout: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    git(checkout, "add", "--all", "--force")
    git(checkout, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "m")
    folder = tmp_path / "other/checkout"
    check_out(checkout, folder)
    monkeypatch.chdir(folder)

    assert (folder / ".git").is_file()
    assert main(["run"], RUNNER) == 2
    assert ENTRY in capfd.readouterr().err


@pytest.mark.parametrize("text", ["", "gitdir: ", "gitdir: /nowhere", "gitdir: \0", "\x80", "x" * 9000])
def test_T16_a_link_of_git_that_leads_nowhere_tells_nothing(checkout: Path, text: str) -> None:
    shutil.rmtree(checkout / ".git")
    (checkout / ".git").write_text(text, encoding="latin-1")
    assert committed_below(checkout / ".trt-cache") == ""


def test_T16_a_cache_that_is_restored_beside_the_commit_is_used(checkout: Path) -> None:
    git(checkout, "add", "model.onnx", "a")
    assert committed_below(checkout / ".trt-cache") == ""
    assert main(["validate"], RUNNER) == 0


def test_T16_sealed_entries_may_lie_anywhere(checkout: Path) -> None:
    git(checkout, "add", "--all", "--force")
    assert main(["validate"], RUNNER | {"TRT_ENGINE_CACHE_SECRET": "s" * 32}) == 0


@pytest.mark.parametrize("data", BROKEN)
def test_T16_an_index_that_cannot_be_read_tells_nothing(checkout: Path, data: bytes) -> None:
    (checkout / ".git/index").write_bytes(data)
    assert committed_below(checkout / ".trt-cache") == ""


def test_T16_every_path_of_an_index_is_read(checkout: Path) -> None:
    for number in range(300):
        path = checkout / f"{'x' * (number % 23)}/{number % 7}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    git(checkout, "add", "--all", "--force")
    listed = subprocess.check_output(["git", "ls-files"], cwd=checkout, text=True).split()
    for folder in {Path(path).parent for path in listed} - {Path()}:
        assert committed_below(checkout / folder) in listed
