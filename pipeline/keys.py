"""Cache keys: every ingredient that can change an artefact, and nothing else.

A key is made from inputs, never from outputs, because TensorRT plans are not reproducible byte for byte. So a
whole plan can be looked up before anything has been calibrated, prepared or built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.digest import Digest, canonical_json, digest_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

Ingredient = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One ingredient that two keys do not share; the side that lacks it has ``None``."""

    name: str
    before: Ingredient
    after: Ingredient

    def __str__(self) -> str:
        return f"{self.name} {_short(self.before)} -> {_short(self.after)}"


@dataclass(frozen=True, slots=True)
class Key:
    """What one artefact is stored under. ``ingredients`` are sorted by name; names are dotted and human-readable."""

    kind: str
    ingredients: tuple[tuple[str, Ingredient], ...]

    @property
    def digest(self) -> Digest:
        """SHA-256 over the canonical JSON of kind and ingredients."""
        return digest_from_json({"kind": self.kind, "ingredients": dict(self.ingredients)})

    def differences(self, other: Key) -> tuple[Difference, ...]:
        """What changed from ``other`` (before) to this key (after), ingredient by ingredient."""
        before, after = dict(other.ingredients), dict(self.ingredients)
        names = sorted(before.keys() | after.keys())
        return tuple(
            Difference(name, before.get(name), after.get(name))
            for name in names
            # As JSON, because Python takes 1, 1.0 and True for equal where the digest does not.
            if (name in before) != (name in after)
            or canonical_json(before.get(name)) != canonical_json(after.get(name))
        )


def key_from_ingredients(kind: str, ingredients: Mapping[str, Ingredient]) -> Key:
    """A key of ``kind`` (``engine``, ``calibration`` …) from named ingredients."""
    return Key(kind, tuple(sorted(ingredients.items())))


def _short(value: Ingredient) -> str:
    if value is None:
        return "(none)"
    text = str(value)
    return f"{text[:15]}…" if text.startswith("sha256:") else text
