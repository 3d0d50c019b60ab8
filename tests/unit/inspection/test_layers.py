from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.inspection.layers import layers_from_json, layers_to_json
from tests.support.layers import engine_of, layer

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[3] / "schemas/layers.schema.json").read_text())
ENGINE = engine_of(layer("a", time_ms=1.0, nodes=("conv",)), layer("b", None, kind=None, tactic=None))


def test_reading_layers_is_the_inverse_of_writing_them() -> None:
    assert layers_from_json(json.loads(json.dumps(layers_to_json(ENGINE)))) == ENGINE


def test_what_is_written_fits_its_schema() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(layers_to_json(ENGINE))))


@pytest.mark.parametrize("value", [None, [], {}, {"schema_version": 2}, {"schema_version": 1}])
def test_another_value_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        layers_from_json(value)
