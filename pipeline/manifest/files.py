"""The files that a manifest names: below its folder, there, and of the right kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.manifest.node import Node, shown
from pipeline.near import near_spelling
from pipeline.paths import OutsideFolderError, contained

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.errors import Fault

_MOST_NAMES = 1000
DATA_SUFFIXES = (".npz", ".npy")


@dataclass(frozen=True, slots=True)
class Files:
    """Looks up paths below ``folder``, the manifest's own, and adds what is wrong with them to ``faults``."""

    folder: Path
    faults: list[Fault]

    def file(self, node: Node | None, suffixes: tuple[str, ...] = ()) -> Path | None:
        """The regular file that ``node`` names; ``None`` where there is no node, or after a fault."""
        return self._path(node, suffixes, folder_allowed=False)

    def data(self, node: Node | None) -> Path | None:
        """The ``.npz``, the ``.npy`` or the folder of them that ``node`` names."""
        return self._path(node, DATA_SUFFIXES, folder_allowed=True)

    def _path(self, node: Node | None, suffixes: tuple[str, ...], *, folder_allowed: bool) -> Path | None:
        if node is None or not isinstance(node.value, str):
            return None
        try:
            path = contained(self.folder, node.value)
            wrong = self._wrong(path, suffixes, folder_allowed=folder_allowed)
        except OutsideFolderError as error:
            wrong = str(error), "give the path of a file below the manifest's folder, without links"
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            wrong = f"{shown(node.value)} cannot be read: {reason}", "check the path and its permissions"
        if wrong is None:
            return path
        self.faults.append(node.fault(*wrong))
        return None

    def _wrong(self, path: Path, suffixes: tuple[str, ...], *, folder_allowed: bool) -> tuple[str, str] | None:
        name = shown(path.relative_to(self.folder).as_posix())
        if not path.exists():
            near = near_spelling(path.name, _names_in(path.parent))
            return f"there is no file {name} below the manifest's folder", near or "check the path"
        if path.is_dir() and not folder_allowed:
            return f"{name} is a folder, not a file", "give the path of the file itself"
        if not path.is_dir() and not path.is_file():
            return f"{name} is not a regular file", "give the path of a regular file"
        if path.is_file() and suffixes and path.suffix not in suffixes:
            return (
                f"{name} is not of the kind {' or '.join(suffixes)}",
                "save the arrays with numpy.save or numpy.savez",
            )
        return None


def _names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())[:_MOST_NAMES] if folder.is_dir() else []
