"""F34: a calibration table in the cache that is corrupt.

It is rejected, told, made again and never given to a builder; and where the bytes are what was kept but the table is
unfit for the model, the build fails by name before TensorRT is asked for anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.build.table_calibrator import table_calibrator
from pipeline.cache.answers import Rejected
from pipeline.digest import digest_from_bytes
from pipeline.errors import BuildError, ModelError
from pipeline.machine.devices import GpuDevice
from pipeline.manifest.types import BuildSettings, Calibration, Location
from pipeline.planning.plan import Job
from pipeline.planning.survey import survey_models
from pipeline.precision import Precision
from pipeline.recipes.engine import engine_recipe
from pipeline.recipes.model import Recipes
from tests.support.answers import answered_build
from tests.support.recorded_tensorrt import TRT, layer, network, tensor
from tests.support.specs import H200, model_spec
from tests.support.workshops import FACTS, workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Recipe

TABLE = "TRT-8600-EntropyCalibration2\nimage: 3c010a14\nlogits: 3d5703ba\n"
GPU = GpuDevice(
    uuid="GPU-1", name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0"
)
TOOLS = {"onnx": "1.23.2", "onnxruntime": "1.31.1", "numpy": "2.4.6"}


class Children:
    """Answers each task; ``table`` is what a calibration gives, ``given`` what a build was given."""

    def __init__(self, table: str = TABLE) -> None:
        self.table = table
        self.tasks: list[str] = []
        self.given: list[str] = []

    def __call__(self, task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        self.tasks.append(task)
        if task == "build":
            with open(request["calibration_table"]) as file:  # noqa: PTH123  a request holds texts
                self.given.append(file.read())
            return answered_build(request, folder, {"tensorrt": "8.6.0"})
        for name in ("t.json", "model.onnx"):
            (folder / name).write_text(task)
        (folder / "t.table").write_text(self.table)
        if task == "inspect-model":
            return FACTS
        if task == "calibrate-native":
            return {"table": "t.table", "json": "t.json", "tensors": 2}
        return {"model": "model.onnx", "files": ["model.onnx"]}


class Bench:
    """One model with implicit INT8 on a machine with an H200; ``build`` is one run of the step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "model.onnx").write_bytes(b"model")
        (folder / "cal.npy").write_bytes(b"data")
        calibration = Calibration(data=folder / "cal.npy", location=Location("m.yaml", 1, 1))
        self.spec = model_spec(folder, build=BuildSettings(int8="implicit"), calibration=calibration)
        self.runs = 0

    def build(self, children: Children, level: int) -> Any:
        """The table's artefact of a run that builds an engine at ``level``, so that no engine is cached."""
        recipes = self._recipes(children)
        spec = model_spec(
            self.folder,
            build=BuildSettings(int8="implicit", optimization_level=level),
            calibration=self.spec.calibration,
        )
        (model_at_level,) = survey_models([spec], recipes.workshop, TOOLS)
        recipes.workshop.obtain(engine_recipe(Job(spec, H200, Precision.INT8), model_at_level, recipes))
        return recipes.workshop.obtain(self._calibration(recipes))

    def keep_unlooked_at(self, table: str) -> None:
        """Keep ``table`` as a version of the step would that does not look at what its children give."""
        recipes = self._recipes(Children(table))
        recipes.workshop.obtain(replace(self._calibration(recipes), faults=lambda _files, _outcome: ()))

    def _recipes(self, children: Children) -> Recipes:
        self.runs += 1
        workshop = workshop_with(children, self.folder, f"run{self.runs}")
        return Recipes(workshop=workshop, tools=TOOLS, runtimes={"tensorrt": "8.6.0"}, gpus=(GPU,))

    def _calibration(self, recipes: Recipes) -> Recipe:
        (model,) = survey_models([self.spec], recipes.workshop, TOOLS)
        return recipes.native_calibration(model, recipes.gpus)

    def blob(self, text: str) -> Path:
        digest = digest_from_bytes(text.encode()).hex
        (path,) = (path for path in (self.folder / "cache").rglob("*") if path.is_file() and digest in str(path))
        path.chmod(0o644)
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_sound_table_is_used_again(bench: Bench) -> None:
    first, second = Children(), Children("never made")
    bench.build(first, 0)
    assert bench.build(second, 1).cached
    assert "calibrate-native" not in second.tasks
    assert second.given == [TABLE]


@pytest.mark.parametrize("place", [0, 40, len(TABLE) - 2])
def test_a_flipped_bit_is_found_and_the_table_made_again(bench: Bench, place: int) -> None:
    bench.build(Children(), 0)
    blob = bench.blob(TABLE)
    data = bytearray(blob.read_bytes())
    data[place] ^= 1
    blob.write_bytes(bytes(data))
    again = Children()
    table = bench.build(again, 1)
    assert again.tasks.count("calibrate-native") == 1
    assert again.given == [TABLE]
    assert not table.cached
    assert "made again" in table.warnings[0]


def test_a_table_that_was_cut_off_is_found(bench: Bench) -> None:
    bench.build(Children(), 0)
    blob = bench.blob(TABLE)
    blob.write_bytes(blob.read_bytes()[:-5])
    again = Children()
    bench.build(again, 1)
    assert again.given == [TABLE]


UNSOUND = pytest.mark.parametrize(
    ("unsound", "told"),
    [
        ("TRT-8600-EntropyCalibration2\nimage: 3c010a14\n", "its table holds 1 tensors, not 2"),
        ("TRT-8600-EntropyCalibration2\nimage: 7fc00000\nlogits: 3d5703ba\n", "line 2: the scale of 'image' is nan"),
        ("no table", "line 1: 'no table' is no header"),
    ],
)


@UNSOUND
def test_a_table_that_was_kept_unsound_is_rejected_by_what_it_says(bench: Bench, unsound: str, told: str) -> None:
    bench.keep_unlooked_at(unsound)
    again = Children()
    table = bench.build(again, 1)
    assert isinstance(table.lookup, Rejected)
    assert told in table.warnings[0]
    assert again.given == [TABLE]


@UNSOUND
def test_an_unsound_table_of_a_child_fails_the_job_and_is_not_kept(bench: Bench, unsound: str, told: str) -> None:
    with pytest.raises(BuildError, match="cannot be used") as refused:
        bench.build(Children(unsound), 0)
    assert told in refused.value.why
    again = Children()
    bench.build(again, 0)
    assert again.given == [TABLE]


def test_a_table_that_lacks_a_tensor_is_never_given_to_tensorrt(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("TRT-8600-EntropyCalibration2\nlogits: 3d5703ba\n")
    image = tensor("image")
    with pytest.raises(ModelError, match="it has no 'image'"):
        table_calibrator(TRT, tmp_path / "t", network([image], [layer("CONVOLUTION", [image], [tensor("logits")])]))
