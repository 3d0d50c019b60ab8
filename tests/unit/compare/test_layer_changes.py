from __future__ import annotations

from pipeline.compare.layer_changes import MOST, layer_changes
from tests.support.layers import engine_of, layer


def test_the_costliest_changes_come_first_and_five_at_most() -> None:
    before = [layer(f"l{number}", time_ms=0.1, nodes=(f"n{number}",)) for number in range(8)]
    after = [layer(f"l{number}", time_ms=0.1 + number / 10, nodes=(f"n{number}",)) for number in range(8)]
    found = layer_changes(engine_of(*before), engine_of(*after))
    assert [change.after for change in found] == [("l7",), ("l6",), ("l5",), ("l4",), ("l3",)]
    assert len(found) == MOST
    assert (found[0].what, found[0].before_ms, found[0].after_ms) == ("slower", 0.1, 0.1 + 7 / 10)


def test_a_split_in_another_precision_is_told_with_its_layers() -> None:
    before = engine_of(layer("ab", "int8", time_ms=0.1, nodes=("a", "b")))
    after = engine_of(layer("a", time_ms=0.1, nodes=("a",)), layer("b", time_ms=0.2, nodes=("b",)))
    (change,) = layer_changes(before, after)
    assert change.what == "split, int8 -> fp16, slower"
    assert (change.before, change.after, change.tactic) == (("ab",), ("a", "b"), "")


def test_a_layer_with_another_tactic_says_which() -> None:
    before = engine_of(layer("a", time_ms=0.1, tactic="one", nodes=("a",)))
    after = engine_of(layer("a", time_ms=0.3, tactic="two", nodes=("a",)))
    assert layer_changes(before, after)[0].tactic == "one -> two"


def test_many_layers_of_one_part_are_counted() -> None:
    before = engine_of(layer("all", time_ms=0.1, nodes=tuple("abcdefg")))
    after = engine_of(*(layer(name, time_ms=0.1, nodes=(name,)) for name in "abcdefg"))
    (change,) = layer_changes(before, after)
    assert change.after == ("a", "b", "c", "d", "and 3 more")


def test_engines_that_are_the_same_have_no_changes() -> None:
    engine = engine_of(layer("a", time_ms=0.1))
    assert layer_changes(engine, engine) == ()
