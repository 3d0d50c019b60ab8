"""Real TensorRT-RTX, in children, on a machine without a GPU: what it builds, what it refuses, and in what words."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.build.plan_header import header_faults, read_plan_header
from pipeline.build.progress_monitor import progress_text
from pipeline.build.request import BuildRequest, outcome_from_json, request_to_json
from pipeline.child.supervisor import run_task
from pipeline.errors import BuildError
from pipeline.manifest.types import ShapeRange
from pipeline.precision import Precision

if TYPE_CHECKING:
    from pathlib import Path

BATCH_1_TO_8 = {"x": ShapeRange((1, 3, 8, 8), (4, 3, 8, 8), (8, 3, 8, 8))}
FLOAT, FLOAT16, BFLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16


def saved(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], **parts: Any) -> Path:
    domains = {"": 19, **{node.domain: 1 for node in nodes if node.domain}}
    graph = helper.make_graph(nodes, "graph", inputs, outputs, parts.pop("initializers", []))
    opsets = [helper.make_opsetid(name, version) for name, version in domains.items()]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9, **parts), str(path))
    return path


def tensor(name: str, dtype: int, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def network(path: Path, dtype: int = FLOAT, *, quantized: bool = False) -> Path:
    """A convolution and a Gemm over ``x`` of shape (batch, 3, 8, 8); ``quantized`` puts Q/DQ before the Gemm."""
    values = np.random.default_rng(0)
    weights = {"w": values.standard_normal((4, 3, 3, 3)), "g": values.standard_normal((144, 10))}
    initializers = [helper.make_tensor(name, dtype, array.shape, array.ravel()) for name, array in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv"),
        helper.make_node("Relu", ["y"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
    ]
    if quantized:
        initializers += [numpy_helper.from_array(np.float32(0.02), "s"), numpy_helper.from_array(np.int8(0), "z")]
        for name in ("f", "g"):
            nodes.append(helper.make_node("QuantizeLinear", [name, "s", "z"], [f"{name}_q"], name=f"{name}_q"))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", "s", "z"], [f"{name}_d"], name=f"{name}_d"))
    operands = ["f_d", "g_d"] if quantized else ["f", "g"]
    nodes.append(helper.make_node("Gemm", operands, ["o"], name="gemm"))
    return saved(
        path,
        nodes,
        [tensor("x", dtype, "batch", 3, 8, 8)],
        [tensor("o", dtype, "batch", 10)],
        initializers=initializers,
    )


class Builder:
    def __init__(self, base: Path) -> None:
        self.base = base

    def build(self, model: Path, *, name: str = "job", **asked: Any) -> tuple[dict[str, Any], Path]:
        settings = {
            "runtime": "tensorrt-rtx",
            "compute_capability": (8, 9),
            "precision": Precision.FP32,
            "profiles": (BATCH_1_TO_8,),
            **asked,
        }
        return self.run("build", request_to_json(BuildRequest(model=model, **settings)), name)

    def refused(self, model: Path) -> dict[str, tuple[list[str], str]]:
        outcome, _ = self.run("check-operators", {"runtime": "tensorrt-rtx", "model": str(model)}, "check")
        return {item["operator"]: (item["nodes"], item["reason"]) for item in outcome["refused"]}

    def run(self, task: str, request: dict[str, Any], name: str) -> tuple[dict[str, Any], Path]:
        folder = self.base / name / "out"
        folder.mkdir(parents=True)
        log = self.base / name / "log"
        return run_task(task, request, folder, timeout_s=120, cancel=threading.Event(), log=log), folder


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


@pytest.mark.parametrize("capability", [(8, 0), (8, 6), (8, 9), (12, 0), (12, 1)])
def test_an_engine_is_built_for_exactly_the_capability_asked_for(
    builder: Builder, tmp_path: Path, capability: tuple[int, int]
) -> None:
    result, folder = builder.build(network(tmp_path / "m.onnx"), compute_capability=capability)
    outcome = outcome_from_json(result)
    plan = (folder / outcome.engine).read_bytes()
    header = read_plan_header(plan)
    assert header.compute_capabilities == (capability,)
    assert not header_faults(
        header,
        size_bytes=len(plan),
        runtime="tensorrt-rtx",
        version=outcome.runtime_version,
        compute_capability=capability,
    )
    assert outcome.header == header
    assert outcome.size_bytes == len(plan)


def test_inputs_and_outputs_are_named_with_type_and_shape(builder: Builder, tmp_path: Path) -> None:
    result, folder = builder.build(network(tmp_path / "m.onnx", FLOAT16), precision=Precision.FP16)
    assert result["inputs"] == [{"name": "x", "dtype": "float16", "shape": ["batch", 3, 8, 8]}]
    assert result["outputs"] == [{"name": "o", "dtype": "float16", "shape": [None, 10]}]
    assert [path.name for path in folder.iterdir()] == ["engine.plan"]


def test_whoever_waits_sees_how_far_the_builder_is(builder: Builder, tmp_path: Path) -> None:
    done, seen = threading.Event(), set[str]()

    def watch() -> None:
        while not done.is_set():
            seen.update(filter(None, map(progress_text, tmp_path.glob("job/*"))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        builder.build(network(tmp_path / "m.onnx"))
    finally:
        done.set()
        watcher.join()
    assert seen
    assert all(re.fullmatch(r"[\w ]+ \d+/\d+(, [\w ]+ \d+/\d+)*", text) for text in seen), seen


def test_every_setting_at_once_is_taken(builder: Builder, tmp_path: Path) -> None:
    result, _ = builder.build(
        network(tmp_path / "m.onnx"),
        precision=Precision.TF32,
        profiles=(BATCH_1_TO_8, {"x": ShapeRange((1, 3, 8, 8), (16, 3, 8, 8), (32, 3, 8, 8))}),
        optimization_level=5,
        workspace_mib=64,
        sparsity=True,
        profiling_verbosity="detailed",
    )
    assert result["engine"] == "engine.plan"


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.TF32])
def test_the_log_keeps_what_the_builder_said(builder: Builder, tmp_path: Path, precision: Precision) -> None:
    builder.build(network(tmp_path / "m.onnx"), precision=precision)
    assert "[INFO] Engine generation completed" in (tmp_path / "job" / "log").read_text()


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"compute_capability": (9, 0)}, "does not build for SM90; use `runtime: tensorrt`"),
        ({"compute_capability": (7, 5)}, r"Turing \(SM75\) has no FP32 matrix product for node gemm; use fp16"),
        ({"optimization_level": 9}, "did not take `build.optimization_level`: asked for 9, it holds 5"),
        ({"workspace_mib": 0}, "needs more workspace memory; raise or remove `build.workspace_mib`"),
        ({"profiles": ()}, "no profile for dynamic input x"),
        ({"profiles": ({"z": ShapeRange((1,), (1,), (1,))},)}, "names 'z', which is no input; use: x"),
        (
            {"profiles": ({"x": ShapeRange((4, 3, 8, 8), (4, 3, 8, 8), (2, 3, 8, 8))},)},
            "does not take profile 0: Invalid optimization profiles for input tensors x.*; correct min, opt and max",
        ),
        (
            {"profiles": ({"x": ShapeRange((1, 3, 9, 8), (1, 3, 9, 8), (1, 3, 9, 8))},)},
            "Dimension mismatch for tensor x and profile 0.*; correct min, opt and max",
        ),
        (
            {"profiles": ({"x": ShapeRange((1, 3, 8, 8), (1, 3, 8, 8), (1 << 40, 3, 8, 8))},)},
            "a profile holds shapes that no run can have",
        ),
    ],
)
def test_a_setting_that_cannot_be_honoured_fails_with_a_remedy(
    builder: Builder, tmp_path: Path, asked: dict[str, Any], text: str
) -> None:
    with pytest.raises(BuildError, match=text):
        builder.build(network(tmp_path / "m.onnx"), **asked)
    assert not list((tmp_path / "job" / "out").iterdir())


def test_bf16_on_turing_is_refused(builder: Builder, tmp_path: Path) -> None:
    model = network(tmp_path / "m.onnx", BFLOAT16)
    with pytest.raises(BuildError, match="sm75 has no b16; use another precision"):
        builder.build(model, compute_capability=(7, 5), precision=Precision.BF16)


def test_int8_with_fp32_elsewhere_is_refused_on_turing_only(builder: Builder, tmp_path: Path) -> None:
    model = network(tmp_path / "m.onnx", quantized=True)
    builder.build(model, precision=Precision.INT8, name="ada")
    with pytest.raises(BuildError, match="use fp16 or int8-fp16 for this target"):
        builder.build(model, compute_capability=(7, 5), precision=Precision.INT8, name="turing")


def test_a_model_that_the_parser_refuses_names_the_node(builder: Builder, tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", ["x"], ["o"], name="determinant")]
    model = saved(tmp_path / "m.onnx", nodes, [tensor("x", FLOAT, 2, 2)], [tensor("o", FLOAT)])
    with pytest.raises(BuildError, match="Det at determinant: the parser does not support it"):
        builder.build(model, profiles=())


def test_two_builds_run_side_by_side(builder: Builder, tmp_path: Path) -> None:
    model = network(tmp_path / "m.onnx")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda name: builder.build(model, name=name)[0], ("a", "b")))
    assert [result["engine"] for result in results] == ["engine.plan"] * 2


def test_a_good_model_has_no_refused_operator(builder: Builder, tmp_path: Path) -> None:
    assert builder.refused(network(tmp_path / "m.onnx")) == {}


def test_weights_in_another_file_are_found(builder: Builder, tmp_path: Path) -> None:
    model = onnx.load(str(network(tmp_path / "whole.onnx")))
    path = tmp_path / "m.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="m.data", size_threshold=0)
    assert builder.refused(path) == {}
    assert builder.build(path)[0]["engine"] == "engine.plan"


def test_all_refused_operators_are_reported_with_all_their_nodes(builder: Builder, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Custom", ["x"], ["a"], name="c1", domain="my.domain"),
        helper.make_node("Custom", ["a"], ["b"], name="c2", domain="my.domain"),
        helper.make_node("Unique", ["b"], ["u"], name="u"),
        helper.make_node("Det", ["x"], ["d"]),
        helper.make_node("NonZero", ["x"], ["n"], name="first"),
        helper.make_node("NonZero", ["x"], ["n2"], name="second"),
        helper.make_node("Relu", ["x"], ["o"]),
    ]
    outputs = [tensor("u", FLOAT, 4), tensor("o", FLOAT, 2, 2)]
    model = saved(tmp_path / "m.onnx", nodes, [tensor("x", FLOAT, 2, 2)], outputs)
    assert builder.refused(model) == {
        "my.domain::Custom": (["c1", "c2"], "the parser does not know it, and no plugin of that name is there"),
        "Unique": (["u"], "the parser does not support it"),
        "Det": (["Det_3"], "the parser does not support it"),
        "NonZero": (["first", "second"], "it needs the NonZero plugin, which is not there"),
    }


def test_what_is_refused_within_branches_is_found(builder: Builder, tmp_path: Path) -> None:
    then_branch = helper.make_graph(
        [
            helper.make_node("NonZero", ["x"], ["i"], name="inner"),
            helper.make_node("Cast", ["i"], ["o"], to=FLOAT, name="cast"),
        ],
        "then",
        [],
        [tensor("o", FLOAT, "rows", "columns")],
    )
    else_branch = helper.make_graph(
        [helper.make_node("Unique", ["x"], ["o"], name="unique")], "else", [], [tensor("o", FLOAT, "n")]
    )
    nodes = [
        helper.make_node("If", ["c"], ["y"], name="if", then_branch=then_branch, else_branch=else_branch),
        helper.make_node("NonZero", ["x"], ["z"], name="outer"),
    ]
    inputs = [tensor("x", FLOAT, 2, 2), tensor("c", TensorProto.BOOL)]
    model = saved(tmp_path / "m.onnx", nodes, inputs, [tensor("y", FLOAT), tensor("z", TensorProto.INT64, 2, "n")])
    refused = builder.refused(model)
    assert refused["Unique"][0] == ["unique"]
    assert sorted(refused["NonZero"][0]) == ["inner", "outer"]


def test_what_is_refused_within_a_function_is_reported_at_its_calls(builder: Builder, tmp_path: Path) -> None:
    body = [helper.make_node("Det", ["a"], ["b"], name="hidden")]
    function = helper.make_function("my.domain", "F", ["a"], ["b"], body, [helper.make_opsetid("", 19)])
    nodes = [helper.make_node("F", ["x"], [name], name=name, domain="my.domain") for name in ("p", "q")]
    model = saved(
        tmp_path / "m.onnx",
        nodes,
        [tensor("x", FLOAT, 2, 2)],
        [tensor("p", FLOAT), tensor("q", FLOAT)],
        functions=[function],
    )
    assert builder.refused(model) == {"my.domain::F": (["p", "q"], "Det within it: the parser does not support it")}


def test_an_input_of_text_is_refused_by_name(builder: Builder, tmp_path: Path) -> None:
    nodes = [helper.make_node("StringNormalizer", ["t"], ["o"], name="lower")]
    model = saved(
        tmp_path / "m.onnx", nodes, [tensor("t", TensorProto.STRING, 3)], [tensor("o", TensorProto.STRING, "n")]
    )
    refused = builder.refused(model)
    assert refused["StringNormalizer"][0] == ["lower"]
    assert refused["input"][0] == ["t"]


def test_nodes_after_a_refused_one_are_still_judged(builder: Builder, tmp_path: Path) -> None:
    zero = numpy_helper.from_array(np.int8(3), "z")
    scale = numpy_helper.from_array(np.float32(0.1), "s")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["o"], name="dequantize"),
    ]
    model = saved(
        tmp_path / "m.onnx", nodes, [tensor("x", FLOAT, 2, 2)], [tensor("o", FLOAT, 2, 2)], initializers=[zero, scale]
    )
    refused = builder.refused(model)
    assert refused["QuantizeLinear"][0] == ["quantize"]
    assert refused["DequantizeLinear"][0] == ["dequantize"]
