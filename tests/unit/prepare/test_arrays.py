from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pipeline.errors import ModelError
from pipeline.prepare.arrays import stored_arrays

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


def _npy(values: npt.NDArray[Any], *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=pickled)
    return buffer.getvalue()


def _npz(path: Path, entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        stored_arrays(path)
    return str(caught.value)


def _header(shape: str, dtype: str = "'<f4'") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@settings(max_examples=40)
@given(
    values=npst.arrays(
        st.sampled_from(["<f4", ">f4", "<i8", "|u1", "<f2", "|b1"]),
        npst.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5),
    ),
    size=st.integers(1, 6),
    archived=st.booleans(),
    fortran=st.booleans(),
)
def test_pieces_put_together_are_the_array(
    tmp_path_factory: pytest.TempPathFactory, values: npt.NDArray[Any], size: int, archived: bool, fortran: bool
) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    values = np.asfortranarray(values) if fortran else values
    if archived:
        path = folder / "a.npz"
        np.savez_compressed(path, x=values)
    else:
        path = folder / "a.npy"
        np.save(path, values)
    (array,) = stored_arrays(path)
    counts = [min(size, len(values) - start) for start in range(0, len(values), size)]
    pieces = list(array.pieces(iter(counts)))
    assert [len(piece) for piece in pieces] == counts
    assert all(piece.dtype.isnative and piece.flags.c_contiguous for piece in pieces)
    assert np.array_equal(np.concatenate(pieces), values, equal_nan=values.dtype.kind == "f")


def test_names_and_shapes_are_read_from_the_headers(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.zeros((5, 1, 8, 8), np.float32), scale=np.zeros((5, 2)))
    arrays = {array.name: (array.dtype.name, array.shape) for array in stored_arrays(tmp_path / "a.npz")}
    assert arrays == {"image": ("float32", (5, 1, 8, 8)), "scale": ("float64", (5, 2))}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "its header cannot be read"),
        (b"not an array at all", "its header cannot be read"),
        (_npy(np.zeros(100))[:-1], "announces 928 bytes, but there are 927"),
        (_npy(np.zeros(100)) + b"x", "announces 928 bytes, but there are 929"),
        (_npy(np.array([{}]), pickled=True), "pickles"),
        (_npy(np.float32(1)), "a single number"),
        (_header("(1099511627776,)"), "announces 4398046511232 bytes"),
        (_header("(-1,)"), "negative"),
        (_header("(1,)", "__import__('os')"), "its header cannot be read"),
        (_header("(1,)").replace(b"'shape'", b"b'hape'"), "its header cannot be read"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "format version"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "its header cannot be read"),
    ],
)
def test_a_bad_npy_is_refused(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    assert text in _refusal(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([], "it holds no arrays"),
        ([("a.txt", b"x")], "'a.txt' is not an array"),
        ([("x.npy", _npy(np.array([{}]), pickled=True))], "'x': it holds Python objects"),
        ([("x.npy", _header("(1099511627776,)"))], "'x': its header announces"),
        ([("x.npy", b"")], "'x': its header cannot be read"),
        ([(f"x{number}.npy", _npy(np.zeros(1))) for number in range(1025)], "1025 entries"),
    ],
)
def test_a_bad_npz_is_refused(tmp_path: Path, entries: list[tuple[str, bytes]], text: str) -> None:
    assert text in _refusal(_npz(tmp_path / "a.npz", entries))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    data = _npy(np.zeros(1))
    assert "same name" in _refusal(_npz(tmp_path / "a.npz", [("x.npy", data), ("x.npy", data)]))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(_npy(np.zeros(3)))
    assert "not a zip file" in _refusal(tmp_path / "a.npz")


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.prepare.arrays._UNPACKED_BYTES", 1000)
    path = _npz(tmp_path / "a.npz", [("x.npy", _npy(np.zeros(100_000)))], zipfile.ZIP_DEFLATED)
    assert "it unpacks to 800128 bytes, above the limit of" in _refusal(path)


def test_an_entry_that_states_a_smaller_size_than_it_has_is_never_read_past_it(tmp_path: Path) -> None:
    path = _npz(tmp_path / "a.npz", [("x.npy", _npy(np.zeros(1000)))], zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 8128), struct.pack("<I", 136)))
    assert "Bad CRC-32" in _refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_within_an_archive_is_found(tmp_path: Path, compression: int) -> None:
    path = _npz(tmp_path / "a.npz", [("x.npy", _npy(np.arange(1000.0)))], compression)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ModelError, match="the data cannot be used"):
        stored_arrays(path)[0].all()


def test_a_file_that_shrinks_after_the_check_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(1000))
    (array,) = stored_arrays(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ModelError, match="it ends early"):
        array.all()
