"""What a parser of either kind says of a model that it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.build.builder_log import BuilderLog
from pipeline.build.network import parse_error


def said(**methods: object) -> Any:
    """An error of a parser, whose methods return what is given."""
    return SimpleNamespace(**{name: lambda value=value: value for name, value in methods.items()})


def parser(*errors: Any) -> Any:
    return SimpleNamespace(num_errors=len(errors), get_error=errors.__getitem__)


def test_a_node_is_told_by_operator_and_name() -> None:
    error = parse_error(
        "TensorRT", parser(said(node_operator="Det", node_name="/head/Det", desc="false")), BuilderLog()
    )
    assert error.why == "Det at /head/Det: the parser does not support it"


@pytest.mark.parametrize(("node", "why"), [(7, "node 7: no importer"), (-1, "no importer")])
def test_the_parser_of_8_6_which_has_no_names_tells_a_node_by_its_number(node: int, why: str) -> None:
    assert parse_error("TensorRT", parser(said(node=node, desc="no importer")), BuilderLog()).why == why
