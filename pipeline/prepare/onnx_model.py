"""Reads, writes and inspects ONNX models. Runs in a child process: it loads onnx."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.prepare.facts import UNKNOWN_RANK, ModelFacts, TensorFacts, facts_to_json
from pipeline.prepare.onnx_checks import first_line, model_problems, tensor_problems
from pipeline.prepare.onnx_graph import (
    UNKNOWN_AXIS,
    domain_name,
    forget_unknown_axes,
    is_text,
    model_inputs,
    name_nodes,
    nodes_of,
    tensors_of,
)
from pipeline.prepare.onnx_tensors import TensorError, data_bytes, external_data, is_external, load_external
from pipeline.prepare.other_formats import other_format
from pipeline.prepare.structure import model_digests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import ModelProto, TypeProto, ValueInfoProto

MODEL_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"

_INLINE_BYTES = 3 << 29
"""1.5 GiB: above it, weights go to a file of their own, because protobuf ends at 2 GiB."""
_LARGE_TENSOR_BYTES = 1024
_ALIGNMENT_BYTES = 4096
"""External tensors start on a page, so that readers can map them (``onnx/docs/ExternalData.md``)."""
_SHOWN_AT_MOST = 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def read_model(path: Path) -> ModelProto:
    """The model at ``path`` as it is written, without external data. Raises ``ModelError``."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]

    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
            size = path.stat().st_size
            if start == _LFS_POINTER:
                raise ModelError(
                    "this is a Git LFS pointer, not the model itself",
                    fix="fetch it with `git lfs pull`, or check out with `lfs: true`",
                    where=str(path),
                )
            if size >= 1 << 31:
                raise ModelError(
                    "the file is larger than 2 GiB, which protobuf cannot read",
                    fix="save the model with external data",
                    where=str(path),
                )
            # From its beginning again: joined to its start, a model would be copied once more.
            file.seek(0)
            data = file.read()
    except FileNotFoundError as error:
        raise ModelError(
            "the model file is missing", fix="correct `onnx` in the manifest, or commit it", where=str(path)
        ) from error
    except OSError as error:
        raise ModelError(
            "the model file cannot be read", why=error.strerror or str(error), fix="check what it is", where=str(path)
        ) from error
    if not data:
        raise ModelError("the model file is empty", fix="export the model again", where=str(path))
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        kind, fix = other_format(data) or ("not an ONNX model, or it is cut short", "export or fetch it again")
        raise ModelError(f"the file is {kind}", fix=fix, where=str(path)) from error
    if not model.HasField("graph") or not model.ir_version or not is_text(model):
        kind, fix = other_format(data) or ("not an ONNX model", "export the model as ONNX")
        raise ModelError(f"the file is {kind}", fix=fix, where=str(path))
    return model


def load_model(path: Path) -> ModelProto:
    """The model at ``path`` with its external data in memory, every node named, and no axis ``?`` (``onnx_graph``).

    Raises ``ModelError`` for a file that is not a readable ONNX model, and for stored tensors that lie outside its
    folder or whose bytes are not all there.
    """
    return load_whole(path)[0]


def load_whole(path: Path) -> tuple[ModelProto, bool]:
    """``load_model``, and whether the file holds just that: all data inside, and every name right. Raises the same."""
    model = read_model(path)
    _refuse(path, tensor_problems(model, path.parent))
    outside = False
    for tensor in tensors_of(model):
        if is_external(tensor):
            outside = True
            try:
                load_external(tensor, path.parent)
            except (OSError, TensorError) as error:
                _refuse(path, [f"tensor {tensor.name!r} {first_line(error)}"])
    named = name_nodes(model)
    unnamed = forget_unknown_axes(model)
    return model, not (named or unnamed or outside)


def save_model(model: ModelProto, folder: Path) -> list[str]:
    """Write ``model`` into ``folder`` and return the names of the files: the same model gives the same bytes.

    Weights of more than 1.5 GiB go to a second file; ``model`` is spent then, because its large tensors move there.
    Raises ``ModelError`` where the model is too large for protobuf even so, and ``OSError``.
    """
    from google.protobuf.message import EncodeError  # type: ignore[import-untyped, unused-ignore]

    names = [MODEL_FILE]
    if sum(data_bytes(tensor) for tensor in tensors_of(model)) > _INLINE_BYTES:
        names.append(DATA_FILE)
        _move_weights(model, folder / DATA_FILE)
    try:
        data = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise ModelError("the model is too large for one ONNX file", why=first_line(error)) from error
    (folder / MODEL_FILE).write_bytes(data)
    return names


