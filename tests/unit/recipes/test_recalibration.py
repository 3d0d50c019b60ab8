from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.errors import ModelError
from pipeline.manifest.types import Calibration, Location
from pipeline.planning.survey import survey_models
from pipeline.recipes.model import Recipes
from pipeline.recipes.recalibration import Recalibration, recalibration_of
from tests.support.specs import model_spec
from tests.support.workshops import FACTS, workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping

TOOLS = {"onnx": "1.23.2", "onnxruntime": "1.31.1", "numpy": "2.4.6"}
REUSED = {"samples": 32, "tensors": 2, "moved": 1, "largest_factor": 1.01, "median_factor": 1.005}


@dataclass
class Children:
    """Calibrates with the scale that the model's bytes say; a table is kept unless ``moved`` too far."""

    moved: bool = False
    asked: list[str] = field(default_factory=list)

    def __call__(self, task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        if task == "inspect-model":
            return FACTS
        self.asked.append(task)
        if task == "reuse-table":
            if self.moved:
                raise ModelError("the range of 'image' moved")
            (folder / "t.table").write_text(Path(request["before"]["table"]).read_text())
        else:
            scale = struct.pack(">f", float(Path(request["model"]).read_text())).hex()
            (folder / "t.table").write_text(f"TRT-100000-EntropyCalibration2\nimage: {scale}\nother: 3c010a14\n")
        (folder / "t.json").write_text("{}")
        reused = {"reused": REUSED} if task == "reuse-table" else {}
        return {"table": "t.table", "json": "t.json", "tensors": 2, "samples": 64} | reused


def retrained(folder: Path, children: Children, scales: tuple[str, ...], **settings: Any) -> Recalibration | None:
    """What the last of several runs says, whose models are calibrated to ``scales``."""
    found = None
    (folder / "cal.npy").write_bytes(b"data")
    location = Location("m.yaml", 1, 1)
    for number, scale in enumerate(scales):
        (folder / "model.onnx").write_text(scale)
        calibration = Calibration(data=folder / "cal.npy", location=location, **settings)
        workshop = workshop_with(children, folder, str(number))
        (model,) = survey_models([model_spec(folder, calibration=calibration)], workshop, TOOLS)
        recipe = Recipes(workshop=workshop, tools=TOOLS, runtimes={}).calibration(model)
        workshop.obtain(recipe)
        found = recalibration_of(recipe, model, workshop)
    return found


def test_a_first_calibration_is_no_recalibration(tmp_path: Path) -> None:
    assert retrained(tmp_path, Children(), ("0.5",)) is None


def test_a_retrained_model_is_calibrated_again_and_the_drift_is_told(tmp_path: Path) -> None:
    children = Children()
    found = retrained(tmp_path, children, ("0.5", "0.75"))
    assert children.asked == ["calibrate", "calibrate"]
    assert found is not None
    assert (found.reused, found.tensors, found.moved) == (False, 2, 1)
    assert (found.largest_factor, found.median_factor) == (1.5, 1.25)


@pytest.mark.parametrize("settings", [{}, {"reuse_within": 0.02}])
def test_an_earlier_table_that_cannot_be_read_is_left_alone(tmp_path: Path, settings: dict[str, float]) -> None:
    children = Children()
    retrained(tmp_path, children, ("0.5",), **settings)
    store = LocalStore(tmp_path / "cache")
    cache = ContentCache(store)
    ((_, key, _),) = store.receipts("calibration")
    hit = cache.stored("calibration", key)
    assert hit is not None
    outcome = json.dumps({"table": "t.table", "json": "t.json", "tensors": 2, "samples": 64})
    for name, text in {"t.table": "no table", "t.json": "{}", "outcome.json": outcome}.items():
        (tmp_path / name).write_text(text)
    files = {blob.name: tmp_path / blob.name for blob in hit.receipt.blobs}
    cache.reject(hit)
    cache.commit(hit.receipt.key, hit.receipt.subject, files, hit.receipt.metadata)
    assert retrained(tmp_path, children, ("0.75",), **settings) is None
    assert children.asked == ["calibrate", "calibrate"]


def test_a_cached_table_is_no_recalibration(tmp_path: Path) -> None:
    assert retrained(tmp_path, Children(), ("0.5", "0.75", "0.75")) is None


def test_other_calibration_data_is_no_retraining(tmp_path: Path) -> None:
    retrained(tmp_path, Children(), ("0.5",))
    assert retrained(tmp_path, Children(), ("0.75",), samples=3) is None


def test_a_table_is_kept_only_where_the_manifest_allows_it(tmp_path: Path) -> None:
    children = Children()
    found = retrained(tmp_path, children, ("0.5", "0.75"), reuse_within=0.02)
    assert children.asked == ["calibrate", "reuse-table"]
    assert found is not None
    assert (found.reused, found.tensors, found.moved, found.largest_factor) == (True, 2, 1, 1.01)


def test_a_table_that_may_not_be_kept_is_made_anew(tmp_path: Path) -> None:
    children = Children(moved=True)
    found = retrained(tmp_path, children, ("0.5", "0.75"), reuse_within=0.02)
    assert children.asked == ["calibrate", "reuse-table", "calibrate"]
    assert found is not None
    assert not found.reused


def test_the_first_run_that_allows_it_keeps_the_table_of_one_that_did_not(tmp_path: Path) -> None:
    retrained(tmp_path, Children(), ("0.5",))
    children = Children()
    retrained(tmp_path, children, ("0.75",), reuse_within=0.02)
    assert children.asked == ["reuse-table"]


@pytest.mark.parametrize("settings", [{"reuse_within": 0.02}, {"reuse_within": 0.05}])
def test_what_is_allowed_is_part_of_the_key(tmp_path: Path, settings: dict[str, float]) -> None:
    children = Children()
    retrained(tmp_path, children, ("0.5",))
    retrained(tmp_path, children, ("0.5",), **settings)
    assert children.asked == ["calibrate", "calibrate"]
