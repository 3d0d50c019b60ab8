from __future__ import annotations

import io
from typing import NoReturn

import pytest

from pipeline.publish.stream import ForgivingStream


class BrokenStream(io.StringIO):
    """Fails as a stream does whose reader has gone."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.attempts = 0

    def write(self, text: str) -> NoReturn:
        self.attempts += 1
        raise self.error

    def flush(self) -> NoReturn:
        self.attempts += 1
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError("no space"), ValueError("closed")])
def test_a_stream_that_fails_is_tried_once(error: Exception) -> None:
    broken = BrokenStream(error)
    stream = ForgivingStream(broken)
    assert stream.write("text") == 4
    stream.write("more")
    stream.flush()
    assert broken.attempts == 1


def test_a_flush_that_fails_is_tried_once() -> None:
    broken = BrokenStream(BrokenPipeError())
    stream = ForgivingStream(broken)
    stream.flush()
    stream.flush()
    assert broken.attempts == 1


def test_no_stream_takes_everything() -> None:
    stream = ForgivingStream(None)
    assert stream.write("text") == 4
    stream.flush()
    assert not stream.isatty()
    with pytest.raises(OSError, match="closed"):
        stream.fileno()


def test_a_closed_stream_is_no_terminal() -> None:
    closed = io.StringIO()
    closed.close()
    assert not ForgivingStream(closed).isatty()


def test_characters_that_the_encoding_lacks_are_replaced_one_for_one() -> None:
    raw = io.BytesIO()
    stream = ForgivingStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("cut… 日本\n")
    stream.flush()
    assert raw.getvalue() == b"cut~ ??\n"


def test_characters_that_the_encoding_has_are_kept() -> None:
    raw = io.BytesIO()
    stream = ForgivingStream(io.TextIOWrapper(raw, encoding="utf-8"))
    stream.write("cut… 日本\n")
    stream.flush()
    assert raw.getvalue().decode() == "cut… 日本\n"
