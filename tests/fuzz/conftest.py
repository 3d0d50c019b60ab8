"""What needs atheris, which is there for Linux on x86-64 alone, is left out elsewhere, but never in CI."""

from __future__ import annotations

import importlib.util
import os

collect_ignore = (
    [] if importlib.util.find_spec("atheris") or os.environ.get("CI") == "true" else ["fuzz.py", "test_fuzzer.py"]
)
