from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.prepare.calibration import calibrate
from pipeline.prepare.calibration_reuse import reuse_table
from pipeline.prepare.calibration_run import SAMPLE
from pipeline.prepare.facts import tensor_to_json
from pipeline.prepare.onnx_model import input_facts
from tests.support.models import linear_model, saved

WEIGHTS = np.arange(1, 13, dtype=np.float32).reshape(4, 3)


def asked(folder: Path, weights: np.ndarray, **changed: Any) -> dict[str, Any]:
    """What a calibration of a linear model with ``weights`` is asked, on 80 samples; the last is the largest."""
    model = saved(linear_model(weights.astype(np.float32)), folder / "m.onnx")
    samples = np.random.default_rng(0).uniform(-1, 1, (80, 4)).astype(np.float32)
    samples[-1] = 10
    np.save(folder / "data.npy", samples)
    return {
        "model": str(model),
        "inputs": [tensor_to_json(tensor) for tensor in input_facts(model)],
        "data": str(folder / "data.npy"),
        "samples": None,
        "batch_size": 8,
        "method": "minmax",
        "percentile": 99.99,
    } | changed


def calibrated(folder: Path, **changed: Any) -> dict[str, Any]:
    """``before``: the calibration of the first weights."""
    first = folder / "first"
    first.mkdir()
    outcome = calibrate(asked(folder, WEIGHTS, **changed), first)
    return {"table": str(first / outcome["table"]), "ranges": str(first / outcome["json"]), "outcome": outcome}


def reused(folder: Path, weights: np.ndarray, within: float, **changed: Any) -> dict[str, Any]:
    before = calibrated(folder, **changed)
    second = folder / "second"
    second.mkdir()
    return reuse_table({**asked(folder, weights, **changed), "before": before, "within": within}, second)


def test_a_calibration_records_the_ranges_of_its_first_samples(tmp_path: Path) -> None:
    sample = json.loads(Path(calibrated(tmp_path)["ranges"]).read_text())["sample"]
    assert sample["samples"] == SAMPLE
    assert set(sample["ranges"]) == {"features", "scores"}
    assert sample["ranges"]["features"] <= 1


def test_a_sample_is_made_of_whole_batches_and_ends_with_the_data(tmp_path: Path) -> None:
    sample = json.loads(Path(calibrated(tmp_path, batch_size=24)["ranges"]).read_text())["sample"]
    assert sample["samples"] == 48
    (tmp_path / "few").mkdir()
    sample = json.loads(Path(calibrated(tmp_path / "few", samples=5)["ranges"]).read_text())["sample"]
    assert sample["samples"] == 5


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_a_table_is_kept_where_every_range_stayed_within_the_limit(tmp_path: Path, method: str) -> None:
    outcome = reused(tmp_path, WEIGHTS * 1.01, 0.02, method=method)
    kept = (tmp_path / "second" / outcome["table"]).read_bytes()
    assert kept == (tmp_path / "first" / outcome["table"]).read_bytes()
    assert outcome["tensors"] == 2
    assert outcome["reused"]["samples"] == SAMPLE
    assert (outcome["reused"]["tensors"], outcome["reused"]["moved"]) == (2, 1)
    assert outcome["reused"]["largest_factor"] == pytest.approx(1.01, abs=1e-3)


@pytest.mark.parametrize("factor", [1.03, 1 / 1.03])
def test_a_range_that_moved_too_far_is_named_with_its_factor(tmp_path: Path, factor: float) -> None:
    with pytest.raises(ModelError, match=r"range of 'scores' moved by a factor of 1.03\d* on 32 samples.*allows 1.02"):
        reused(tmp_path, WEIGHTS * factor, 0.02)


def test_a_tensor_that_fell_silent_is_a_reason_to_calibrate(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="only before: 'scores'; only now: none"):
        reused(tmp_path, WEIGHTS * 0, 0.02)


def test_a_table_from_before_samples_were_recorded_is_not_kept(tmp_path: Path) -> None:
    before = calibrated(tmp_path)
    told = json.loads(Path(before["ranges"]).read_text())
    del told["sample"]
    (tmp_path / "first/calibration.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match="does not tell the ranges of a sample"):
        reuse_table({**asked(tmp_path, WEIGHTS), "before": before, "within": 0.02}, tmp_path)


def test_a_kept_table_keeps_its_own_sample_so_that_small_moves_do_not_add_up(tmp_path: Path) -> None:
    outcome = reused(tmp_path, WEIGHTS * 1.015, 0.02)
    second = tmp_path / "second"
    before = {"table": str(second / outcome["table"]), "ranges": str(second / outcome["json"]), "outcome": outcome}
    (tmp_path / "third").mkdir()
    with pytest.raises(ModelError, match=r"factor of 1.03"):
        reuse_table({**asked(tmp_path, WEIGHTS * 1.03), "before": before, "within": 0.02}, tmp_path / "third")
