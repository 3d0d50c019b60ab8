"""Tasks that do what they are told, for the tests of the child process."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError

TASKS = {
    name: f"tests.support.child_tasks:{name}"
    for name in (
        "allocate", "crash", "exit_early", "fail", "flood", "hang", "kill_itself", "lie", "look_around", "mistake",
        "overflow_disk", "repeat", "say_then_crash", "unserializable",
    )
}  # fmt: skip


def repeat(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "written").write_text("by the child")
    return request


def fail(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    raise ModelError("what", why="why", fix="fix", where="where")


def mistake(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    raise KeyError("no such tensor")


def unserializable(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {"cosine": float("nan")}


def crash(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def say_then_crash(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    print("fine so far\n[E] Error: CHECK(layer) failed\n[E] cudaError 35: CUDA driver is insufficient", file=sys.stderr)
    os.abort()


def kill_itself(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def exit_early(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    os._exit(request["code"])


def allocate(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {"bytes": len(bytearray(request["bytes"]))}


def overflow_disk(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "engine.plan"))


def hang(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Sleep for ever, deaf to SIGTERM; the process id goes to a file."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note = folder / "pid.tmp"
    note.write_text(str(os.getpid()))
    note.rename(folder / "pid")
    time.sleep(600)
    return {}


def flood(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Print ``bytes`` bytes to stdout and stderr in turn, with a first and a last line of its own."""
    print("the first line", file=sys.stderr, flush=True)
    line = b"x" * 65535 + b"\n"
    for number in range(request["bytes"] // len(line)):
        os.write(1 + number % 2, line)
    print("the last line", file=sys.stderr, flush=True)
    return {}


def lie(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``text``, ``times`` over, where the outcome belongs, and leave."""
    pipes = [descriptor for descriptor, target in _descriptors() if target.startswith("pipe:")]
    outcome_fd = max(pipes)
    data = request["text"].encode() * request.get("times", 1)
    while data:
        data = data[os.write(outcome_fd, data) :]
    os._exit(0)


def _descriptors() -> list[tuple[int, str]]:
    """Every open descriptor and what it is, except the one that lists them."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append((int(link.name), str(link.readlink())))
    return found


def look_around(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "environment": dict(os.environ),
        "descriptors": len([target for _, target in _descriptors() if not target.endswith("/fd")]),
        "folder": str(Path.cwd()),
        "session": os.getsid(0) == os.getpid(),
    }
