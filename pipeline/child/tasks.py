"""Every task that a child process can be asked for, by name. A new one is one line."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "inspect-model": "pipeline.prepare.onnx_model:inspect_model",
        "check-operators": "pipeline.build.worker:check_operators",
        "check-data": "pipeline.verify.data_check:check_data",
        "calibrate": "pipeline.prepare.calibration:calibrate",
        "reuse-table": "pipeline.prepare.calibration_reuse:reuse_table",
        "calibrate-native": "pipeline.build.native_calibration:calibrate_native",
        "prepare": "pipeline.prepare.precision:prepare_model",
        "build": "pipeline.build.worker:build_engine",
        "refit": "pipeline.build.refit:refit_engine",
        "verify": "pipeline.verify.compare:verify_model",
        "verify-engine": "pipeline.engine.check:verify_engine",
        "inspect-engine": "pipeline.inspection.engine:inspect_engine",
        "rebuild": "pipeline.build.rebuild:rebuild_engine",
        "benchmark": "pipeline.bench.benchmark:benchmark_engine",
        "benchmark-original": "pipeline.bench.originals:benchmark_original",
    }
)
"""Name -> ``module:function``. A task is ``(request: dict, folder: Path) -> dict``, both JSON objects; ``folder`` is
private and empty, and what the task writes goes there. It raises ``PipelineError`` for failures that it expects. It
reads what its request names in the parts that ``pipeline.child.inputs`` lists, and it starts no process."""

PROGRAM_TASKS = frozenset({"benchmark-original"})
"""Tasks that start a program which the manifest names, and may do so."""
