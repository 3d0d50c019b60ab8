"""What the templates do where the plan fails: its report reaches the pull request, and nothing is built."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.fan_out.matrix import Batch, gitlab_pipeline

TEMPLATES = Path(__file__).parents[3] / "templates"
PUSHED = "github.event.pull_request.head.repo.full_name == github.repository"


@pytest.fixture(scope="module")
def github() -> Any:
    return yaml.safe_load((TEMPLATES / "github/trt-engines.yml").read_text())["jobs"]


def holds(condition: str, plan: str, build: str, needed: str) -> bool:
    """What GitHub makes of the condition of a job; ``&&`` binds closer than ``||``, as ``and`` does than ``or``."""
    values = {
        "always()": True,
        "needs.plan.result": plan,
        "needs.build.result": build,
        "needs.plan.outputs.needed": needed,
        "&&": "and",
        "||": "or",
    }
    words = re.findall(r"always\(\)|[\w.]+|'[^']*'|==|!=|&&|\|\||[()]", condition)
    joined = (
        values.get(word, word) if word in ("&&", "||") else repr(values[word]) if word in values else word
        for word in words
    )
    return bool(eval(" ".join(map(str, joined)), {"__builtins__": {}}))  # noqa: S307  of our own template


@pytest.mark.parametrize(
    ("plan", "build", "needed", "reports"),
    [
        ("failure", "skipped", "", True),
        ("success", "success", "true", True),
        ("success", "failure", "true", True),
        ("success", "skipped", "false", True),
        ("success", "skipped", "true", False),
        ("cancelled", "skipped", "", False),
        ("skipped", "skipped", "", False),
    ],
)
def test_the_report_on_github_runs_also_where_the_plan_failed(
    github: Any, plan: str, build: str, needed: str, reports: bool
) -> None:
    assert holds(github["report"]["if"], plan, build, needed) is reports


def test_the_plan_on_github_hands_its_report_over_also_where_it_failed(github: Any) -> None:
    *_, plan, upload = github["plan"]["steps"]
    assert upload["if"] == "always()"
    assert upload["with"]["path"] == plan["with"]["out"]
    (download,) = (step for step in github["report"]["steps"] if "download-artifact" in step.get("uses", ""))
    assert upload["with"]["name"].startswith(download["with"]["pattern"].rstrip("*"))


def test_the_plan_on_gitlab_publishes_its_own_failure_because_no_child_pipeline_will() -> None:
    documents = yaml.safe_load_all((TEMPLATES / "gitlab/trt-engines.yml").read_text())
    plan = next(document for document in documents if "trt-engines-plan" in document)["trt-engines-plan"]
    (script,) = plan["script"]
    planned, _, failed = script.partition(" || ")
    out = "trt-engines-parts-$CI_COMMIT_SHA/plan"
    assert planned == f"trt-engines plan --matrix gitlab --out {out} > trt-engines-child.yml"
    assert "trt-engines report --from trt-engines-parts-$CI_COMMIT_SHA --publish;" in failed
    assert failed.endswith("exit $code; }")
    assert plan["artifacts"]["when"] == "always"
    assert f"--format code-quality > {plan['artifacts']['reports']['codequality']};" in failed


def test_T16_no_commit_can_hold_a_report_that_passes_for_a_part_of_its_own() -> None:
    """A part that a pull request brings along, of a later date, would stand for the job that failed."""
    child = json.dumps(gitlab_pipeline((Batch("gpu", ("gpu",), ()),)))
    for text, commit in (
        ((TEMPLATES / "github/trt-engines.yml").read_text(), "${{ github.sha }}"),
        ((TEMPLATES / "gitlab/trt-engines.yml").read_text(), "$CI_COMMIT_SHA"),
        (child, "$CI_COMMIT_SHA"),
    ):
        assert text.count("trt-engines-parts") >= 4
        assert text.count("trt-engines-parts") == text.count(f"trt-engines-parts-{commit}")


def test_T16_a_build_writes_its_part_where_the_report_looks_for_it(github: Any) -> None:
    outs = [step["with"]["out"] for job in github.values() for step in job["steps"] if "out" in step.get("with", {})]
    (source,) = (step["with"]["from"] for step in github["report"]["steps"] if "from" in step.get("with", {}))
    assert len(outs) == 2
    assert all(out.startswith(f"{source}/") for out in outs)
