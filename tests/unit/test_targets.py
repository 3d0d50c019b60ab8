from __future__ import annotations

import pytest

from pipeline.targets import COMPUTE_CAPABILITIES, GPUS, TENSORRT, Gpu, Target, gpu_from_name


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("t4", (7, 5)),
        ("a100", (8, 0)),
        ("a30", (8, 0)),
        ("a10g", (8, 6)),
        ("a40", (8, 6)),
        ("orin", (8, 7)),
        ("l4", (8, 9)),
        ("l40s", (8, 9)),
        ("rtx-4090", (8, 9)),
        ("h100", (9, 0)),
        ("h200", (9, 0)),
        ("b200", (10, 0)),
        ("b300", (10, 3)),
        ("thor", (11, 0)),
        ("rtx-5090", (12, 0)),
        ("gb10", (12, 1)),
    ],
)
def test_a_catalogue_name_has_its_compute_capability(name: str, capability: tuple[int, int]) -> None:
    assert gpu_from_name(name).compute_capability == capability


@pytest.mark.parametrize("gpu", GPUS.values(), ids=GPUS)
def test_every_entry_is_complete(gpu: Gpu) -> None:
    assert gpu.products
    assert gpu.compute_capability in COMPUTE_CAPABILITIES


def test_an_unknown_name_is_told_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"no GPU named 'rtx4090' in the catalogue; did you mean 'rtx-4090'\?"):
        gpu_from_name("rtx4090")


def test_a_target_names_its_capability_as_the_compiler_does() -> None:
    assert Target("gb10", TENSORRT, (12, 1), "gb10").sm == "sm_121"
