from __future__ import annotations

import pytest

from pipeline import errors
from pipeline.errors import Fault, ManifestError, ModelError, PipelineError


def kinds() -> list[type[PipelineError]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PipelineError)]


def test_every_error_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in kinds()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    "kind", [kind for kind in kinds() if kind is not PipelineError], ids=lambda kind: kind.__name__
)
def test_the_table_in_the_docstring_names_each_error_with_its_code(kind: type[PipelineError]) -> None:
    rows = [line.split()[:2] for line in (errors.__doc__ or "").splitlines() if line]
    assert [kind.__name__, str(kind.exit_code)] in rows


def test_an_error_says_where_what_why_and_how_to_mend_it() -> None:
    error = ModelError("it is broken", why="half of it is gone", fix="fetch it again", where="m.onnx")
    assert str(error) == "m.onnx: it is broken: half of it is gone; fetch it again"


def test_a_manifest_error_lists_its_faults_in_the_order_of_the_file() -> None:
    late, early = Fault("m.yaml", 9, 1, "a", "x", "y"), Fault("m.yaml", 2, 5, "b", "x", "y")
    assert str(ManifestError((late, early))) == "m.yaml:2:5: b: x; y\nm.yaml:9:1: a: x; y"
