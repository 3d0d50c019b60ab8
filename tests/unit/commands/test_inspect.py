from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.child import supervisor
from pipeline.commands.inspect import run_inspect
from pipeline.errors import SettingsError
from pipeline.inspection.layers import EngineLayers, layers_to_json
from pipeline.machine import devices, gpu_lock
from pipeline.machine.devices import GpuDevice
from pipeline.machine.gpu_lock import GpuPool
from tests.support.layers import engine_of, layer

if TYPE_CHECKING:
    from pathlib import Path


def written(path: Path, engine: EngineLayers) -> Path:
    path.write_text(json.dumps(layers_to_json(engine)))
    return path


def inspect(*engines: Path, as_json: bool = False) -> int:
    return run_inspect(engines, threading.Event(), profile=False, as_json=as_json)


def test_the_layers_of_an_engine_are_listed_with_the_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = engine_of(layer("conv", "int8", time_ms=3.0), layer("fc", "fp16", time_ms=1.0))
    assert inspect(written(tmp_path / "e.layers.json", engine)) == 0
    out = capsys.readouterr().out
    assert "conv" in out
    assert out.splitlines()[-1] == "2 layers, TensorRT 8.6.0; int8 50% (75%), fp16 50% (25%)"


def test_the_layers_beside_an_engine_need_no_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "e.layers.json", engine_of(layer("conv")))
    (tmp_path / "e.engine").write_bytes(b"plan")
    assert inspect(tmp_path / "e.engine", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["name"] == "conv"


def test_two_engines_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = written(tmp_path / "a.layers.json", engine_of(layer("conv", "int8")))
    after = written(tmp_path / "b.layers.json", engine_of(layer("conv", "fp16")))
    assert inspect(before, after, as_json=True) == 0
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert change["what"] == ["int8 -> fp16"]


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1}', "[" * 100_000])
def test_a_file_without_layers_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.layers.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match="holds no layers"):
        inspect(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no file"):
        inspect(tmp_path / "none.engine")


def test_three_engines_are_too_many(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="3 engines"):
        inspect(*[tmp_path / "a"] * 3)


def test_a_plugin_library_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.engine").write_bytes(b"plan")
    with pytest.raises(SettingsError, match="there is no plugin library"):
        run_inspect(
            [tmp_path / "e.engine"], threading.Event(), profile=False, plugins=[tmp_path / "libroi.so"], as_json=False
        )


def test_an_engine_is_looked_at_on_a_gpu_that_nothing_else_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that goes on beside it would time its tactics wrongly."""
    h200: dict[str, Any] = {
        "name": "NVIDIA H200",
        "compute_capability": (9, 0),
        "memory_bytes": 1,
        "driver": "580",
        "cuda": "13.0",
    }
    first, second = (GpuDevice(uuid=f"GPU-{number}", **h200) for number in (1, 2))
    seen: dict[str, Any] = {}

    def child(task: str, request: dict[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
        seen.update(gpu=options["gpu"], holder=GpuPool().holder(second))
        written(folder / "layers.json", engine_of(layer("conv")))
        return {"layers": "layers.json", "warnings": []}

    monkeypatch.setattr(devices, "installed_gpus", lambda: (first, second))
    monkeypatch.setattr(gpu_lock, "LOCK_FOLDER", tmp_path)
    monkeypatch.setattr(supervisor, "run_task", child)
    (tmp_path / "e.engine").write_bytes(b"plan")
    with GpuPool().taken([first], threading.Event(), job="a build"):
        assert inspect(tmp_path / "e.engine") == 0
    assert seen["gpu"] == "GPU-2"
    assert seen["holder"].endswith("inspecting e.engine")
