from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import settings_from_mapping


def test_the_command_line_wins_over_the_environment_and_that_over_the_default() -> None:
    environment = {"TRT_ENGINE_MANIFEST": "from-environment.yaml", "TRT_ENGINE_OUT": "/environment"}
    settings = settings_from_mapping(environment, manifest="from-line.yaml")
    assert settings.manifest == Path("from-line.yaml")
    assert settings.out == Path("/environment")
    assert settings.cache == Path(".trt-cache").absolute()


def test_the_cache_can_be_switched_off() -> None:
    assert settings_from_mapping({}, cache="none").cache is None


def test_the_files_of_a_workflow_step_are_found() -> None:
    settings = settings_from_mapping({"GITHUB_STEP_SUMMARY": "/s", "GITHUB_OUTPUT": "/o"})
    assert (settings.step_summary, settings.step_outputs) == (Path("/s"), Path("/o"))


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "0"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        settings_from_mapping({"TRT_ENGINE_WORKERS": text})
