"""Stored tensors of an ONNX model: whether their bytes are there, before any are loaded, and whether they are numbers.

Declared sizes are never trusted: a tensor is only read once its dimensions, its type and the bytes that are really
there agree. External data stays inside the model's folder (``pipeline.paths.contained``), as the ONNX project asks
(its ``docs/security.md``); TensorRT's own parser follows links and believes lengths.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.paths import OutsideFolderError, contained

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt
    from onnx import TensorProto

_PIECE_BYTES = 1 << 24
_PIECE_NUMBERS = 1 << 21


class TensorError(ValueError):
    """A stored tensor cannot be read; the text says why and names no tensor."""


@dataclass(frozen=True, slots=True)
class ExternalData:
    """Where a tensor's bytes lie: ``size`` bytes from ``offset`` in ``path``, which the model calls ``location``."""

    location: str
    path: Path
    offset: int
    size: int


def is_external(tensor: TensorProto) -> bool:
    """Whether the tensor's bytes lie in another file."""
    return tensor.data_location == tensor.EXTERNAL


def data_bytes(tensor: TensorProto) -> int:
    """How many bytes the tensor's values take, by its type and dimensions; 0 for strings. Raises ``TensorError``."""
    if any(size < 0 for size in tensor.dims):
        raise TensorError(f"has negative dimensions {list(tensor.dims)}")
    bits = _element_bits(tensor)
    return (int(math.prod(tensor.dims)) * bits + 7) // 8


def external_data(tensor: TensorProto, folder: Path) -> ExternalData:
    """Where an external tensor of a model in ``folder`` lies, after every check. Raises ``TensorError``."""
    keys: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key in keys:
            raise TensorError(f"names its external {entry.key} twice")
        keys[entry.key] = entry.value
    location = keys.get("location", "")
    if not location:
        raise TensorError("is external but names no file")
    offset, length = (_whole_number(keys, key) for key in ("offset", "length"))
    try:
        path = contained(folder, location)
        size = path.stat().st_size
    except OutsideFolderError as error:
        raise TensorError(f"lies outside the model's folder: {error}") from error
    except FileNotFoundError as error:
        raise TensorError(f"lies in {location!r}, which is missing") from error
    except (OSError, ValueError) as error:
        raise TensorError(f"lies in {location!r}, which cannot be read: {error}") from error
    if not path.is_file():
        raise TensorError(f"lies in {location!r}, which is not a file")
    wanted = data_bytes(tensor)
    start = offset or 0
    rest = size - start
    given = rest if length is None else length
    if rest < given or rest < 0:
        raise TensorError(
            f"claims bytes {start} to {start + max(given, 0)} of {location!r}, which is {size} bytes long"
        )
    if given != wanted or not _element_bits(tensor):
        raise TensorError(f"needs {wanted} bytes for {_words(tensor)}, but {given} are given in {location!r}")
    return ExternalData(location, path, start, wanted)


def load_external(tensor: TensorProto, folder: Path) -> None:
    """Put the bytes of an external tensor into the tensor itself. Raises ``TensorError`` and ``OSError``."""
    tensor.raw_data = b"".join(_file_pieces(external_data(tensor, folder)))
    tensor.data_location = tensor.DEFAULT
    del tensor.external_data[:]


def tensor_pieces(tensor: TensorProto, folder: Path) -> Iterator[bytes]:
    """The bytes of an external tensor in pieces of bounded size. Raises ``TensorError`` and ``OSError``."""
    return _file_pieces(external_data(tensor, folder))


def check_inline_data(tensor: TensorProto) -> None:
    """Raise ``TensorError`` unless a tensor inside the model holds just as many values as its dimensions say."""
    from onnx.helper import tensor_dtype_to_field

    wanted_bytes = data_bytes(tensor)
    bits = _element_bits(tensor)
    if tensor.HasField("raw_data"):
        held, wanted, unit = len(tensor.raw_data), wanted_bytes, "bytes"
        if not bits:
            raise TensorError("holds text as raw bytes")
    else:
        field = getattr(tensor, tensor_dtype_to_field(tensor.data_type))
        held, wanted, unit = len(field), math.prod(tensor.dims), "values"
        if "COMPLEX" in _type_name(tensor):
            wanted *= 2
        elif bits in (2, 4):
            wanted = wanted_bytes
    if held != wanted:
        raise TensorError(f"needs {wanted} {unit} for {_words(tensor)}, but holds {held}")


