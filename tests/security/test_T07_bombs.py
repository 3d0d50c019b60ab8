"""T7: input that is made to cost more than it is worth costs little, and ends as a fault of the manifest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pipeline.commands.cli import main
from pipeline.manifest.load import MAX_JOBS

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """  - name: m{number}
    onnx: model.onnx
    targets: [{targets}]
    precisions: [fp32, tf32, fp16, bf16]
"""
CAPABILITIES = ", ".join(f'{{runtime: tensorrt-rtx, compute_capability: "{each}"}}' for each in ("8.0", "8.6", "8.9"))
DEPTH = 5000
SLOWEST_S = 20.0
"""Of a command in a test process that is warm; a bomb would take minutes."""

BOMBS = {
    "aliases within aliases": (
        "a0: &a0 [x]\n"
        + "\n".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 12)),
        "aliases are not allowed",
    ),
    "lists within lists": ("version: 1\nmodels: " + "[" * DEPTH + "]" * DEPTH, "nested"),
    "mappings within mappings": ("version: 1\nmodels: " + "{a: " * DEPTH + "1" + "}" * DEPTH, "nested"),
    "one word of a mebibyte": ("version: 1\nmodels: " + "x" * (1 << 20), "is larger than"),
    "a number of a hundred thousand digits": ("version: 1\nmodels: " + "9" * 100_000, "models: "),
    "a hundred thousand empty items": ("version: 1\nmodels: [" + "," * 100_000 + "]", "not valid YAML"),
    "more values than a manifest may hold": ("version: 1\nmodels: [" + "a," * 30_000 + "]", "holds more than"),
    "more engines than a manifest may ask for": (
        "version: 1\nmodels:\n"
        + "".join(MODEL.format(number=number, targets=CAPABILITIES) for number in range(MAX_JOBS // 11)),
        f"a manifest may ask for {MAX_JOBS}",
    ),
}


@pytest.mark.parametrize(("text", "says"), BOMBS.values(), ids=BOMBS.keys())
def test_T7_a_bomb_is_refused_in_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").touch()
    (tmp_path / "trt-engines.yaml").write_text(text)
    started_s = time.process_time()
    assert main(["validate"], {}) == 3
    assert time.process_time() - started_s < SLOWEST_S
    said = capsys.readouterr().err
    assert "trt-engines.yaml:" in said
    assert says in said
    assert "Traceback" not in said
    assert len(said) < 64 << 10
