from __future__ import annotations

from pipeline.inspection.changes import engine_changes
from pipeline.inspection.tactics import tactic_differences
from tests.support.layers import engine_of, layer


def test_an_engine_does_not_differ_from_itself() -> None:
    engine = engine_of(layer("a", time_ms=1.0), layer("b", time_ms=2.0))
    assert engine_changes(engine, engine) == ()


def test_layers_that_became_one_were_fused() -> None:
    before = engine_of(layer("a", nodes=("conv",)), layer("b", nodes=("relu",)))
    (change,) = engine_changes(before, engine_of(layer("a + b", nodes=("conv", "relu"))))
    assert change.words == ("fused",)


def test_a_layer_that_became_several_was_split() -> None:
    after = engine_of(layer("a", nodes=("conv",)), layer("b", nodes=("relu",)))
    (change,) = engine_changes(engine_of(layer("a + b", nodes=("conv", "relu"))), after)
    assert change.words == ("split",)


def test_layers_without_nodes_correspond_through_their_joined_names() -> None:
    (change,) = engine_changes(engine_of(layer("a"), layer("b")), engine_of(layer("a + b")))
    assert change.words == ("fused",)


def test_a_changed_precision_is_named() -> None:
    (change,) = engine_changes(engine_of(layer("a", "int8")), engine_of(layer("a", "fp16")))
    assert change.words == ("int8 -> fp16",)


def test_what_costs_most_comes_first() -> None:
    before = engine_of(layer("a", time_ms=1.0), layer("b", time_ms=1.0), layer("c", time_ms=1.0))
    after = engine_of(layer("a", time_ms=1.5), layer("b", time_ms=3.0), layer("c", time_ms=0.9))
    changes = engine_changes(before, after)
    assert [change.after[0].name for change in changes] == ["b", "a", "c"]
    assert [change.words for change in changes] == [("slower",), ("slower",), ("faster",)]


def test_less_than_the_noise_is_no_change() -> None:
    assert engine_changes(engine_of(layer("a", time_ms=1.0)), engine_of(layer("a", time_ms=1.04))) == ()


def test_layers_of_one_engine_alone_were_added_or_removed() -> None:
    changes = engine_changes(engine_of(layer("old")), engine_of(layer("new")))
    assert sorted(change.words for change in changes) == [("added",), ("removed",)]


def test_another_tactic_is_told_layer_by_layer() -> None:
    first = engine_of(layer("a", tactic="t1"), layer("b", tactic="t2"), layer("c"))
    second = engine_of(layer("a", tactic="t1"), layer("b", tactic="t3"))
    assert [(each.layer, each.before, each.after) for each in tactic_differences(first, second)] == [
        ("b", "t2", "t3"),
        ("c", "sm80_xmma_fprop", "absent"),
    ]


def test_layers_of_one_name_are_compared_in_their_order() -> None:
    first = engine_of(layer("r", tactic="t1"), layer("r", tactic="t2"))
    assert tactic_differences(first, first) == ()
    assert len(tactic_differences(first, engine_of(layer("r", tactic="t2"), layer("r", tactic="t1")))) == 2
