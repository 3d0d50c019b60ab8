"""``config.pbtxt`` of one model for Triton's TensorRT backend (pure).

The fields are those of ``ModelConfig`` in Triton's ``model_config.proto``; the text form is protobuf's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.manifest.types import ShapeRange
    from pipeline.publish.job_report import TensorReport
    from pipeline.publish.sidecar import Sidecar

_TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "int8": "TYPE_INT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "bfloat16": "TYPE_BF16",
}


@dataclass(frozen=True, slots=True)
class Batching:
    """How far Triton may batch: ``largest`` is 0 where it may not. ``preferred`` are the sizes that are tuned for."""

    largest: int
    preferred: tuple[int, ...] = ()


def config_from_sidecars(name: str, plans: Mapping[str, Sidecar]) -> str:
    """The configuration of one model. ``plans`` is plan file name -> its engine, all of one model and precision.

    The first plan is the default. Raises ``SettingsError`` where two plans are of one compute capability, where the
    engines do not take the same tensors, and for a type that Triton does not know.
    """
    first = next(iter(plans.values()))
    files: dict[str, str] = {}
    for file, sidecar in plans.items():
        capability = sidecar.target.compute_capability
        if capability in files:
            raise SettingsError(
                f"{plans[files[capability]].job} and {sidecar.job} are both for compute capability {capability}",
                why="Triton chooses a plan by compute capability alone, and these are tuned for different products",
                fix="choose one of them with --only",
            )
        files[capability] = file
        if (sidecar.inputs, sidecar.outputs, sidecar.profiles) != (first.inputs, first.outputs, first.profiles):
            raise SettingsError(
                f"{sidecar.job} does not take the same tensors and profiles as {first.job}",
                fix="build both in one run, or choose one of them with --only",
            )
    return "".join(f"{line}\n" for line in _lines(name, plans, files, first))


def batching_from_tensors(
    inputs: Sequence[TensorReport],
    outputs: Sequence[TensorReport],
    profiles: Sequence[Mapping[str, ShapeRange]],
) -> Batching:
    """Whether axis 0 is a batch: dynamic in every tensor, from 1 on in some profile, and the same for all inputs."""
    tensors = (*inputs, *outputs)
    if not profiles or not all(tensor.shape and not isinstance(tensor.shape[0], int) for tensor in tensors):
        return Batching(0)
    named = {tensor.shape[0] for tensor in tensors if isinstance(tensor.shape[0], str)}
    ranges = [[shapes[tensor.name] for tensor in inputs if tensor.name in shapes] for shapes in profiles]
    if len(named) > 1 or not all(len(each) == len(inputs) for each in ranges):
        return Batching(0)
    if not any(all(shape.min[0] == 1 for shape in each) for each in ranges):
        return Batching(0)
    largest = max(min(shape.max[0] for shape in each) for each in ranges)
    tuned = sorted({min(shape.opt[0] for shape in each) for each in ranges})
    return Batching(largest, tuple(size for size in tuned if 1 < size <= largest)) if largest > 1 else Batching(0)


def _lines(name: str, plans: Mapping[str, Sidecar], files: Mapping[str, str], first: Sidecar) -> Iterator[str]:
    batching = batching_from_tensors(first.inputs, first.outputs, first.profiles)
    yield f"name: {_quoted(name)}"
    yield 'backend: "tensorrt"'
    yield 'platform: "tensorrt_plan"'
    yield f"max_batch_size: {batching.largest}"
    for kind, tensors in (("input", first.inputs), ("output", first.outputs)):
        for tensor in tensors:
            yield f"{kind} {{"
            yield from _tensor(tensor, batched=batching.largest > 0)
            yield "}"
    if batching.largest:
        sizes = f" preferred_batch_size: [{', '.join(map(str, batching.preferred))}]" if batching.preferred else ""
        yield f"dynamic_batching {{{sizes} }}"
    profiles = ", ".join(_quoted(str(index)) for index in range(len(first.profiles)))
    yield f"instance_group {{ kind: KIND_GPU count: 1{f' profile: [{profiles}]' if profiles else ''} }}"
    yield f"default_model_filename: {_quoted(next(iter(plans)))}"
    for capability, file in files.items():
        yield f"cc_model_filenames {{ key: {_quoted(capability)} value: {_quoted(file)} }}"
    for file, sidecar in plans.items():
        for what, value in (("key", str(sidecar.key)), ("tensorrt", sidecar.runtime_version)):
            yield f"parameters {{ key: {_quoted(f'{file}.{what}')} value {{ string_value: {_quoted(value)} }} }}"


def _tensor(tensor: TensorReport, *, batched: bool) -> Iterator[str]:
    if tensor.dtype not in _TYPES:
        raise SettingsError(
            f"tensor {tensor.name!r} is of type {tensor.dtype}, which Triton does not know",
            fix="give the model inputs and outputs of another type",
        )
    dims = [size if isinstance(size, int) else -1 for size in tensor.shape[1 if batched else 0 :]]
    yield f"  name: {_quoted(tensor.name)}"
    yield f"  data_type: {_TYPES[tensor.dtype]}"
    if dims:
        yield f"  dims: [{', '.join(map(str, dims))}]"
    else:  # Triton wants a dimension; the engine gets the tensor without it
        yield "  dims: [1]"
        yield "  reshape { }"


def _quoted(text: str) -> str:
    """A string of protobuf's text form: printable ASCII as it is, every other byte of its UTF-8 in octal."""
    parts = []
    for byte in text.encode("utf-8", "surrogatepass"):
        character = chr(byte)
        if character in '"\\':
            parts.append(f"\\{character}")
        else:
            parts.append(character if 32 <= byte < 127 else f"\\{byte:03o}")
    return f'"{"".join(parts)}"'
