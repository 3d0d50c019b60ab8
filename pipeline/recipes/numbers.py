"""The recipe number of each kind of artefact, an ingredient of every key.

It is raised whenever our own code would make other bytes from the same inputs. The release number is no ingredient,
so that a release which only changes the report rebuilds nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.keys import key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.keys import Ingredient, Key

RECIPES = {
    "model": 3,
    "operators": 1,
    "data": 1,
    "calibration": 1,
    "calibration-native": 1,
    "prepared": 2,
    "engine": 1,
    "check": 2,
    "benchmark": 1,
    "original": 2,
    "layers": 1,
    "rebuild": 1,
    "comparison": 1,
    "refit": 2,
}
"""By kind. A table of TensorRT's own calibrators is of the kind ``calibration`` too, and its number another."""


def numbered_key(kind: str, named: Mapping[str, Ingredient]) -> Key:
    """The key of ``kind`` from ``named`` ingredients and its recipe number."""
    return key_from_ingredients(kind, {"recipe": RECIPES[kind], **named})
