"""Plugin libraries: native code of a team's own for nodes that TensorRT does not know, needed to build and to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def load_plugins(trt: Any, paths: Iterable[str | Path], reason: Callable[[], str]) -> None:
    """Register the plugins of the libraries ``paths`` for this process.

    Raises ``BuildError`` for one that does not load, with ``reason()``, what TensorRT logged, as its cause.
    """
    for path in map(Path, paths):
        if trt.get_plugin_registry().load_library(str(path)) is None:
            raise BuildError(
                f"the plugin library {path.name} could not be loaded",
                why=reason(),
                fix="build it for this TensorRT and CUDA version",
            )
