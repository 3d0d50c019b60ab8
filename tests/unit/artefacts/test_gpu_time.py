from __future__ import annotations

from pipeline.artefacts.gpu_time import GpuTime
from pipeline.digest import digest_from_bytes


def test_every_use_of_a_gpu_counts() -> None:
    time = GpuTime()
    time.spend(2.0)
    time.spend(3.0)
    assert (time.spent_s, time.saved_s) == (5.0, 0.0)


def test_what_is_fetched_again_and_again_saves_once() -> None:
    time = GpuTime()
    for name in (b"engine", b"engine", b"layers"):
        time.save(digest_from_bytes(name), 4.0)
    assert (time.spent_s, time.saved_s) == (0.0, 8.0)
