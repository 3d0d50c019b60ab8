"""What every workflow of ours keeps to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request: pytest.FixtureRequest) -> Any:
    return yaml.safe_load(request.param.read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_T14_every_action_is_pinned_by_commit_with_its_version_beside_it(path: Path) -> None:
    for line in re.findall(r"uses: (.*)", path.read_text()):
        assert re.fullmatch(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line) or line.startswith("./"), line


def test_no_right_is_given_to_a_whole_workflow(workflow: Any) -> None:
    assert workflow["permissions"] == {}
    assert all("permissions" in job for job in workflow["jobs"].values())


def test_every_job_ends_in_time(workflow: Any) -> None:
    assert all("timeout-minutes" in job or "uses" in job for job in workflow["jobs"].values())


def test_T14_no_checkout_keeps_its_token(workflow: Any) -> None:
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", [])]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_one_action_has_one_version_everywhere() -> None:
    pins = set(re.findall(r"uses: (\S+@[0-9a-f]{40})", "".join(path.read_text() for path in WORKFLOWS)))
    assert len({pin.split("@")[0] for pin in pins}) == len(pins)
