"""The log of a child: everything that it printed, kept within bounds, and the lines of it that tell most."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

LOG_LIMIT_BYTES: Final = 64 << 20
_TAIL_BYTES: Final = 1 << 20

_DECISIVE = re.compile(
    r"\berrors?\b|\bfail|\bassert|\bfatal|\babort|\bterminate called|what\(\)|\bcannot\b|\bunsupported|"
    r"out of memory|bad_alloc|\[E\]|Error\b|Exception\b",
    re.IGNORECASE,
)
HARMLESS: Final = re.compile(
    r"cudaError(?:_t)?\s*35\b|CUDA initialization failure with error: 35\b|myelinCache\.h|timing cache will not be used"
)
"""What a TensorRT says beside the real error: on a machine without a GPU, and of a timing cache of its own (8.6)."""
_STACK = re.compile(
    r'\s*File ".*", line \d+|Fatal Python error:|(?:Current )?[Tt]hread 0x|Extension modules:|\s*<no Python frame>|'
    r"Current thread's C stack trace|\s*Binary file|Stack \(most recent call first\)"
)
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE_CHARACTERS: Final = 300


class BoundedLog:
    """A log file of at most ``limit_bytes``: where more is printed, the middle is left out.

    ``tail`` keeps the last bytes in memory, whatever the file holds. A disk that is full, or a file that is taken
    away, costs the rest of the file and nothing else: the log must never decide how the work ends.
    Raises ``OSError`` when the file cannot be opened.
    """

    def __init__(self, path: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
        self._tail_bytes = min(_TAIL_BYTES, limit_bytes // 2)
        self._head_bytes = limit_bytes - self._tail_bytes
        self._tail = bytearray()
        self._total = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        # What has that name is replaced, never written to: it may be a pipe, or another name of somebody's file.
        path.unlink(missing_ok=True)
        self._file = path.open("xb", buffering=0)

    def __enter__(self) -> BoundedLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError), self._file:
            beyond = max(0, self._total - self._head_bytes)
            rest = bytes(self._tail[max(0, len(self._tail) - beyond) :])
            left_out = beyond - len(rest)
            if left_out > 0:
                self._file.write(f"\n[{left_out} bytes left out]\n".encode())
            self._file.write(rest)

    @property
    def tail(self) -> bytes:
        """The last bytes printed, at most 1 MiB."""
        return bytes(self._tail)

    def write(self, data: bytes) -> None:
        """Take what the child printed."""
        if (room := self._head_bytes - self._total) > 0:
            with contextlib.suppress(OSError):
                self._file.write(data[:room])
        self._total += len(data)
        self._tail += data
        del self._tail[: max(0, len(self._tail) - self._tail_bytes)]


def decisive_lines(tail: bytes, count: int = 3) -> str:
    """The last ``count`` lines that look like a reason, else the last lines; joined by `` | ``, safe to print."""
    lines = [_UNPRINTABLE.sub("", line).strip() for line in tail.decode(errors="replace").splitlines()]
    lines = [line for line in lines if line and not _STACK.match(line) and not HARMLESS.search(line)]
    chosen = [line for line in lines if _DECISIVE.search(line)] or lines
    return " | ".join(line[:_LINE_CHARACTERS] for line in chosen[-count:])
