from __future__ import annotations

import pytest

from pipeline.compare.schedule import LOOKS, Block, Side, rounds_of, schedule
from tests.support.timings import timed_blocks


@pytest.mark.parametrize("rounds", LOOKS)
@pytest.mark.parametrize("seed", range(5))
def test_each_engine_meets_a_linear_drift_alike(rounds: int, seed: int) -> None:
    sides = schedule(rounds, seed)
    places = {side: [place for place, each in enumerate(sides) if each is side] for side in Side}
    assert len(places[Side.BASE]) == len(places[Side.HEAD]) == 2 * rounds
    assert sum(places[Side.BASE]) == sum(places[Side.HEAD])


def test_each_engine_goes_first_in_half_of_the_rounds() -> None:
    firsts = schedule(20, 7)[::4]
    assert firsts.count(Side.BASE) == firsts.count(Side.HEAD)


def test_the_order_comes_from_the_seed() -> None:
    assert schedule(20, 3) == schedule(20, 3)
    assert len({schedule(20, seed) for seed in range(50)}) > 40


def test_a_longer_schedule_begins_like_a_shorter_one() -> None:
    """So a look may be followed by further rounds."""
    assert schedule(20, 3)[: 4 * 8] == schedule(8, 3)


@pytest.mark.parametrize("rounds", [-2, 0, 1, 7])
def test_rounds_that_cannot_be_balanced_are_refused(rounds: int) -> None:
    with pytest.raises(ValueError, match="even"):
        schedule(rounds, 1)


def test_blocks_fall_into_rounds() -> None:
    blocks = timed_blocks(4)
    rounds = rounds_of(blocks)
    assert [block for each in rounds for block in each] == list(blocks)
    assert {len(each) for each in rounds} == {4}


def sides_of(text: str) -> list[Block]:
    samples = timed_blocks(2)[0].samples
    return [Block(side=Side.BASE if letter == "A" else Side.HEAD, samples=samples) for letter in text]


@pytest.mark.parametrize("text", ["", "ABBA", "ABBAABBA", "AABBBBAA", "ABBABAA", "ABBABAABA"])
def test_blocks_in_another_order_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="order"):
        rounds_of(sides_of(text))
