"""Data sets that try to be more than data: each function writes one and gives its name."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.hostile_models import HOSTILE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[Path], str]

PLANTED = "planted-by-a-pickle"
GOOD = np.ones((32, 1, 8, 8), np.float32)
BOMB_BYTES = 1 << 31


class _Planter:
    """When this is loaded, a file appears."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self.path,))


def npy_bytes(array: Any = GOOD) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str, data: bytes = b"") -> bytes:
    """An ``.npy`` of format 1.0 whose header is ``text``."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n" + data


def described(descr: str = "'<f4'", shape: str = "(32, 1, 8, 8)", data: bytes = b"") -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", data)


def npy(data: bytes) -> Write:
    def write(folder: Path) -> str:
        (folder / "data.npy").write_bytes(data)
        return "data.npy"

    return write


def npz(*entries: tuple[str, bytes]) -> Write:
    def write(folder: Path) -> str:
        with zipfile.ZipFile(folder / "data.npz", "w") as archive:
            for name, data in entries:
                archive.writestr(name, data)
        return "data.npz"

    return write


def pickled_npy(folder: Path) -> str:
    objects = np.empty(32, object)
    objects[:] = [_Planter(folder.parent / PLANTED)] * 32
    np.save(folder / "data.npy", objects, allow_pickle=True)
    return "data.npy"


def pickled_npz(folder: Path) -> str:
    objects = np.empty(32, object)
    objects[:] = [_Planter(folder.parent / PLANTED)] * 32
    np.savez(folder / "data.npz", image=objects)
    return "data.npz"


def bare_pickle(folder: Path) -> str:
    """What ``numpy.load`` takes for a pickle: neither magic is there."""
    (folder / "data.npy").write_bytes(pickle.dumps(_Planter(folder.parent / PLANTED)))
    return "data.npy"


def pickle_in_an_archive(folder: Path) -> str:
    return npz(("image.npy", pickle.dumps(_Planter(folder.parent / PLANTED))))(folder)


def pickle_beside_the_array(folder: Path) -> str:
    return npz(("image.npy", npy_bytes()), ("data.pkl", pickle.dumps(_Planter(folder.parent / PLANTED))))(folder)


def zip_bomb(folder: Path) -> str:
    """Two gibibytes of zeros, in two mebibytes."""
    rows = BOMB_BYTES // GOOD[0].nbytes
    with (
        zipfile.ZipFile(folder / "data.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("image.npy", "w", force_zip64=True) as entry,
    ):
        entry.write(described(shape=f"({rows}, 1, 8, 8)"))
        for _ in range(BOMB_BYTES >> 24):
            entry.write(bytes(1 << 24))
    return "data.npz"


def overlapping_entries(folder: Path) -> str:
    """Many names in the directory for the one array that is there, so that it would be read again and again."""
    npz(("image.npy", npy_bytes()))(folder)
    data = (folder / "data.npz").read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    names = [f"i{number:03}.".encode() + b"npy" for number in range(900)]
    entries = b"".join(entry.replace(b"image.npy", name + b"x"[: 9 - len(name)]) for name in names)
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(names), len(names), len(entries), start, 0)
    (folder / "data.npz").write_bytes(data[:start] + entries + tail)
    return "data.npz"


def linked(folder: Path) -> str:
    (folder / "data.npy").symlink_to(folder.parent / "sentinel.bin")
    return "data.npy"


def hard_linked(folder: Path) -> str:
    os.link(folder.parent / "sentinel.bin", folder / "data.npy")
    return "data.npy"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "data.npy")
    return "data.npy"


def link_to_a_folder(folder: Path) -> str:
    (folder / "data").symlink_to(folder.parent, target_is_directory=True)
    return "data"


def link_in_a_folder(folder: Path) -> str:
    (folder / "data").mkdir()
    (folder / "data/1.npy").write_bytes(npy_bytes())
    (folder / "data/2.npy").symlink_to(folder.parent / "sentinel.bin")
    return "data"


def hard_link_in_a_folder(folder: Path) -> str:
    (folder / "data").mkdir()
    os.link(folder.parent / "sentinel.bin", folder / "data/1.npy")
    return "data"


def pipe_in_a_folder(folder: Path) -> str:
    (folder / "data").mkdir()
    os.mkfifo(folder / "data/1.npy")
    return "data"


def hostile_name_in_a_folder(folder: Path) -> str:
    (folder / "data").mkdir()
    (folder / "data" / (HOSTILE_NAME.replace("/", "") + ".txt")).write_bytes(b"")
    return "data"


def hostile_entry(folder: Path) -> str:
    return npz((HOSTILE_NAME + ".npy", npy_bytes()))(folder)
