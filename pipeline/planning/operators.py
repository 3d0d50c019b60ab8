"""Operators that a runtime's parser refuses, found before anything is built."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pipeline.errors import BuildError, DeviceError, Fault, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.recipes.model import Recipes

_NODES_SHOWN = 5
_WHAT = "the builder's parser refuses operators"
_FIX = "export the model without them, or leave that runtime's targets out"


def check_operators(recipes: Recipes, models: Mapping[str, SurveyedModel], jobs: Iterable[Job]) -> None:
    """Ask each runtime's parser about the models of ``jobs``; runtimes that are not installed here are left out.

    A parser that could not be asked, because it crashed or its GPU is full, says nothing of the model: the jobs go on,
    and their builds fail one by one for the same reason. Raises ``ModelError`` with every refused operator of every
    model and the nodes that use it.
    """
    pairs = dict.fromkeys((job.model.name, job.target.runtime) for job in jobs)
    lines: list[str] = []
    places: list[Fault] = []
    for name, runtime in pairs:
        if runtime in recipes.runtimes:
            with contextlib.suppress(BuildError, DeviceError):
                answer = recipes.workshop.obtain(recipes.operators(models[name], runtime))
                told = [_line(models[name], runtime, refused) for refused in answer.outcome["refused"]]
                lines += told
                places += (_place(models[name], line) for line in told)
    if lines:
        error = ModelError(_WHAT, why="\n  " + "\n  ".join(lines) + "\n", fix=_FIX)
        error.faults = tuple(places)
        raise error


def operators_faults(_files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with an answer of a parser: it is shown as it is, so it must be lists of texts."""
    fields = {"operator": str, "nodes": list, "reason": str}
    for refused in outcome["refused"]:
        told = isinstance(refused, dict) and {name: type(value) for name, value in refused.items()} == fields
        if not told or not all(isinstance(node, str) for node in refused["nodes"]):
            return ("a refused operator is not told by its name, its nodes and the reason",)
    return ()


def _line(model: SurveyedModel, runtime: str, refused: Mapping[str, object]) -> str:
    named = refused["nodes"]
    nodes = [str(name) for name in named] if isinstance(named, list) else []
    more = f" and {len(nodes) - _NODES_SHOWN} more" if len(nodes) > _NODES_SHOWN else ""
    at = ", ".join(nodes[:_NODES_SHOWN]) + more
    return f"{model.spec.onnx.name}: {refused['operator']} at {at}: {runtime} says: {refused['reason']}"


def _place(model: SurveyedModel, line: str) -> Fault:
    at = model.spec.location
    return Fault(at.file, at.line, at.column, f"models.{model.spec.name}", f"{_WHAT}: {line}", _FIX)
