"""What is asked of a builder, and from what, for each runtime and typing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline.cache.local import LocalStore
from pipeline.digest import digest_from_bytes
from pipeline.errors import BuildError
from pipeline.machine.devices import GpuDevice
from pipeline.manifest.types import Accuracy, BuildSettings, CalibrationMethod, Location
from pipeline.planning.survey import SurveyedModel, survey_models
from pipeline.precision import Precision
from pipeline.recipes.bench import benchmark_recipe
from pipeline.recipes.engine import engine_check_recipe, engine_recipe, missing_for
from pipeline.recipes.inspection import layers_recipe
from pipeline.recipes.model import Recipes
from pipeline.recipes.timing_caches import TimingCaches
from tests.support.answers import TABLE, answered_build
from tests.support.specs import H200, SM_89, job, model_spec
from tests.support.workshops import FACTS, workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact
    from pipeline.manifest.types import ModelSpec

TOOLS = {"onnx": "1.23.2", "onnxruntime": "1.31.1", "numpy": "2.4.6"}
RUNTIMES = {"tensorrt": "8.6.0", "tensorrt-rtx": "1.7.1.116"}
GPU = GpuDevice(
    uuid="GPU-1", name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0"
)
CALIBRATION: dict[str, Any] = {"calibration.data": str(digest_from_bytes(b"data"))}


class Children:
    """Answers each task with files that hold its name, and remembers what was asked."""

    def __init__(self) -> None:
        self.requests: dict[str, Mapping[str, Any]] = {}

    def __call__(self, task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        self.requests[task] = request
        if task == "build":
            return answered_build(request, folder, RUNTIMES)
        for name in ("t.table", "t.json", "model.onnx"):
            (folder / name).write_text(TABLE if name == "t.table" else task)
        return FACTS | {
            "table": "t.table",
            "json": "t.json",
            "tensors": 1,
            "model": "model.onnx",
            "files": ["model.onnx"],
        }


def obtain(
    folder: Path,
    children: Children,
    target: Any,
    precision: Precision,
    build: BuildSettings | None = None,
    **calibration: Any,
) -> None:
    (folder / "model.onnx").write_bytes(b"model")
    spec = model_spec(folder, build=build or BuildSettings(), calibration=calibration_spec(folder, **calibration))
    workshop = workshop_with(children, folder)
    (plain,) = survey_models([spec], workshop, TOOLS)
    recipes = recipes_with(workshop, folder)
    workshop.obtain(engine_recipe(job_of(spec, target, precision), plain, recipes))


def calibration_spec(folder: Path, **settings: Any) -> Any:
    from pipeline.manifest.types import Calibration, Location

    (folder / "cal.npy").write_bytes(b"data")
    data = None if "table" in settings else folder / "cal.npy"
    return Calibration(data=data, **settings, location=Location("m.yaml", 1, 1))


def given_table(folder: Path) -> Path:
    path = folder / "team.table"
    path.write_text("TRT-8401-EntropyCalibration2\nimage: 3c010a14\n")
    return path


def recipes_with(workshop: Any, folder: Path, gpus: tuple[GpuDevice, ...] = (GPU,)) -> Recipes:
    caches = TimingCaches([LocalStore(folder / "store")], folder / "timing")
    return Recipes(workshop=workshop, tools=TOOLS, runtimes=RUNTIMES, gpus=gpus, timing_caches=caches)


def job_of(spec: ModelSpec, target: Any, precision: Precision) -> Any:
    from pipeline.planning.plan import Job

    return Job(spec, target, precision)


def test_tensorrt_rtx_gets_the_precision_in_the_model(tmp_path: Path) -> None:
    children = Children()
    obtain(tmp_path, children, SM_89, Precision.INT8_FP16)
    assert children.requests["prepare"]["precision"] == "int8-fp16"
    assert children.requests["build"]["typing"] == "strong"
    assert children.requests["build"]["timing_cache"] is None


def test_a_weakly_typed_builder_gets_the_plain_model_and_is_asked_for_fp16(tmp_path: Path) -> None:
    children = Children()
    obtain(tmp_path, children, H200, Precision.FP16)
    assert children.requests["prepare"]["precision"] == "fp32"
    assert (children.requests["build"]["typing"], children.requests["build"]["precision"]) == ("weak", "fp16")
    assert str(tmp_path / "timing") in children.requests["build"]["timing_cache"]


def test_explicit_int8_gives_a_weakly_typed_builder_the_qdq_model_and_no_table(tmp_path: Path) -> None:
    children = Children()
    obtain(tmp_path, children, H200, Precision.INT8_FP16)
    assert children.requests["prepare"]["precision"] == "int8"
    assert children.requests["build"]["calibration_table"] is None


def test_implicit_int8_gives_it_the_plain_model_and_the_table(tmp_path: Path) -> None:
    children = Children()
    obtain(tmp_path, children, H200, Precision.INT8, BuildSettings(int8="implicit"))
    assert children.requests["prepare"]["precision"] == "fp32"
    assert children.requests["build"]["calibration_table"].endswith("t.table")


@pytest.mark.parametrize("method", ["entropy", "minmax", "legacy"])
def test_implicit_int8_is_calibrated_by_tensorrt_itself(tmp_path: Path, method: str) -> None:
    children, build = Children(), BuildSettings(int8="implicit", tactic_sources=("jit-convolutions",))
    obtain(tmp_path, children, H200, Precision.INT8, build, method=CalibrationMethod(method))
    assert "calibrate" not in children.requests
    asked = children.requests["calibrate-native"]
    assert (asked["runtime"], asked["method"], asked["batch_size"]) == ("tensorrt", method, 8)
    assert (asked["tactic_sources"], asked["plugins"]) == (["jit-convolutions"], [])


def test_percentile_is_onnxruntimes_work_on_both_roads(tmp_path: Path) -> None:
    children = Children()
    obtain(
        tmp_path,
        children,
        H200,
        Precision.INT8,
        BuildSettings(int8="implicit"),
        method=CalibrationMethod.PERCENTILE,
    )
    assert "calibrate-native" not in children.requests
    assert children.requests["build"]["calibration_table"].endswith("t.table")


def test_the_teams_table_is_handed_to_the_builder_and_nothing_is_calibrated(tmp_path: Path) -> None:
    children, table = Children(), given_table(tmp_path)
    obtain(tmp_path, children, H200, Precision.INT8, BuildSettings(int8="implicit"), table=table)
    assert not {"calibrate", "calibrate-native"} & children.requests.keys()
    assert children.requests["build"]["calibration_table"] == str(table)


def test_the_teams_table_decides_the_qdq_nodes_and_must_be_whole(tmp_path: Path) -> None:
    children, table = Children(), given_table(tmp_path)
    obtain(tmp_path, children, SM_89, Precision.INT8, table=table)
    assert not {"calibrate", "calibrate-native"} & children.requests.keys()
    assert (children.requests["prepare"]["table"], children.requests["prepare"]["table_is_given"]) == (str(table), True)


def test_one_native_table_serves_every_gpu_of_one_tensorrt(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    build = BuildSettings(int8="implicit")
    workshop = workshop_with(Children(), tmp_path)
    (model,) = survey_models(
        [model_spec(tmp_path, build=build, calibration=calibration_spec(tmp_path))], workshop, TOOLS
    )
    other = GpuDevice(
        uuid="GPU-2", name="NVIDIA L4", compute_capability=(8, 9), memory_bytes=1, driver="570.1", cuda="12.8"
    )
    here, there = (recipes_with(workshop, tmp_path, (gpu,)) for gpu in (GPU, other))
    newer = replace(here, runtimes={"tensorrt": "10.13.3"})
    keys = [each.native_calibration(model, each.gpus).key for each in (here, there, newer)]
    assert keys[0] == keys[1]
    assert [str(difference) for difference in keys[2].differences(keys[0])] == ["calibration.tensorrt 8.6.0 -> 10.13.3"]


def test_implicit_int8_needs_a_tensorrt_that_calibrates(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    spec = model_spec(tmp_path, build=BuildSettings(int8="implicit"), calibration=calibration_spec(tmp_path))
    recipes = replace(recipes_with(workshop_with(Children(), tmp_path), tmp_path), runtimes={"tensorrt": "11.0.0"})
    assert "up to 10, since later versions have no `int8: implicit`" in missing_for(
        job_of(spec, H200, Precision.INT8), recipes
    )
    assert missing_for(job_of(spec, H200, Precision.FP16), recipes) == ""


def test_what_the_version_lacks_is_refused_before_anything_is_calibrated(tmp_path: Path) -> None:
    children, build = Children(), BuildSettings(int8="implicit", strip_weights=True)
    with pytest.raises(BuildError, match=r"8\.6\.0 has no `build\.strip_weights`"):
        obtain(tmp_path, children, H200, Precision.INT8, build)
    assert not {"calibrate-native", "prepare", "build"} & children.requests.keys()


@pytest.mark.parametrize(
    ("target", "gpus", "missing"),
    [
        (SM_89, (), ""),
        (H200, (GPU,), ""),
        (H200, (), "needs a runner with H200 and tensorrt"),
    ],
)
def test_full_tensorrt_needs_the_targets_gpu(
    tmp_path: Path, target: Any, gpus: tuple[GpuDevice, ...], missing: str
) -> None:
    recipes = recipes_with(workshop_with(Children(), tmp_path), tmp_path, gpus)
    assert missing_for(job(target=target), recipes) == missing


def test_an_engine_with_host_code_is_not_loaded_and_its_model_checked_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "eval.npy").write_bytes(b"data")
    accuracy = Accuracy(data=tmp_path / "eval.npy", tolerances=(), location=Location("m.yaml", 1, 1))
    build = BuildSettings(version_compatible=True)
    workshop = workshop_with(Children(), tmp_path)
    (model,) = survey_models([model_spec(tmp_path, build=build, accuracy=accuracy)], workshop, TOOLS)
    recipes, engine = recipes_with(workshop, tmp_path), cast("Artefact", None)
    wanted = job_of(model.spec, H200, Precision.FP16)
    check = engine_check_recipe(wanted, model, engine, recipes)
    assert check is not None
    assert check.task == "verify"
    assert layers_recipe(wanted, model, engine, recipes) is None
    assert benchmark_recipe(wanted, model, engine, recipes) is None


def test_a_model_without_evaluation_data_is_not_checked(tmp_path: Path) -> None:
    recipes = recipes_with(workshop_with(Children(), tmp_path), tmp_path)
    model: Any = SurveyedModel.__new__(SurveyedModel)
    object.__setattr__(model, "spec", model_spec(tmp_path))
    object.__setattr__(model, "evaluation", None)
    engine: Any = None
    assert engine_check_recipe(job(), model, engine, recipes) is None


@pytest.mark.parametrize(
    ("target", "precision", "strip_weights", "kept"),
    [
        (H200, Precision.FP16, False, False),
        (H200, Precision.FP16, True, True),
        (SM_89, Precision.FP32, False, False),
        (SM_89, Precision.FP16, False, True),
    ],
)
def test_a_model_that_needed_no_change_is_kept_only_where_its_weights_are_asked_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any, precision: Precision, strip_weights: bool, kept: bool
) -> None:
    monkeypatch.setitem(RUNTIMES, "tensorrt", "10.16.1")
    obtain(tmp_path, Children(), target, precision, BuildSettings(strip_weights=strip_weights))
    assert (tmp_path / "cache/v1/receipt/prepared").exists() == kept
