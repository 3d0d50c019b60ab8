from __future__ import annotations

import itertools

import pytest

from pipeline.cache.s3_download import ranges_from_size

_MIB = 1 << 20


@pytest.mark.parametrize("size_bytes", [0, 1, 8 * _MIB, 8 * _MIB + 1, 1 << 30, (3 << 30) + 7, 40 << 30])
def test_ranges_cover_every_byte_once_in_order(size_bytes: int) -> None:
    ranges = ranges_from_size(size_bytes)

    assert ranges[0].start == 0
    assert ranges[-1].stop == size_bytes
    assert all(before.stop == after.start for before, after in itertools.pairwise(ranges))


@pytest.mark.parametrize("size_bytes", [0, 1, 8 * _MIB])
def test_a_small_blob_is_one_range(size_bytes: int) -> None:
    assert ranges_from_size(size_bytes) == (range(size_bytes),)


def test_ranges_are_long_at_first_and_short_at_the_end() -> None:
    lengths = [len(each) for each in ranges_from_size(4 << 30)]

    assert lengths[0] == 64 * _MIB
    assert lengths[-2] == 8 * _MIB
    assert lengths == sorted(lengths, reverse=True)
