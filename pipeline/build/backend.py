"""The heavy half of a runtime: what every backend can do, and which there are. A new one is one line."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, cast

from pipeline.errors import BuildError
from pipeline.targets import TENSORRT, TENSORRT_RTX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.build.request import BuildOutcome, BuildRequest

BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        TENSORRT: "pipeline.build.tensorrt",
        TENSORRT_RTX: "pipeline.build.tensorrt_rtx",
    }
)
"""Runtime -> the module that implements ``Backend`` for it."""


@dataclass(frozen=True, slots=True)
class RefusedOperator:
    """An operator that a parser refuses: ``Det``, or ``my.domain::Det`` outside the default domain.

    ``nodes`` are the names of all nodes that are refused for this ``reason``.
    """

    operator: str
    nodes: tuple[str, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {"operator": self.operator, "nodes": list(self.nodes), "reason": self.reason}


class Backend(Protocol):
    """A module that builds engines of one runtime. Called in a child process, once in its life."""

    def check_operators(self, model: Path) -> tuple[RefusedOperator, ...]:
        """Everything in the ONNX file ``model`` that the parser refuses."""

    def build_engine(self, request: BuildRequest, folder: Path) -> BuildOutcome:
        """Build one engine into ``folder``. Raises ``BuildError``."""


def backend_from_runtime(runtime: str) -> Backend:
    """The backend of ``runtime``. Raises ``BuildError`` where there is none."""
    module = BACKENDS.get(runtime)
    if module is None:
        raise BuildError(f"no backend builds for {runtime!r}", fix=f"use one of: {', '.join(sorted(BACKENDS))}")
    return cast("Backend", importlib.import_module(module))
