from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError, ResponseStreamingError
from urllib3 import exceptions as found

from pipeline.cache import s3_bucket
from pipeline.cache.s3_body import arrived, whole
from pipeline.cache.s3_bucket import Deadline
from pipeline.cache.store import StoreFailed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    standing = Clock()
    monkeypatch.setattr(s3_bucket, "time", standing)
    return standing


def body(receptions: Iterator[bytes]) -> Any:
    """A body of which each reception brings one of ``receptions``, cut to what was asked for."""
    return SimpleNamespace(_raw_stream=SimpleNamespace(read1=lambda limit: next(receptions, b"")[:limit]))


def test_a_body_is_read_to_its_end() -> None:
    assert whole(body(iter((b"ab", b"c", b"def"))), 100, Deadline(0)) == b"abcdef"


def test_no_more_is_read_than_is_wanted() -> None:
    assert whole(body(iter((b"ab", b"c", b"def"))), 4, Deadline(0)) == b"abcd"


def test_F4_bytes_that_come_one_by_one_are_given_up_at_the_deadline(clock: Clock) -> None:
    def trickling() -> Iterator[bytes]:
        while True:
            clock.now_s += 5
            yield b"x"

    with pytest.raises(StoreFailed, match="was not done after 60 s"):
        whole(body(trickling()), 16_384, Deadline(0))
    assert clock.now_s == 65


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (found.ReadTimeoutError(None, "http://s3", "slow"), ReadTimeoutError),  # type: ignore[arg-type]
        (found.ProtocolError("cut"), ResponseStreamingError),
        (found.IncompleteRead(1, 2), ResponseStreamingError),
    ],
)
def test_errors_are_those_that_botocore_raises(error: Exception, told: type[Exception]) -> None:
    def fail(_limit: int) -> bytes:
        raise error

    with pytest.raises(told):
        arrived(SimpleNamespace(_raw_stream=SimpleNamespace(read1=fail)), 10, Deadline(0))
