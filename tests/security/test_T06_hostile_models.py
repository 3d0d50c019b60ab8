"""T6: files that lie, through the real checks and TensorRT-RTX's parser: refused, and nothing else is read."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from pipeline.commands.cli import main
from tests.support import hostile_models as zoo
from tests.support.models import convolution_model, saved, saved_externally

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """\
version: 1
models:
"""
MODEL = """\
  - name: m{number}
    onnx: {path}
    profiles:
      - image: {{min: [1, 1, 8, 8], opt: [8, 1, 8, 8], max: [32, 1, 8, 8]}}
    targets: [{{compute_capability: "8.9", runtime: tensorrt-rtx}}]
    precisions: [fp32]
    build: {{timeout_s: 15}}
"""
SEED = 20
MUTANTS = 48


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a manifest and a sound model, beside a file that is nobody's business."""
    (tmp_path / "sentinel.bin").write_bytes(zoo.SECRET)
    inside = tmp_path / "inside"
    inside.mkdir()
    saved(convolution_model(), inside / "model.onnx")
    (inside / "trt-engines.yaml").write_text(MANIFEST + MODEL.format(number=0, path="model.onnx"))
    monkeypatch.chdir(inside)
    return inside


def ran(folder: Path, capfd: pytest.CaptureFixture[str], command: str = "validate") -> tuple[int, str]:
    """The exit code and all that was said, after looking for what must never be."""
    code = main([command], {"GITHUB_ACTIONS": "false"})
    captured = capfd.readouterr()
    said = captured.out + captured.err
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert not any(line.startswith("::") for line in said.splitlines())
    for path in (path for path in folder.rglob("*") if path.is_file() and path.stat().st_nlink == 1):
        assert path.is_symlink() or zoo.SECRET[:13] not in path.read_bytes(), path
    assert zoo.SECRET[:13].decode() not in said
    return code, said


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        pytest.param(zoo.external(location="../sentinel.bin"), 4, "../sentinel.bin", id="above"),
        pytest.param(zoo.external(location="below/../../sentinel.bin"), 4, "sentinel.bin", id="above through a folder"),
        pytest.param(zoo.external(location="/etc/passwd"), 4, "/etc/passwd", id="absolute"),
        pytest.param(zoo.external(location="..\\sentinel.bin"), 4, "sentinel.bin", id="above with a backslash"),
        pytest.param(zoo.external(location=""), 4, "tensor", id="nowhere"),
        pytest.param(zoo.external(location="."), 4, "tensor", id="the folder itself"),
        pytest.param(zoo.external(location="gone.bin"), 4, "gone.bin", id="missing"),
        pytest.param(zoo.linked_weights, 4, "symbolic link", id="symbolic link"),
        pytest.param(zoo.hard_linked_weights, 4, "hard link", id="hard link"),
        pytest.param(zoo.linked_folder_of_weights, 4, "symbolic link", id="linked folder"),
        pytest.param(zoo.folder_for_weights, 4, "below", id="a folder"),
        pytest.param(zoo.pipe_for_weights, 4, "pipe", id="a pipe"),
        pytest.param(zoo.socket_for_weights, 4, "tensor", id="a socket"),
        pytest.param(zoo.external(offset="1000000"), 4, "tensor", id="offset past the end"),
        pytest.param(zoo.external(offset="-4096"), 4, "tensor", id="negative offset"),
        pytest.param(zoo.external(offset="99999999999999999999999"), 4, "tensor", id="offset beyond 64 bits"),
        pytest.param(zoo.external(length=str(1 << 40)), 4, "tensor", id="length of 1 TiB"),
        pytest.param(zoo.external(length="-1"), 4, "tensor", id="negative length"),
        pytest.param(zoo.external(length="many"), 4, "tensor", id="length in words"),
        pytest.param(zoo.linked_model, 3, "symbolic link", id="linked model"),
        pytest.param(zoo.hard_linked_model, 3, "hard link", id="hard-linked model"),
        pytest.param(zoo.pipe_for_a_model, 3, "model.onnx", id="a pipe for a model"),
        pytest.param(zoo.folder_for_a_model, 3, "model.onnx", id="a folder for a model"),
        pytest.param(zoo.declared_weights(1 << 40), 4, "tensor", id="weights of 4 TiB"),
        pytest.param(zoo.declared_weights(1 << 32, 1 << 32), 4, "tensor", id="weights of 2^64 elements"),
        pytest.param(zoo.declared_weights(-1, 4), 4, "tensor", id="negative weights"),
        pytest.param(zoo.huge_input, 3, "image", id="an input of 2^80 elements"),
        pytest.param(zoo.nested_bytes, 4, "model.onnx", id="messages 2000 deep"),
        pytest.param(zoo.cycle, 4, "model.onnx", id="a graph that bites its tail"),
        pytest.param(zoo.names_with_commands, 4, "No", id="names that are commands"),
        pytest.param(zoo.nan_under_a_hostile_name, 4, "NaN", id="a weight whose name is a command"),
        pytest.param(zoo.function_that_calls_itself, 4, "model.onnx", id="a function that calls itself"),
    ],
)
def test_T06_a_hostile_model_is_refused(
    folder: Path, capfd: pytest.CaptureFixture[str], spoil: zoo.Spoil, code: int, says: str
) -> None:
    spoil(folder)
    found, said = ran(folder, capfd)
    assert (found, says in said) == (code, True), said


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(zoo.nested_subgraphs(20), id="subgraphs 20 deep"),
        pytest.param(zoo.nested_subgraphs(30), id="subgraphs as deep as protobuf reads them"),
        pytest.param(zoo.long_chain, id="20,000 nodes in a row"),
        pytest.param(zoo.huge_constant_of_shape, id="a constant of 4 EiB"),
    ],
)
def test_T06_a_monstrous_model_ends_with_its_own_code(
    folder: Path, capfd: pytest.CaptureFixture[str], spoil: zoo.Spoil
) -> None:
    """Whether it can be built is the builder's affair; that the step survives it is ours."""
    spoil(folder)
    found, said = ran(folder, capfd, "run")
    assert found in {0, 3, 4, 6}, said


def mutants(data: bytes, count: int) -> list[bytes]:
    """``data`` with bits flipped, bytes exchanged, parts cut out, doubled or cut off; the same ones every time."""
    draw = random.Random(SEED)
    made = []
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            place = draw.randrange(len(mutant))
            kind = draw.randrange(5)
            if kind == 0:
                mutant[place] ^= 1 << draw.randrange(8)
            elif kind == 1:
                mutant[place] = draw.randrange(256)
            elif kind == 2:
                del mutant[place : place + draw.randint(1, 64)]
            elif kind == 3:
                mutant[place:place] = mutant[place : place + draw.randint(1, 64)]
            elif draw.random() < 0.2:
                del mutant[max(1, place) :]
        made.append(bytes(mutant))
    return made


@pytest.mark.parametrize("external", [False, True], ids=["weights inside", "weights beside"])
def test_T06_no_mutant_of_a_model_does_more_than_fail(
    folder: Path, capfd: pytest.CaptureFixture[str], external: bool
) -> None:
    if external:
        saved_externally(convolution_model(), folder / "model.onnx")
    data = (folder / "model.onnx").read_bytes()
    text = MANIFEST
    for number, mutant in enumerate(mutants(data, MUTANTS)):
        (folder / f"{number}.onnx").write_bytes(mutant)
        text += MODEL.format(number=number, path=f"{number}.onnx")
    (folder / "trt-engines.yaml").write_text(text)
    found, said = ran(folder, capfd)
    assert found in {3, 4, 6}, said
