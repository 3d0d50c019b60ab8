"""Times a model in PyTorch, in the interpreter that has it. Runs in a child process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.bench.timed import Timed
from pipeline.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from pipeline.bench.gpu_watch import GpuWatch

_SCRIPT = Path(__file__).with_name("torch_script.py")
_PRECISIONS = {"float32": "fp32", "float16": "fp16"}
_LONGEST_REASON = 500
_OURS = ("LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
"""Variables that lead to this interpreter's libraries, and would mislead another's."""


def time_pytorch(
    request: Mapping[str, Any], inputs: Mapping[str, npt.NDArray[Any]], watch: GpuWatch, folder: Path
) -> tuple[Timed, ...]:
    """Inference in FP32 and FP16, eager and from a CUDA graph, by events; by the host's clock where there is no GPU.

    Raises ``ModelError`` where the interpreter, torch or the model fails.
    """
    told = request["pytorch"]
    paths = []
    for number, name in enumerate(told["inputs"] or inputs):
        if name not in inputs:
            raise ModelError(
                f"the model has no input {name!r}", fix=f"name its inputs in `pytorch.inputs`: {', '.join(inputs)}"
            )
        paths.append(str(folder / f"input-{number}.npy"))
        np.save(paths[-1], inputs[name])
    question = {
        "warmup_s": request["warmup_s"],
        "duration_s": request["duration_s"],
        "arrays": paths,
        "dtypes": list(_PRECISIONS),
        "model": told["model"],
        "folder": told["folder"],
    }
    with watch:
        answer = _asked(told["interpreter"], question)
    why_cpu = answer["why_cpu"]
    return tuple(
        Timed(
            samples_ms=tuple(each["samples_ms"]),
            wall_s=each["wall_s"],
            warmup_s=each["warmup_s"],
            stable=each["stable"],
            device=answer["device"],
            version=answer["version"],
            precision=_PRECISIONS[each["dtype"]],
            cuda_graph=each["cuda_graph"],
            peak_memory_bytes=each["peak_memory_bytes"],
            gpu=watch.state_between(*each["measured_between_s"]) if why_cpu is None else None,
            warnings=() if why_cpu is None else (f"PyTorch ran on the CPU: {why_cpu[:_LONGEST_REASON]}",),
        )
        for each in answer["measurements"]
    )


def _asked(interpreter: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """The script's answer, the last line that it prints."""
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    try:
        done = subprocess.run(
            [interpreter, str(_SCRIPT)],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
    except OSError as error:
        raise ModelError(
            f"{interpreter} cannot be run", why=str(error), fix="correct `benchmark.pytorch.interpreter`"
        ) from error
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        reason = done.stderr.strip().splitlines()[-1:] or ["it gave no reason"]
        raise ModelError(
            "the PyTorch model cannot be timed",
            why=reason[0][:_LONGEST_REASON],
            fix="correct `benchmark.pytorch`, or remove it",
        )
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
