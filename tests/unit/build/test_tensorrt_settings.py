"""Which flags a refittable engine is built with, by the names that each recorded version has."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.build.request import BuildRequest
from pipeline.build.tensorrt_settings import configure
from pipeline.errors import BuildError
from pipeline.precision import Precision
from tests.support.recorded_tensorrt import Config

SURFACES = Path(__file__).parents[2] / "fixtures/tensorrt"


def flags_of(version: str, **settings: Any) -> set[str]:
    """The flags that ``configure`` sets in a recorded version."""
    recorded = json.loads((SURFACES / f"{version}.json").read_text())["enums"]
    names = {name: Enum(name, members) for name, members in recorded.items()}
    trt: Any = SimpleNamespace(__version__=f"{version}.0", **names)
    config = Config()
    request = BuildRequest(
        runtime="tensorrt", model=Path("m"), compute_capability=(9, 0), precision=Precision.FP16, **settings
    )
    configure(trt, None, config, request)
    return {flag.name for flag in config.flags}


@pytest.mark.parametrize("version", ["8.6", "10.0", "10.16", "11.4"])
def test_a_refittable_engine_asks_for_refit_and_for_no_identical_weights(version: str) -> None:
    assert flags_of(version, refit=True) == {"REFIT"}
    assert flags_of(version) == set()


@pytest.mark.parametrize("version", ["10.0", "10.16", "11.4"])
def test_an_engine_without_weights_is_refittable_and_stripped(version: str) -> None:
    assert flags_of(version, refit=True, strip_weights=True) == {"REFIT", "STRIP_PLAN"}


def test_a_version_that_cannot_leave_weights_out_says_which_can() -> None:
    with pytest.raises(BuildError, match=r"no BuilderFlag.STRIP_PLAN: TensorRT 10.0 and later has it"):
        flags_of("8.6", refit=True, strip_weights=True)
