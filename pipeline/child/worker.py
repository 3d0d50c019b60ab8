"""The child's side: read the request, run one task, say how it went. Nothing here is heavier than the task needs."""

from __future__ import annotations

import errno
import faulthandler
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.child.confinement import confine, confinement_from_json, die_with
from pipeline.child.outcome import MEMORY_FIX, outcome_from_error, outcome_from_result
from pipeline.errors import BuildError, PipelineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LEAST_FREE_BYTES = 1 << 20


def main(arguments: Sequence[str]) -> NoReturn:
    """Run the task that stdin describes; ``arguments`` are the parent's process id and the outcome's descriptor.

    Leaves without the interpreter's shutdown: a native library that crashes while it is unloaded must not spoil a
    result that is complete.
    """
    parent, outcome_fd = map(int, arguments)
    die_with(parent)
    faulthandler.enable()
    os.set_inheritable(outcome_fd, False)
    envelope = json.load(sys.stdin)
    importlib.import_module(envelope["entry"].partition(".")[0])
    for missing in confine(confinement_from_json(envelope["confinement"]), parent):
        print(f"confinement: without {missing}", file=sys.stderr, flush=True)
    print(f"confinement: user {os.getuid()}", file=sys.stderr, flush=True)
    with os.fdopen(outcome_fd, "wb") as pipe:
        pipe.write(_outcome_from_envelope(envelope))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _outcome_from_envelope(envelope: dict[str, Any]) -> bytes:
    folder = Path(envelope["folder"])
    try:
        return outcome_from_result(_function(envelope["entry"])(envelope["request"], folder))
    except PipelineError as error:
        return outcome_from_error(error)
    except MemoryError:
        traceback.print_exc()
        return outcome_from_error(BuildError("out of host memory", why="an allocation failed", fix=MEMORY_FIX))
    except Exception as error:
        traceback.print_exc()
        return outcome_from_error(_error_from_unexpected(error, folder))


def _function(entry: str) -> Callable[[dict[str, Any], Path], dict[str, Any]]:
    module, _, name = entry.partition(":")
    function: Callable[[dict[str, Any], Path], dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function


def _error_from_unexpected(error: Exception, folder: Path) -> BuildError:
    if (isinstance(error, OSError) and error.errno in _DISK_FULL) or _is_full(folder):
        return BuildError(
            f"the disk is full, or a quota is used up, at {folder}",
            why=_first_line(error),
            fix="free space there, or point TMPDIR to a larger disk",
        )
    return BuildError(
        f"unexpected {type(error).__name__}", why=_first_line(error), fix="the log has the details; please report it"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _is_full(folder: Path) -> bool:
    """Native code and numpy report a full disk without its error number."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES
