"""Which models of others are built, in which precision, by TensorRT-RTX on this machine: no GPU needed.

    python -m benchmarks.other_models FOLDER [--capability 8.9] [--sizes 64,320,320]

Each .onnx below FOLDER gets a manifest of its own, with eight random samples to calibrate on and to compare with, fed
one by one. Axis 0 of an input is from 1 to 4 where the model leaves it open, any other axis as `--sizes` says; axes of
one name have the same sizes. Prints for each precision the smallest cosine to the original, or why there is no engine,
and how many were built. Random samples are harder on INT8 than real ones, so nothing is judged by a cosine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.prepare.onnx_model import input_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from pipeline.prepare.facts import TensorFacts

ROOT = Path(__file__).resolve().parents[1]
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-fp16")
BATCHES = (1, 2, 4)
SAMPLES = 8
COLUMN = 12

Range = tuple[int, int, int]


def main() -> None:
    """Try every model and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--capability", default="8.9")
    parser.add_argument("--sizes", default="64,320,320", help="least, typical and largest size of an open axis")
    arguments = parser.parse_args()
    least, typical, largest = map(int, arguments.sizes.split(","))
    built: Counter[str] = Counter()
    print(" ".join(f"{word:>{COLUMN}}" for word in PRECISIONS), " model", flush=True)
    models = sorted(arguments.folder.rglob("*.onnx"))
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            report = _tried(model, Path(folder), arguments.capability, (least, typical, largest))
        jobs = {job["precision"]: job for job in report["jobs"]}
        built.update(word for word, job in jobs.items() if job["engine"] is not None)
        name = str(model.relative_to(arguments.folder))
        print(" ".join(f"{_told(jobs.get(word)):>{COLUMN}}" for word in PRECISIONS), f" {name}", flush=True)
        for reason in sorted(set(_reasons(report))):
            print(f"    {reason}", flush=True)
    print(f"of {len(models)} models built: {', '.join(f'{built[word]} in {word}' for word in PRECISIONS)}")


def _tried(model: Path, folder: Path, capability: str, sizes: Range) -> dict[str, Any]:
    shutil.copy(model, folder / "model.onnx")
    inputs = input_facts(folder / "model.onnx")
    shapes = _shapes(inputs, sizes)
    data: dict[str, Any] = {tensor.name: _samples(tensor, shapes[tensor.name][1]) for tensor in inputs}
    np.savez(folder / "data.npz", **data)
    profile = {tensor.name: dict(zip(("min", "opt", "max"), shapes[tensor.name], strict=True))
               for tensor in inputs if tensor.dynamic}  # fmt: skip
    manifest = {
        "name": "model",
        "onnx": "model.onnx",
        "targets": [{"compute_capability": capability, "runtime": "tensorrt-rtx"}],
        "precisions": list(PRECISIONS),
        "calibration": {"data": "data.npz"},
        "accuracy": {"data": "data.npz", "tolerances": {"cosine": 0}},
        **({"profiles": [profile]} if profile else {}),
    }
    (folder / "trt-engines.yaml").write_text(json.dumps({"version": 1, "models": [manifest]}))
    command = [sys.executable, str(ROOT / "entrypoint.py"), "run", "--cache", "none"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    path = folder / "engines/report.json"
    if not path.exists():
        sys.exit(f"{model}: {result.stderr}")
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def _shapes(inputs: Sequence[TensorFacts], sizes: Range) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Input name -> its least, typical and largest shape."""
    named: dict[str, Range] = {}
    shapes = {}
    for tensor in inputs:
        ranges: list[Range] = []
        for axis, size in enumerate(tensor.shape):
            if isinstance(size, int):
                ranges.append((size, size, size))
            else:
                range_ = BATCHES if axis == 0 else sizes
                ranges.append(named.setdefault(size, range_) if size else range_)
        least, typical, largest = ([range_[place] for range_ in ranges] for place in range(3))
        shapes[tensor.name] = (least, typical, largest)
    return shapes


def _samples(tensor: TensorFacts, shape: list[int]) -> npt.NDArray[Any]:
    generator, dtype = np.random.default_rng(0), np.dtype(tensor.dtype)
    if dtype.kind == "f":
        return generator.normal(size=(SAMPLES, *shape)).astype(dtype)
    return generator.integers(0, 2, (SAMPLES, *shape)).astype(dtype)


def _told(job: dict[str, Any] | None) -> str:
    if job is None or job["engine"] is None:
        return "-"
    cosines = [output["cosine_min"] for output in (job["accuracy"] or {}).get("outputs", ())]
    known = [cosine for cosine in cosines if cosine is not None]
    return f"{min(known):.5f}" if known else "built"


def _reasons(report: dict[str, Any]) -> Iterator[str]:
    failures = [job["failure"] for job in report["jobs"] if job["engine"] is None]
    for failure in filter(None, (*failures, *report["failures"])):
        yield f"{failure['what']}: {failure['why']}"[:160].replace("\n", " ")


if __name__ == "__main__":
    main()
