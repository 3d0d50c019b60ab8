"""What the step adds to a build with full TensorRT, and whether its timing is right. Needs an NVIDIA GPU.

    python -m benchmarks.gpu_overhead MODEL.onnx INPUT MIN OPT MAX [LEVEL] [ROUNDS]     shapes like 1x3x224x224

Builds an FP16 engine in turn by a bare script and by the step, each in processes of its own and from nothing cached,
and prints the ratio of the wall times of the build; then times the step's engine at OPT by the bare script and prints
the ratio of the medians. Fails where the build takes more than 1.05 times as long, or the medians differ by 2 %.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MOST_BUILD_RATIO, MOST_TIMING_DIFFERENCE = 1.05, 0.02
MANIFEST = """
version: 1
models:
  - name: model
    onnx: model.onnx
    profiles: [{{{name}: {{min: [{low}], opt: [{best}], max: [{high}]}}}}]
    targets: [{{compute_capability: "{capability}"}}]
    precisions: [fp16]
    benchmark: {{duration_s: 5}}
    build:
      optimization_level: {level}
      profiling_verbosity: detailed
      tactic_sources: [edge-mask-convolutions, jit-convolutions]
"""


def main() -> None:
    """Build and time in turn, print, and fail where a bound is missed."""
    model, name, *shapes = sys.argv[1:6]
    level, rounds = (int(sys.argv[index]) if len(sys.argv) > index else 1 for index in (6, 7))
    bare_s, step_s, run_s, timing = [], [], [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            engine = Path(folder, "bare.engine")
            bare_s.append(_seconds("bare_tensorrt.py", "build", model, str(engine), str(level), name, *shapes))
            whole_s, job = _step(Path(folder), model, name, shapes, level)
            step_s.append(job["build_s"])
            run_s.append(whole_s)
            built = Path(folder, "engines", job["engine"]["path"])
            timing.append((job["speed"]["engine"]["compute"]["p50_ms"], _median_ms(built, shapes[1])))
        print(f"round {number}: bare {bare_s[-1]:.1f} s, step {step_s[-1]:.1f} s of {run_s[-1]:.1f} s, "
              f"medians {timing[-1][0]:.4f} and {timing[-1][1]:.4f} ms", flush=True)  # fmt: skip
    build_ratio = statistics.median(step / bare for step, bare in zip(step_s, bare_s, strict=True))
    difference = statistics.median(step / bare for step, bare in timing) - 1
    print(f"build at level {level}: {build_ratio:.3f} times the bare script, at most {MOST_BUILD_RATIO}")
    print(f"median GPU time: {difference:+.2%} of the bare script's, at most {MOST_TIMING_DIFFERENCE:.0%}")
    sys.exit(build_ratio > MOST_BUILD_RATIO or abs(difference) > MOST_TIMING_DIFFERENCE)


def _seconds(script: str, *arguments: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "benchmarks" / script), *arguments], check=True)
    return time.perf_counter() - begun


def _median_ms(engine: Path, shape: str) -> float:
    command = [sys.executable, str(ROOT / "benchmarks/bare_tensorrt.py"), "time", str(engine), shape, "5"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def _step(folder: Path, model: str, name: str, shapes: list[str], level: int) -> tuple[float, dict[str, Any]]:
    shutil.copyfile(model, folder / "model.onnx")
    low, best, high = (shape.replace("x", ", ") for shape in shapes)
    text = MANIFEST.format(name=name, low=low, best=best, high=high, capability=_capability(), level=level)
    (folder / "trt-engines.yaml").write_text(text)
    begun = time.perf_counter()
    command = [sys.executable, str(ROOT / "entrypoint.py"), "run", "--cache", "cache"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    report = json.loads((folder / "engines/report.json").read_text())
    job: dict[str, Any] = report["jobs"][0]
    return time.perf_counter() - begun, job


def _capability() -> str:
    sys.path.insert(0, str(ROOT))
    from pipeline.machine.devices import installed_gpus

    major, minor = installed_gpus()[0].compute_capability
    return f"{major}.{minor}"


if __name__ == "__main__":
    main()
