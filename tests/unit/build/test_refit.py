from __future__ import annotations

import importlib.machinery
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.build.refit import refit_engine
from pipeline.build.refit_weights import write_weights
from pipeline.build.request import BuildRequest, request_to_json
from pipeline.errors import BuildError, DeviceError, ModelError
from pipeline.precision import Precision
from pipeline.prepare.structure import structure_digest
from tests.support.models import convolution_model, graph_model, linear_model, saved
from tests.support.refit_tensorrt import FakeTensorRT, folded_weights, plan, weights_of

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import GraphProto, ModelProto


def values_of(model: ModelProto) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def request(
    folder: Path, before: ModelProto, after: ModelProto, engine: bytes, version: str = "8.6.0"
) -> dict[str, Any]:
    """What the task is asked where an engine was built of ``before``, and ``after`` is the retrained model."""
    old, new, start = saved(before, folder / "old.onnx"), saved(after, folder / "new.onnx"), folder / "start"
    start.mkdir()
    (start / "engine.plan").write_bytes(engine)
    write_weights(old, start)
    build = BuildRequest(runtime="tensorrt", model=new, compute_capability=(9, 0), precision=Precision.FP16, refit=True)
    outcome = {"engine": "engine.plan", "runtime_version": version, "weights_record": "weights.json", "inputs": [1]}
    return {
        "build": request_to_json(build),
        "engine": str(start / "engine.plan"),
        "weights": str(start / "weights.json"),
        "tactics": None,
        "outcome": outcome,
    }


def refit(
    monkeypatch: pytest.MonkeyPatch, folder: Path, trt: FakeTensorRT, before: ModelProto, after: ModelProto
) -> dict[str, Any]:
    trt.install(monkeypatch)
    asked = request(folder, before, after, plan(values_of(before), trt.version), trt.version)
    out = folder / "out"
    out.mkdir()
    return refit_engine(asked, out)


@pytest.mark.parametrize("version", ["8.6.0", "10.16.1.11", "11.4.0.106"])
def test_the_engine_holds_the_new_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    after = convolution_model(seed=1)
    outcome = refit(monkeypatch, tmp_path, FakeTensorRT(version), convolution_model(seed=0), after)
    held = weights_of((tmp_path / "out" / outcome["engine"]).read_bytes())
    assert held == {name: values.ravel().tolist() for name, values in values_of(after).items()}


def test_the_outcome_is_that_of_the_build_with_what_the_refit_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcome = refit(monkeypatch, tmp_path, FakeTensorRT(), linear_model(), linear_model(np.ones((4, 3), np.float32)))
    assert outcome["inputs"] == [1]
    assert outcome["size_bytes"] == (tmp_path / "out" / outcome["engine"]).stat().st_size
    assert outcome["refit"]["weights"] == outcome["refit"]["changed"] == 1
    assert set(outcome["refit"]["seconds"]) == {"model", "start", "load", "refit", "write"}


def test_tactics_that_were_kept_stay_with_the_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeTensorRT().install(monkeypatch)
    model = linear_model()
    asked = request(tmp_path, model, model, plan(values_of(model)))
    (tmp_path / "kept").write_text("tactics")
    (tmp_path / "out").mkdir()
    outcome = refit_engine(asked | {"tactics": str(tmp_path / "kept")}, tmp_path / "out")
    assert (tmp_path / "out" / outcome["tactics"]).read_text() == "tactics"


