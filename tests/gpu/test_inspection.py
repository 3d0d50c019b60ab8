"""What the layers of real engines say, and building again from the same tactics."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.inspection.layers import layers_from_json
from pipeline.inspection.precision_shares import is_compute
from tests.support.gpu_runs import entrypoint, run

if TYPE_CHECKING:
    from pathlib import Path

Built = tuple["Path", dict[str, Any]]


def test_the_layers_of_every_engine_lie_beside_it_with_their_times(built: Built) -> None:
    folder, report = built
    for job in report["jobs"]:
        layers = layers_from_json(json.loads((folder / "engines" / job["layers"]["path"]).read_text()))
        assert layers.detailed
        assert len(layers.layers) == job["layers"]["layers"] > 3
        timed = [layer for layer in layers.layers if is_compute(layer)]
        assert timed
        assert all(layer.time_ms for layer in timed)
        assert all(layer.precision for layer in timed)


def test_an_int8_engine_computes_in_int8(built: Built) -> None:
    job = next(job for job in built[1]["jobs"] if job["precision"] == "int8")
    assert job["layers"]["granted_share"] > 0.5


def test_an_engine_with_too_little_of_the_precision_asked_for_fails(tmp_path: Path) -> None:
    report = run(tmp_path, share=1, only="*/fp16", build='layer_precisions: {"/block1/*": fp32}')
    assert report["returncode"] == 6
    assert "layers that compute" in report["jobs"][0]["failure"]["why"]


def test_an_engine_is_loaded_and_inspected_anew(built: Built) -> None:
    folder, report = built
    path = f"engines/{report['jobs'][0]['engine']['path']}"
    result = entrypoint(folder, "inspect", path, "--profile", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)["profiled_iterations"] > 0


def test_what_changed_between_two_engines_is_told(built: Built) -> None:
    folder, _ = built
    engines = [str(path.relative_to(folder)) for path in sorted((folder / "engines").rglob("*.layers.json"))]
    by_name = {path.split("/")[-1]: path for path in engines}
    result = entrypoint(folder, "inspect", by_name["fp32.layers.json"], by_name["int8.layers.json"])
    assert result.returncode == 0
    assert "fp32 -> int8" in result.stdout


def test_a_build_is_repeated_from_its_own_tactics(tmp_path: Path) -> None:
    report = run(tmp_path, build="deterministic: verify", only="*/fp16")
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    assert report["jobs"][0]["layers"]["tactics"] == "the same"
