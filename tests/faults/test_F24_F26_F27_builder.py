"""F24, F26 and F27: a builder that crashes, gives nothing or nonsense, or is killed by the machine for its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.digest import digest_from_file
from tests.support.faulty_step import MANIFEST, report_in, run_step_in, statuses_in
from tests.support.leftovers import half_written

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

RUN = ("run", "--manifest", str(MANIFEST), "--only", "digits/sm_89/*")
BROKEN = "digits/sm_89/int8"


def run_with(folder: Path, recordings: Path, fault: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Three jobs, of which the INT8 build has a fault."""
    faults = [{"name": "build-int8-8.9", "fault": fault, **more}]
    result = run_step_in(folder, *RUN, faults=faults, recordings=recordings)
    assert "Traceback" not in result.stderr
    return result


def assert_it_failed_alone(folder: Path, result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The failure of the broken job; the others are built, and nothing of it is delivered or kept."""
    assert result.returncode == report_in(folder)["exit_code"] == 6, result.stderr
    jobs = {job["id"]: job for job in report_in(folder)["jobs"]}
    assert statuses_in(folder) == dict.fromkeys(jobs, "built") | {BROKEN: "failed"}
    assert not (folder / f"engines/{BROKEN}.engine").exists()
    assert len(list(folder.glob(".trt-cache/v1/receipt/engine/*/*"))) == 2
    assert half_written(folder) == []
    failure: dict[str, Any] = jobs[BROKEN]["failure"]
    return failure


def test_F24_a_builder_that_crashes_is_named_by_its_signal_and_the_others_go_on(
    tmp_path: Path, recordings: Path
) -> None:
    failure = assert_it_failed_alone(tmp_path, run_with(tmp_path, recordings, "crash"))
    assert failure["what"].endswith("the build task crashed: SIGSEGV")
    assert "CHECK(layer) failed" in failure["why"]
    assert failure["log_tail"]


def test_F26_a_builder_that_gives_nothing_fails_its_job(tmp_path: Path, recordings: Path) -> None:
    failure = assert_it_failed_alone(tmp_path, run_with(tmp_path, recordings, "nothing"))
    assert failure["what"].endswith("the build task of digits/sm_89/int8 gave an answer that cannot be used")


def test_F26_an_empty_engine_is_none(tmp_path: Path, recordings: Path) -> None:
    failure = assert_it_failed_alone(tmp_path, run_with(tmp_path, recordings, "empty"))
    assert "it has 0 bytes" in failure["why"]


def test_F26_what_a_builder_says_beside_the_point_is_refused(tmp_path: Path, recordings: Path) -> None:
    failure = assert_it_failed_alone(tmp_path, run_with(tmp_path, recordings, "lie"))
    assert failure["why"] == "digest: is not a field of this record"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("other_gpu", "it was built for compute capability 7.5, not 8.9"),
        ("other_runtime", "it is a plan of tensorrt, not of tensorrt-rtx"),
        ("half", "its header says "),
    ],
)
def test_F26_an_engine_that_is_not_what_was_asked_for_is_refused(
    fault: str, told: str, tmp_path: Path, recordings: Path
) -> None:
    failure = assert_it_failed_alone(tmp_path, run_with(tmp_path, recordings, fault))
    assert told in failure["why"]


def test_F26_the_digest_is_that_of_the_file(tmp_path: Path, recordings: Path) -> None:
    result = run_step_in(tmp_path, *RUN, recordings=recordings)
    assert result.returncode == 0, result.stderr
    (job,) = (job for job in report_in(tmp_path)["jobs"] if job["id"] == BROKEN)
    assert job["engine"]["digest"] == str(digest_from_file(tmp_path / f"engines/{BROKEN}.engine"))


@pytest.mark.parametrize("fault", ["outside", "link"])
def test_F26_a_builder_cannot_pass_a_file_of_the_machine_off_as_its_engine(
    fault: str, tmp_path: Path, recordings: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the machine's own")
    assert_it_failed_alone(tmp_path, run_with(tmp_path, recordings, fault, path=str(secret)))
    kept = (path for path in (tmp_path / ".trt-cache").rglob("*") if path.is_file())
    assert not [path for path in kept if b"the machine's own" in path.read_bytes()]


def test_F27_a_child_that_the_machine_killed_for_memory_says_what_to_do(tmp_path: Path, recordings: Path) -> None:
    failure = assert_it_failed_alone(tmp_path, run_with(tmp_path, recordings, "killed"))
    assert "was killed from outside" in failure["what"]
    assert "out of memory" in failure["why"]
    assert "--workers" in failure["fix"]


def test_F27_a_child_that_gets_no_memory_says_what_to_do(tmp_path: Path, recordings: Path) -> None:
    failure = assert_it_failed_alone(tmp_path, run_with(tmp_path, recordings, "no_memory"))
    assert "out of host memory" in failure["what"]
    assert "--workers" in failure["fix"]


def test_F26_a_typed_model_that_is_none_of_its_files_is_neither_used_nor_kept(tmp_path: Path, recordings: Path) -> None:
    faults = [{"name": "prepare-int8", "fault": "outside", "path": "/etc/hostname"}]
    for _ in range(2):
        result = run_step_in(tmp_path, *RUN, faults=faults, recordings=recordings)
        assert result.returncode == 6, result.stderr
        assert "Traceback" not in result.stderr
        assert "is none of its files" in " ".join(result.stdout.split())