def test_weights_have_the_types_of_tensorrt_8_6(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def model(first: float) -> ModelProto:
        return graph_model(
            [helper.make_node("Gather", ["table", "rows"], ["scores"])],
            [("image", TensorProto.FLOAT, [1])],
            [("scores", TensorProto.DOUBLE, None)],
            {"table": np.array([[first, 2.0]], np.float64), "rows": np.array([0], np.int64)},
        )

    trt = FakeTensorRT()
    refit(monkeypatch, tmp_path, trt, model(1), model(3))
    assert trt.given == {"table": np.dtype("float32"), "rows": np.dtype("int32")}


def test_a_weight_that_its_parser_transposed_is_given_transposed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def model(fill: float) -> ModelProto:
        weights = np.arange(6, dtype=np.float32).reshape(2, 3) * np.float32(fill)
        return graph_model(
            [
                helper.make_node("Transpose", ["w"], ["w_t"], perm=[1, 0]),
                helper.make_node("MatMul", ["x", "w_t"], ["y"]),
            ],
            [("x", TensorProto.FLOAT, [1, 3])],
            [("y", TensorProto.FLOAT, [1, 2])],
            {"w": weights},
        )

    FakeTensorRT().install(monkeypatch)
    asked = request(tmp_path, model(1), model(2), plan({"w_t": np.zeros((3, 2))}))
    (tmp_path / "out").mkdir()
    outcome = refit_engine(asked, tmp_path / "out")
    assert weights_of((tmp_path / "out" / outcome["engine"]).read_bytes()) == {"w_t": [0, 6, 2, 8, 4, 10]}


def batch_norm_model(scale: float) -> ModelProto:
    names = ("scale", "shift", "mean", "variance")
    return graph_model(
        [helper.make_node("BatchNormalization", ["x", *names], ["y"], name="norm")],
        [("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        {name: np.full(2, scale, np.float32) for name in names},
    )


def test_a_folded_batch_normalization_is_left_to_the_parser_from_10_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = FakeTensorRT("10.16.1.11")
    trt.install(monkeypatch)
    engine = plan(folded_weights(batch_norm_model(1)), trt.version)
    asked = request(tmp_path, batch_norm_model(1), batch_norm_model(2), engine, trt.version)
    (tmp_path / "out").mkdir()
    outcome = refit_engine(asked, tmp_path / "out")
    assert outcome["refit"]["changed"] == 4
    held = weights_of((tmp_path / "out" / outcome["engine"]).read_bytes())
    assert held == {name: values.tolist() for name, values in folded_weights(batch_norm_model(2)).items()}


def two_batch_norms(order: tuple[str, str], scale: float) -> ModelProto:
    """Two branches with a batch normalization of one shape each, of which the first in ``order`` comes first."""
    names = ("scale", "shift", "mean", "variance")
    nodes = [helper.make_node("BatchNormalization", ["x", *(part + each for part in names)], [each]) for each in order]
    return graph_model(
        [*nodes, helper.make_node("Sub", ["a", "b"], ["y"])],
        [("x", TensorProto.FLOAT, [1, 2, 4, 4])],
        [("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        {part + each: np.full(2, scale + "ab".index(each), np.float32) for part in names for each in "ab"},
    )


def test_batch_normalizations_in_another_order_are_built_because_the_parser_numbers_their_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before, after = two_batch_norms(("a", "b"), 1), two_batch_norms(("b", "a"), 2)
    assert structure_digest(before, tmp_path) == structure_digest(after, tmp_path)
    trt = FakeTensorRT("10.16.1.11")
    trt.install(monkeypatch)
    (tmp_path / "out").mkdir()
    asked = request(tmp_path, before, after, plan(folded_weights(before), trt.version), trt.version)
    with pytest.raises(BuildError, match="batch normalizations in another order"):
        refit_engine(asked, tmp_path / "out")


def test_the_order_of_batch_normalizations_is_nothing_to_named_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    models = two_batch_norms(("a", "b"), 1), two_batch_norms(("b", "a"), 1)
    FakeTensorRT().install(monkeypatch)
    (tmp_path / "out").mkdir()
    assert refit_engine(request(tmp_path, *models, plan({})), tmp_path / "out")["refit"]["changed"] == 0


def test_a_refitted_engine_is_written_with_its_weights_and_refittable_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = FakeTensorRT("10.16.1.11")
    refit(monkeypatch, tmp_path, trt, linear_model(), linear_model())
    assert trt.flags == ["-EXCLUDE_WEIGHTS", "+INCLUDE_REFIT"]


@pytest.mark.parametrize(
    ("trt", "reason"),
    [
        (FakeTensorRT(fails="load"), "cannot be refitted"),
        (FakeTensorRT(fails="refit"), "did not take the weights"),
        (FakeTensorRT(fails="serialize"), "could not write"),
        (FakeTensorRT(refused=frozenset({"weights"})), "does not take the weight 'weights': float32"),
        (FakeTensorRT(missing=("scale",)), "asks for weights that the model does not hold: 'scale'"),
        (FakeTensorRT("10.16.1.11", fails="parser"), "the model is not the one that the engine was built of"),
    ],
)
def test_what_tensorrt_refuses_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trt: FakeTensorRT, reason: str
) -> None:
    with pytest.raises(BuildError, match=reason):
        refit(monkeypatch, tmp_path, trt, linear_model(), linear_model(np.ones((4, 3), np.float32)))
    assert not list((tmp_path / "out").iterdir())


def refused(monkeypatch: pytest.MonkeyPatch, folder: Path, models: tuple[ModelProto, ModelProto], engine: bytes) -> str:
    FakeTensorRT().install(monkeypatch)
    (folder / "out").mkdir()
    with pytest.raises(BuildError) as raised:
        refit_engine(request(folder, *models, engine), folder / "out")
    return str(raised.value)


def test_a_changed_weight_that_tensorrt_folded_is_never_left_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    models = convolution_model(seed=0), convolution_model(seed=1)
    kept = {name: values for name, values in values_of(models[0]).items() if name != "b1"}
    told = refused(monkeypatch, tmp_path, models, plan(kept))
    assert "it folded 'b1' into other weights, or fixed it in the engine" in told


def test_a_weight_that_no_name_reaches_may_stay_where_it_did_not_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before, after = convolution_model(seed=0), convolution_model(seed=0)
    after.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((4, 1, 3, 3), np.float32), "w0"))
    FakeTensorRT().install(monkeypatch)
    kept = {name: values for name, values in values_of(before).items() if name != "b1"}
    (tmp_path / "out").mkdir()
    outcome = refit_engine(request(tmp_path, before, after, plan(kept)), tmp_path / "out")
    assert outcome["refit"]["changed"] == 1


def test_a_folded_batch_normalization_is_built_again_with_8_6(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models = batch_norm_model(1), batch_norm_model(2)
    assert "it folded 'mean', 'scale', 'shift' and 1 more" in refused(monkeypatch, tmp_path, models, plan({}))


def test_a_constant_that_the_parser_made_of_the_structure_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before, after = linear_model(), linear_model(np.ones((4, 3), np.float32))
    trt = FakeTensorRT()
    trt.install(monkeypatch)
    (tmp_path / "out").mkdir()
    engine = plan({**values_of(before), "(Unnamed Layer* 1) [Constant] CONSTANT": [1]})
    outcome = refit_engine(request(tmp_path, before, after, engine), tmp_path / "out")
    assert set(trt.given) == set(values_of(before))
    assert outcome["refit"]["weights"] == len(trt.given)


def test_another_structure_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models = linear_model(), linear_model(np.ones((5, 3), np.float32))
    told = refused(monkeypatch, tmp_path, models, plan(values_of(models[0])))
    assert "the prepared model has another structure" in told


def test_an_engine_that_was_built_without_refit_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = linear_model()
    told = refused(monkeypatch, tmp_path, (model, model), plan(values_of(model), refittable=False))
    assert "cannot be refitted" in told


def test_an_engine_that_is_kept_without_weights_is_written_without_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt, model = FakeTensorRT("10.16.1.11"), linear_model()
    trt.install(monkeypatch)
    asked = request(tmp_path, model, model, plan(values_of(model), trt.version), trt.version)
    (tmp_path / "out").mkdir()
    refit_engine(asked | {"build": asked["build"] | {"strip_weights": True}}, tmp_path / "out")
    assert trt.flags == ["+EXCLUDE_WEIGHTS", "+INCLUDE_REFIT"]


def test_a_stripped_engine_gets_the_weights_of_its_own_model_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt, model = FakeTensorRT("10.16.1.11"), convolution_model()
    trt.install(monkeypatch)
    stripped = {name: values for name, values in values_of(model).items() if name != "b1"}
    asked = request(tmp_path, model, model, plan(dict.fromkeys(stripped, 0), trt.version), trt.version)
    (tmp_path / "out").mkdir()
    outcome = refit_engine(asked | {"weights": None}, tmp_path / "out")
    held = weights_of((tmp_path / "out" / outcome["engine"]).read_bytes())
    assert held == {name: values.ravel().tolist() for name, values in stripped.items()}


@pytest.mark.parametrize("version", ["8.6.0", "10.16.1.11"])
def test_it_may_load_and_refit_with_more_than_one_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    trt = FakeTensorRT(version)
    monkeypatch.setattr("pipeline.build.refit._THREADS", 3)
    refit(monkeypatch, tmp_path, trt, convolution_model(seed=0), convolution_model(seed=1))
    assert trt.threads == {"Runtime": 3, "Refitter": 3}


def test_a_model_that_cannot_be_read_is_told_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trt = FakeTensorRT()
    trt.install(monkeypatch)
    before = convolution_model(seed=0)
    asked = request(tmp_path, before, convolution_model(seed=1), plan(values_of(before)))
    (tmp_path / "new.onnx").write_bytes(b"no model")
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="not an ONNX model"):
        refit_engine(asked, tmp_path / "out")


@pytest.mark.parametrize("name", ["t", "renamed"])
def test_a_transposed_weight_is_replaced_only_under_the_name_that_the_engine_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    def model(output: str, value: float) -> ModelProto:
        return graph_model(
            [helper.make_node("Transpose", ["w"], [output]), helper.make_node("MatMul", ["x", output], ["y"])],
            [("x", TensorProto.FLOAT, [1, 3])],
            [("y", TensorProto.FLOAT, [1, 2])],
            {"w": np.full((2, 3), value, np.float32)},
        )

    models, engine = (model("t", 1.0), model(name, 2.0)), plan({"t": np.ones((3, 2), np.float32)})
    if name == "t":
        FakeTensorRT().install(monkeypatch)
        (tmp_path / "out").mkdir()
        outcome = refit_engine(request(tmp_path, *models, engine), tmp_path / "out")
        assert weights_of((tmp_path / "out" / outcome["engine"]).read_bytes()) == {"t": [2.0] * 6}
    else:
        assert "it folded 'w' into other weights" in refused(monkeypatch, tmp_path, models, engine)


def branches_with_biases(*biases: float) -> ModelProto:
    """Two branches whose stored tensors have one name, as branches may."""

    def branch(bias: float) -> GraphProto:
        output = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])
        stored = [numpy_helper.from_array(np.array([bias], np.float32), "bias")]
        return helper.make_graph([helper.make_node("Add", ["x", "bias"], ["b"])], "g", [], [output], stored)

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch(biases[0]), else_branch=branch(biases[1]))
    return graph_model(
        [node], [("c", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, [1])], [("y", TensorProto.FLOAT, [1])]
    )


