"""T12: what a stranger wrote never meets the rights of the base branch, in the action as in the template for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.action.step import run_step

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "templates/github/trt-engines.yml"
RUNNER = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REF": "refs/heads/main"}
OWN_CODE = "github.event.pull_request.head.repo.full_name == github.repository"


@pytest.fixture(scope="module")
def workflow() -> Any:
    # YAML 1.1 takes the key ``on`` for a truth value; as text it stays what it is.
    return yaml.load(TEMPLATE.read_text(), yaml.BaseLoader)  # noqa: S506 - a loader of strings alone


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("cache", ["folder", "s3://bucket/prefix", "none"])
def test_T12_the_action_refuses_to_work_for_pull_request_target(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str, cache: str
) -> None:
    manifest = tmp_path / "trt-engines.yaml"
    manifest.write_bytes((ROOT / "examples/digits/trt-engines.yaml").read_bytes())
    arguments = [command, "--manifest", str(manifest), "--cache", cache if cache != "folder" else str(tmp_path / cache)]

    assert run_step(arguments, RUNNER) == 2

    assert "pull_request_target" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == [manifest]


def test_T12_the_template_is_started_by_events_of_ones_own_rights(workflow: Any) -> None:
    assert set(workflow["on"]) == {"push", "pull_request"}
    assert workflow["permissions"] == {}


def test_T12_the_template_gives_runners_of_ones_own_no_code_of_forks(workflow: Any) -> None:
    own = [job for job in workflow["jobs"].values() if not job["runs-on"].startswith("ubuntu-")]
    assert own
    assert all(OWN_CODE in job["if"] for job in own)


def test_T12_the_template_gives_credentials_to_no_code_of_forks(workflow: Any) -> None:
    given = [
        (job, step)
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("aws-actions/configure-aws-credentials@")
    ]
    assert len(given) == 2
    for job, step in given:
        if OWN_CODE not in job.get("if", ""):
            assert step["if"] == "env.FORK == 'false'"
            assert OWN_CODE.replace("==", "!=") in job["env"]["FORK"]
