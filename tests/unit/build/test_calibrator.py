from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.build.calibrator import BASES, BatchFeed, InputForm, native_calibrator
from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod
from tests.support.recorded_tensorrt import SURFACE, TRT

if TYPE_CHECKING:
    from collections.abc import Iterable

IMAGE = {"image": InputForm(np.dtype("float32"), (2, 3))}
GOOD = np.zeros((2, 3), np.float32)


def feed_of(*batches: Any, forms: dict[str, InputForm] | None = None, uploaded: list[Any] | None = None) -> BatchFeed:
    def upload(name: str, values: Any) -> int:
        if uploaded is not None:
            uploaded.append((name, values))
        return 100 + len(name)

    named = [batch if isinstance(batch, dict) else {"image": batch} for batch in batches]
    return BatchFeed(forms or IMAGE, iter(named), upload)


def drained(feed: BatchFeed, names: Iterable[str] = ("image",)) -> list[list[int]]:
    return list(iter(lambda: feed.next_addresses(list(names)), None))


def test_every_batch_is_given_once_and_then_none() -> None:
    uploaded: list[Any] = []
    feed = feed_of(GOOD, GOOD + 1, uploaded=uploaded)
    assert drained(feed) == [[105], [105]]
    assert (feed.given, feed.finished, feed.failure) == (2, True, None)
    np.testing.assert_array_equal(uploaded[1][1], GOOD + 1)


def test_addresses_come_in_the_order_that_tensorrt_asks_in() -> None:
    form = IMAGE["image"]
    feed = feed_of({"a": GOOD, "bcd": GOOD}, forms={"a": form, "bcd": form})
    assert drained(feed, ["bcd", "a"]) == [[103, 101]]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (GOOD[:1], "calibration batch 1, input 'image' has shape (1, 3)"),
        (np.zeros((2, 4), np.float32), "has shape (2, 4)"),
        (GOOD.astype(np.float64), "is float64, and the network takes float32"),
        (np.full((2, 3), np.nan, np.float32), "holds NaN or infinity"),
        (np.full((2, 3), -np.inf, np.float32), "holds NaN or infinity"),
        ({"other": GOOD}, "is for other inputs"),
        ({}, "is for other inputs"),
    ],
)
def test_a_bad_batch_is_kept_as_a_failure_and_nothing_follows(values: Any, complaint: str) -> None:
    feed = feed_of(GOOD, values, GOOD)
    assert len(drained(feed)) == 1
    assert isinstance(feed.failure, ModelError)
    assert complaint in str(feed.failure)
    assert "batch 1" in str(feed.failure)
    assert not feed.finished
    assert feed.next_addresses(["image"]) is None


def test_integers_are_narrowed_where_their_values_stay() -> None:
    uploaded: list[Any] = []
    forms = {"ids": InputForm(np.dtype("int32"), (2,))}
    feed = feed_of({"ids": np.array([1, 2])}, forms=forms, uploaded=uploaded)
    assert len(drained(feed, ["ids"])) == 1
    assert uploaded[0][1].dtype == np.int32


def test_integers_that_do_not_fit_are_refused() -> None:
    feed = feed_of({"ids": np.array([1, 1 << 40])}, forms={"ids": InputForm(np.dtype("int32"), (2,))})
    assert drained(feed, ["ids"]) == []
    assert "beyond int32" in str(feed.failure)


def test_what_the_data_or_the_copy_raises_is_kept() -> None:
    def upload(name: str, values: Any) -> int:
        raise RuntimeError("no memory")

    feed = BatchFeed(IMAGE, iter([{"image": GOOD}]), upload)
    assert feed.next_addresses(["image"]) is None
    assert str(feed.failure) == "no memory"


def test_what_is_uploaded_lies_in_c_order() -> None:
    uploaded: list[Any] = []
    drained(feed_of(np.asfortranarray(GOOD), uploaded=uploaded))
    assert uploaded[0][1].flags.c_contiguous


@pytest.mark.parametrize("method", BASES)
def test_each_calibrator_overrides_all_that_tensorrt_calls(method: CalibrationMethod) -> None:
    calibrator = native_calibrator(TRT, method, feed_of(GOOD), batch_size=2, percentile=99.99)
    assert isinstance(calibrator, getattr(TRT, BASES[method]))
    called = set(SURFACE["calibrators"][BASES[method]]) - {"get_algorithm"}
    if method is CalibrationMethod.LEGACY:
        called |= {"get_quantile", "get_regression_cutoff", "read_histogram_cache", "write_histogram_cache"}
    assert called <= set(SURFACE["overridden_from_native_code"])
    assert called <= set(vars(type(calibrator)))


def test_a_calibrator_gives_batches_and_keeps_the_table() -> None:
    calibrator = native_calibrator(TRT, CalibrationMethod.ENTROPY, feed_of(GOOD), batch_size=2, percentile=99.99)
    assert calibrator.read_calibration_cache() is None
    assert (calibrator.get_batch_size(), calibrator.get_batch(["image"]), calibrator.get_batch(["image"])) == (
        2,
        [105],
        None,
    )
    calibrator.write_calibration_cache(memoryview(b"table"))
    assert calibrator.table == b"table"


def test_the_legacy_calibrator_keeps_the_share_that_percentile_names() -> None:
    calibrator = native_calibrator(TRT, CalibrationMethod.LEGACY, feed_of(), batch_size=2, percentile=99.9)
    assert calibrator.get_quantile() == pytest.approx(0.999)
    assert calibrator.get_regression_cutoff() == 1.0
    assert calibrator.read_histogram_cache(5) is None
    assert calibrator.write_histogram_cache(None, 5) is None
