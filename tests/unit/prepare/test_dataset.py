from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ModelError
from pipeline.prepare.dataset import open_dataset
from pipeline.prepare.facts import TensorFacts

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_IMAGE = TensorFacts("image", "float32", ("batch", 2))
_SCALE = TensorFacts("scale", "int64", ("batch",))


def _images(count: int, first: int = 0) -> npt.NDArray[np.float32]:
    return np.arange(first * 2, (first + count) * 2, dtype=np.float32).reshape(count, 2)


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _npy(path: Path, values: npt.NDArray[Any]) -> Path:
    np.save(path, values)
    return path


def _refusal(path: Path, *inputs: TensorFacts, samples: int | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        open_dataset(path, inputs, samples=samples)
    return str(caught.value)


def test_batches_of_a_single_array(tmp_path: Path) -> None:
    dataset = open_dataset(_npy(tmp_path / "a.npy", _images(5)), [_IMAGE], samples=None)
    batches = list(dataset.batches(2))
    assert len(dataset) == 5
    assert [batch["image"].tolist() for batch in batches] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9]]]


def test_batches_of_named_arrays(tmp_path: Path) -> None:
    path = _npz(tmp_path / "a.npz", image=_images(3), scale=np.arange(3))
    batches = list(open_dataset(path, [_IMAGE, _SCALE], samples=None).batches(2))
    assert [batch["scale"].tolist() for batch in batches] == [[0, 1], [2]]
    assert [len(batch["image"]) for batch in batches] == [2, 1]


_STATE = TensorFacts("state", "float32", (2, "batch", 3))
_RATE = TensorFacts("rate", "int64", ())


def _recurrent(count: int) -> dict[str, npt.NDArray[Any]]:
    """Samples of a model whose state has its layers on axis 0, and of one number, each with one axis more."""
    return {
        "image": _images(count).reshape(count, 1, 2),
        "state": np.arange(count * 6, dtype=np.float32).reshape(count, 2, 1, 3),
        "rate": np.arange(count),
    }


def test_samples_with_an_axis_of_their_own_are_fed_one_by_one(tmp_path: Path) -> None:
    arrays = _recurrent(3)
    dataset = open_dataset(_npz(tmp_path / "a.npz", **arrays), [_IMAGE, _STATE, _RATE], samples=2)
    batches = list(dataset.batches(8))
    assert (len(dataset), dataset.fixed_batch_size) == (2, 1)
    assert [{name: values.shape for name, values in batch.items()} for batch in batches] == 2 * [
        {"image": (1, 2), "state": (2, 1, 3), "rate": ()}
    ]
    assert [int(batch["rate"]) for batch in batches] == [0, 1]
    assert np.array_equal(batches[1]["state"], arrays["state"][1])
    assert [dataset.samples_in(batch) for batch in batches] == [1, 1]


def test_a_sample_that_does_not_fit_a_fixed_axis_is_refused(tmp_path: Path) -> None:
    path = _npz(tmp_path / "a.npz", **_recurrent(3) | {"state": np.zeros((3, 4, 1, 3), np.float32)})
    told = _refusal(path, _IMAGE, _STATE, _RATE)
    assert "has samples of shape (4, 1, 3), but input 'state' takes (2, batch, 3)" in told


@pytest.mark.parametrize(
    "arrays",
    [
        {"image": _images(4), "state": np.zeros((2, 4, 3), np.float32), "rate": np.arange(4)},
        {"image": _images(4), "state": np.zeros((4, 2, 1, 3), np.float32), "rate": np.arange(4)},
    ],
    ids=["by the model's axes", "mixed"],
)
def test_how_to_feed_samples_that_are_not_on_axis_0_is_told(tmp_path: Path, arrays: dict[str, Any]) -> None:
    told = _refusal(_npz(tmp_path / "a.npz", **arrays), _IMAGE, _STATE, _RATE)
    assert "give each array one axis more, before the input's own" in told


