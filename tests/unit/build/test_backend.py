from __future__ import annotations

import pytest

from pipeline.build.backend import BACKENDS, RefusedOperator, backend_from_runtime
from pipeline.errors import BuildError


@pytest.mark.parametrize("runtime", BACKENDS)
def test_every_backend_has_both_functions(runtime: str) -> None:
    backend = backend_from_runtime(runtime)
    assert callable(backend.check_operators)
    assert callable(backend.build_engine)


def test_an_unknown_runtime_is_refused_with_those_there_are() -> None:
    with pytest.raises(BuildError, match="no backend builds for 'tensorrt-rxt'; use one of: tensorrt, tensorrt-rtx"):
        backend_from_runtime("tensorrt-rxt")


def test_a_refused_operator_has_a_json_form() -> None:
    refused = RefusedOperator("Det", ("a", "b"), "why")
    assert refused.to_json() == {"operator": "Det", "nodes": ["a", "b"], "reason": "why"}
