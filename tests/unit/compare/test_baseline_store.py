from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from pipeline.cache.local import LocalStore
from pipeline.cache.receipt import bytes_from_receipt, receipt_from_bytes
from pipeline.cache.seal import HmacSeal, SealedStore
from pipeline.cache.store import StoreFailed
from pipeline.cache.verifying import verify_entries
from pipeline.compare.baseline_store import KIND, BaselineStore, Line
from tests.support.baselines import JOB, job_baseline, run_name

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.digest import Digest

LINE = Line(repository="acme/models", manifest="trt-engines.yaml", branch="main")


class UnreachableStore(LocalStore):
    def get_receipt(self, kind: str, key: Digest) -> NoReturn:
        raise StoreFailed("no answer")


class FullStore(LocalStore):
    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> NoReturn:
        raise StoreFailed("no space left")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "cache")


def test_a_baseline_that_was_saved_is_loaded(store: LocalStore) -> None:
    assert BaselineStore(store, LINE).save([job_baseline()]) == ()
    loaded = BaselineStore(store, LINE).load([JOB, "digits/h200/int8"])
    assert (loaded.baselines, loaded.notes) == ({JOB: job_baseline()}, ())


def test_a_later_run_takes_the_place_and_continues_the_history(store: LocalStore) -> None:
    for day in (1, 2, 3):
        BaselineStore(store, LINE).save([job_baseline(day)])
    baseline = BaselineStore(store, LINE).load([JOB]).baselines[JOB]
    assert baseline.run == run_name(3)
    assert [past.run for past in baseline.history] == [run_name(1), run_name(2), run_name(3)]


@pytest.mark.parametrize("part", ["repository", "manifest", "branch"])
def test_each_line_has_its_own(store: LocalStore, part: str) -> None:
    parts = {"repository": LINE.repository, "manifest": LINE.manifest, "branch": LINE.branch}
    BaselineStore(store, LINE).save([job_baseline()])
    assert BaselineStore(store, Line(**(parts | {part: "another"}))).load([JOB]).baselines == {}


def test_jobs_that_several_runners_save_stand_beside_each_other(store: LocalStore) -> None:
    other = "digits/l4/fp16"
    BaselineStore(store, LINE).save([job_baseline()])
    BaselineStore(store, LINE).save([job_baseline(job=other)])
    assert BaselineStore(store, LINE).load([JOB, other]).baselines.keys() == {JOB, other}


def test_a_damaged_baseline_is_noted_and_replaced(store: LocalStore) -> None:
    BaselineStore(store, LINE).save([job_baseline()])
    ((kind, digest, _stat),) = store.receipts(KIND)
    store.put_receipt(kind, digest, b"{}", replace=True)
    loaded = BaselineStore(store, LINE).load([JOB])
    assert loaded.baselines == {}
    assert loaded.notes[0].startswith(f"the baseline of {JOB} cannot be read: the receipt is damaged")
    assert BaselineStore(store, LINE).save([job_baseline()]) == ()
    assert BaselineStore(store, LINE).load([JOB]).notes == ()


def test_a_baseline_of_a_later_format_is_noted(store: LocalStore) -> None:
    BaselineStore(store, LINE).save([job_baseline()])
    ((kind, digest, _stat),) = store.receipts(KIND)
    data = store.get_receipt(kind, digest)
    assert data is not None
    receipt = receipt_from_bytes(data, kind=kind, stored_as=digest)
    receipt.metadata["schema_version"] = 99  # type: ignore[index]
    store.put_receipt(kind, digest, bytes_from_receipt(receipt), replace=True)
    assert BaselineStore(store, LINE).load([JOB]).notes == (
        f"the baseline of {JOB} cannot be read: its schema_version 99 is none of 1",
    )


def test_a_store_that_fails_costs_the_baseline_and_nothing_else(tmp_path: Path) -> None:
    place = BaselineStore(UnreachableStore(tmp_path), LINE)
    assert place.load([JOB]).notes == ("not every baseline could be read: the cache failed: no answer",)
    assert place.save([job_baseline()]) == ("not every baseline was kept: the cache failed: no answer",)


