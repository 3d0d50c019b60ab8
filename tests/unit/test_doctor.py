from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline import doctor
from pipeline.devices import GpuDevice
from pipeline.doctor import examine, run_doctor
from pipeline.errors import SettingsError
from pipeline.machine import TOOLS
from pipeline.settings import Settings, settings_from_mapping

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with TensorRT-RTX and no GPU, whatever this one is."""
    monkeypatch.setattr(doctor, "installed_tools", lambda: dict.fromkeys(TOOLS, "1.0"))
    monkeypatch.setattr(doctor, "installed_runtimes", lambda: {"tensorrt-rtx": "1.7.1.116"})
    monkeypatch.setattr(doctor, "installed_gpus", lambda: ())


def settings(folder: Path) -> Settings:
    return settings_from_mapping({}, cache=str(folder / "cache"))


def test_a_machine_without_a_gpu_has_notes_and_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_doctor(settings(tmp_path), as_json=False) == 0
    said = capsys.readouterr().out
    assert "1.7.1.116, builds here for compute capabilities 7.5" in said
    assert "note     tensorrt " in said


def test_a_gpu_is_named_with_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = GpuDevice(
        uuid="GPU-1",
        name="NVIDIA H200",
        compute_capability=(9, 0),
        memory_bytes=141 << 30,
        driver="580.159.04",
        cuda="13.0",
    )
    monkeypatch.setattr(doctor, "installed_gpus", lambda: (device,))
    (found,) = [each for each in examine(settings(tmp_path)) if each.subject == "gpu"]
    for part in ("NVIDIA H200", "9.0", "141.0 GiB", "580.159.04", "CUDA 13.0"):
        assert part in found.text


def test_missing_packages_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise SettingsError("not installed: onnx", fix="run scripts/setup")

    monkeypatch.setattr(doctor, "installed_tools", missing)
    assert run_doctor(settings(tmp_path), as_json=True) == 5


def test_a_program_can_read_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_doctor(settings(tmp_path), as_json=True)
    findings = json.loads(capsys.readouterr().out)
    assert {"level", "subject", "text"} == set(findings[0])


def test_a_cache_that_is_switched_off_is_noted() -> None:
    off = settings_from_mapping({}, cache="none")
    assert [each.level for each in examine(off) if each.subject == "cache"] == ["note"]
