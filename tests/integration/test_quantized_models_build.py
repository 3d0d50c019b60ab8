"""Calibrate, prepare, run with ONNX Runtime and build with TensorRT-RTX: models with the structures of real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest

from pipeline.prepare.calibration import calibrate
from pipeline.prepare.precision import prepare_model
from tests.support import rtx_builder
from tests.support.half_precision_models import EVERY_MODEL
from tests.support.quantizable_models import depthwise_decoder, residual_cnn, transformer_block

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnx import ModelProto

_MODELS: dict[str, tuple[Callable[[], ModelProto], tuple[int, ...]]] = {
    "residual-cnn": (residual_cnn, (32, 3, 16, 16)),
    "transformer-block": (transformer_block, (32, 8, 32)),
    "depthwise-decoder": (depthwise_decoder, (32, 8, 8, 8)),
}
_CAPABILITIES = ("75", "86", "89", "120")
_LEAST_COSINE = {"fp32": 0.999999, "fp16": 0.99999, "int8": 0.995, "int8-fp16": 0.995}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("models"))


class Workshop:
    """Prepares each model once per precision."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = cache(self._data)
        self.source = cache(self._source)
        self.prepared = cache(self._prepared)

    def _data(self, name: str) -> np.ndarray:
        return np.random.default_rng(7).standard_normal(_MODELS[name][1]).astype(np.float32)

    def _source(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        onnx.save(_MODELS[name][0](), folder / "source.onnx")
        np.save(folder / "x.npy", self.data(name))
        shape = ["N", *_MODELS[name][1][1:]]
        calibrate(
            {
                "model": str(folder / "source.onnx"),
                "inputs": [{"name": "x", "dtype": "float32", "shape": shape}],
                "data": str(folder / "x.npy"),
                "samples": None,
                "batch_size": 8,
                "method": "entropy",
                "percentile": 99.99,
            },
            folder,
        )
        return folder / "source.onnx"

    def _prepared(self, name: str, precision: str) -> Path:
        source = self.source(name)
        folder = source.parent / precision
        folder.mkdir()
        table = str(source.parent / "calibration.table") if precision.startswith("int8") else None
        request: dict[str, Any] = {
            "model": str(source),
            "precision": precision,
            "table": table,
            "layer_precisions": [],
        }
        return folder / str(prepare_model(request, folder)["model"])


def _run(path: Path, data: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": data})[0]
    return result


def _build(path: Path, shape: tuple[int, ...], capabilities: tuple[str, ...]) -> dict[str, int | str]:
    size = "x".join(map(str, shape))
    child = subprocess.run(
        [sys.executable, rtx_builder.__file__, str(path), size, *capabilities],
        capture_output=True,
        check=True,
        timeout=120,
    )
    outcome: dict[str, int | str] = json.loads(child.stdout.splitlines()[-1])
    return outcome


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8-fp16"])
@pytest.mark.parametrize("name", _MODELS)
def test_the_prepared_model_computes_nearly_what_the_original_does(
    workshop: Workshop, name: str, precision: str
) -> None:
    expected = _run(workshop.source(name), workshop.data(name)).ravel().astype(np.float64)
    computed = _run(workshop.prepared(name, precision), workshop.data(name)).ravel().astype(np.float64)

    cosine = expected @ computed / np.linalg.norm(expected) / np.linalg.norm(computed)
    assert cosine >= _LEAST_COSINE[precision]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "int8-fp16"])
@pytest.mark.parametrize("name", _MODELS)
def test_tensorrt_rtx_builds_the_prepared_model(workshop: Workshop, name: str, precision: str) -> None:
    outcome = _build(workshop.prepared(name, precision), _MODELS[name][1], _CAPABILITIES[1:])

    assert {capability: type(size) for capability, size in outcome.items()} == dict.fromkeys(_CAPABILITIES[1:], int)


@pytest.mark.parametrize("precision", ["fp16", "int8-fp16"])
@pytest.mark.parametrize("name", _MODELS)
def test_turing_takes_what_computes_its_matrix_products_in_fp16(workshop: Workshop, name: str, precision: str) -> None:
    assert isinstance(_build(workshop.prepared(name, precision), _MODELS[name][1], ("75",))["75"], int)


def test_turing_takes_int8_convolutions_in_fp32(workshop: Workshop) -> None:
    path = workshop.prepared("depthwise-decoder", "int8")

    assert isinstance(_build(path, _MODELS["depthwise-decoder"][1], ("75",))["75"], int)


def test_turing_refuses_int8_matrix_products_among_fp32(workshop: Workshop) -> None:
    path = workshop.prepared("residual-cnn", "int8")

    assert "FP32 GEMM is not supported" in str(_build(path, _MODELS["residual-cnn"][1], ("75",))["75"])


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("make_model", EVERY_MODEL)
def test_half_precision_runs_and_builds_where_converters_go_wrong(
    tmp_path: Path, make_model: Callable[[], ModelProto], precision: str
) -> None:
    model = make_model()
    source = tmp_path / "source.onnx"
    onnx.save(model, source)
    kept = [[node.name, "fp32"] for node in model.graph.node if node.name.startswith("keep_")]
    request = {"model": str(source), "precision": precision, "table": None, "layer_precisions": kept}
    out = tmp_path / "out"
    out.mkdir()
    prepared = out / str(prepare_model(request, out)["model"])
    shape = (2, *(size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    data = np.random.default_rng(0).uniform(0.5, 2, shape).astype(np.float32)

    outcome = _build(prepared, shape, ("89",))["89"]

    assert isinstance(outcome, int), outcome
    if precision == "fp16":
        assert np.allclose(_run(prepared, data), _run(source, data), rtol=0.01, atol=0.01)
