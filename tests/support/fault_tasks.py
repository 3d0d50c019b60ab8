"""Tasks that misbehave where a test wants it, and else do the real work, or give again what that once gave."""

from __future__ import annotations

import base64
import contextlib
import errno
import fnmatch
import importlib
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
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
    """``request`` is that of the task, and ``act`` in it has the task, the fault or null, and what it once gave."""
    fault = request["act"]["fault"]
    if fault is None:
        return _work(request, folder)
    does: Callable[[dict[str, Any], Path], dict[str, Any]] = globals()[f"_{fault['fault']}"]
    return does(request, folder)


def recorded(place: Path) -> dict[str, Any] | None:
    """What was recorded at ``place``: the outcome, and each file in Base64; ``None`` where nothing was."""
    if not (place / OUTCOME).exists():
        return None
    files = {path.name: path.read_bytes() for path in place.iterdir() if path.name != OUTCOME}
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    return {"outcome": json.loads((place / OUTCOME).read_text()), "files": encoded}


def record(place: Path, folder: Path, outcome: Mapping[str, Any]) -> None:
    """Keep at ``place`` what a task gave. The first of several that do so at once wins."""
    half = Path(tempfile.mkdtemp(dir=place.parent))
    for path in folder.iterdir():
        if path.is_file():
            shutil.copyfile(path, half / path.name)
    (half / OUTCOME).write_text(json.dumps(outcome))
    try:
        half.rename(place)
    except OSError:
        shutil.rmtree(half)


def _work(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    told = request["act"]
    if told["recorded"] is not None:
        for name, data in told["recorded"]["files"].items():
            (folder / name).write_bytes(base64.b64decode(data))
        given: dict[str, Any] = told["recorded"]["outcome"]
        return given
    module, _, function = TASKS[told["task"]].partition(":")
    own = {name: value for name, value in request.items() if name != "act"}
    outcome: dict[str, Any] = getattr(importlib.import_module(module), function)(own, folder)
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
    with contextlib.suppress(OSError):  # where a child may start none
        subprocess.Popen([sys.executable, "-c", SLEEPER])
    time.sleep(600)
    return {}


def _wait(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    time.sleep(request["act"]["fault"]["wait_s"])
    return _work(request, folder)


def _flood(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    line = b"[V] Tactic: 0x0 Time: 0.01\n" * 4096
    for _ in range(request["act"]["fault"]["print_bytes"] // len(line)):
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
    return outcome | {named: request["act"]["fault"]["path"]}


def _link(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Give a link to a file outside of the folder as the engine."""
    outcome = _work(request, folder)
    path = next(folder / value for value in outcome.values() if isinstance(value, str) and (folder / value).is_file())
    path.unlink()
    path.symlink_to(request["act"]["fault"]["path"])
    return outcome


def _lie(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Say another digest and another size than those of the file."""
    return _work(request, folder) | {"digest": f"sha256:{'0' * 64}", "engine_digest": f"sha256:{'0' * 64}"}


def _other_gpu(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Give a plan whose header names another compute capability, 7.5, and say nothing of it."""
    outcome = _work(request, folder)
    _patched(folder / outcome["engine"], 32, struct.pack("<I", 1))
    return outcome


def _other_runtime(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Give a plan that calls itself one of full TensorRT."""
    outcome = _work(request, folder)
    _patched(folder / outcome["engine"], 0, b"ftrt")
    return outcome


def _half(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Give half a plan, and say how long that is."""
    outcome = _work(request, folder)
    path = folder / outcome["engine"]
    os.truncate(path, path.stat().st_size // 2)
    return outcome | {"size_bytes": path.stat().st_size}


def _patched(path: Path, place: int, data: bytes) -> None:
    plan = bytearray(path.read_bytes())
    plan[place : place + len(data)] = data
    path.write_bytes(plan)


def _tell_environment(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Print its own environment, as the interpreter and the kernel have it."""
    print(dict(os.environ), Path(f"/proc/{os.getpid()}/environ").read_bytes(), flush=True)
    return _work(request, folder)


BAD = ("crash", "killed", "no_memory", "full_disk", "nothing", "empty", "outside", "link", "lie")
"""The faults that end at once."""
