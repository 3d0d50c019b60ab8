"""T3: an entry of other ingredients is never a hit, whichever of them differs, and wherever it was put."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cache.answers import Hit, Miss, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.keys import Ingredient, Key, key_from_ingredients

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/keys/keys.json").read_text())
KEYS = {name: key_from_ingredients(name.split()[0], found["ingredients"]) for name, found in GOLDEN.items()}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
NAMES = st.text(min_size=1, max_size=20)


def others_of(value: Ingredient) -> tuple[Ingredient, ...]:
    """Values that a careless comparison may take for ``value``, and some that it hardly would."""
    near: tuple[Ingredient, ...] = (None, "", "None", 0, 1, True, False, str(value), f"{value} ", f"{value}x")
    if isinstance(value, int | float) and not isinstance(value, bool):
        near += (value + 1, -value, float(value) if isinstance(value, int) else f"{value:g}")
    return tuple(other for other in near if repr(other) != repr(value))


def changed(key: Key) -> Iterator[tuple[str, Key]]:
    """Every key that differs from ``key`` in one ingredient: its value, its name, or that it is there."""
    ingredients = dict(key.ingredients)
    for name, value in ingredients.items():
        rest = {other: ingredients[other] for other in ingredients if other != name}
        yield f"{name} left out", key_from_ingredients(key.kind, rest)
        yield f"{name} renamed", key_from_ingredients(key.kind, {**rest, f"{name}.": value})
        for other in others_of(value):
            yield f"{name} = {other!r}", key_from_ingredients(key.kind, {**rest, name: other})


def entry_of(store: LocalStore, key: Key, folder: Path) -> bytes:
    """Commit an entry of ``key``; its receipt."""
    (folder / "plan").write_bytes(b"plan")
    ContentCache(store).commit(key, "digits", {"plan": folder / "plan"}, {})
    data = store.get_receipt(key.kind, key.digest)
    assert data is not None
    return data


@pytest.mark.parametrize("name", KEYS)
def test_T3_every_ingredient_decides_the_key(name: str) -> None:
    digests = {KEYS[name].digest: "as it is"}
    for change, other in changed(KEYS[name]):
        assert other.digest not in digests or digests[other.digest] == change, (change, digests.get(other.digest))
        digests[other.digest] = change
        assert other.differences(KEYS[name]), change


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.data())
def test_T3_of_any_ingredients_one_that_changes_changes_the_key_and_is_named(
    ingredients: dict[str, Ingredient], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(ingredients)) | NAMES if ingredients else NAMES)
    value = data.draw(VALUES)
    before, after = (key_from_ingredients("engine", found) for found in (ingredients, {**ingredients, name: value}))
    same = name in ingredients and json.dumps(ingredients[name]) == json.dumps(value)

    assert (before.digest == after.digest) == same
    assert [difference.name for difference in after.differences(before)] == ([] if same else [name])


@pytest.mark.parametrize("name", KEYS)
def test_T3_an_entry_with_one_other_ingredient_is_no_hit_and_where_it_was_put_in_the_keys_place_is_rejected(
    name: str, tmp_path: Path
) -> None:
    key = KEYS[name]
    for number, (change, other) in enumerate(changed(key)):
        store = LocalStore(tmp_path / str(number))
        data = entry_of(store, other, tmp_path)

        assert isinstance(ContentCache(store).lookup(key, "digits"), Miss), change
        store.put_receipt(key.kind, key.digest, data, replace=True)
        found = ContentCache(store).lookup(key, "digits")
        assert isinstance(found, Rejected), change
        assert "belongs to another key" in found.reason


def test_T3_an_entry_of_another_kind_with_the_same_ingredients_is_rejected(tmp_path: Path) -> None:
    store, key = LocalStore(tmp_path / "cache"), KEYS["engine int8"]
    other = key_from_ingredients("prepared", dict(key.ingredients))
    store.put_receipt(key.kind, key.digest, entry_of(store, other, tmp_path), replace=True)

    assert isinstance(ContentCache(store).lookup(key, "digits"), Rejected)


def test_T3_a_hit_has_the_very_ingredients_that_were_asked_for(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "cache")
    for key in KEYS.values():
        entry_of(store, key, tmp_path)
        found = ContentCache(store).lookup(key, "digits")
        assert isinstance(found, Hit)
        assert found.receipt.key == key
