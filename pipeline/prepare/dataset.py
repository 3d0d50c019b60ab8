"""Data sets for calibration and evaluation: checked against the model's inputs, then read in batches.

Axis 0 of every array holds the samples. Types are never cast. Where the model's own axis 0 is fixed, that is the
size of every batch. In a folder, arrays of neighbouring files are joined; where a dynamic dimension changes from one
file to the next, the batch ends with the file.

Where every array has one axis more than its input, each sample is all that the model takes at a time. So can a model
be fed whose inputs do not all have the samples on axis 0, such as the state of a recurrent one, or a single number.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.near import near_spelling
from pipeline.prepare.arrays import StoredArray, stored_arrays
from pipeline.prepare.dataset_files import dataset_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pipeline.prepare.facts import TensorFacts

_PROBLEMS_AT_MOST = 10
_APART = "; where samples do not lie on axis 0 of every input, give each array one axis more, before the input's own"


@dataclass(frozen=True, slots=True)
class _Shard:
    """One file: input name -> array, all with ``samples`` rows."""

    arrays: Mapping[str, StoredArray]
    samples: int

    @property
    def sample_shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: array.shape[1:] for name, array in self.arrays.items()}


@dataclass(frozen=True, slots=True)
class Dataset:
    """Checked, not yet read. ``len()`` is the number of samples in use, ``available`` of those in the files.

    ``fixed_batch_size`` is the model's own where its axis 0 is not dynamic, and 1 where ``apart`` says that each
    sample is fed by itself, without an axis for samples.
    """

    path: Path
    available: int
    fixed_batch_size: int | None
    apart: bool
    _shards: tuple[_Shard, ...]
    _samples: int

    def __len__(self) -> int:
        return self._samples

    def batches(self, batch_size: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Input name -> array of at most ``batch_size`` samples, in order, native byte order, C order.

        Only one batch is in memory. Raises ``ModelError`` at the first sample that holds NaN or infinity, and for
        files that are damaged.
        """
        size = self.fixed_batch_size or batch_size
        if size < 1:
            raise ValueError(f"a batch of {size} samples")
        batches = self._batches(size)
        if self.apart:
            return ({name: np.asarray(values[0]) for name, values in batch.items()} for batch in batches)
        return batches

    def samples_in(self, batch: Mapping[str, npt.NDArray[Any]]) -> int:
        """How many samples one of its batches holds."""
        return 1 if self.apart else len(next(iter(batch.values())))

    def _batches(self, size: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
        left = self._samples
        for run in _runs(self._shards):
            parts: list[dict[str, npt.NDArray[Any]]] = []
            held = 0
            for shard in run:
                wanted = min(left, shard.samples)
                left -= wanted
                counts = _counts(size - held, size, wanted)
                for part in _parts(shard, counts):
                    parts.append(part)
                    held += len(next(iter(part.values())))
                    if held == size:
                        yield _joined(parts)
                        parts, held = [], 0
            if parts:
                yield _joined(parts)


def open_dataset(path: Path, inputs: Sequence[TensorFacts], *, samples: int | None) -> Dataset:
    """The first ``samples`` samples (all where ``None``) of the data set at ``path``, for a model with ``inputs``.

    Reads only headers. Raises ``ModelError`` with everything that does not fit, one line each.
    """
    shards: list[_Shard] = []
    problems: list[str] = []
    for file in dataset_files(path):
        found, problems_here = _by_input(stored_arrays(file), inputs)
        problems += [f"{file.name}: {problem}" for problem in problems_here]
        if not problems_here:
            shards.append(_Shard(found, next(iter(found.values())).shape[0]))
    _refuse(path, problems)
    available = sum(shard.samples for shard in shards)
    used = available if samples is None else samples
    if available == 0:
        problems.append("it holds no samples")
    elif used > available:
        problems.append(f"{used} samples are asked for, but it holds {available}")
    elif used < 1:
        problems.append(f"{used} samples are asked for")
    ways = {_fed_apart(shard.arrays, inputs) for shard in shards}
    apart = True in ways
    if len(ways) > 1:
        problems.append(
            "in some of its files the arrays have one axis more than the inputs, and in others they have not"
        )
    fixed = 1 if apart else _fixed_batch_size(inputs, problems)
    _refuse(path, problems)
    if fixed is not None:
        _refuse(path, _broken_batches(tuple(shards), used, fixed))
    return Dataset(path, available, fixed, apart, tuple(shards), used)


def _by_input(
    arrays: tuple[StoredArray, ...], inputs: Sequence[TensorFacts]
) -> tuple[dict[str, StoredArray], list[str]]:
    names = [tensor.name for tensor in inputs]
    if not names:
        return {}, ["the model has no inputs to give data to"]
    if len(arrays) == 1 and not arrays[0].name:
        if len(names) > 1:
            return {}, [f"one array without a name cannot feed {len(names)} inputs; use .npz with {_list(names)}"]
        found = {names[0]: arrays[0]}
    else:
        found = {array.name: array for array in arrays}
    problems = [f"input {name!r} has no array" for name in names if name not in found]
    for name in sorted(found.keys() - set(names)):
        near = near_spelling(name, names)
        problems.append(f"array {name!r} names no input; {near or f'the model has {_list(names)}'}")
    apart = _fed_apart(found, inputs)
    for tensor in inputs:
        if tensor.name in found:
            problems += _mismatches(tensor, found[tensor.name], apart=apart)
    rows = {name: found[name].shape[0] for name in names if name in found}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name!r} has {count}" for name, count in rows.items())
        problems.append(f"the inputs have different numbers of samples: {counts}{_APART}")
    return {name: found[name] for name in names if name in found}, problems