def input_facts(path: Path) -> tuple[TensorFacts, ...]:
    """The inputs of the model at ``path``, without loading external data. Raises ``ModelError``."""
    return tuple(map(_tensor_facts, model_inputs(read_model(path))))


def inspect_model(request: dict[str, Any], folder: Path) -> dict[str, Any]:  # noqa: ARG001
    """Task ``inspect-model``: check the model at ``request["model"]`` and return its facts as JSON.

    Raises ``ModelError`` with every problem found, one per line.
    """
    path = Path(request["model"])
    model = read_model(path)
    _refuse(path, model_problems(model, path))
    return facts_to_json(_facts(model, path.parent))


def _refuse(path: Path, problems: Iterable[str]) -> None:
    found = list(problems)
    fix = "correct the model and export it again"
    if any("which is missing" in problem for problem in found):
        fix = "put the file of the weights beside the model, under the name that the export gave it, or export it again"
    if len(found) == 1:
        raise ModelError(found[0], fix=fix, where=str(path))
    if found:
        shown = found[:_SHOWN_AT_MOST]
        more = len(found) - len(shown)
        lines = [*shown, f"and {more} more"] if more else shown
        raise ModelError(
            f"the model has {len(found)} problems",
            why="\n  " + "\n  ".join(lines) + "\n",
            fix=fix,
            where=str(path),
        )


def _facts(model: ModelProto, folder: Path) -> ModelFacts:
    name_nodes(model)
    tensors = list(tensors_of(model))
    opsets = {domain_name(opset.domain): opset.version for opset in model.opset_import}
    operators = Counter(f"{domain_name(node.domain)}::{node.op_type}" for node in nodes_of(model))
    digests = model_digests(model, folder)
    external = {external_data(tensor, folder).location for tensor in tensors if is_external(tensor)}
    return ModelFacts(
        opset=opsets.pop("ai.onnx"),
        opsets=tuple(sorted(opsets.items())),
        ir_version=model.ir_version,
        inputs=tuple(map(_tensor_facts, model_inputs(model))),
        outputs=tuple(map(_tensor_facts, model.graph.output)),
        node_names=tuple(node.name for node in nodes_of(model)),
        operators=tuple(sorted(operators.items())),
        external_files=tuple(sorted(external)),
        weights_bytes=sum(map(data_bytes, tensors)),
        structure=digests.structure,
        named_structure=digests.named,
        weights=digests.weights,
    )


def _tensor_facts(value: ValueInfoProto) -> TensorFacts:
    from onnx.helper import tensor_dtype_to_np_dtype

    kind = value.type.tensor_type
    dtype = "string" if kind.elem_type == 8 else str(tensor_dtype_to_np_dtype(kind.elem_type).name)
    return TensorFacts(value.name, dtype, _shape(kind))


def _shape(kind: TypeProto.Tensor) -> tuple[int | str | None, ...]:
    if not kind.HasField("shape"):
        return UNKNOWN_RANK
    return tuple(
        size.dim_value if size.HasField("dim_value") and size.dim_value >= 0 else _axis_name(size.dim_param)
        for size in kind.shape.dim
    )


def _axis_name(name: str) -> str | None:
    return None if name in ("", UNKNOWN_AXIS) else name


def _move_weights(model: ModelProto, path: Path) -> None:
    from onnx import numpy_helper
    from onnx.external_data_helper import set_external_data

    with path.open("xb") as file:
        for tensor in tensors_of(model):
            if data_bytes(tensor) < _LARGE_TENSOR_BYTES:
                continue
            if not tensor.HasField("raw_data"):
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
            file.write(bytes(-file.tell() % _ALIGNMENT_BYTES))
            offset = file.tell()
            length = file.write(tensor.raw_data)
            set_external_data(tensor, path.name, offset, length)
            tensor.ClearField("raw_data")
