from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.bench.device import context_bytes


@pytest.mark.parametrize(
    "attributes",
    [
        {"device_memory_size": 4096},
        {"device_memory_size": 1, "device_memory_size_v2": 4096},
        {"device_memory_size_v2": 4096},
    ],
    ids=["8.6", "10.x", "11.x"],
)
def test_the_memory_of_a_context_is_told_by_every_version(attributes: dict[str, int]) -> None:
    assert context_bytes(SimpleNamespace(**attributes)) == 4096
