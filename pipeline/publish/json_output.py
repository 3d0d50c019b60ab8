"""JSON for a program that reads stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

from pipeline.publish.stream import ForgivingStream


def print_json(value: Any) -> None:
    """Print one JSON document. A reader that went away is no error: the exit code still tells how it ended."""
    ForgivingStream(sys.stdout).write(json.dumps(value, indent=2) + "\n")
