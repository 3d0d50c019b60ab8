"""Tasks that misbehave where a test wants it, and else do the real work, or give again what that once gave."""

from __future__ import annotations

import errno
import fnmatch
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.child.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OUTCOME = "recorded-outcome.json"
SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def name_of(task: str, request: Mapping[str, Any]) -> str:
    """What a task does, as one word, such as ``build-int8-8.9``."""
    capability = ".".join(map(str, request.get("compute_capability", ())))
    words = (task, request.get("precision"), capability, request.get("method"))
    return "-".join(str(word) for word in words if word)


def matching(name: str, faults: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first fault that is meant for ``name``."""
    return next((fault for fault in faults if fnmatch.fnmatchcase(name, fault["name"])), None)


def act(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """``request`` has the task, its own request, the fault or null, and the folder of recordings or null."""
    fault = request["fault"]
    if fault is None:
        return _work(request, folder)
    does: Callable[[dict[str, Any], Path], dict[str, Any]] = globals()[f"_{fault['fault']}"]
    return does(request, folder)


def _work(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    task = request["task"]
    kept = Path(request["recordings"]) / name_of(task, request["request"]) if request["recordings"] else None
    if kept is not None and (kept / OUTCOME).exists():
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        outcome: dict[str, Any] = json.loads((folder / OUTCOME).read_text())
        (folder / OUTCOME).unlink()
        return outcome
    module, _, function = TASKS[task].partition(":")
    outcome = getattr(importlib.import_module(module), function)(request["request"], folder)
    if kept is not None:
        half = kept.with_name(f"{kept.name}.{os.getpid()}")
        shutil.copytree(folder, half)
        (half / OUTCOME).write_text(json.dumps(outcome))
        half.rename(kept)
    return outcome


def _crash(_request: dict[str, Any], _folder: Path) -> dict[str, Any]:
    print("[E] Error: CHECK(layer) failed", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def _killed(_request: dict[str, Any], _folder: Path) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def _hang(_request: dict[str, Any], _folder: Path) -> dict[str, Any]:
    """Sleep, deaf to SIGTERM, with a child that does the same."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", SLEEPER])
    time.sleep(600)
    return {}


def _wait(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    time.sleep(request["fault"]["wait_s"])
    return _work(request, folder)


def _flood(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    line = b"[V] Tactic: 0x0 Time: 0.01\n" * 4096
    for _ in range(request["fault"]["print_bytes"] // len(line)):
        os.write(1, line)
    return _work(request, folder)


def _no_memory(_request: dict[str, Any], _folder: Path) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    return {"bytes": len(bytearray(1 << 40))}


def _full_disk(_request: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "engine.plan").write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "engine.plan"))


def _nothing(_request: dict[str, Any], _folder: Path) -> dict[str, Any]:
    return {}


def _empty(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    outcome = _work(request, folder)
    for path in folder.iterdir():
        path.write_bytes(b"")
    return outcome


def _outside(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Name a file outside of the folder as the engine."""
    outcome = _work(request, folder)
    named = next(key for key, value in outcome.items() if isinstance(value, str) and (folder / value).is_file())
    return outcome | {named: request["fault"]["path"]}


def _link(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Give a link to a file outside of the folder as the engine."""
    outcome = _work(request, folder)
    path = next(folder / value for value in outcome.values() if isinstance(value, str) and (folder / value).is_file())
    path.unlink()
    path.symlink_to(request["fault"]["path"])
    return outcome


def _lie(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Say another digest and another size than those of the file."""
    return _work(request, folder) | {"digest": f"sha256:{'0' * 64}", "engine_digest": f"sha256:{'0' * 64}"}


def _tell_environment(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Print its own environment, as the interpreter and the kernel have it."""
    print(dict(os.environ), Path(f"/proc/{os.getpid()}/environ").read_bytes(), flush=True)
    return _work(request, folder)


BAD = ("crash", "killed", "no_memory", "full_disk", "nothing", "empty", "outside", "link", "lie")
"""The faults that end at once."""
