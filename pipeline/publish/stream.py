"""An output stream that may vanish or lack characters without harm to the run that writes to it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_ASCII_FOR = str.maketrans({"…": "~"})
"""One character for one, so that columns stay where they are."""


class ForgivingStream:
    """Writes text to ``stream`` until the first failure, and from then on nowhere.

    A reader may close its end (``| head``), the disk behind a redirection may be full, and ``sys.stderr`` is
    ``None`` where the process was started without one. None of these may change what the run does. Characters
    that the stream's encoding lacks are replaced.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether a person watches."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def write(self, text: str) -> int:
        """Write ``text`` where that is still possible; always returns its length."""
        if self._stream is not None:
            try:
                self._stream.write(self._encodable(text))
            except (OSError, ValueError):
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Flush where that is still possible."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._give_up()

    def fileno(self) -> int:
        """The descriptor; ``OSError`` where there is none."""
        if self._stream is None:
            raise OSError("the stream is closed")
        return self._stream.fileno()

    def _encodable(self, text: str) -> str:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return text.translate(_ASCII_FOR).encode(self.encoding, "replace").decode(self.encoding)
        return text

    def _give_up(self) -> None:
        """Forget the stream, and point its descriptor at nothing so that the flush at exit cannot fail either."""
        stream, self._stream = self._stream, None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = stream.fileno()  # type: ignore[union-attr]
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, descriptor)
            finally:
                os.close(nowhere)
