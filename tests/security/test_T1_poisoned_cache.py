"""T1: whatever lies in the cache, no bytes are loaded but those that a run made and, with a seal, one that may."""

from __future__ import annotations

import ast
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.artefacts.recipe import Recipe
from pipeline.cache.answers import Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.cache.receipt import Receipt, ReceiptDamaged, bytes_from_receipt, receipt_from_bytes
from pipeline.cache.seal import HmacSeal, SealedStore, without_seal
from pipeline.digest import Digest, canonical_json, digest_from_json
from pipeline.keys import key_from_ingredients
from tests.support.workshops import workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.artefacts.recipe import Artefact

PIPELINE = Path(__file__).parents[2] / "pipeline"
SOUND, FOREIGN = bytes(range(256)) * 64, bytes(range(255, -1, -1)) * 64
SEAL, OTHER_SEAL = HmacSeal([b"s" * 32]), HmacSeal([b"x" * 32])
KEY, OTHER_KEY = (key_from_ingredients("engine", {"model": name}) for name in ("a", "b"))
REGIONS = 16
SEED = 1


class Runner:
    """A runner with a cache in ``folder``. ``loaded`` holds the bytes of every engine that came as far as a loader."""

    def __init__(self, folder: Path, name: str, seal: HmacSeal | None) -> None:
        self.loaded: list[bytes] = []
        self.made = 0
        self._workshop = workshop_with(self._child, folder, name, store=sealed(folder, seal))

    def obtain(self, data: bytes = SOUND, key: Any = KEY) -> Artefact:
        """The engine of ``key``; ``data`` is what building it gives."""
        self._data = data
        artefact = self._workshop.obtain(
            Recipe(
                key=key,
                subject="digits/sm_89/fp16",
                task="build",
                stage="building",
                request=lambda _: {},
                files=lambda outcome: (outcome["engine"],),
                faults=self._load,
                memory_bytes=1,
            )
        )
        assert artefact.files["plan"].read_bytes() in self.loaded
        return artefact

    def _child(self, task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        self.made += 1
        (folder / "plan").write_bytes(self._data)
        return {"engine": "plan"}

    def _load(self, files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
        self.loaded.append(files[outcome["engine"]].read_bytes())
        return ()


def sealed(folder: Path, seal: HmacSeal | None) -> SealedStore:
    return SealedStore(LocalStore(folder / "cache"), "trusted", seal)


@pytest.fixture(params=[SEAL, None], ids=["hmac", "bucket"])
def seal(request: pytest.FixtureRequest) -> HmacSeal | None:
    found: HmacSeal | None = request.param
    return found


@pytest.fixture
def store(tmp_path: Path, seal: HmacSeal | None) -> LocalStore:
    """A place past every check, where a sound engine lies, and a foreign one under another key."""
    maker = Runner(tmp_path, "maker", seal)
    maker.obtain()
    maker.obtain(FOREIGN, OTHER_KEY)
    return LocalStore(tmp_path / "cache")


def receipt_of(store: LocalStore, key: Any = KEY) -> Receipt:
    data = store.get_receipt(key.kind, key.digest)
    assert data is not None
    return receipt_from_bytes(without_seal(data), kind=key.kind, stored_as=key.digest)


def engine_path(store: LocalStore, key: Any = KEY) -> Path:
    (digest,) = (blob.digest for blob in receipt_of(store, key).blobs if blob.name == "plan")
    path = store._blob_path(digest)
    path.chmod(0o644)
    return path


def regions(length: int) -> list[int]:
    """One position in each of several equal parts, the first and last byte among them."""
    chosen = random.Random(SEED)
    bounds = [number * length // REGIONS for number in range(REGIONS + 1)]
    return sorted({0, length - 1, *(chosen.randrange(low, high) for low, high in itertools.pairwise(bounds))})


def flipped(data: bytes, position: int) -> bytes:
    return bytes([*data[:position], data[position] ^ 1 << position % 8, *data[position + 1 :]])


Poison = Callable[[LocalStore], None]


def swap_blobs(store: LocalStore) -> None:
    engine_path(store).write_bytes(engine_path(store, OTHER_KEY).read_bytes())


def truncate(store: LocalStore) -> None:
    engine_path(store).write_bytes(SOUND[: len(SOUND) // 2])


def empty(store: LocalStore) -> None:
    engine_path(store).write_bytes(b"")


def lengthen(store: LocalStore) -> None:
    engine_path(store).write_bytes(SOUND + b"\0")


def link_elsewhere(store: LocalStore) -> None:
    other, path = engine_path(store, OTHER_KEY), engine_path(store)
    path.unlink()
    path.symlink_to(other)


BLOB_POISONS: list[Poison] = [swap_blobs, truncate, empty, lengthen, link_elsewhere]


def assert_only_sound_bytes_are_loaded(tmp_path: Path, seal: HmacSeal | None, name: str = "victim") -> None:
    victim = Runner(tmp_path, name, seal)
    artefact = victim.obtain()
    assert set(victim.loaded) == {SOUND}
    assert artefact.files["plan"].read_bytes() == SOUND


@pytest.mark.parametrize("poison", BLOB_POISONS, ids=lambda poison: poison.__name__)
def test_T1_an_engine_that_was_exchanged_is_never_loaded_and_built_again(
    store: LocalStore, seal: HmacSeal | None, tmp_path: Path, poison: Poison
) -> None:
    poison(store)

    victim = Runner(tmp_path, "victim", seal)
    victim.obtain()

    assert set(victim.loaded) == {SOUND}
    assert victim.made == 1


def test_T1_an_engine_with_a_flipped_bit_in_any_region_is_never_loaded(
    store: LocalStore, seal: HmacSeal | None, tmp_path: Path
) -> None:
    path = engine_path(store)
    for position in regions(len(SOUND)):
        path.chmod(0o644)
        path.write_bytes(flipped(SOUND, position))

        victim = Runner(tmp_path, f"victim-{position}", seal)
        victim.obtain()

        assert set(victim.loaded) == {SOUND}, position
        assert victim.made == 1, position


def test_T1_a_receipt_with_a_flipped_bit_in_any_region_leads_to_no_other_engine(
    store: LocalStore, seal: HmacSeal | None, tmp_path: Path
) -> None:
    sound = store.get_receipt(KEY.kind, KEY.digest)
    assert sound is not None
    for position in regions(len(sound)):
        store.put_receipt(KEY.kind, KEY.digest, flipped(sound, position), replace=True)
        assert_only_sound_bytes_are_loaded(tmp_path, seal, f"victim-{position}")


def test_T1_another_keys_receipt_leads_to_no_other_engine(
    store: LocalStore, seal: HmacSeal | None, tmp_path: Path
) -> None:
    other = store.get_receipt(OTHER_KEY.kind, OTHER_KEY.digest)
    assert other is not None
    store.put_receipt(KEY.kind, KEY.digest, other, replace=True)

    assert_only_sound_bytes_are_loaded(tmp_path, seal)


@pytest.mark.parametrize("forger", [None, OTHER_SEAL], ids=["no seal", "a foreign seal"])
def test_T1_with_a_seal_a_forged_receipt_of_a_planted_engine_is_rejected_before_the_engine_is_read(
    tmp_path: Path, forger: HmacSeal | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Runner(tmp_path, "forger", forger).obtain(FOREIGN)
    read: list[Digest] = []
    monkeypatch.setattr(LocalStore, "fetch_blob", lambda _self, digest, *_more: read.append(digest))

    victim = Runner(tmp_path, "victim", SEAL)
    victim.obtain()

    assert victim.loaded == [SOUND]
    assert read == []


@pytest.mark.parametrize("name", ["../plan", "/plan", "..", "a/b", ".plan", "plan\n", ""])
def test_T1_a_receipt_that_names_a_file_outside_the_folder_of_its_engine_is_rejected(
    store: LocalStore, name: str
) -> None:
    fields = json.loads(bytes_from_receipt(receipt_of(store)))
    del fields["self"]
    fields["blobs"][-1]["name"] = name
    data = canonical_json({**fields, "self": str(digest_from_json(fields))})
    store.put_receipt(KEY.kind, KEY.digest, data, replace=True)

    found = ContentCache(store).lookup(KEY, "digits")

    assert isinstance(found, Rejected)
    assert "name is malformed" in found.reason


def test_T1_engines_are_loaded_by_our_own_children_alone_and_host_code_in_them_is_never_allowed() -> None:
    """Polygraphy's loaders allow it; so nothing of that is imported, and the attribute is never named."""
    loaders, foreign = [], []
    for path in sorted(PIPELINE.rglob("*.py")):
        text, name = path.read_text(), path.relative_to(PIPELINE).as_posix()
        assert "engine_host_code_allowed" not in text, name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr == "deserialize_cuda_engine":
                loaders.append(name)
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                foreign += [name for module in modules if module.split(".")[0] in ("polygraphy", "pickle", "dill")]

    assert loaders == ["build/refit.py", "engine/runner.py"]
    assert foreign == []


def test_T1_a_receipt_with_any_flipped_bit_is_damaged_also_where_none_is_sealed(tmp_path: Path) -> None:
    (tmp_path / "plan").write_bytes(SOUND)
    store = LocalStore(tmp_path / "cache")
    ContentCache(store).commit(KEY, "digits", {"engine.plan": tmp_path / "plan"}, {"duration_s": 1.5, "told": "x"})
    data = store.get_receipt(KEY.kind, KEY.digest)
    assert data is not None
    receipt_from_bytes(data, kind=KEY.kind, stored_as=KEY.digest)
    for place, bit in itertools.product(range(len(data)), range(8)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << bit
        with pytest.raises(ReceiptDamaged):
            receipt_from_bytes(bytes(flipped), kind=KEY.kind, stored_as=KEY.digest)
