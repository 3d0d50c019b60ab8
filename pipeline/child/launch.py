"""Starting a child: its command, its environment, and the three ways in and out of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.child.kernel import PR_SET_DUMPABLE, prctl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.child.confinement import Confinement

ROOT = Path(__file__).resolve().parents[2]
_KEPT = (
    "PATH",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
)
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from pipeline.child.worker import main; main(sys.argv[2:])"


def child_environment(environment: Mapping[str, str], home: Path, gpu: str | None = None) -> dict[str, str]:
    """What a child may know of ``environment``: an allow-list, so that no token reaches native code.

    ``gpu`` is the UUID of the one GPU that it may see, which is then its device 0.
    What CUDA compiles for a GPU it keeps in ``home``, and nowhere that the next child reads.
    """
    kept = {name: environment[name] for name in _KEPT if name in environment}
    chosen = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
    return {**kept, **chosen, "HOME": str(home), "TMPDIR": str(home), "CUDA_CACHE_PATH": str(home)}


def code_of(entry: str) -> tuple[Path, ...]:
    """The folders that hold what a child runs for ``entry``: this package, and the one that the entry is in."""
    return tuple(sorted({ROOT / "pipeline", ROOT / entry.partition(".")[0]}))


def start_child(
    entry: str,
    request: Mapping[str, Any],
    folder: Path,
    *,
    home: Path,
    outcome_fd: int,
    confinement: Confinement,
    gpu: str | None,
) -> subprocess.Popen[bytes]:
    """Start ``entry`` (``module:function``) in a session and process group of its own.

    Its stdout and stderr are one pipe; the outcome goes to ``outcome_fd``. The request is an unnamed file, because a
    pipe could block against a child that never reads. ``home`` is its working, home and temporary folder. The
    thread that calls this must outlive the child: the kernel ends the child when that thread ends. From now on no
    process of the same user can read this one's environment (``/proc/PID/environ``), which holds tokens.
    Raises ``OSError``, and ``TypeError`` or ``ValueError`` for a request that is not JSON.
    """
    envelope = {
        "entry": entry,
        "request": dict(request),
        "folder": str(folder.absolute()),
        "confinement": confinement.to_json(),
    }
    with contextlib.suppress(OSError):
        prctl(PR_SET_DUMPABLE, 0)
    command = [sys.executable, "-I", "-c", _PROGRAM, str(ROOT), str(os.getpid()), str(outcome_fd)]
    with tempfile.TemporaryFile(dir=home) as stdin:
        stdin.write(json.dumps(envelope, allow_nan=False).encode())
        stdin.seek(0)
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=home,
            env=child_environment(os.environ, home, gpu),
            pass_fds=(outcome_fd,),
            start_new_session=True,
        )
