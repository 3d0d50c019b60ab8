"""How long the light commands take, against importing what any such tool imports.

    python -m benchmarks.startup [--rounds 15]

Runs the main job on a copy of examples/digits once, so that everything is cached, then times, in turn, a bare
``import yaml, jsonschema, numpy``, the cached run, ``validate`` and ``--help``, each as a process of its own. Prints
medians, spread and ratios, and fails where a ratio is above its bound or a cached run loads a native package. A ratio
is the median of those within each round, so that a machine that slows down for a while slows both.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from operator import truediv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = ROOT / "examples/digits/trt-engines.yaml"
BASE = "import yaml, jsonschema, numpy"
NATIVE = ("onnx", "onnxruntime", "tensorrt_rtx_bindings")
BOUNDS = {"cached run": 3.0, "validate": 2.0, "--help": 2.0}


def main() -> None:
    """Measure, print, and leave with 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        entry = [sys.executable, str(ROOT / "entrypoint.py")]
        commands = {
            "base": [sys.executable, "-c", BASE],
            "cached run": [*entry, "run", "--manifest", str(MANIFEST)],
            "validate": [*entry, "validate", "--manifest", str(MANIFEST)],
            "--help": [*entry, "--help"],
        }
        seconds_of(commands["cached run"], folder)
        loaded = native_packages_of_a_cached_run(folder)
        samples: dict[str, list[float]] = {name: [] for name in commands}
        for command in commands.values():
            seconds_of(command, folder)  # Brings what it reads into the page cache.
        for _ in range(rounds):
            for name, command in commands.items():
                samples[name].append(seconds_of(command, folder))
    print(f"Python {platform.python_version()}, {platform.machine()}, {rounds} rounds in turn")
    missed = bool(loaded)
    for name, values in samples.items():
        median_s = statistics.median(values)
        ratio = statistics.median(map(truediv, values, samples["base"]))
        bound = BOUNDS.get(name)
        told = f"{ratio:5.2f} x base, at most {bound:g}" if bound else f"(`{BASE}`)"
        print(f"{name:12} median {median_s:.3f} s, from {min(values):.3f} to {max(values):.3f} s  {told}")
        missed = missed or (bound is not None and ratio > bound)
    print(f"native packages loaded by the cached run: {', '.join(loaded) or 'none'}")
    sys.exit(missed)


def seconds_of(command: list[str], folder: str) -> float:
    """Wall seconds of a process that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def native_packages_of_a_cached_run(folder: str) -> list[str]:
    """Which of ``NATIVE`` the main process imported."""
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pipeline.commands.cli import main; "
        f"main(['run', '--manifest', {str(MANIFEST)!r}], {{}}); "
        f"print('\\n', *({set(NATIVE)} & sys.modules.keys()), sep='')"
    )
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return [name for name in NATIVE if name in output.splitlines()[-1]]


if __name__ == "__main__":
    main()
