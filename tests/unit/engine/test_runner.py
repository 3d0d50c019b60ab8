"""An engine with its buffers, run on a stand-in for the GPU by the names that were recorded of each TensorRT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.engine.batches import BatchSizes, FilledBatches
from pipeline.engine.runner import Engine
from pipeline.errors import BuildError, ModelError
from tests.support.running_tensorrt import VERSIONS, FakeCuda, plan_to_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Engine, FakeCuda]]:
    """Loads a plan of a version's own, or ``built`` by another."""

    def loaded(surface: str = "8.6", **parts: Any) -> tuple[Engine, FakeCuda]:
        plan, cuda = plan_to_run(monkeypatch, tmp_path, surface, **parts)
        return Engine(plan), cuda

    return loaded


def batch(size: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(2 * size, dtype=np.float32).reshape(size, 2)


@pytest.mark.parametrize("surface", VERSIONS)
def test_what_goes_in_comes_out_computed(load: Callable[..., tuple[Engine, FakeCuda]], surface: str) -> None:
    engine, _ = load(surface)
    np.testing.assert_array_equal(engine.run({"x": batch(3)})["y"], 2 * batch(3))


@pytest.mark.parametrize("surface", VERSIONS)
def test_what_tells_a_shape_lies_in_host_memory(load: Callable[..., tuple[Engine, FakeCuda]], surface: str) -> None:
    """TensorRT reads and writes it there, and would be given an address that the processor cannot reach."""
    engine, cuda = load(surface)
    assert engine.run({"x": batch(3)})["size"].tolist() == [3]
    assert list(cuda.host.values()) == [4]
    assert len(cuda.device) == 2


def test_buffers_grow_with_the_batch_and_are_used_again(load: Callable[..., tuple[Engine, FakeCuda]]) -> None:
    engine, cuda = load()
    for size in (2, 8, 1):
        np.testing.assert_array_equal(engine.run({"x": batch(size)})["y"], 2 * batch(size))
    assert sorted(cuda.device.values()) == [64, 64]
    assert len(cuda.host) == 1


def test_the_first_profile_that_takes_the_shapes_is_used(load: Callable[..., tuple[Engine, FakeCuda]]) -> None:
    engine, _ = load(profiles=((1, 8), (9, 64)))
    engine.run({"x": batch(16)})
    assert engine.context.active_optimization_profile == 1


@pytest.mark.parametrize(("profiles", "sizes"), [(((1, 4),), [4, 4, 2]), (((16, 32),), [10]), (((1, 1),), [1] * 10)])
def test_evaluation_data_is_run_in_batches_that_the_profiles_take(
    load: Callable[..., tuple[Engine, FakeCuda]], profiles: tuple[tuple[int, int], ...], sizes: list[int]
) -> None:
    """Not in batches of eight, whatever the profiles: an engine for one image at a time could not be verified."""
    engine, _ = load(profiles=profiles)
    batches = BatchSizes(engine.batch_ranges)
    data, fitted, step = batch(10), FilledBatches(engine, batches), batches.nearest(8)
    parts = [fitted.run({"x": data[start : start + step]})["y"] for start in range(0, 10, step)]
    assert [len(part) for part in parts] == sizes
    np.testing.assert_array_equal(np.concatenate(parts), 2 * data)


def test_shapes_that_no_profile_takes_are_named(load: Callable[..., tuple[Engine, FakeCuda]]) -> None:
    engine, _ = load()
    with pytest.raises(ModelError, match="no profile of the engine takes x 9x2"):
        engine.run({"x": batch(9)})


def test_a_type_that_the_engine_does_not_take_is_refused(load: Callable[..., tuple[Engine, FakeCuda]]) -> None:
    engine, _ = load()
    with pytest.raises(ModelError, match="is float64, the engine takes float32"):
        engine.run({"x": batch(2).astype(np.float64)})


def test_F32_an_engine_of_another_version_is_refused_before_it_is_loaded(
    load: Callable[..., tuple[Engine, FakeCuda]],
) -> None:
    with pytest.raises(BuildError, match=r"built with TensorRT 10\.13, and this is 8\.6\.0"):
        load(built="10.13.3")


def test_F32_what_tensorrt_says_of_an_engine_for_another_gpu_is_the_reason(
    load: Callable[..., tuple[Engine, FakeCuda]],
) -> None:
    reason = "The engine plan file is generated on an incompatible device, expecting compute 9.0 got compute 8.6"
    with pytest.raises(BuildError, match=r"expecting compute 9\.0") as caught:
        load(refuses=reason)
    assert "on this kind of GPU" in caught.value.fix