@pytest.mark.parametrize("after", [(2.0, 1.0), (1.0, 2.0), (3.0, 4.0)])
def test_branches_that_name_other_values_alike_are_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: tuple[float, float]
) -> None:
    models = branches_with_biases(1, 2), branches_with_biases(*after)
    assert "several tensors named 'bias'" in refused(monkeypatch, tmp_path, models, plan({"bias": [1]}))


def test_branches_that_name_the_same_values_alike_are_refitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FakeTensorRT().install(monkeypatch)
    (tmp_path / "out").mkdir()
    models = branches_with_biases(1, 1), branches_with_biases(2, 2)
    outcome = refit_engine(request(tmp_path, *models, plan({"bias": [1]})), tmp_path / "out")
    assert weights_of((tmp_path / "out" / outcome["engine"]).read_bytes()) == {"bias": [2.0]}


def weight_with_two_readers(value: float, *, also: str) -> ModelProto:
    """``shared`` is added, and read by a node of the type ``also`` besides."""
    inputs = {"BatchNormalization": ["sum", *["shared"] * 4], "Clip": ["sum", "shared"], "Mul": ["sum", "shared"]}
    return graph_model(
        [helper.make_node("Add", ["x", "shared"], ["sum"]), helper.make_node(also, inputs[also], ["y"])],
        [("x", TensorProto.FLOAT, [1, 1])],
        [("y", TensorProto.FLOAT, [1, 1])],
        {"shared": np.full(1 if also != "Clip" else (), value, np.float32)},
    )


