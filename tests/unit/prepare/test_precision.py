from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod
from pipeline.precision import Precision
from pipeline.prepare.calibration_table import CalibrationTable, table_from_amax
from pipeline.prepare.precision import nodes_by_lowest_precision, prepare_model
from tests.support.models import saved, saved_externally
from tests.support.quantizable_models import depthwise_decoder, residual_cnn

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto

_EVERY_PRECISION = ["fp32", "tf32", "fp16", "bf16", "int8", "int8-fp16"]


def _table() -> CalibrationTable:
    tensors = {"x"} | {tensor for node in residual_cnn().graph.node for tensor in node.output}
    return table_from_amax(CalibrationMethod.MINMAX, dict.fromkeys(tensors, 1 / 3))


def _prepare(
    folder: Path,
    precision: str,
    layer_precisions: list[list[str]] | None = None,
    model: ModelProto | None = None,
    opset: int = 17,
) -> tuple[dict[str, Any], ModelProto]:
    onnx.save(model or residual_cnn(opset), folder / "source.onnx")
    (folder / "table").write_text(str(_table()))
    out = folder / "out"
    out.mkdir(exist_ok=True)
    request = {
        "model": str(folder / "source.onnx"),
        "precision": precision,
        "table": str(folder / "table") if precision.startswith("int8") else None,
        "layer_precisions": layer_precisions or [],
    }
    result = prepare_model(request, out)
    return result, onnx.load(out / result["model"])


def _types(model: ModelProto) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


@pytest.mark.parametrize("precision", _EVERY_PRECISION)
def test_the_same_request_gives_the_same_bytes(tmp_path: Path, precision: str) -> None:
    first, second = (_prepare(tmp_path, precision)[1].SerializeToString(deterministic=True) for _ in range(2))

    assert first == second


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_single_precision_leaves_the_model_as_it_is(tmp_path: Path, precision: str) -> None:
    result, model = _prepare(tmp_path, precision)

    assert model == residual_cnn()
    assert result == {
        "model": "model.onnx",
        "files": ["model.onnx"],
        "nodes_kept": 0,
        "quantized_nodes": 0,
        "warnings": [],
    }


def test_a_file_that_holds_the_whole_model_is_copied_and_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.prepare.precision.save_model", None)
    _prepare(tmp_path, "fp32")
    assert (tmp_path / "out/model.onnx").read_bytes() == (tmp_path / "source.onnx").read_bytes()


@pytest.mark.parametrize("change", ["unnamed", "outside"])
def test_a_file_that_lacks_names_or_data_is_written_with_them(tmp_path: Path, change: str) -> None:
    model = residual_cnn()
    if change == "unnamed":
        model.graph.node[0].name = ""
        saved(model, tmp_path / "given.onnx")
    else:
        saved_externally(model, tmp_path / "given.onnx")
    (tmp_path / "out").mkdir()
    given = str(tmp_path / "given.onnx")
    prepare_model({"model": given, "precision": "fp32", "table": None, "layer_precisions": []}, tmp_path / "out")
    made = onnx.load(tmp_path / "out/model.onnx", load_external_data=False)
    assert all(node.name for node in made.graph.node)
    assert all(tensor.HasField("raw_data") for tensor in made.graph.initializer)


@pytest.mark.parametrize("precision", ["int8", "int8-fp16"])
def test_quantized_precisions_say_how_many_nodes_they_quantized(tmp_path: Path, precision: str) -> None:
    assert _prepare(tmp_path, precision)[0]["quantized_nodes"] == 8


@pytest.mark.parametrize(("precision", "dtype"), [("int8", np.float32), ("int8-fp16", np.float16)])
def test_the_scales_are_the_table_s(tmp_path: Path, precision: str, dtype: type[np.floating[Any]]) -> None:
    model = _prepare(tmp_path, precision)[1]

    scale = numpy_helper.to_array(next(item for item in model.graph.initializer if item.name == "r2_scale"))
    assert scale.tobytes() == dtype(_table().scales["r2"]).tobytes()


@pytest.mark.parametrize("precision", ["int8", "int8-fp16"])
def test_an_old_opset_is_lifted_for_scales_per_channel(tmp_path: Path, precision: str) -> None:
    model = _prepare(tmp_path, precision, opset=11)[1]

    assert model.opset_import[0].version == (13 if precision == "int8" else 19)


def test_int8_fp16_holds_no_fp32_weights(tmp_path: Path) -> None:
    model = _prepare(tmp_path, "int8-fp16")[1]

    assert set(_types(model).values()) == {onnx.TensorProto.INT8, onnx.TensorProto.FLOAT16}


def test_a_layer_of_fp32_stays_so_in_every_precision(tmp_path: Path) -> None:
    for precision in ("fp16", "bf16", "int8", "int8-fp16"):
        result, model = _prepare(tmp_path, precision, [["conv3", "fp32"]])
        assert result["nodes_kept"] == 1
        assert _types(model)["w3"] == onnx.TensorProto.FLOAT


def test_a_layer_of_fp16_is_not_quantized_but_halved(tmp_path: Path) -> None:
    assert _types(_prepare(tmp_path, "int8-fp16", [["conv3", "fp16"]])[1])["w3"] == onnx.TensorProto.FLOAT16


def test_a_model_with_pairs_of_its_own_is_left_as_it_is(tmp_path: Path) -> None:
    quantized = _prepare(tmp_path, "int8")[1]

    result, model = _prepare(tmp_path, "int8", model=quantized)

    assert model == quantized
    assert result["warnings"] == [
        "the model has Q/DQ nodes of its own; they were left as they are, and the table was not used"
    ]


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    onnx.save(residual_cnn(), tmp_path / "m.onnx")
    (tmp_path / "table").write_text("nothing")

    with pytest.raises(ModelError, match="calibration table is damaged"):
        prepare_model(
            {
                "model": str(tmp_path / "m.onnx"),
                "precision": "int8",
                "table": str(tmp_path / "table"),
                "layer_precisions": [],
            },
            tmp_path,
        )


def test_a_glob_names_nodes_by_their_whole_name() -> None:
    assert set(nodes_by_lowest_precision(residual_cnn(), [("conv?", "fp32")])) == {"conv1", "conv2", "conv3"}


def test_the_last_glob_that_names_a_node_wins() -> None:
    lowest = nodes_by_lowest_precision(depthwise_decoder(), [("*", "fp16"), ("relu", "fp32")])

    assert lowest["relu"] is Precision.FP32
    assert lowest["resize"] is Precision.FP16


def test_a_glob_that_names_no_node_is_refused_with_a_near_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'gem' matches no node of the model; did you mean 'gemm'\?"):
        _prepare(tmp_path, "fp16", [["gem", "fp32"]])
