"""Arrays in ``.npy`` and ``.npz`` files, read piece by piece and never as pickles.

What a file declares is compared with the bytes that are there before anything is allocated: an ``.npy`` with the
size of the file, an entry of an ``.npz`` with the size that the archive states, and the archive as a whole with a
cap, so that a small archive cannot unpack to something huge.
"""

from __future__ import annotations

import contextlib
import math
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy_format

from pipeline.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

_UNPACKED_FACTOR = 100
_UNPACKED_BYTES = 1 << 30
_ENTRIES_AT_MOST = 1024


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in a file, not yet read. ``name`` is empty in an ``.npy``; ``shape`` is of any rank from 1."""

    path: Path
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool

    def __str__(self) -> str:
        return f"array {self.name!r}" if self.name else "the array"

    def pieces(self, counts: Iterator[int]) -> Iterator[npt.NDArray[Any]]:
        """Consecutive slices along axis 0, of as many rows as ``counts`` says, in native byte order.

        Raises ``ModelError`` where the bytes turn out damaged.
        """
        native = self.dtype.newbyteorder("=")
        with _reading(self.path), self._opened() as file:
            _read_header(file)
            if self.fortran_order:
                data = file.read(math.prod(self.shape) * self.dtype.itemsize)
                whole = np.ndarray(self.shape, self.dtype, data, order="F")
                start = 0
                for count in counts:
                    yield np.ascontiguousarray(whole[start : start + count], native)
                    start += count
                return
            row = self.shape[1:]
            row_bytes = math.prod(row) * self.dtype.itemsize
            for count in counts:
                data = file.read(count * row_bytes)
                if len(data) != count * row_bytes:
                    raise ValueError("it ends early")
                yield np.frombuffer(data, self.dtype).reshape((count, *row)).astype(native)

    def all(self) -> npt.NDArray[Any]:
        """The whole array."""
        return next(self.pieces(iter([self.shape[0]])))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        if not self.name:
            with self.path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as entry:
            yield entry


def stored_arrays(path: Path) -> tuple[StoredArray, ...]:
    """The arrays in ``path``, one for an ``.npy``. Raises ``ModelError`` for a file that cannot be trusted or read."""
    with _reading(path):
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return (_stored_array(path, "", file, path.stat().st_size),)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_archive(path, entries)
            arrays = []
            for entry in entries:
                if not entry.filename.endswith(".npy"):
                    raise ValueError(f"its entry {entry.filename!r} is not an array")
                with archive.open(entry) as stream:
                    arrays.append(_stored_array(path, entry.filename.removesuffix(".npy"), stream, entry.file_size))
            return tuple(arrays)


def _check_archive(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if not entries:
        raise ValueError("it holds no arrays")
    if len(entries) > _ENTRIES_AT_MOST:
        raise ValueError(f"it holds {len(entries)} entries, more than {_ENTRIES_AT_MOST}")
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError("it holds two entries of the same name")
    unpacked = sum(entry.file_size for entry in entries)
    cap = max(_UNPACKED_BYTES, _UNPACKED_FACTOR * path.stat().st_size)
    if unpacked > cap:
        raise ValueError(f"it unpacks to {unpacked} bytes, above the limit of {cap} for its size; save it uncompressed")


def _stored_array(path: Path, name: str, file: IO[bytes], size: int) -> StoredArray:
    label = f"{name!r}: " if name else ""
    try:
        shape, fortran_order, dtype, header_bytes = _read_header(file)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{label}its header cannot be read ({reason})") from error
    if dtype.hasobject:
        raise ValueError(f"{label}it holds Python objects (pickles), which are never loaded")
    declared = header_bytes + math.prod(shape) * dtype.itemsize
    if declared != size:
        raise ValueError(f"{label}its header announces {declared} bytes, but there are {size}")
    if not shape:
        raise ValueError(f"{label}it is a single number; axis 0 must hold the samples")
    return StoredArray(path, name, dtype, shape, fortran_order and len(shape) > 1)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran order, dtype, and the header's length in bytes. Raises ``ValueError``."""
    version = npy_format.read_magic(file)
    if version == (1, 0):
        header = npy_format.read_array_header_1_0(file)
    elif version == (2, 0):
        header = npy_format.read_array_header_2_0(file)
    else:
        raise ValueError(f"its format version {version} is not one of plain arrays")
    shape, fortran_order, dtype = header
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape {shape} is negative")
    return shape, fortran_order, dtype, file.tell()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    damaged = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
    try:
        yield
    except OSError as error:
        raise ModelError(
            "the data cannot be read", why=error.strerror or str(error), fix="check the file", where=str(path)
        ) from error
    except damaged as error:
        raise ModelError(
            "the data cannot be used",
            why=str(error) or type(error).__name__,
            fix="write it again with numpy.save or numpy.savez",
            where=str(path),
        ) from error
