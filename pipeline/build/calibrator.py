"""A calibrator of TensorRT 8.6 and 10.x that hands over checked batches alone, and keeps what went wrong.

TensorRT prints an exception of a calibrator's method and takes it for the end of the data, so that a bad batch would
leave a table made from the batches before it. So no method raises: ``failure`` holds the error until the build is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.manifest.types import CalibrationMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    Batch = Mapping[str, npt.NDArray[Any]]
    Upload = Callable[[str, npt.NDArray[Any]], int]
    """Copies an input's values to the GPU, and returns their address there."""

BASES = {
    CalibrationMethod.ENTROPY: "IInt8EntropyCalibrator2",
    CalibrationMethod.MINMAX: "IInt8MinMaxCalibrator",
    CalibrationMethod.LEGACY: "IInt8LegacyCalibrator",
}
"""Method -> TensorRT's class for it."""
_FIX = "correct the calibration data"
_WHOLE = 1.0


@dataclass(frozen=True, slots=True)
class InputForm:
    """What one input of the network takes: numpy's type, and the shape of a batch."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class BatchFeed:
    """Gives out one batch after another as addresses on the GPU, each checked against the network's inputs.

    ``failure`` is the first error; nothing is given out after it. ``given`` counts the batches that were, and
    ``finished`` says whether all of them were.
    """

    def __init__(self, forms: Mapping[str, InputForm], batches: Iterator[Batch], upload: Upload) -> None:
        self._forms = forms
        self._batches = batches
        self._upload = upload
        self.failure: BaseException | None = None
        self.given = 0
        self.finished = False

    def next_addresses(self, names: list[str]) -> list[int] | None:
        """The addresses of the next batch in the order of ``names``; ``None`` at the end and after a failure."""
        if self.failure is not None or self.finished:
            return None
        try:
            return self._next(names)
        except BaseException as error:
            self.failure = error
            return None

    def _next(self, names: list[str]) -> list[int] | None:
        batch = next(self._batches, None)
        if batch is None:
            self.finished = True
            return None
        if set(names) != set(self._forms) or set(batch) != set(self._forms):
            raise ModelError(
                f"calibration batch {self.given} is for other inputs than the network's",
                why=f"TensorRT asks for {sorted(names)}, the batch has {sorted(batch)}",
                fix=_FIX,
            )
        values = {name: self._fitting(name, batch[name]) for name in names}
        addresses = [self._upload(name, values[name]) for name in names]
        self.given += 1
        return addresses

    def _fitting(self, name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        form, place = self._forms[name], f"calibration batch {self.given}, input {name!r}"
        if values.shape != form.shape:
            raise ModelError(
                f"{place} has shape {values.shape}, and TensorRT calibrates with {form.shape} throughout",
                fix="give samples of one shape",
            )
        if values.dtype.kind in "iu" and form.dtype.kind in "iu" and values.dtype != form.dtype:
            narrowed = values.astype(form.dtype)
            if not np.array_equal(narrowed, values):
                raise ModelError(f"{place} holds integers beyond {form.dtype}, which the network takes", fix=_FIX)
            return np.ascontiguousarray(narrowed)
        if values.dtype != form.dtype:
            raise ModelError(f"{place} is {values.dtype}, and the network takes {form.dtype}", fix=_FIX)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelError(f"{place} holds NaN or infinity", fix=_FIX)
        return np.ascontiguousarray(values)


def native_calibrator(
    trt: Any, method: CalibrationMethod, feed: BatchFeed, *, batch_size: int, percentile: float
) -> Any:
    """A calibrator for the module ``trt``. Its attribute ``table`` is the text that TensorRT wrote, else ``None``.

    ``percentile`` is the share of magnitudes, in percent, that the legacy calibrator keeps: the quantile. Its
    regression cutoff is 1, so that the quantile alone decides (TensorRT documentation, "INT8 calibration": percentile
    max by the legacy calibrator).
    """
    base = getattr(trt, BASES[method])

    class Calibrator(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            base.__init__(self)
            self.table: bytes | None = None

        def get_batch_size(self) -> int:
            return batch_size

        def get_batch(self, names: list[str]) -> list[int] | None:
            return feed.next_addresses(list(names))

        def read_calibration_cache(self) -> None:
            """Always calibrate: tables are looked up before TensorRT is asked."""

        def write_calibration_cache(self, cache: memoryview) -> None:
            self.table = bytes(cache)

        def get_quantile(self) -> float:
            return percentile / 100

        def get_regression_cutoff(self) -> float:
            return _WHOLE

        def read_histogram_cache(self, length: int) -> None:
            """No histogram of an earlier calibration is used."""

        def write_histogram_cache(self, cache: Any, length: int) -> None:
            """The table is the artefact; histograms are not kept."""

    return Calibrator()
