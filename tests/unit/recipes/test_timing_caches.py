"""Timing caches as entries of stores: read once by a run, replaced by what its builds leave."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.build.timing_cache import TACTICS_FILE
from pipeline.cache.entries import read_entries
from pipeline.cache.expiry import DAY_S, Expiry
from pipeline.cache.local import LocalStore
from pipeline.cache.pruning import prune
from pipeline.cache.receipt import bytes_from_receipt, receipt_from_bytes
from pipeline.cache.seal import HmacSeal, SealedStore
from pipeline.cache.store import Extent, StoreFailed
from pipeline.machine.devices import GpuDevice
from pipeline.recipes.timing_caches import KIND, TimingCache, TimingCaches, timing_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.cache.receipt import Receipt
    from pipeline.cache.store import Store
    from pipeline.digest import Digest

VERSION = "10.16.1"
GPU = GpuDevice(
    uuid="GPU-1", name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0"
)
OTHER_GPU = replace(GPU, uuid="GPU-2")
KEY = timing_key(VERSION, GPU.name, GPU.driver).digest
SECRET = b"s" * 32


class Machine:
    """Opens runs, each with a scratch folder of its own, and builds in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def store(self, scope: str = "trusted") -> LocalStore:
        return LocalStore(self.folder / "stores" / scope)

    def run(self, *stores: Store, expiry: Expiry | None = None) -> TimingCaches:
        return TimingCaches(stores or (self.store(),), self._new("scratch"), expiry=expiry)

    def build(self, caches: TimingCaches, *adds: str, gpu: GpuDevice = GPU) -> None:
        """Build on ``gpu``: load all that is there and leave it with what the build ``adds``."""
        self.left(caches.of(VERSION, gpu), loaded(caches, gpu).union(adds), gpu)

    def left(self, cache: TimingCache, words: set[str], gpu: GpuDevice = GPU) -> None:
        """Let a build end that leaves ``words``."""
        built = self._new("built")
        built.mkdir(parents=True)
        (built / TACTICS_FILE).write_text(" ".join(sorted(words)))
        cache.keep(built, gpu.uuid)

    def _new(self, name: str) -> Path:
        self._count += 1
        return self.folder / f"{name}-{self._count}"


def loaded(caches: TimingCaches, gpu: GpuDevice = GPU) -> set[str]:
    """What the next build of a run loads."""
    files = caches.of(VERSION, gpu).folder().glob("*.timing")
    return {word for file in files for word in file.read_text().split()}


def receipt_in(store: Store) -> Receipt:
    data = store.get_receipt(KIND, KEY)
    assert data is not None
    return receipt_from_bytes(data, kind=KIND, stored_as=KEY)


def blob_of(store: LocalStore) -> Path:
    (blob,) = receipt_in(store).blobs
    return store._blob_path(blob.digest)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class Failing(LocalStore):
    """A store of which one method fails; ``calls`` counts all of them that ask for anything."""

    def __init__(self, folder: Path, method: str, error: Exception) -> None:
        super().__init__(folder)
        self.calls = 0
        self._method = method
        self._error = error

    def get_receipt(self, kind: str, key: Digest) -> bytes | None:
        self._fail("get_receipt")
        return super().get_receipt(kind, key)

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        self._fail("put_receipt")
        return super().put_receipt(kind, key, data, replace=replace)

    def put_blob(self, path: Path) -> tuple[Digest, int]:
        self._fail("put_blob")
        return super().put_blob(path)

    def fetch_blob(self, digest: Digest, size_bytes: int, destination: Path) -> None:
        self._fail("fetch_blob")
        super().fetch_blob(digest, size_bytes, destination)

    def _fail(self, method: str) -> None:
        self.calls += 1
        if method == self._method:
            raise self._error


class Contended(LocalStore):
    """A store in which another run is faster: each conditional replacement finds something else there, so often."""

    def __init__(self, folder: Path, losses: int, meanwhile: Callable[[], None]) -> None:
        super().__init__(folder)
        self._losses = losses
        self._meanwhile = meanwhile

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        if self._losses:
            self._losses -= 1
            self._meanwhile()
            return False
        return super().put_receipt(kind, key, data, replace=replace)


def test_the_key_changes_with_version_gpu_and_driver() -> None:
    parts = (("8.6.0", "L4", "1"), ("8.6.1", "L4", "1"), ("8.6.0", "T4", "1"), ("8.6.0", "L4", "2"))
    assert len({timing_key(*each).digest for each in parts}) == 4


def test_what_a_run_left_the_next_one_loads(machine: Machine) -> None:
    machine.build(machine.run(), "conv")
    assert loaded(machine.run()) == {"conv"}


def test_a_run_of_another_driver_loads_nothing_of_it(machine: Machine) -> None:
    machine.build(machine.run(), "conv")
    assert loaded(machine.run(), replace(GPU, driver="590.1")) == set()


def test_later_builds_of_a_run_load_what_earlier_ones_left(machine: Machine) -> None:
    caches = machine.run()
    machine.build(caches, "conv")
    assert loaded(caches) == {"conv"}


