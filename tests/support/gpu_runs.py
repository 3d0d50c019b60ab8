"""Runs of the main job on a GPU with full TensorRT, on examples/digits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline.machine.devices import installed_gpus

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/digits"
PRECISIONS = ("fp32", "tf32", "fp16", "int8", "int8-fp16")
MANIFEST = """
version: 1
models:
  - name: digits
    onnx: model.onnx
    profiles:
      - image: {{min: [{least}, 1, 8, 8], opt: [{usual}, 1, 8, 8], max: [{most}, 1, 8, 8]}}{profiles}
    targets: [{{compute_capability: "{capability}"}}]
    precisions: [{precisions}]
    calibration: {{{calibration}}}
    build:
      optimization_level: 1
      int8: {int8}
      tactic_sources: [edge-mask-convolutions, jit-convolutions]
      # The builder leaves a network as small as this one in FP32 where that is faster.
      min_precision_share: {share}
      {build}
    accuracy: {{data: evaluation.npz, labels: evaluation-labels.npy, tolerances: {{top1-drop: 1.0, cosine: {cosine}}}}}
    {more}
"""

BENCHMARK = """benchmark:
      duration_s: 1
      warmup_s: 0.5
      streams: 2
      items: {per_inference: 8, unit: images}
      originals: [onnxruntime]
"""


def run(
    folder: Path,
    *,
    int8: str = "explicit",
    method: str = "entropy",
    calibration: str = "",
    cosine: float = 0.95,
    share: float = 0,
    build: str = "",
    more: str = "",
    batches: tuple[int, int, int] = (1, 8, 32),
    profiles: str = "",
    only: str = "*",
    out: str = "engines",
) -> dict[str, Any]:
    """Run the main job in ``folder``; the report, with ``returncode`` added.

    A run that is to fail has an ``out`` of its own: it removes what was delivered there before.
    """
    text = MANIFEST.format(
        capability=capability(),
        precisions=", ".join(PRECISIONS),
        int8=int8,
        calibration=calibration or f"data: calibration.npz, method: {method}",
        cosine=cosine,
        share=share,
        build=build,
        least=batches[0],
        usual=batches[1],
        most=batches[2],
        profiles=profiles,
        more=more,
    )
    shutil.copytree(EXAMPLE, folder / "digits", dirs_exist_ok=True)
    (folder / "digits/gpu.yaml").write_text(text)
    _let_everybody_pass(folder)
    result = entrypoint(folder, "run", "--manifest", "digits/gpu.yaml", "--only", only, "--out", out)
    print(result.stdout, result.stderr)
    report: dict[str, Any] = json.loads((folder / out / "report.json").read_text())
    return report | {"returncode": result.returncode}


def _let_everybody_pass(folder: Path) -> None:
    """Make ``folder`` like a runner's workspace, where the children of a root step are nobody."""
    temporary = Path(tempfile.gettempdir())
    for each in (folder, *folder.parents):
        if temporary in each.parents and each.stat().st_uid == os.geteuid():
            each.chmod(each.stat().st_mode | 0o055)


def entrypoint(
    folder: Path, *arguments: str, timeout_s: float = 280, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run one command in ``folder``; none may leave a traceback."""
    result = subprocess.run(
        [sys.executable, str(ROOT / "entrypoint.py"), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def capability() -> str:
    """The compute capability of the first GPU, such as ``9.0``."""
    major, minor = installed_gpus()[0].compute_capability
    return f"{major}.{minor}"
