from __future__ import annotations

from pipeline.inspection.layer_times import times_of_layers


def test_a_layer_takes_the_median_of_its_rounds() -> None:
    rounds = [[("a", 1.0), ("b", 5.0)], [("a", 3.0), ("b", 5.0)], [("a", 2.0), ("b", 5.0)]]
    assert times_of_layers(["a", "b"], rounds) == [2.0, 5.0]


def test_layers_of_one_name_have_their_own_times_in_order() -> None:
    assert times_of_layers(["r", "x", "r"], [[("r", 1.0), ("x", 4.0), ("r", 2.0)]]) == [1.0, 4.0, 2.0]


def test_layers_of_one_name_that_were_reported_once_share_the_time() -> None:
    assert times_of_layers(["r", "r"], [[("r", 4.0)]]) == [2.0, 2.0]


def test_a_layer_that_was_not_reported_has_no_time() -> None:
    assert times_of_layers(["a"], [[("b", 1.0)]]) == [None]