def test_a_store_is_asked_by_the_first_build_and_by_no_later_one(machine: Machine) -> None:
    store = Failing(machine.folder / "store", "", StoreFailed("no"))
    caches = machine.run(store)
    caches.of(VERSION, GPU)
    assert store.calls == 0
    loaded(caches)
    loaded(caches)
    assert store.calls == 1


def test_a_pull_request_loads_the_trusted_one_first_and_then_its_own(machine: Machine) -> None:
    trusted, own = machine.store(), machine.store("pr")
    machine.build(machine.run(trusted), "conv")
    machine.build(machine.run(trusted, own), "pool")
    files = sorted(machine.run(trusted, own).of(VERSION, GPU).folder().iterdir())
    assert [file.read_text() for file in files] == ["conv", "conv pool"]


def test_a_pull_request_writes_its_own_alone_and_the_trusted_run_does_not_see_it(machine: Machine) -> None:
    trusted, own = machine.store(), machine.store("pr")
    machine.build(machine.run(trusted), "conv")
    machine.build(machine.run(trusted, own), "pool")
    assert loaded(machine.run(trusted)) == {"conv"}


def test_what_builds_on_several_gpus_of_one_host_left_is_all_kept(machine: Machine) -> None:
    caches = machine.run()
    first, second = caches.of(VERSION, GPU), caches.of(VERSION, OTHER_GPU)
    first.folder()
    machine.left(first, {"conv"}, GPU)
    machine.left(second, {"pool"}, OTHER_GPU)
    assert loaded(machine.run()) == {"conv", "pool"}


def test_what_was_merged_is_one_file_again(machine: Machine) -> None:
    test_what_builds_on_several_gpus_of_one_host_left_is_all_kept(machine)
    machine.build(machine.run(), "gemm")
    assert len(receipt_in(machine.store()).blobs) == 1
    assert loaded(machine.run()) == {"conv", "pool", "gemm"}


def test_a_build_that_adds_nothing_stores_nothing(machine: Machine) -> None:
    trusted, own = machine.store(), machine.store("pr")
    machine.build(machine.run(trusted), "conv")
    machine.build(machine.run(trusted, own))
    assert own.get_receipt(KIND, KEY) is None
    assert list(own.blobs()) == []


def test_what_another_run_added_meanwhile_stays(machine: Machine) -> None:
    ours, theirs = machine.run(), machine.run()
    loaded(ours)
    machine.build(theirs, "pool")
    machine.left(ours.of(VERSION, GPU), {"conv"})
    assert loaded(machine.run()) == {"conv", "pool"}


@pytest.mark.parametrize("losses", [1, 3])
def test_a_run_that_is_overtaken_reads_anew_and_both_stay(machine: Machine, losses: int) -> None:
    rival = machine.run()
    store = Contended(machine.folder / "stores/trusted", losses, lambda: machine.build(rival, "pool"))
    caches = machine.run(store)
    machine.left(caches.of(VERSION, GPU), {"conv"})
    assert loaded(machine.run()) == {"conv", "pool"}
    assert caches.trouble == ""


def test_a_run_that_is_overtaken_again_and_again_loses_in_silence(machine: Machine) -> None:
    caches = machine.run(Contended(machine.folder / "store", 100, lambda: None))
    machine.build(caches, "conv")
    assert caches.trouble == ""
    assert loaded(caches) == {"conv"}


def test_a_file_that_was_damaged_is_left_out_aloud_and_replaced(machine: Machine) -> None:
    trusted, own = machine.store(), machine.store("pr")
    machine.build(machine.run(trusted), "conv")
    machine.build(machine.run(own), "pool")
    path = blob_of(own)
    path.chmod(0o644)
    path.write_text("POOL")
    caches = machine.run(trusted, own)
    assert loaded(caches) == {"conv"}
    assert "was not used, which costs time alone: the bytes of blob" in caches.trouble
    machine.build(caches, "gemm")
    after = machine.run(trusted, own)
    assert (loaded(after), after.trouble) == ({"conv", "gemm"}, "")


def test_a_receipt_that_was_damaged_is_left_out_aloud_and_replaced(machine: Machine) -> None:
    machine.build(machine.run(), "conv")
    receipt = machine.store()._receipt_path(KIND, KEY)
    receipt.chmod(0o644)
    receipt.write_bytes(b"{}")
    caches = machine.run()
    assert loaded(caches) == set()
    assert "the receipt is damaged" in caches.trouble
    machine.build(caches, "pool")
    assert loaded(machine.run()) == {"pool"}


def test_a_file_that_is_gone_is_no_trouble(machine: Machine) -> None:
    machine.build(machine.run(), "conv")
    blob_of(machine.store()).unlink()
    caches = machine.run()
    assert (loaded(caches), caches.trouble) == (set(), "")
    machine.build(caches, "pool")
    assert loaded(machine.run()) == {"pool"}


