"""The whole main job on examples/digits, as a user starts it: real TensorRT-RTX, real ONNX Runtime."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "examples/digits/trt-engines.yaml"
JOBS = [f"digits/{sm}/{precision}" for sm in ("sm_86", "sm_89", "sm_120") for precision in ("fp32", "fp16", "int8")]


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "entrypoint.py"), *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def step(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    process = start(folder, *arguments, **environment)
    stdout, stderr = process.communicate(timeout=240)
    assert "Traceback" not in stderr + stdout, stderr
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def run_digits(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return step(folder, "run", "--manifest", str(MANIFEST), *arguments, **environment)


def report_of(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "engines/report.json").read_text())
    return report


def jobs_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {job["id"]: job for job in report_of(folder)["jobs"]}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the main job has run once, with cache and engines."""
    folder = tmp_path_factory.mktemp("built")
    result = run_digits(folder, GITHUB_STEP_SUMMARY=str(folder / "summary.md"), GITHUB_OUTPUT=str(folder / "outputs"))
    assert result.returncode == 0, result.stderr + result.stdout
    return folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be changed at will."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_first_run_builds_every_listed_engine(built: Path) -> None:
    jobs = jobs_of(built)
    assert list(jobs) == JOBS
    assert {job["status"] for job in jobs.values()} == {"built"}
    for job_id in JOBS:
        assert (built / f"engines/{job_id}.engine").read_bytes()[:4] == b"vtrt"


def test_each_engine_has_a_sidecar_that_names_its_origin(built: Path) -> None:
    sidecar = json.loads((built / "engines/digits/sm_89/int8.json").read_text())
    text = json.dumps(sidecar)
    for part in ("sha256:", "1.7.1.116", "image", "logits", "8.9"):
        assert part in text


def test_each_precision_was_checked_on_the_labelled_digits(built: Path) -> None:
    for job in jobs_of(built).values():
        assert job["accuracy"]["subject"] == "prepared model"
        assert job["accuracy"]["top1_reference_percent"] >= 98
        assert all(verdict["passed"] for verdict in job["accuracy"]["verdicts"])


def test_the_step_summary_and_the_outputs_are_filled(built: Path) -> None:
    assert "digits/sm_120/int8" in (built / "summary.md").read_text()
    assert "verdict" in (built / "outputs").read_text()


def test_F40_a_second_run_builds_nothing_and_says_why(copy: Path) -> None:
    result = run_digits(copy)
    assert result.returncode == 0
    jobs = jobs_of(copy)
    assert {job["status"] for job in jobs.values()} == {"cached"}
    assert all("same" in job["reason"] for job in jobs.values())


def test_a_cached_run_loads_neither_onnxruntime_nor_tensorrt_nor_onnx(copy: Path) -> None:
    program = (
        "import sys; from pipeline.commands.cli import main; "
        f"code = main(['run', '--manifest', {str(MANIFEST)!r}], {{}}); "
        "bad = {'onnx', 'onnxruntime', 'tensorrt_rtx_bindings', 'onnxconverter_common'} & sys.modules.keys(); "
        "sys.exit(f'loaded {bad}' if bad else code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=copy,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_a_changed_setting_rebuilds_and_names_the_ingredient(copy: Path) -> None:
    example = copy / "digits"
    shutil.copytree(MANIFEST.parent, example)
    manifest = example / MANIFEST.name
    text = manifest.read_text()
    assert "opt: [8, 1, 8, 8]" in text
    manifest.write_text(text.replace("opt: [8, 1, 8, 8]", "opt: [16, 1, 8, 8]"))
    result = step(copy, "plan", "--manifest", str(manifest), "--json")
    assert result.returncode == 0, result.stderr
    jobs = json.loads(result.stdout)["jobs"]
    assert {job["state"] for job in jobs} == {"build"}
    assert all("profile.0.image.opt 8x1x8x8 -> 16x1x8x8" in job["reason"] for job in jobs)
    assert all(job["previous_s"] > 0 for job in jobs)


def test_damage_anywhere_in_the_cache_leads_to_a_rebuild(copy: Path) -> None:
    for number, path in enumerate(sorted(p for p in (copy / ".trt-cache").rglob("*") if p.is_file())):
        data = bytearray(path.read_bytes())
        path.chmod(0o644)
        if number % 3 == 0:
            path.unlink()
        elif number % 3 == 1:
            path.write_bytes(bytes(data[: len(data) // 2]))
        else:
            data[len(data) // 2] ^= 1
            path.write_bytes(bytes(data))
    result = run_digits(copy)
    assert result.returncode == 0, result.stderr
    assert set(jobs_of(copy)) == set(JOBS)
    again = run_digits(copy)
    assert again.returncode == 0
    assert {job["status"] for job in jobs_of(copy).values()} == {"cached"}


def test_two_runs_at_once_on_one_cache_both_succeed(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    cache = str(tmp_path / "cache")
    only = ("--only", "digits/sm_89/*")
    processes = [start(folder, "run", "--manifest", str(MANIFEST), "--cache", cache, *only) for folder in folders]
    for process in processes:
        _, stderr = process.communicate(timeout=240)
        assert process.returncode == 0, stderr
    engines = [(folder / "engines/digits/sm_89/int8.engine").read_bytes() for folder in folders]
    assert engines[0] == engines[1], "the loser of the race uses the winner's engine"


def test_control_c_ends_the_run_with_130_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = start(tmp_path, "run", "--manifest", str(MANIFEST), TMPDIR=str(tmp_path))
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".trt-cache/v1/receipt/prepared/*/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert not children_of(process.pid)
    assert report_of(tmp_path)["verdict"] == "cancelled"
    assert not list(tmp_path.rglob("*.tmp")), "a half-written file"
    assert not list(tmp_path.glob("trt-engines-*")), "the scratch folder"
    again = run_digits(tmp_path)
    assert again.returncode == 0, again.stderr


def children_of(process_id: int) -> list[str]:
    """Command lines of the processes that were started by one, found by the environment they inherited."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
            command = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == process_id or (f"{process_id}" in command and "pipeline.child" in command):
            found.append(command)
    return found


def test_a_target_for_another_machine_is_planned_and_fails_only_when_all_are_required(copy: Path) -> None:
    example = copy / "digits"
    shutil.copytree(MANIFEST.parent, example)
    manifest = example / MANIFEST.name
    lines = manifest.read_text().splitlines()
    where = next(number for number, line in enumerate(lines) if line.strip().startswith("targets:"))
    lines.insert(where + 1, lines[where + 1].split("-")[0] + "- h200")
    manifest.write_text("\n".join(lines) + "\n")
    relaxed = step(copy, "run", "--manifest", str(manifest))
    assert relaxed.returncode == 0, relaxed.stderr
    waiting = jobs_of(copy)["digits/h200/fp16"]
    assert waiting["status"] == "needs-runner"
    assert "needs a runner with H200" in waiting["reason"]
    strict = step(copy, "run", "--manifest", str(manifest), "--require-all")
    assert strict.returncode == 5
