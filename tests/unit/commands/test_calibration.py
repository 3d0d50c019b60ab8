from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.commands.cli import main

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "TRT-8600-EntropyCalibration2\n"


@pytest.fixture
def tables(tmp_path: Path) -> tuple[str, str]:
    """Of four tensors two moved, one went and one came."""
    (tmp_path / "a").write_text(f"{HEADER}x: 3f800000\ny: 3f800000\nz: 3f800000\nold: 3f800000\n")
    (tmp_path / "b").write_text(f"{HEADER}x: 40000000\ny: 3f000000\nz: 3f800000\nnew: 3f800000\n")
    return str(tmp_path / "a"), str(tmp_path / "b")


def test_the_summary_comes_first(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibration", "diff", *tables], {}) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "3 tensors in both tables, 2 moved, by at most a factor of 2.0000 (median 2.0000);"
        " 1 only in the first, 1 only in the second"
    )
    assert said[2].split() == ["127", "->", "254", "2.0000", "x"]
    assert said[-2:] == ["only in the first: old", "only in the second: new"]


def test_a_long_list_is_cut_and_says_so(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["calibration", "diff", *tables, "--most", "1"], {})
    assert "and 1 that moved less: add --all to see them" in capsys.readouterr().out


def test_a_program_gets_every_tensor(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibration", "diff", *tables, "--json", "--most", "1"], {}) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(each["tensor"], each["ratio"]) for each in said["moved"]] == [("x", 2.0), ("y", 0.5)]
    assert (said["both"], said["same"], said["only_in_first"], said["only_in_second"]) == (3, 1, ["old"], ["new"])


def test_a_table_that_is_not_there_is_told(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibration", "diff", tables[0], "nowhere.table"], {}) == 4
    assert "nowhere.table cannot be read: No such file or directory" in capsys.readouterr().err


def test_a_damaged_table_is_told_with_its_line(tables: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with open(tables[1], "a") as file:  # noqa: PTH123  the fixture gives texts
        file.write("y: 7fc00000\n")
    assert main(["calibration", "diff", *tables], {}) == 4
    assert "line 6: names 'y' again, after line 3" in capsys.readouterr().err