def test_T2_one_that_nobody_sealed_is_not_used(machine: Machine) -> None:
    machine.build(machine.run(), "planted")
    caches = machine.run(SealedStore(machine.store(), "trusted", HmacSeal([SECRET])))
    assert loaded(caches) == set()
    assert "it bears no seal" in caches.trouble


def test_T2_one_that_was_sealed_for_another_scope_is_not_used(machine: Machine) -> None:
    machine.build(machine.run(SealedStore(machine.store(), "pr/1/2", HmacSeal([SECRET]))), "planted")
    caches = machine.run(SealedStore(machine.store(), "trusted", HmacSeal([SECRET])))
    assert loaded(caches) == set()
    assert "its seal is wrong" in caches.trouble


@pytest.mark.parametrize(
    ("method", "calls"), [("get_receipt", 1), ("fetch_blob", 2), ("put_blob", 3), ("put_receipt", 5)]
)
def test_a_store_that_fails_is_told_once_asked_no_more_and_costs_no_build(
    machine: Machine, method: str, calls: int
) -> None:
    machine.build(machine.run(), "conv")
    store = Failing(machine.folder / "stores/trusted", method, StoreFailed("it does not answer"))
    caches = machine.run(store)
    machine.build(caches, "pool")
    assert store.calls == calls
    machine.build(caches, "gemm")
    machine.build(caches, "gemm", gpu=replace(GPU, driver="590.1"))
    assert store.calls == calls
    assert caches.trouble.endswith("which costs time alone: it does not answer")
    assert {"pool", "gemm"} <= loaded(caches)


@pytest.mark.parametrize("extent", [Extent.WRITES, Extent.PLACE])
def test_what_the_cache_tells_itself_is_not_told_again(machine: Machine, extent: Extent) -> None:
    store = Failing(machine.folder / "store", "put_blob", StoreFailed("no right to write", extent=extent))
    caches = machine.run(store)
    machine.build(caches, "conv")
    assert caches.trouble == ""


def test_a_scratch_folder_that_cannot_be_written_costs_no_build(machine: Machine) -> None:
    caches = machine.run()
    folder = caches.of(VERSION, GPU).folder()
    folder.rmdir()
    folder.write_bytes(b"")
    machine.left(caches.of(VERSION, GPU), {"conv"})
    assert "was not kept" in caches.trouble


def test_a_build_that_leaves_no_record_is_no_trouble(machine: Machine, tmp_path: Path) -> None:
    caches = machine.run()
    caches.of(VERSION, GPU).keep(tmp_path, GPU.uuid)
    assert caches.trouble == ""


def aged(store: Store, days: float) -> None:
    """Let the entry say that it was made so long ago."""
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * DAY_S))
    store.put_receipt(KIND, KEY, bytes_from_receipt(replace(receipt_in(store), created=created)), replace=True)


def test_one_that_expired_is_not_loaded_and_does_not_live_on_in_what_takes_its_place(machine: Machine) -> None:
    machine.build(machine.run(), "old")
    aged(machine.store(), 91)
    caches = machine.run(expiry=Expiry(90 * DAY_S))
    machine.build(caches, "new")
    assert loaded(machine.run(expiry=Expiry(90 * DAY_S))) == {"new"}


def test_what_is_added_to_it_makes_it_no_younger(machine: Machine) -> None:
    machine.build(machine.run(), "old")
    aged(machine.store(), 60)
    before = receipt_in(machine.store()).created
    machine.build(machine.run(expiry=Expiry(90 * DAY_S)), "new")
    assert receipt_in(machine.store()).created == before


def later(store: LocalStore, used_s: float) -> None:
    """Let everything in the store have been written and used at ``used_s``."""
    for path in store._root.rglob("*"):
        os.utime(path, (used_s, used_s))


def test_prune_removes_what_was_replaced_and_leaves_what_is_kept(machine: Machine) -> None:
    store, now_s = machine.store(), time.time()
    machine.build(machine.run(), "conv")
    machine.build(machine.run(), "pool")
    later(store, now_s - DAY_S)
    pruned = prune(store, now_s=now_s)
    assert (len(pruned.entries), len(pruned.blobs)) == (0, 1)
    assert loaded(machine.run()) == {"conv", "pool"}


def test_one_that_is_loaded_counts_as_used(machine: Machine) -> None:
    store, now_s = machine.store(), time.time()
    machine.build(machine.run(), "conv")
    later(store, now_s - 40 * DAY_S)
    loaded(machine.run())
    assert prune(store, now_s=now_s, older_than_s=30 * DAY_S).entries == ()


def test_it_is_listed_like_any_other_entry(machine: Machine) -> None:
    machine.build(machine.run(), "conv")
    (entry,) = read_entries(machine.store(), now_s=time.time())
    assert (entry.kind, entry.subject, entry.damage) == (KIND, f"TensorRT {VERSION} on NVIDIA H200", "")
    ingredients: Any = dict(receipt_in(machine.store()).key.ingredients)
    assert ingredients == {"runtime.version": VERSION, "timing.gpu": "NVIDIA H200", "timing.driver": "580.1"}
