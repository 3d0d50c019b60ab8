"""Builds an engine again from the tactics that were kept with it, and says tactic by tactic what came out otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.build.backend import backend_from_runtime
from pipeline.build.request import request_from_json
from pipeline.inspection.engine import engine_layers
from pipeline.inspection.layers import layers_from_json
from pipeline.inspection.tactics import tactic_differences


def rebuild_engine(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Task ``rebuild``: ``request["build"]`` is a ``BuildRequest`` as JSON, ``request["layers"]`` the first build's.

    The timing cache of the request is read and not written. Returns ``differences``, each with ``layer``, ``before``
    and ``after``, and ``layers``, the number that were compared. Raises ``BuildError``.
    """
    asked = request_from_json(request["build"])
    built = backend_from_runtime(asked.runtime).build_engine(asked, folder)
    first = layers_from_json(json.loads(Path(request["layers"]).read_text(encoding="utf-8")))
    second, _ = engine_layers(folder / built.engine, profile=False)
    differences = tactic_differences(first, second)
    return {
        "layers": len(second.layers),
        "differences": [{"layer": each.layer, "before": each.before, "after": each.after} for each in differences],
        "warnings": list(built.warnings),
    }
