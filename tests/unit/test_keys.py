from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline.digest import canonical_json
from pipeline.keys import Difference, Ingredient, Key, key_from_ingredients

NAMES = st.text(alphabet="abc.-", min_size=1, max_size=6)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)
INGREDIENTS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=8)


@given(INGREDIENTS)
def test_the_order_in_which_ingredients_are_given_does_not_matter(ingredients: dict[str, Ingredient]) -> None:
    assert key_from_ingredients("engine", dict(reversed(ingredients.items()))) == key_from_ingredients(
        "engine", ingredients
    )


@given(INGREDIENTS, VALUES, st.data())
def test_changing_any_one_ingredient_changes_the_digest(
    ingredients: dict[str, Ingredient], value: Ingredient, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(ingredients)))
    assume(canonical_json(value) != canonical_json(ingredients[name]))

    before, after = _key(ingredients), _key({**ingredients, name: value})

    assert before.digest != after.digest


@given(INGREDIENTS, VALUES, st.data())
def test_the_one_ingredient_that_changed_is_the_one_difference(
    ingredients: dict[str, Ingredient], value: Ingredient, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(ingredients)))
    assume(canonical_json(value) != canonical_json(ingredients[name]))

    differences = _key({**ingredients, name: value}).differences(_key(ingredients))

    assert [difference.name for difference in differences] == [name]


@given(INGREDIENTS, st.data())
def test_leaving_out_any_one_ingredient_changes_the_digest(
    ingredients: dict[str, Ingredient], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(ingredients)))
    fewer = {other: value for other, value in ingredients.items() if other != name}

    assert _key(fewer).digest != _key(ingredients).digest


@given(INGREDIENTS, INGREDIENTS)
@example({"a": 1}, {"a": True})
@example({"a": 1}, {"a": 1.0})
@example({"a": 0.0}, {"a": -0.0})
@example({"a": None}, {"b": None})
def test_keys_differ_exactly_when_their_digests_do(first: dict[str, Ingredient], second: dict[str, Ingredient]) -> None:
    one, other = _key(first), _key(second)

    assert bool(one.differences(other)) == (one.digest != other.digest)


@given(INGREDIENTS)
def test_the_kind_is_part_of_the_digest(ingredients: dict[str, Ingredient]) -> None:
    assert key_from_ingredients("engine", ingredients).digest != key_from_ingredients("check", ingredients).digest


def test_differences_lead_from_the_other_key_to_this_one() -> None:
    before = _key({"runtime.version": "1.6.1", "gone": 1, "same": True})
    after = _key({"runtime.version": "1.7.1", "new": None, "same": True})

    assert after.differences(before) == (
        Difference("gone", 1, None),
        Difference("new", None, None),
        Difference("runtime.version", "1.6.1", "1.7.1"),
    )


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (Difference("runtime.version", "1.6.1", "1.7.1"), "runtime.version 1.6.1 -> 1.7.1"),
        (Difference("build.workspace-mib", None, 512), "build.workspace-mib (none) -> 512"),
        (
            Difference("model", "sha256:" + "a" * 64, "sha256:" + "b" * 64),
            "model sha256:aaaaaaaa… -> sha256:bbbbbbbb…",
        ),
    ],
)
def test_a_difference_reads_as_before_and_after(difference: Difference, text: str) -> None:
    assert str(difference) == text


@pytest.mark.parametrize(
    ("key", "hex_digest"),
    [
        (Key("engine", ()), "e4c2f6042edba70d998cfe5f87f500c6d1fd6f517ad533739f70cacfa9961284"),
        (
            key_from_ingredients(
                "engine",
                {
                    "model": "sha256:" + "0" * 64,
                    "precision": "fp16",
                    "build.workspace-mib": 512,
                    "build.sparsity": False,
                    "build.optimization-level": None,
                    "calibration.percentile": 99.99,
                    "profile.0.input.opt": "8x1x8x8",
                },
            ),
            "73f05d7d179ba7f5db28deee6c891bda3abcf145b32d7ce33ed4f404d4f2c006",
        ),
        (
            key_from_ingredients("calibration", {"data": "größe"}),
            "7715c3009037e5e4ad0243c29688d6a283f361b60bf41d80754f5d71c9f78b2e",
        ),
    ],
)
def test_key_digests_are_golden(key: Key, hex_digest: str) -> None:
    assert key.digest.hex == hex_digest


def _key(ingredients: dict[str, Ingredient]) -> Key:
    return key_from_ingredients("engine", ingredients)
