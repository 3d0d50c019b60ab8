from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.action import step
from pipeline.action.step import input_options, run_step

if TYPE_CHECKING:
    from pathlib import Path


def test_arguments_go_before_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_step(["doctor", "--nonsense"], {"INPUT_COMMAND": "run"}) == 2
    assert "nonsense" in capsys.readouterr().err


def test_inputs_are_used_where_there_are_no_arguments(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_step([], {"INPUT_COMMAND": "validate", "INPUT_MANIFEST": str(tmp_path / "none.yaml")}) == 3
    assert "none.yaml" in capsys.readouterr().err


def test_a_wrong_input_is_told_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_step([], {"INPUT_COMMAND": "cache"}) == 2
    assert capsys.readouterr().err.startswith("error: the input `command` is 'cache'")


@pytest.mark.parametrize(
    ("environment", "uid", "handed"),
    [
        ({"TRT_ENGINE_HAND_OVER": "true", "GITHUB_WORKSPACE": "/w"}, 0, ["/w"]),
        ({"TRT_ENGINE_HAND_OVER": "true", "CI_PROJECT_DIR": "/builds/p"}, 0, ["/builds/p"]),
        ({"TRT_ENGINE_HAND_OVER": "true"}, 0, ["."]),
        ({"TRT_ENGINE_HAND_OVER": "true"}, 1001, []),
        ({"GITHUB_WORKSPACE": "/w"}, 0, []),
    ],
)
def test_root_in_the_image_hands_the_workspace_over_even_after_a_failure(
    environment: dict[str, str], uid: int, handed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []

    def fails(*_arguments: Any) -> int:
        raise RuntimeError

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(step, "hand_over", lambda workspace: given.append(str(workspace)))
    monkeypatch.setattr(step, "main", fails)
    with pytest.raises(RuntimeError):
        run_step(["run"], environment)
    assert given == handed


def test_a_workspace_that_cannot_be_handed_over_changes_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    environment = {"TRT_ENGINE_HAND_OVER": "true", "GITHUB_WORKSPACE": str(tmp_path / "gone")}
    assert run_step(["doctor", "--nonsense"], environment) == 2
    assert "was not handed to its owner" in capsys.readouterr().err


def test_options_for_people_are_no_inputs() -> None:
    assert not {name for options in input_options().values() for name in options} & {"help", "json", "version"}
