"""T6, T7: data that lies, that unpacks to more than it is, or that would run: refused, and nothing is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.commands.cli import main
from tests.support import hostile_data as zoo
from tests.support.digits import copy_of_example, digits_manifest
from tests.support.hostile_models import SECRET

if TYPE_CHECKING:
    from pathlib import Path

CALIBRATION = "calibration: {{data: {name}, method: entropy}}"
DEEP = "(" * 3000 + ")" * 3000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sound model, beside a file that is nobody's business."""
    (tmp_path / "sentinel.bin").write_bytes(SECRET)
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    return copy_of_example(inside, "model.onnx")


def refused(folder: Path, capfd: pytest.CaptureFixture[str], use: str) -> tuple[int, str]:
    """The exit code and all that a run with ``use`` in its manifest said, after looking for what must never be."""
    (folder / "trt-engines.yaml").write_text(digits_manifest(use))
    code = main(["run"], {"GITHUB_ACTIONS": "false"})
    captured = capfd.readouterr()
    said = captured.out + captured.err
    assert not (folder.parent / zoo.PLANTED).exists()
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert not any(line.startswith("::") for line in said.splitlines())
    assert SECRET[:13].decode() not in said
    assert not list(folder.rglob("*.engine"))
    return code, said


@pytest.mark.parametrize(
    ("write", "code", "says"),
    [
        pytest.param(zoo.pickled_npy, 4, "never loaded", id="pickled objects"),
        pytest.param(zoo.pickled_npz, 4, "never loaded", id="pickled objects in an archive"),
        pytest.param(zoo.bare_pickle, 4, "header cannot be read", id="a pickle for an array"),
        pytest.param(zoo.pickle_in_an_archive, 4, "header cannot be read", id="a pickle in an archive"),
        pytest.param(zoo.pickle_beside_the_array, 4, "not an array", id="a pickle beside the array"),
        pytest.param(zoo.zip_bomb, 4, "unpacks to", id="2 GiB in 2 MiB"),
        pytest.param(zoo.overlapping_entries, 4, "data.npz", id="900 names for one array"),
        pytest.param(zoo.npz(*((f"{number}.npy", b"") for number in range(2000))), 4, "entries", id="2,000 arrays"),
        pytest.param(zoo.npz(("../sentinel.npy", zoo.npy_bytes())), 4, "names no input", id="an entry above"),
        pytest.param(zoo.hostile_entry, 4, "names no input", id="an entry whose name is a command"),
        pytest.param(zoo.npy(zoo.described(shape="(1 << 60,)")), 4, "header", id="a sum for a shape"),
        pytest.param(zoo.npy(zoo.described(shape=f"({1 << 40}, 1, 8, 8)")), 4, "announces", id="256 TiB"),
        pytest.param(zoo.npy(zoo.described(shape=f"({1 << 62}, {1 << 62}, 8, 8)")), 4, "announces", id="2^130 bytes"),
        pytest.param(zoo.npy(zoo.described(shape="(-1, 1, 8, 8)")), 4, "negative", id="a negative shape"),
        pytest.param(zoo.npy(zoo.described(shape="(True, 1, 8, 8)")), 4, "data.npy", id="truth for a size"),
        pytest.param(zoo.npy(zoo.described(descr="'|V2147483647'", shape="(1,)")), 4, "announces", id="a 2 GiB type"),
        pytest.param(zoo.npy(zoo.described(descr="'|O'")), 4, "never loaded", id="a type of objects"),
        pytest.param(zoo.npy(zoo.described(descr=DEEP)), 4, "header", id="a type 3,000 deep"),
        pytest.param(zoo.npy(zoo.header(DEEP)), 4, "header", id="a header 3,000 deep"),
        pytest.param(zoo.npy(zoo.header("__import__('os').mkdir('../planted-by-a-pickle')")), 4, "header", id="code"),
        pytest.param(zoo.npy(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"), 4, "header", id="a header of 4 GiB"),
        pytest.param(zoo.npy(b"\x93NUMPY\x09\x00"), 4, "version", id="format 9"),
        pytest.param(zoo.npy(b""), 4, "header", id="nothing"),
        pytest.param(zoo.linked, 3, "symbolic link", id="symbolic link"),
        pytest.param(zoo.hard_linked, 3, "hard link", id="hard link"),
        pytest.param(zoo.pipe, 3, "not a regular file", id="pipe"),
        pytest.param(zoo.link_to_a_folder, 3, "symbolic link", id="linked folder"),
        pytest.param(zoo.link_in_a_folder, 4, "symbolic link", id="symbolic link in a folder"),
        pytest.param(zoo.hard_link_in_a_folder, 4, "hard link", id="hard link in a folder"),
        pytest.param(zoo.pipe_in_a_folder, 4, "alone", id="pipe in a folder"),
        pytest.param(zoo.hostile_name_in_a_folder, 4, "alone", id="a name that is a command"),
    ],
)
def test_T6_T7_hostile_calibration_data_is_refused(
    folder: Path, capfd: pytest.CaptureFixture[str], write: zoo.Write, code: int, says: str
) -> None:
    found, said = refused(folder, capfd, CALIBRATION.format(name=write(folder)))
    assert (found, says in said) == (code, True), said