def non_finite_kinds(tensor: TensorProto, folder: Path) -> frozenset[str]:
    """Which of ``NaN`` and ``infinity`` a checked tensor holds. Reads it in pieces of bounded size."""
    found: set[str] = set()
    for piece in _float_pieces(tensor, folder):
        if not np.isfinite(piece).all():
            found |= {"NaN"} if np.isnan(piece).any() else set()
            found |= {"infinity"} if np.isinf(piece).any() else set()
    return frozenset(found)


def _float_pieces(tensor: TensorProto, folder: Path) -> Iterator[npt.NDArray[Any]]:
    from onnx.helper import tensor_dtype_to_field, tensor_dtype_to_np_dtype

    if _type_name(tensor).startswith(("INT", "UINT", "BOOL", "STRING", "FLOAT4", "FLOAT6")):
        return
    dtype = np.dtype(tensor_dtype_to_np_dtype(tensor.data_type))
    if is_external(tensor):
        pieces: Iterable[bytes | memoryview] = _file_pieces(external_data(tensor, folder))
    elif tensor.HasField("raw_data"):
        raw = memoryview(tensor.raw_data)
        pieces = (raw[start : start + _PIECE_BYTES] for start in range(0, len(raw), _PIECE_BYTES))
    else:
        name = tensor_dtype_to_field(tensor.data_type)
        values = getattr(tensor, name)
        for start in range(0, len(values), _PIECE_NUMBERS):
            numbers = values[start : start + _PIECE_NUMBERS]
            if name == "int32_data":
                bits = np.asarray(numbers, np.int32).astype(f"uint{8 * dtype.itemsize}")
                yield _comparable(bits.view(dtype))
            else:
                yield np.asarray(numbers, np.float64)
        return
    for piece in pieces:
        yield _comparable(np.frombuffer(piece, dtype.newbyteorder("<")))


def _comparable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Types that numpy itself does not know (bfloat16, FP8) as float32, which holds all of their values."""
    return values if values.dtype.kind in "fc" else values.astype(np.float32)


def _file_pieces(data: ExternalData) -> Iterator[bytes]:
    with os.fdopen(os.open(data.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        file.seek(data.offset)
        left = data.size
        while left > 0:
            piece = file.read(min(left, _PIECE_BYTES))
            if not piece:
                raise TensorError(f"lies in {data.location!r}, which became shorter while it was read")
            left -= len(piece)
            yield piece


def _whole_number(keys: dict[str, str], key: str) -> int | None:
    text = keys.get(key)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise TensorError(f"has an external {key} of {text[:30]!r}, which is not a whole number from 0")
    return int(text)


def _type_name(tensor: TensorProto) -> str:
    return str(tensor.DataType.Name(tensor.data_type))


def _element_bits(tensor: TensorProto) -> int:
    from onnx.helper import tensor_dtype_to_np_dtype

    if tensor.data_type not in tensor.DataType.values() or tensor.data_type == tensor.UNDEFINED:
        raise TensorError(f"has element type {tensor.data_type}, which this version of onnx does not know")
    name = _type_name(tensor)
    if name == "STRING":
        return 0
    for prefix, bits in (("UINT4", 4), ("INT4", 4), ("FLOAT4", 4), ("UINT2", 2), ("INT2", 2), ("FLOAT6", 6)):
        if name == prefix or (prefix.startswith("FLOAT") and name.startswith(prefix)):
            return bits
    return 8 * np.dtype(tensor_dtype_to_np_dtype(tensor.data_type)).itemsize


def _words(tensor: TensorProto) -> str:
    shape = "x".join(map(str, tensor.dims)) or "one value"
    return f"{_type_name(tensor)} {shape}"