def _fed_apart(arrays: Mapping[str, StoredArray], inputs: Sequence[TensorFacts]) -> bool:
    """Whether every array has one axis more than its input, so that each sample is fed by itself."""
    return all(len(arrays[tensor.name].shape) == len(tensor.shape) + 1 for tensor in inputs if tensor.name in arrays)


def _mismatches(tensor: TensorFacts, array: StoredArray, *, apart: bool) -> Iterator[str]:
    if array.dtype.name != tensor.dtype:
        yield (
            f"{array} is {array.dtype.name}, but input {tensor.name!r} takes {tensor.dtype};"
            f" nothing is cast silently, so save it as {tensor.dtype}"
        )
    wanted = ", ".join("?" if size is None else str(size) for size in tensor.shape)
    if apart:
        if any(
            isinstance(size, int) and size != given for size, given in zip(tensor.shape, array.shape[1:], strict=True)
        ):
            yield f"{array} has samples of shape {array.shape[1:]}, but input {tensor.name!r} takes ({wanted})"
    elif not tensor.shape:
        yield f"input {tensor.name!r} is a single number and has no axis for samples{_APART}"
    elif len(array.shape) != len(tensor.shape):
        hint = "; add axis 0 for the samples" if len(array.shape) == len(tensor.shape) - 1 else ""
        yield (
            f"{array} has {len(array.shape)} axes {array.shape}, but input {tensor.name!r} has"
            f" {len(tensor.shape)} ({wanted}){hint}"
        )
    elif any(
        isinstance(size, int) and size != given for size, given in zip(tensor.shape[1:], array.shape[1:], strict=True)
    ):
        yield f"{array} has shape {array.shape}, but input {tensor.name!r} takes ({wanted})"


def _fixed_batch_size(inputs: Sequence[TensorFacts], problems: list[str]) -> int | None:
    fixed = {tensor.name: tensor.shape[0] for tensor in inputs if isinstance(tensor.shape[0], int)}
    if len(set(fixed.values())) > 1:
        sizes = ", ".join(f"{name!r} takes {size}" for name, size in fixed.items())
        problems.append(f"the model's inputs take different numbers of samples at a time: {sizes}{_APART}")
    return next((size for size in fixed.values() if isinstance(size, int)), None)


def _broken_batches(shards: tuple[_Shard, ...], left: int, size: int) -> list[str]:
    """What is wrong where the model takes ``size`` samples at a time and ``left`` of those in ``shards`` are used."""
    for run in _runs(shards):
        count = min(left, sum(shard.samples for shard in run))
        left -= count
        if size == 0 or count % size:
            return [f"the model takes {size} samples at a time, and {count} samples do not divide into such batches"]
    return []


def _runs(shards: tuple[_Shard, ...]) -> Iterator[list[_Shard]]:
    """Neighbouring shards whose samples have the same shapes."""
    run: list[_Shard] = []
    for shard in shards:
        if run and run[0].sample_shapes != shard.sample_shapes:
            yield run
            run = []
        run.append(shard)
    yield run


def _counts(first: int, size: int, total: int) -> list[int]:
    """How many rows to read at a time: ``first`` to fill a batch already begun, then ``size``, ``total`` in all."""
    edges = [0, *range(first, total, size), total]
    return [end - start for start, end in pairwise(edges)] if total else []


def _parts(shard: _Shard, counts: list[int]) -> Iterator[dict[str, npt.NDArray[Any]]]:
    readers = {name: array.pieces(iter(counts)) for name, array in shard.arrays.items()}
    start = 0
    for count in counts:
        part = {name: next(reader) for name, reader in readers.items()}
        for name, values in part.items():
            _check_numbers(shard.arrays[name], values, start)
        start += count
        yield part


def _check_numbers(array: StoredArray, values: npt.NDArray[Any], start: int) -> None:
    if values.dtype.kind not in "fc":
        return
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        sample = int(np.argmin(finite))
        kind = "NaN" if np.isnan(values[sample]).any() else "infinity"
        raise ModelError(
            f"{array} holds {kind} in sample {start + sample}",
            fix="remove the sample or mend it",
            where=str(array.path),
        )


def _joined(parts: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _list(names: list[str]) -> str:
    return ", ".join(map(repr, names))


def _refuse(path: Path, problems: list[str]) -> None:
    fix = "correct the data, or the manifest where it names the wrong file"
    if len(problems) == 1:
        raise ModelError(problems[0], fix=fix, where=str(path))
    if problems:
        lines = problems[:_PROBLEMS_AT_MOST]
        if len(problems) > len(lines):
            lines = [*lines, f"and {len(problems) - len(lines)} more"]
        raise ModelError(
            f"the data does not fit the model in {len(problems)} ways",
            why="\n  " + "\n  ".join(lines) + "\n",
            fix=fix,
            where=str(path),
        )
