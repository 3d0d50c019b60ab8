"""T6, T8: links that a checkout holds in place of what a run reads or writes lead nothing out of it, and nothing in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline.commands.cli import main
from tests.support.digits import EXAMPLE, copy_of_example, digits_manifest

SECRET = "canary-3b1d90"
JOB = "digits/sm_89/int8"
FORMS = ("json", "md", "html")
FAILS, BUILDS = 100_000, 16


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a sound model, beside a file and a folder that are nobody's business."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return copy_of_example(folder, "model.onnx", "calibration.npz")


def run(checkout: Path, samples: int) -> int:
    calibration = f"calibration: {{data: calibration.npz, method: entropy, samples: {samples}}}"
    (checkout / "trt-engines.yaml").write_text(digits_manifest(calibration))
    return main(["run"], {})


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to], ids=["symbolic link", "hard link"])
def test_T08_a_file_that_a_planted_log_stands_for_is_in_no_report(
    checkout: Path, capfd: pytest.CaptureFixture[str], plant: object
) -> None:
    log = checkout / f"engines/logs/{JOB}/engine.log"
    log.parent.mkdir(parents=True)
    assert callable(plant)
    plant(log, checkout.parent / "secret")
    assert run(checkout, FAILS) != 0
    printed = capfd.readouterr()
    for text in (printed.out, printed.err, *((checkout / f"engines/report.{form}").read_text() for form in FORMS)):
        assert SECRET not in text


@pytest.mark.parametrize("place", ["logs", "logs/digits", f"logs/{JOB}", "digits", "digits/sm_89"])
def test_T06_nothing_is_written_through_a_linked_folder(
    checkout: Path, capfd: pytest.CaptureFixture[str], place: str
) -> None:
    link = checkout / "engines" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(checkout.parent / "outside")
    assert run(checkout, BUILDS) in {4, 6}
    printed = capfd.readouterr()
    assert "is a symbolic link" in printed.out + printed.err
    assert "Traceback" not in printed.err
    assert list((checkout.parent / "outside").rglob("*")) == []


@pytest.mark.parametrize("name", [f"logs/{JOB}/engine.log", f"{JOB}.engine", f"{JOB}.json", "report.json"])
@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to], ids=["symbolic link", "hard link"])
def test_T06_no_file_of_another_name_is_changed(checkout: Path, name: str, plant: object) -> None:
    path = checkout / "engines" / name
    path.parent.mkdir(parents=True)
    assert callable(plant)
    plant(path, checkout.parent / "secret")
    run(checkout, BUILDS)
    assert (checkout.parent / "secret").read_text() == SECRET


@pytest.mark.parametrize(("samples", "code"), [(BUILDS, 0), (FAILS, 4)])
def test_T06_a_pipe_in_place_of_a_log_is_not_waited_for(checkout: Path, samples: int, code: int) -> None:
    log = checkout / f"engines/logs/{JOB}/engine.log"
    log.parent.mkdir(parents=True)
    os.mkfifo(log)
    assert run(checkout, samples) == code


@pytest.mark.parametrize("runner", ["GITHUB_ACTIONS", "GITLAB_CI"])
@pytest.mark.parametrize("command", ["run", "plan", "validate"])
@pytest.mark.parametrize("manifest", ["trt-engines.yaml", "linked/secret", "./linked/../linked/secret"])
def test_T08_what_a_linked_manifest_leads_to_is_not_quoted(
    checkout: Path, capfd: pytest.CaptureFixture[str], runner: str, command: str, manifest: str
) -> None:
    (checkout / "trt-engines.yaml").symlink_to(checkout.parent / "secret")
    (checkout / "linked").symlink_to(checkout.parent)
    assert main([command, "--manifest", manifest], {runner: "true"}) == 2
    printed = capfd.readouterr()
    assert "symbolic link" in printed.err
    assert SECRET not in printed.out + printed.err
    assert not (checkout / "engines").exists()


def test_T06_a_linked_output_folder_is_refused_on_a_runner(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy(EXAMPLE / "trt-engines.yaml", checkout)
    (checkout / "engines").symlink_to(checkout.parent / "outside")
    assert main(["run"], {"GITHUB_ACTIONS": "true"}) == 2
    assert "symbolic link" in capfd.readouterr().err
    assert list((checkout.parent / "outside").iterdir()) == []