@pytest.mark.parametrize(
    ("also", "version", "taken"),
    [
        ("Mul", "8.6.0", True),
        ("Clip", "8.6.0", False),
        ("Clip", "10.16.1.11", False),
        ("BatchNormalization", "8.6.0", False),
        ("BatchNormalization", "10.16.1.11", True),
    ],
)
def test_a_weight_that_reached_the_engine_in_a_second_way_is_never_left_old_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, also: str, version: str, taken: bool
) -> None:
    before, after = (weight_with_two_readers(value, also=also) for value in (1, 2))
    trt = FakeTensorRT(version)
    trt.install(monkeypatch)
    (tmp_path / "out").mkdir()
    folded = folded_weights(before) if taken else {}
    asked = request(tmp_path, before, after, plan({"shared": [1], **folded}, version), version)
    if taken:
        assert refit_engine(asked, tmp_path / "out")["refit"]["changed"] == 1
    else:
        with pytest.raises(BuildError, match="it folded 'shared' into other weights, or fixed it"):
            refit_engine(asked, tmp_path / "out")


def test_without_a_gpu_nothing_is_made_of_tensorrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_gpu() -> None:
        raise DeviceError("no GPU is visible here")

    trt, model = FakeTensorRT(), linear_model()
    module = trt.module()
    module.Runtime = module.init_libnvinfer_plugins = None
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setattr("pipeline.build.refit.start_gpu", no_gpu)
    with pytest.raises(DeviceError):
        refit_engine(request(tmp_path, model, model, plan({})), tmp_path)


def test_the_gpu_starts_while_packages_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trt, model, imported = FakeTensorRT(), linear_model(), threading.Event()
    trt.install(monkeypatch)

    def start() -> None:
        assert imported.wait(10), "TensorRT is loaded only after the GPU has started"

    monkeypatch.delitem(sys.modules, "tensorrt")
    monkeypatch.setattr("pipeline.build.refit.start_gpu", start)

    class Loader:
        def create_module(self, _spec: Any) -> Any:
            return None

        def exec_module(self, module: Any) -> None:
            vars(module).update(vars(trt.module()))
            imported.set()

    spec = importlib.machinery.ModuleSpec("tensorrt", Loader())  # type: ignore[arg-type]
    finder = SimpleNamespace(find_spec=lambda name, path=None, target=None: spec if name == "tensorrt" else None)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    (tmp_path / "out").mkdir()
    assert refit_engine(request(tmp_path, model, model, plan(values_of(model))), tmp_path / "out")["refit"]
