"""Another base image brings another TensorRT: everything is built again, and the report says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fake_gpu_machine import FakeMachine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    return FakeMachine(tmp_path).install(monkeypatch)


def test_every_job_says_that_its_key_changed_with_the_version_of_tensorrt(machine: FakeMachine) -> None:
    machine.run(precisions="fp32, fp16")
    machine.version = "10.13.3"
    jobs = machine.run(precisions="fp32, fp16")["jobs"]
    assert [job["status"] for job in jobs] == ["built", "built"]
    assert {job["reason"] for job in jobs} == {"changed: runtime.version 8.6.0 -> 10.13.3"}