def test_files_that_hold_samples_in_both_ways_are_refused(tmp_path: Path) -> None:
    _npy(tmp_path / "a.npy", _images(2))
    _npy(tmp_path / "b.npy", _images(2).reshape(2, 1, 2))
    assert "have one axis more than the inputs, and in others they have not" in _refusal(tmp_path, _IMAGE)


@settings(max_examples=40)
@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=4), batch_size=st.integers(1, 5), data=st.data())
def test_a_folder_reads_like_one_file(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], batch_size: int, data: st.DataObject
) -> None:
    total = sum(counts)
    if total == 0:
        return
    folder = tmp_path_factory.mktemp("data")
    first = 0
    for number, count in enumerate(counts):
        _npy(folder / f"{number}.npy", _images(count, first))
        first += count
    samples = data.draw(st.one_of(st.none(), st.integers(1, total)))
    used = samples or total
    batches = [batch["image"] for batch in open_dataset(folder, [_IMAGE], samples=samples).batches(batch_size)]
    assert np.array_equal(np.concatenate(batches), _images(used))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)


def test_batches_end_where_a_dynamic_axis_changes(tmp_path: Path) -> None:
    text = TensorFacts("tokens", "int64", ("batch", "length"))
    _npy(tmp_path / "a.npy", np.zeros((3, 4), np.int64))
    _npy(tmp_path / "b.npy", np.zeros((2, 6), np.int64))
    shapes = [batch["tokens"].shape for batch in open_dataset(tmp_path, [text], samples=None).batches(2)]
    assert shapes == [(2, 4), (1, 4), (2, 6)]


def test_only_so_many_samples_are_used(tmp_path: Path) -> None:
    dataset = open_dataset(_npy(tmp_path / "a.npy", _images(5)), [_IMAGE], samples=3)
    assert (len(dataset), dataset.available) == (3, 5)
    assert [len(batch["image"]) for batch in dataset.batches(2)] == [2, 1]


def test_a_fixed_batch_of_the_model_is_the_size_of_every_batch(tmp_path: Path) -> None:
    fixed = TensorFacts("image", "float32", (2, 2))
    dataset = open_dataset(_npy(tmp_path / "a.npy", _images(4)), [fixed], samples=None)
    assert [len(batch["image"]) for batch in dataset.batches(8)] == [2, 2]


@pytest.mark.parametrize("samples", [3, None])
def test_samples_that_do_not_fill_the_fixed_batches_are_refused(tmp_path: Path, samples: int | None) -> None:
    fixed = TensorFacts("image", "float32", (2, 2))
    text = _refusal(_npy(tmp_path / "a.npy", _images(5)), fixed, samples=samples)
    assert f"takes 2 samples at a time, and {samples or 5} samples do not divide" in text


def test_arrays_of_the_other_byte_order_are_the_same_numbers(tmp_path: Path) -> None:
    path = _npy(tmp_path / "a.npy", _images(2).astype(">f4"))
    (batch,) = open_dataset(path, [_IMAGE], samples=None).batches(8)
    assert batch["image"].dtype == np.float32
    assert np.array_equal(batch["image"], _images(2))


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"scale": np.arange(3)}, "input 'image' has no array"),
        ({"image": _images(3), "scales": np.arange(3)}, "array 'scales' names no input; did you mean 'scale'?"),
        ({"image": _images(3), "scale": np.arange(3), "zz": np.arange(3)}, "the model has 'image', 'scale'"),
        (
            {"image": _images(3).astype(np.float64), "scale": np.arange(3)},
            "is float64, but input 'image' takes float32",
        ),
        ({"image": _images(3), "scale": np.arange(3, dtype=np.int32)}, "is int32, but input 'scale' takes int64"),
        (
            {"image": np.zeros((3, 4), np.float32), "scale": np.arange(3)},
            "has shape (3, 4), but input 'image' takes (batch, 2)",
        ),
        ({"image": np.zeros(3, np.float32), "scale": np.arange(3)}, "has 1 axes (3,), but input 'image' has 2"),
        ({"image": _images(3), "scale": np.arange(4)}, "different numbers of samples: 'image' has 3, 'scale' has 4"),
        ({"image": _images(0), "scale": np.arange(0)}, "it holds no samples"),
    ],
)
def test_data_that_does_not_fit_the_model_is_refused(tmp_path: Path, arrays: dict[str, Any], text: str) -> None:
    assert text in _refusal(_npz(tmp_path / "a.npz", **arrays), _IMAGE, _SCALE)


