"""The step itself, with children that misbehave where a plan says so.

As a program (``faulty_entry``) its first argument is a JSON file, the rest are the step's own. The file holds
``faults``, each with a glob over names of ``fault_tasks.name_of`` and the ``fault``, and ``recordings``, a folder that
spares the real work where it was done before. ``handed`` is a file that tells what children were given, a line of JSON
for each file: its path and its digest. What has no fault is held to no time limit: how long it takes is the machine's
business. ``kept`` says what must be in the cache before the time limit of the run counts as reached.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pipeline.commands.main_job
import pipeline.run
from pipeline.action.step import run_step
from pipeline.child import supervisor
from pipeline.child.inputs import inputs_from_request
from pipeline.digest import digest_from_file
from pipeline.time_limits import JobBudget, RunLimit
from tests.support.fault_tasks import matching, name_of, record, recorded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "examples/digits/trt-engines.yaml"


def start_step(
    folder: Path,
    *arguments: str,
    faults: Sequence[Mapping[str, Any]] = (),
    recordings: Path | None = None,
    kept: Mapping[str, int] | None = None,
    handed: Path | None = None,
    environment: Mapping[str, str] | None = None,
    closed: str = "",
    **options: Any,
) -> subprocess.Popen[str]:
    """Start the step in ``folder``, with a temporary folder of its own there.

    ``closed`` is like ``>&-`` of the shell.
    """
    plan = Path(tempfile.mkstemp(prefix="faults-", suffix=".json")[1])
    plan.chmod(0o644)
    told = {
        "faults": list(faults),
        "recordings": str(recordings) if recordings else None,
        "kept": dict(kept or {}),
        "handed": str(handed) if handed else None,
    }
    plan.write_text(json.dumps(told))
    (folder / "tmp").mkdir(exist_ok=True)
    basic = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.faulty_entry", str(plan), *arguments]
    return subprocess.Popen(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command] if closed else command,
        cwd=folder,
        env=basic | dict(environment or {}),
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )


def plan_file(process: subprocess.Popen[str]) -> Path:
    """The file that is gone once the step has begun."""
    words = process.args if isinstance(process.args, list) else []
    return Path(next(word for word in map(str, words) if word.endswith(".json")))


def run_step_in(
    folder: Path, *arguments: str, timeout_s: float = 120, **options: Any
) -> subprocess.CompletedProcess[str]:
    """``start_step`` to its end."""
    process = start_step(folder, *arguments, **options)
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout or "", stderr or "")


def has_kept(folder: Path, counts: Mapping[str, int]) -> bool:
    """Whether the cache of the step in ``folder`` has so many entries of each kind."""
    receipts = folder / ".trt-cache/v1/receipt"
    return all(len(list(receipts.glob(f"{kind}/*/*"))) >= count for kind, count in counts.items())


def report_in(folder: Path, out: str = "engines") -> dict[str, Any]:
    """The report of the last run there."""
    report: dict[str, Any] = json.loads((folder / out / "report.json").read_text())
    return report


def statuses_in(folder: Path) -> dict[str, str]:
    """Job id -> how it ended."""
    return {job["id"]: job["status"] for job in report_in(folder)["jobs"]}


def _note_handed(request: Mapping[str, Any], path: Path) -> None:
    """In one write, because many threads start children at once."""
    files = [each for each in dict.fromkeys(inputs_from_request(request)) if each.is_file()]
    lines = (json.dumps([str(each), str(digest_from_file(each))]) for each in files)
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def step(plan: str, *arguments: str) -> int:
    """Run the step by ``plan``, which is removed when it begins."""
    told = json.loads(Path(plan).read_text())
    Path(plan).unlink()

    def run_task(task: str, request: Mapping[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
        name = name_of(task, request)
        place = Path(told["recordings"]) / name if told["recordings"] else None
        known = recorded(place) if place is not None else None
        act = {"task": task, "fault": matching(name, told["faults"]), "recorded": known}
        if act["fault"] is None:
            options["timeout_s"] = math.inf
        if told["handed"]:
            _note_handed(request, Path(told["handed"]))
        tasks = {task: "tests.support.fault_tasks:act"}
        outcome = supervisor.run_task(task, {**request, "act": act}, folder, _tasks=tasks, **options)
        if place is not None and known is None and act["fault"] is None:
            record(place, folder, outcome)
        return outcome

    class LimitOnceKept(RunLimit):
        def _reach(self) -> None:
            while not has_kept(Path(), told["kept"]):
                time.sleep(0.05)
            super()._reach()

    class EndlessBudget(JobBudget):
        def spend(self, elapsed_s: float) -> None:
            pass

    vars(pipeline.run).update(run_task=run_task, JobBudget=EndlessBudget)
    vars(pipeline.commands.main_job)["RunLimit"] = LimitOnceKept
    return run_step(arguments, os.environ)
