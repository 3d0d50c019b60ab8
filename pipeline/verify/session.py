"""ONNX Runtime sessions for comparing models. Runs in a child process: it loads onnxruntime.

No graph optimization: the optimizer may fuse Q/DQ pairs into integer kernels, or drop pairs and casts whose rounding is
the very thing to be measured. One thread: results then do not depend on the machine's cores, and the caller runs
many comparisons side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

_ERRORS_ONLY = 3


class Session:
    """A model ready to run on the CPU."""

    def __init__(self, model: Path, subject: str) -> None:
        """Load ``model``; ``subject`` names it in messages. Raises ``ModelError`` where ONNX Runtime refuses it."""
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._subject = subject
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no class but this one.
            raise ModelError(
                f"ONNX Runtime cannot load the {subject}",
                why=_reason(error),
                fix="leave this model's `accuracy` out, or replace the operator",
            ) from error
        self.output_names = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Output name -> array. Raises ``ModelError`` where the model fails on these inputs or gives no tensor."""
        import numpy as np

        try:
            values = self._session.run(self.output_names, dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions share no class but this one.
            raise ModelError(
                f"the {self._subject} fails on the evaluation data",
                why=_reason(error),
                fix="check that the data has the shapes that the model takes",
            ) from error
        for name, value in zip(self.output_names, values, strict=True):
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
                raise ModelError(f"output {name!r} of the {self._subject} is no tensor of numbers")
        return dict(zip(self.output_names, values, strict=True))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
