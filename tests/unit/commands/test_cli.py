from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.commands.cli import main, main_inner
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ["validate", "plan", "run", "cache", "calibration", "doctor"]


@pytest.mark.parametrize(
    "words", [[], *([command] for command in COMMANDS), ["cache", "prune"], ["calibration", "diff"]], ids=" ".join
)
def test_help_shows_an_example(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"], {})
    assert left.value.code == 0
    assert f"example: entrypoint.py {' '.join(words)}".strip() in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [[], ["brew"], ["run", "--fast"], ["run", "--workers", "none"], ["run", "--workers", "0"], ["cache"]]
)
def test_a_wrong_command_line_is_told_in_one_line_with_exit_code_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words, {}) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1


def test_main_inner_raises_what_main_prints() -> None:
    with pytest.raises(SettingsError):
        main_inner(["brew"], {})


def test_json_of_validate_holds_each_fault_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.yaml").write_text("version: 2\nmodels: []\n")
    assert main(["validate", "--json", "--manifest", str(tmp_path / "m.yaml"), "--cache", "none"], {}) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is False
    assert [(fault["line"], fault["path"]) for fault in told["faults"]] == [(1, "version"), (2, "models")]


def test_every_fault_of_a_manifest_is_printed_with_its_line(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"{tmp_path}/m.yaml"
    with open(path, "w") as file:  # noqa: PTH123  the fixture's type is of no interest here
        file.write("version: 1\nmodles: []\nmodels: 3\n")
    assert main(["validate", "--manifest", path, "--cache", "none"], {}) == 3
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:2:1", f"{path}:3:9"]


def test_a_cache_that_is_no_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list", "--cache", "/nowhere/at/all"], {}) == 2
    assert "is no cache folder" in capsys.readouterr().err
