"""``config.pbtxt`` is read with Triton's own protobuf definition, as NVIDIA publishes it in tritonclient."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from typing import Any

import pytest
from google.protobuf import text_format

from pipeline.export.triton_config import config_from_sidecars
from pipeline.publish.job_report import TensorReport
from tests.support.exports import H200, L4, sidecar_of

NAMES = ["plain", 'quo"te', "back\\slash", "new\nline", "ünïcode", "} name: 'x'", "\x00\x7f1"]


@pytest.fixture(scope="module")
def definition() -> Any:
    """The module of the definition alone: the package around it would want gRPC."""
    files = metadata.files("tritonclient") or []
    path = next(file.locate() for file in files if str(file) == "tritonclient/grpc/model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parsed(definition: Any, text: str) -> Any:
    return text_format.Parse(text, definition.ModelConfig())


def test_triton_reads_what_was_meant(definition: Any) -> None:
    text = config_from_sidecars("digits-fp16", {"l4.plan": sidecar_of(L4), "h200.plan": sidecar_of(H200)})
    config = parsed(definition, text)
    assert (config.name, config.backend, config.platform) == ("digits-fp16", "tensorrt", "tensorrt_plan")
    assert config.max_batch_size == 32
    assert list(config.dynamic_batching.preferred_batch_size) == [8]
    (image,), (logits,) = config.input, config.output
    assert (image.name, list(image.dims), image.data_type) == ("images", [1, 8, 8], definition.TYPE_FP32)
    assert (logits.name, list(logits.dims)) == ("logits", [10])
    (group,) = config.instance_group
    assert (group.kind, list(group.profile)) == (definition.ModelInstanceGroup.KIND_GPU, ["0"])
    assert dict(config.cc_model_filenames) == {"8.9": "l4.plan", "9.0": "h200.plan"}
    assert config.default_model_filename == "l4.plan"
    assert config.parameters["l4.plan.key"].string_value == str(sidecar_of(L4).key)


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_keeps_its_name_whatever_it_holds(name: str, definition: Any) -> None:
    tensors = (TensorReport(name, "float32", (4, 4)),)
    config = parsed(definition, config_from_sidecars("m", {"l4.plan": sidecar_of(inputs=tensors, profiles=())}))
    assert [tensor.name for tensor in config.input] == [name]
    assert (config.max_batch_size, list(config.input[0].dims)) == (0, [4, 4])
    assert not config.HasField("dynamic_batching")


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "bfloat16"])
def test_every_type_is_one_of_tritons(dtype: str, definition: Any) -> None:
    tensors = (TensorReport("x", dtype, (None,)),)
    config = parsed(definition, config_from_sidecars("m", {"l4.plan": sidecar_of(outputs=tensors)}))
    assert config.output[0].data_type != definition.TYPE_INVALID
    assert list(config.output[0].dims) == [1]
    assert config.output[0].HasField("reshape")
