"""``action.yml`` says what the code does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.action.inputs import COMMAND, DEFAULT_COMMAND, SECRETS
from pipeline.action.step import input_options
from pipeline.publish.github import outputs_from_report
from pipeline.settings import settings_from_mapping
from tests.support.reports import sample_report

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def action() -> Any:
    return yaml.safe_load((ROOT / "action.yml").read_text())


def test_its_inputs_are_the_options_of_the_commands(action: Any) -> None:
    options = {name: value for command in input_options().values() for name, value in command.items()}
    assert action["inputs"].keys() == options.keys() | {COMMAND} | SECRETS.keys()


def test_the_token_is_the_workflows_own_unless_another_is_given(action: Any) -> None:
    assert action["inputs"]["github-token"]["default"] == "${{ github.token }}"


def test_switches_are_off_and_values_left_to_the_program_unless_they_are_given(action: Any) -> None:
    options = {name: value for command in input_options().values() for name, value in command.items()}
    for name, takes_value in options.items():
        assert action["inputs"][name]["default"] == ("" if takes_value else "false"), name
    assert action["inputs"][COMMAND]["default"] == DEFAULT_COMMAND


def test_every_input_and_output_is_described(action: Any) -> None:
    for entry in (*action["inputs"].values(), *action["outputs"].values()):
        assert len(entry["description"]) > 15
    for entry in action["inputs"].values():
        assert entry["required"] is False


def test_its_outputs_are_those_that_a_run_writes(action: Any) -> None:
    written = outputs_from_report(sample_report(), report_path=Path("r"), engines_path=Path("e"))
    assert action["outputs"].keys() == written.keys() | {"matrix", "needed"}


def test_inputs_reach_the_program_by_the_environment_alone(action: Any) -> None:
    assert action["runs"].keys() == {"using", "image", "env"}
    assert action["runs"]["using"] == "docker"


def test_the_program_is_told_its_image_where_a_release_pins_one(action: Any) -> None:
    assert action["runs"]["env"] == {"TRT_ENGINE_IMAGE": ""}
    pinned = f"ghcr.io/team/action@sha256:{'0' * 64}"
    assert settings_from_mapping({"TRT_ENGINE_IMAGE": pinned}).origin.image == pinned
