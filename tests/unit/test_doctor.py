from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pipeline.cache import s3_bucket
from pipeline.doctor import examination as doctor
from pipeline.doctor.examination import examine, run_doctor
from pipeline.errors import DeviceError, SettingsError
from pipeline.machine.devices import GpuDevice
from pipeline.machine.installed import TOOLS
from pipeline.settings import Settings, settings_from_mapping

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cache.s3_address import S3Address


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with TensorRT-RTX and no GPU, whatever this one is."""
    monkeypatch.setattr(doctor, "installed_tools", lambda: dict.fromkeys(TOOLS, "1.0"))
    monkeypatch.setattr(doctor, "installed_runtimes", lambda: {"tensorrt-rtx": "1.7.1.116"})
    monkeypatch.setattr(doctor, "installed_gpus", lambda: ())
    monkeypatch.setattr(doctor, "container_findings", lambda *_, **__: ())


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


def test_runtimes_of_two_versions_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed() -> None:
        raise DeviceError("the packages of tensorrt-rtx are of different versions", why="1.7.1 and 1.6.1")

    monkeypatch.setattr(doctor, "installed_runtimes", mixed)
    (found,) = [each for each in examine(settings(tmp_path)) if each.level == "problem"]
    assert "different versions: 1.7.1 and 1.6.1" in found.text


def test_a_cache_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (found,) = [each for each in examine(settings(tmp_path / "file")) if each.level == "problem"]
    assert found.subject == "cache"
    assert "choose another with --cache FOLDER" in found.text


def test_a_disk_that_is_nearly_full_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    (found,) = [each for each in examine(settings(tmp_path)) if each.subject == "cache"]
    assert (found.level, "1.0 GiB free" in found.text) == ("note", True)


def test_a_bucket_that_cannot_be_asked_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(address: S3Address) -> None:
        raise ValueError(f"no credentials for {address}")

    monkeypatch.setattr(s3_bucket, "make_s3_client", refused)
    bucket = settings_from_mapping({}, cache="s3://bucket/prefix")
    (found,) = [each for each in examine(bucket) if each.subject == "cache"]
    assert found.level == "problem"
    assert "no credentials for s3://bucket/prefix" in found.text


def test_looking_at_a_machine_makes_no_cache_folder(tmp_path: Path) -> None:
    examine(settings(tmp_path))
    assert list(tmp_path.iterdir()) == []
