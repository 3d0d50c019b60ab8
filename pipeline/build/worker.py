"""The build tasks that run in a child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.build.backend import backend_from_runtime
from pipeline.build.request import outcome_to_json, request_from_json


def check_operators(request: dict[str, Any], folder: Path) -> dict[str, Any]:  # noqa: ARG001
    """Task ``check-operators``: which operators of ``request["model"]`` does ``request["runtime"]`` refuse.

    Returns ``{"refused": [{"operator", "nodes", "reason"}]}``.
    """
    backend = backend_from_runtime(request["runtime"])
    return {"refused": [refused.to_json() for refused in backend.check_operators(Path(request["model"]))]}


def build_engine(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Task ``build``: the JSON form of ``BuildRequest`` in, an engine in ``folder``, that of ``BuildOutcome`` out.

    Raises ``BuildError``.
    """
    asked = request_from_json(request)
    return outcome_to_json(backend_from_runtime(asked.runtime).build_engine(asked, folder))
