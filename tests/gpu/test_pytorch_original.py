"""The model in PyTorch, in an interpreter of its own that has torch, timed on the GPU as the engine is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gpu_runs import run

MODEL = """
import torch


def digits():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 10))
"""
BENCHMARK = """benchmark:
      duration_s: 0.5
      warmup_s: 0.5
      originals: [pytorch]
      pytorch: {{model: "torch_model:digits", interpreter: {interpreter}}}
"""


def interpreter_with_torch() -> str | None:
    """The first ``python3`` on the path, other than that of the tests, which has torch."""
    for folder in os.get_exec_path():
        python = Path(folder) / "python3"
        if not python.is_file() or python.resolve() == Path(sys.executable).resolve():
            continue
        if subprocess.run([python, "-c", "import torch"], capture_output=True, check=False, env={}).returncode == 0:
            return str(python)
    return None


def test_pytorch_is_timed_on_the_gpu_eagerly_and_from_a_graph(tmp_path: Path) -> None:
    interpreter = interpreter_with_torch()
    if interpreter is None:
        pytest.skip("no python3 on the path has torch")
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/torch_model.py").write_text(MODEL)
    report = run(tmp_path, only="*/fp16", more=BENCHMARK.format(interpreter=interpreter))
    assert report["returncode"] == 0, report["jobs"][0]["failure"]
    originals = report["jobs"][0]["speed"]["originals"]
    assert [each["warnings"] for each in originals] == [[]] * len(originals)
    assert {(each["precision"], each["cuda_graph"]) for each in originals} == {
        (precision, graph) for precision in ("fp32", "fp16") for graph in (False, True)
    }
    assert {each["device"] for each in originals} == {report["jobs"][0]["speed"]["engine"]["device"]}
