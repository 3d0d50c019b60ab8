"""Which tensors a calibration table must hold for a network of TensorRT 8.6 or 10.x.

A convolution or matrix product whose activation has no scale stays in floating point, and TensorRT says so in a
warning alone. Other tensors may be missing from a sound table: TensorRT removes layers that only change a shape before
it calibrates, and constants need no entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.prepare.calibration_table import CalibrationTable

_CONVOLUTIONS = frozenset({"CONVOLUTION", "DECONVOLUTION", "FULLY_CONNECTED"})
_RANGE_KEEPING = frozenset({"CAST", "IDENTITY", "SHUFFLE", "SQUEEZE", "UNSQUEEZE"})
_FLOATS = frozenset({"FLOAT", "HALF", "BF16"})
_NAMED_BY_PARSER = ("(Unnamed Layer*", "ONNXTRT_")
"""How names begin that the parser makes up: they differ from one version to the next."""
_NAMES_SHOWN = 10


def expected_tensors(network: Any) -> tuple[tuple[str, ...], ...]:
    """The activations that convolutions and products with constants read, in the order of the network.

    Each with the names that its range may be found under: its own first, then those of the tensors that it is a view
    of. Names that the parser made up are left out, and with them what has no other, and so is what is read by layers
    alone that were given a precision, which is never INT8.
    """
    moving = {network.get_input(number).name for number in range(network.num_inputs)}
    sources: dict[str, str] = {}
    expected: dict[tuple[str, ...], None] = {}
    for layer in map(network.get_layer, range(network.num_layers)):
        kind = layer.type.name
        read = [tensor for tensor in _tensors(layer.num_inputs, layer.get_input) if tensor.name in moving]
        if not read:
            continue
        weighted = kind in _CONVOLUTIONS or (kind == "MATRIX_MULTIPLY" and len(read) < layer.num_inputs)
        for tensor in read if weighted and not layer.precision_is_set else ():
            names = _names(tensor.name, sources)
            if tensor.dtype.name in _FLOATS and names:
                expected[names] = None
        for tensor in _tensors(layer.num_outputs, layer.get_output):
            moving.add(tensor.name)
            if kind in _RANGE_KEEPING:
                sources[tensor.name] = read[0].name
    return tuple(expected)


def require_tensors(table: CalibrationTable, expected: Sequence[tuple[str, ...]], *, where: str, fix: str) -> None:
    """Raise ``ModelError``, which names them, where ``table`` lacks tensors of ``expected``."""
    known = table.scales.keys() | table.zeros
    missing = [names[0] for names in expected if known.isdisjoint(names)]
    if missing:
        shown = ", ".join(map(repr, missing[:_NAMES_SHOWN]))
        more = f" and {len(missing) - _NAMES_SHOWN} more" if len(missing) > _NAMES_SHOWN else ""
        raise ModelError(
            f"the calibration table lacks {len(missing)} of the {len(expected)} tensors that INT8 layers read",
            why=f"it has no {shown}{more}",
            fix=fix,
            where=where,
        )


def _tensors(count: int, get: Any) -> Iterator[Any]:
    return (tensor for tensor in map(get, range(count)) if tensor is not None)


def _names(tensor: str, sources: dict[str, str]) -> tuple[str, ...]:
    chain = [tensor]
    while chain[-1] in sources and sources[chain[-1]] not in chain:
        chain.append(sources[chain[-1]])
    return tuple(name for name in chain if not name.startswith(_NAMED_BY_PARSER))
