"""How far a prepared model's outputs are from the original's: figures, not yet judged. Loads no native package."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pipeline.record import json_from_record, record_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

PREPARED_MODEL = "prepared model"
ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputComparison:
    """One output over all samples.

    Floating-point outputs have ``cosine_min`` and ``cosine_mean`` over samples, ``max_absolute_error`` over elements,
    and ``max_relative_error``, which is that divided by the largest magnitude of the original's output. All others
    (class numbers, masks) have ``exact_match`` instead: the share of elements that are equal, from 0 to 1.

    ``non_finite`` counts elements that are NaN or infinite where the original's are not, ``shape_mismatches`` batches
    whose output has another shape. Where either is above 0 no figure means anything, and all of them are ``None``.
    """

    name: str
    cosine_min: float | None = None
    cosine_mean: float | None = None
    max_absolute_error: float | None = None
    max_relative_error: float | None = None
    exact_match: float | None = None
    non_finite: int = 0
    shape_mismatches: int = 0

    @property
    def similarity(self) -> float | None:
        """The smallest cosine, or the share of equal elements for an output that is not floating point."""
        return self.cosine_min if self.exact_match is None else self.exact_match


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow:
    """A node of the original whose results reach ``largest`` in magnitude, which FP16 cannot hold."""

    node: str
    operator: str
    largest: float

    def __str__(self) -> str:
        return f"{self.operator} {self.node!r} reaches {self.largest:.6g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Original against prepared model, on the evaluation data.

    ``subject`` says what was run: ``prepared model`` by ONNX Runtime, or ``engine`` itself on a GPU. ``emulated`` says
    that the 16-bit type was imitated by rounding each result to it. Top-1 figures are in percent, and ``None`` without
    labels; ``top1_agreement`` is the share of samples for which both give the same class. ``overflows`` is looked for
    where a candidate in FP16 is far from the original.
    """

    subject: str
    samples: int
    emulated: bool
    outputs: tuple[OutputComparison, ...]
    top1_reference: float | None = None
    top1_candidate: float | None = None
    top1_agreement: float | None = None
    overflows: tuple[Overflow, ...] = ()


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """The JSON form; ``comparison_from_json`` is its inverse."""
    data = {field.name: getattr(comparison, field.name) for field in fields(comparison)}
    data["outputs"] = [
        {field.name: getattr(output, field.name) for field in fields(output)} for output in comparison.outputs
    ]
    data["overflows"] = json_from_record(comparison.overflows)
    return data


def comparison_from_json(data: Mapping[str, Any]) -> Comparison:
    """Read what ``comparison_to_json`` wrote. Raises ``ValueError`` for anything else."""
    subject, emulated = data.get("subject"), data.get("emulated")
    if subject not in (PREPARED_MODEL, ENGINE):
        raise ValueError(f"comparison: unknown subject {subject!r}")
    if not isinstance(emulated, bool):
        raise ValueError("comparison: 'emulated' is missing or wrong")  # noqa: TRY004  one error for damage
    return Comparison(
        subject=subject,
        samples=_count(data, "samples"),
        emulated=emulated,
        outputs=tuple(map(_output_from_json, _listed(data, "outputs"))),
        top1_reference=_figure(data, "top1_reference"),
        top1_candidate=_figure(data, "top1_candidate"),
        top1_agreement=_figure(data, "top1_agreement"),
        overflows=tuple(record_from_json(Overflow, each) for each in _listed(data, "overflows")),
    )


def _listed(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if not isinstance(value, list):
        raise ValueError(f"comparison: {name!r} is no list")  # noqa: TRY004  one error for damage
    return value


def _output_from_json(data: object) -> OutputComparison:
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise ValueError("comparison: an output has no name")  # noqa: TRY004  one error for damage
    return OutputComparison(
        name=data["name"],
        cosine_min=_figure(data, "cosine_min"),
        cosine_mean=_figure(data, "cosine_mean"),
        max_absolute_error=_figure(data, "max_absolute_error"),
        max_relative_error=_figure(data, "max_relative_error"),
        exact_match=_figure(data, "exact_match"),
        non_finite=_count(data, "non_finite"),
        shape_mismatches=_count(data, "shape_mismatches"),
    )


def _figure(data: Mapping[str, Any], name: str) -> float | None:
    if name not in data:
        raise ValueError(f"comparison: {name!r} is missing")
    value = data[name]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"comparison: {name!r} is not a finite number")
    return float(value)


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"comparison: {name!r} is not a whole number from 0")
    return value
