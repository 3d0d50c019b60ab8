"""Which files a data set is made of, and its digest. Loads no numpy, so that cache keys stay cheap.

A data set is one ``.npz`` (arrays named by input), one ``.npy`` (a model with one input), or a folder of files of one
of these kinds, taken in the order of their names. Hidden files in the folder are not part of it.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pipeline.digest import Digest, digest_from_file, digest_from_json
from pipeline.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = (".npz", ".npy")
_ELSEWHERE = "move it elsewhere; images and the like are given as the arrays that a model takes, saved with numpy.savez"


def dataset_files(path: Path) -> tuple[Path, ...]:
    """The files of the data set at ``path``, in order. Raises ``ModelError`` for links and for anything else."""
    mode = _mode(path)
    if stat.S_ISREG(mode):
        if path.suffix not in _KINDS:
            raise _error(path, "this is no data set", "give one .npz, one .npy, or a folder of them")
        return (path,)
    if not stat.S_ISDIR(mode):
        raise _error(path, "the data set is neither a file nor a folder", "give a .npz, a .npy, or a folder of them")
    try:
        files = sorted((entry for entry in path.iterdir() if not entry.name.startswith(".")), key=lambda f: f.name)
    except OSError as error:
        raise _error(path, f"the folder cannot be read: {error.strerror}", "check its permissions") from error
    for file in files:
        if not stat.S_ISREG(_mode(file)) or file.suffix not in _KINDS:
            raise _error(file, "a data set's folder holds .npz or .npy files alone", _ELSEWHERE)
    if not files:
        raise _error(path, "the folder holds no data", "put .npz or .npy files there")
    if len({file.suffix for file in files}) > 1:
        raise _error(path, "the folder holds both .npz and .npy files", "keep one kind")
    return tuple(files)


def dataset_digest(path: Path) -> Digest:
    """SHA-256 over the kind and the bytes of each file, in order. Names count only by the order that they give.

    Raises ``ModelError`` as ``dataset_files`` does, and for a file that cannot be read.
    """
    return digest_from_json([[file.suffix, str(_file_digest(file))] for file in dataset_files(path)])


def _file_digest(file: Path) -> Digest:
    try:
        return digest_from_file(file)
    except OSError as error:
        raise _error(file, f"the data cannot be read: {error.strerror}", "check its permissions") from error


def _mode(path: Path) -> int:
    try:
        status = path.lstat()
    except FileNotFoundError as error:
        raise _error(path, "the data is missing", "correct the path in the manifest, or commit the file") from error
    except OSError as error:
        raise _error(path, f"the data cannot be read: {error.strerror}", "check its permissions") from error
    if stat.S_ISLNK(status.st_mode):
        raise _error(path, "the data is a symbolic link", "put the file itself there")
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        raise _error(path, "the data has more than one hard link", "put a copy of the file there")
    return status.st_mode


def _error(path: Path, what: str, fix: str) -> ModelError:
    return ModelError(what, fix=fix, where=str(path))
