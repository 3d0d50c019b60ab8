"""What it costs to confine a child: from the call to the result of a task that does nothing.

    python -m benchmarks.child_start [--rounds 60]

Starts children in turn as they are and without their confinement, which is left out on both sides, imports and all.
Prints medians and spread, the cost, and what could not be had on this machine; fails where the cost is above 50 ms.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

from pipeline.child import launch, supervisor
from pipeline.child.confinement import confinement_for

BOUND_S = 0.05
TASKS = {"nothing": "benchmarks.nothing:nothing"}
UNCONFINED = """\
import sys, types
stub = types.ModuleType("pipeline.child.confinement")
stub.confine = lambda *_: ()
stub.confinement_from_json = stub.die_with = lambda *_: None
sys.modules[stub.__name__] = stub
"""


def main() -> None:
    """Measure, print, and leave with 1 where the bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        base.chmod(0o711)
        confined, unconfined = [], []
        for number in range(rounds + 1):
            confined.append(seconds_of_a_child(base / f"{number}-confined"))
            with without_confinement(base):
                unconfined.append(seconds_of_a_child(base / f"{number}-unconfined"))
        missing = (base / "log").read_text()
    print(f"Python {platform.python_version()}, {platform.machine()}, {rounds} rounds in turn")
    for kind, values in (("unconfined", unconfined[1:]), ("confined", confined[1:])):
        median_ms = statistics.median(values) * 1e3
        print(f"{kind:10} median {median_ms:6.1f} ms, from {min(values) * 1e3:.1f} to {max(values) * 1e3:.1f} ms")
    cost_s = statistics.median(with_ - without for with_, without in zip(confined[1:], unconfined[1:], strict=True))
    print(f"cost       median {cost_s * 1e3:6.1f} ms, at most {BOUND_S * 1e3:g} ms")
    print(f"not to be had here: {missing.strip() or 'nothing'}")
    sys.exit(cost_s > BOUND_S)


def seconds_of_a_child(folder: Path) -> float:
    """Wall seconds of one child, with ``folder`` for it."""
    folder.mkdir(parents=True)
    started = time.perf_counter()
    supervisor.run_task(
        "nothing", {}, folder, timeout_s=60, cancel=threading.Event(), log=folder.parent / "log", _tasks=TASKS
    )
    return time.perf_counter() - started


def without_confinement(base: Path) -> ExitStack:
    """Children that start as they did before there was any."""
    stack = ExitStack()
    fixed = confinement_for({}, base, base, code=(), memory_bytes=None, gpu=False, programs=False)
    stack.enter_context(mock.patch.object(supervisor, "confinement_for", return_value=fixed))
    stack.enter_context(mock.patch.object(launch, "_PROGRAM", UNCONFINED + launch._PROGRAM))  # noqa: SLF001
    return stack


if __name__ == "__main__":
    main()
