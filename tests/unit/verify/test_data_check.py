from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.verify.data_check import check_data

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}]
GOOD = np.ones((4, 1, 8, 8), np.float32)


def checked(folder: Path, data: Any, labels: Any = None, samples: int | None = None) -> dict[str, Any]:
    np.save(folder / "data.npy", data)
    if labels is not None:
        np.save(folder / "labels.npy", labels)
    request = {"inputs": INPUTS, "data": str(folder / "data.npy"), "samples": samples}
    return check_data(request | {"labels": None if labels is None else str(folder / "labels.npy")}, folder)


def test_data_that_fits_is_counted(tmp_path: Path) -> None:
    assert checked(tmp_path, GOOD) == {"samples": 4}
    assert checked(tmp_path, GOOD, labels=np.arange(4), samples=2) == {"samples": 2}


def test_values_are_not_read(tmp_path: Path) -> None:
    assert checked(tmp_path, GOOD * np.nan) == {"samples": 4}


def test_data_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is float64, but input 'image' takes float32"):
        checked(tmp_path, GOOD.astype(np.float64))


def test_labels_that_do_not_fit_the_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there are 3 labels for 4 samples"):
        checked(tmp_path, GOOD, labels=np.arange(3))
