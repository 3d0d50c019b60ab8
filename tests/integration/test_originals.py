"""The original model, timed in ONNX Runtime on the CPU, and in what stands in for PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pipeline.bench.measurement import measurement_from_json
from pipeline.bench.onnxruntime_original import bound_call
from pipeline.bench.originals import benchmark_original
from pipeline.errors import ModelError

MODEL = Path(__file__).parents[2] / "tests/fixtures/digits-seed-1.onnx"
TORCH = '''
"""As much of PyTorch as a model on a CPU needs to be timed."""
import contextlib

__version__ = "0.0-stand-in"
float32, float16 = "float32", "float16"


class Tensor:
    def to(self, _kind):
        return self

    def is_floating_point(self):
        return True


def from_numpy(_array):
    return Tensor()


def inference_mode():
    return contextlib.nullcontext()


class cuda:
    @staticmethod
    def is_available():
        return False

    @staticmethod
    def init():
        raise RuntimeError("no driver")


def device(name):
    return name
'''
PYTHON_MODEL = """
class Model:
    def eval(self):
        return self

    def to(self, _kind):
        return self

    def __call__(self, image):
        return image


def build():
    return Model()
"""


def request(**parts: Any) -> dict[str, Any]:
    return {
        "framework": "onnxruntime",
        "model": str(MODEL),
        "pytorch": None,
        "inputs": [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}],
        "shapes": {"image": [8, 1, 8, 8]},
        "warmup_s": 0.1,
        "duration_s": 0.1,
        "items": {"per_inference": 8, "unit": "images"},
        "data": None,
        "seed": 0,
        **parts,
    }


def test_onnxruntime_is_timed_on_the_cpu_and_says_so(tmp_path: Path) -> None:
    (found,) = benchmark_original(request(), tmp_path)["measurements"]
    measured = measurement_from_json(found)
    assert (measured.subject, measured.device, measured.precision) == ("onnxruntime", "CPU", "fp32")
    assert measured.compute.count >= 20
    assert measured.gpu is None
    assert "ran on the CPU" in measured.warnings[0]
    assert measured.items_per_s == pytest.approx(8 * measured.inferences_per_s)


def test_a_model_that_onnxruntime_cannot_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)ONNX Runtime cannot run the original model: .*Got: 3 Expected: 1"):
        benchmark_original(request(shapes={"image": [8, 3, 8, 8]}), tmp_path)


def test_bound_tensors_give_what_copied_ones_do() -> None:
    session = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    values = np.random.default_rng(0).uniform(-1, 1, (8, 1, 8, 8)).astype(np.float32)
    binding = bound_call(session, {"image": values}, "cpu")
    binding()
    (bound,) = binding.args[0].copy_outputs_to_cpu()
    np.testing.assert_array_equal(bound, session.run(None, {"image": values})[0])


def test_pytorch_is_timed_in_its_own_interpreter_in_both_precisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(TORCH)
    (tmp_path / "model.py").write_text(PYTHON_MODEL)
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    (tmp_path / "out").mkdir()
    told = {"model": "model:build", "interpreter": str(interpreter), "inputs": [], "folder": str(tmp_path)}
    monkeypatch.setenv("PYTHONPATH", "/of/this/interpreter")
    found = benchmark_original(request(framework="pytorch", pytorch=told), tmp_path / "out")["measurements"]
    measured = [measurement_from_json(each) for each in found]
    assert [(each.subject, each.precision, each.cuda_graph) for each in measured] == [
        ("pytorch", "fp32", False),
        ("pytorch", "fp16", False),
    ]
    assert all(each.device == "CPU" and each.gpu is None and each.compute.count >= 20 for each in measured)
    assert measured[0].warnings == ("PyTorch ran on the CPU: no driver",)


def test_an_interpreter_without_the_model_fails_with_its_last_line(tmp_path: Path) -> None:
    told = {"model": "missing:build", "interpreter": sys.executable, "inputs": [], "folder": str(tmp_path)}
    with pytest.raises(ModelError, match="cannot be timed: ModuleNotFoundError"):
        benchmark_original(request(framework="pytorch", pytorch=told), tmp_path)
