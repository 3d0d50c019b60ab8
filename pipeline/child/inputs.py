"""What a child may read beside the system and its own code: the files that its request names."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FILES: Final = frozenset(
    {
        "calibration_table",
        "candidate",
        "data",
        "engine",
        "folder",
        "labels",
        "layers",
        "model",
        "plugins",
        "ranges",
        "reference",
        "table",
        "tactics",
        "timing_cache",
        "weights",
    }
)
"""The parts of requests that name files and folders. Free text, such as node names, stands in other parts."""
_INTERPRETER: Final = "interpreter"
_INSTALLATION: Final = (
    "bin", "conda-meta", "include", "lib", "lib64", "libexec", "nvvm", "pyvenv.cfg", "share", "targets",
)  # fmt: skip
"""What Python and the packages of an environment lie in. The manifest names the interpreter, which may lie anywhere:
above the root of a checkout there are the runner's own files."""
_MODEL_SUFFIX: Final = ".onnx"


def inputs_from_request(request: Mapping[str, Any]) -> Iterator[Path]:
    """The files and folders that a request names, and its objects in turn; what is not there is left out.

    With a model goes what lies beside it, where its external data must be. Hidden files there are nobody's data:
    ``.git/config`` holds a token while a job of GitHub Actions runs. With an interpreter goes its installation.
    """
    for name in sorted(request):
        value = request[name]
        if isinstance(value, dict):
            yield from inputs_from_request(value)
        elif name in _FILES:
            for path in _paths(value):
                yield path
                if path.suffix == _MODEL_SUFFIX:
                    yield from _beside(path)
        elif name == _INTERPRETER:
            for path in _paths(value):
                yield path
                yield from _installation_of(path)


def _paths(value: object) -> Iterator[Path]:
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and text.startswith("/") and Path(text).exists():
            yield Path(text)


def _installation_of(interpreter: Path) -> Iterator[Path]:
    """Of an environment, and of the installation that it was made of."""
    for program in dict.fromkeys((interpreter, interpreter.resolve())):
        prefix = program.parent.parent
        yield from (prefix / name for name in _INSTALLATION if (prefix / name).exists())


def _beside(model: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (path for path in sorted(model.parent.iterdir()) if path != model and path.name[0] != ".")