def test_a_sample_without_the_axis_of_samples_comes_with_the_remedy(tmp_path: Path) -> None:
    assert "add axis 0 for the samples" in _refusal(_npy(tmp_path / "a.npy", np.zeros(2, np.float32)), _IMAGE)


def test_everything_that_does_not_fit_is_reported_with_its_file(tmp_path: Path) -> None:
    _npz(tmp_path / "a.npz", image=_images(3).astype(np.float64), scale=np.arange(3))
    _npz(tmp_path / "b.npz", image=_images(3))
    text = _refusal(tmp_path, _IMAGE, _SCALE)
    assert "in 2 ways" in text
    assert "a.npz: array 'image' is float64" in text
    assert "b.npz: input 'scale' has no array" in text


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    for number in range(15):
        _npy(tmp_path / f"{number:02d}.npy", np.zeros((1, 9), np.float32))
    text = _refusal(tmp_path, _IMAGE)
    assert "in 15 ways" in text
    assert "and 5 more" in text


def test_one_array_cannot_feed_two_inputs(tmp_path: Path) -> None:
    assert "cannot feed 2 inputs" in _refusal(_npy(tmp_path / "a.npy", _images(3)), _IMAGE, _SCALE)


@pytest.mark.parametrize(
    ("samples", "text"), [(4, "4 samples are asked for, but it holds 3"), (0, "0 samples are asked")]
)
def test_samples_that_are_not_there_are_refused(tmp_path: Path, samples: int, text: str) -> None:
    assert text in _refusal(_npy(tmp_path / "a.npy", _images(3)), _IMAGE, samples=samples)


def test_an_input_of_one_number_is_refused(tmp_path: Path) -> None:
    text = _refusal(_npy(tmp_path / "a.npy", _images(3)), TensorFacts("limit", "float32", ()))
    assert "has no axis for samples" in text


def test_inputs_of_different_fixed_batches_are_refused(tmp_path: Path) -> None:
    inputs = TensorFacts("image", "float32", (2, 2)), TensorFacts("scale", "int64", (3,))
    path = _npz(tmp_path / "a.npz", image=_images(6), scale=np.arange(6))
    assert "'image' takes 2, 'scale' takes 3" in _refusal(path, *inputs)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_the_first_sample_that_is_no_number_is_named(tmp_path: Path, value: float, word: str) -> None:
    images = _images(7)
    images[5, 1] = images[6, 0] = value
    path = _npz(tmp_path / "a.npz", image=images)
    with pytest.raises(ModelError, match=f"a.npz: array 'image' holds {word} in sample 5"):
        list(open_dataset(path, [_IMAGE], samples=None).batches(2))


def test_samples_that_are_not_used_may_be_anything(tmp_path: Path) -> None:
    images = _images(4)
    images[3] = np.nan
    dataset = open_dataset(_npy(tmp_path / "a.npy", images), [_IMAGE], samples=3)
    assert sum(len(batch["image"]) for batch in dataset.batches(2)) == 3


def test_a_batch_of_no_samples_is_a_mistake(tmp_path: Path) -> None:
    dataset = open_dataset(_npy(tmp_path / "a.npy", _images(4)), [_IMAGE], samples=None)
    with pytest.raises(ValueError, match="batch of 0"):
        next(dataset.batches(0))