def test_a_store_that_fails_is_left_alone_and_noted_once_however_many_jobs_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refused(_store: LocalStore, kind: str, *_more: object, **_named: object) -> NoReturn:
        asked.append(kind)
        time.sleep(0.01)
        raise StoreFailed("no answer")

    monkeypatch.setattr(LocalStore, "get_receipt", refused)
    place = BaselineStore(LocalStore(tmp_path), LINE)

    loaded = place.load([f"digits/h200/{number}" for number in range(100)])
    saved = place.save([job_baseline(job=f"digits/h200/{number}") for number in range(100)])

    assert loaded.notes == ("not every baseline could be read: the cache failed 3 times and is left alone: no answer",)
    assert saved == ("not every baseline was kept: the cache failed 3 times and is left alone: no answer",)
    assert (place.load_jobs(), place.save_jobs([JOB])) == ((), ())
    assert len(asked) <= 3 + 8


def test_a_store_that_is_full_is_noted(tmp_path: Path) -> None:
    place = BaselineStore(FullStore(tmp_path), LINE)
    assert place.save([job_baseline()]) == ("not every baseline was kept: the cache failed: no space left",)


class OvertakenStore(LocalStore):
    """A place that tells whether a receipt is still the one that was read; another run saves ``first`` in between."""

    first: BaselineStore | None = None

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        if self.first is not None:
            other, self.first = self.first, None
            other.save([job_baseline(2)])
            return False
        return super().put_receipt(kind, key, data, replace=replace)


def test_of_two_runs_that_save_at_once_the_second_continues_the_history_of_the_first(tmp_path: Path) -> None:
    store = OvertakenStore(tmp_path)
    BaselineStore(store, LINE).save([job_baseline(1)])
    store.first = BaselineStore(LocalStore(tmp_path), LINE)

    assert BaselineStore(store, LINE).save([job_baseline(3)]) == ()

    baseline = BaselineStore(store, LINE).load([JOB]).baselines[JOB]
    assert [past.run for past in baseline.history] == [run_name(1), run_name(2), run_name(3)]


class RestlessStore(LocalStore):
    """A place where another run is always faster."""

    def put_receipt(self, kind: str, key: Digest, data: bytes, *, replace: bool) -> bool:
        return False


def test_a_run_that_is_always_too_late_says_so(tmp_path: Path) -> None:
    kept = BaselineStore(RestlessStore(tmp_path), LINE)
    (note,) = kept.save([job_baseline()])
    assert note.endswith("was not kept: other runs write it again and again")
    (note,) = kept.save_jobs([JOB])
    assert "again and again" in note


def test_a_baseline_too_long_for_the_cache_is_noted(store: LocalStore) -> None:
    notes = BaselineStore(store, LINE).save([job_baseline(gpu="x" * 300_000)])
    assert notes[0].startswith(f"the baseline of {JOB} was not kept: no receipt can say this")


def test_T16_a_baseline_that_was_not_sealed_with_the_secret_is_not_believed(store: LocalStore) -> None:
    """Whoever can write the place but has not the secret cannot set the figures and gates of the default branch."""
    BaselineStore(store, LINE).save([job_baseline()])
    sealed = SealedStore(store, "trusted", HmacSeal([b"a secret of forty characters, or nearly so"]))
    loaded = BaselineStore(sealed, LINE).load([JOB])
    assert loaded.baselines == {}
    assert len(loaded.notes) == 1


def test_upkeep_finds_nothing_wrong_with_a_baseline(store: LocalStore) -> None:
    BaselineStore(store, LINE).save([job_baseline()])
    (found,) = verify_entries(store, now_s=0.0)
    assert (found.kind, found.damage) == (KIND, "")


def test_the_list_of_a_lines_jobs_is_kept_and_replaced(store: LocalStore) -> None:
    kept = BaselineStore(store, LINE)
    assert kept.load_jobs() == ()
    assert kept.save_jobs(["a/b/fp16", "a/b/fp32"]) == ()
    assert kept.save_jobs([JOB]) == ()
    assert kept.load_jobs() == (JOB,)


def test_a_list_of_jobs_that_cannot_be_had_is_none(tmp_path: Path) -> None:
    assert BaselineStore(UnreachableStore(tmp_path), LINE).load_jobs() == ()
    (note,) = BaselineStore(FullStore(tmp_path), LINE).save_jobs([JOB])
    assert "no space left" in note
