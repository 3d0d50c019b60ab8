"""Parts of manifests, jobs of CI systems and command lines in the documentation: each is held against what reads it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.commands.command_line import parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md")])
MANIFEST = ROOT / "examples/digits/trt-engines.yaml"
SCHEMA: dict[str, Any] = json.loads((ROOT / "schemas/manifest.schema.json").read_text())
WHOLE = "version"


def fenced(language: str) -> list[tuple[str, str]]:
    """Every block of ``language``: its page's name and number there, and its text."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        (f"{page.parent.name}/{page.name}-{number}", text)
        for page in PAGES
        for number, text in enumerate(pattern.findall(page.read_text()), start=1)
    ]


def kind_of(example: Any) -> str:
    if "jobs" in example:
        return "vendor.github-workflows"
    if "include" in example or any(isinstance(job, dict) and "script" in job for job in example.values()):
        return "vendor.gitlab-ci"
    return "manifest"


EXAMPLES = [(name, yaml.safe_load(text)) for name, text in fenced("yaml")]
PARTS = [(name, example) for name, example in EXAMPLES if kind_of(example) == "manifest" and WHOLE not in example]
JOBS = [(name, example) for name, example in EXAMPLES if kind_of(example) != "manifest"]


def command_lines() -> list[str]:
    """What follows the program's name in each command, whether it is started by itself or in its image."""
    lines = "\n".join(text for _, text in fenced("console")).replace("\\\n", " ").splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    words = [shlex.split(command, comments=True) for command in commands if not command.startswith("docker build")]
    named = [each[len(each) - each[::-1].index("trt-engines") :] for each in words if "trt-engines" in each]
    return sorted({shlex.join(each) for each in named if each})


@pytest.mark.parametrize("part", [part for _, part in PARTS], ids=[name for name, _ in PARTS])
def test_a_part_of_a_manifest_fits_the_schema(part: dict[str, Any]) -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    for name, value in part.items():
        place = manifest if name in SCHEMA["properties"] else manifest["models"][0]
        place[name] = value
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest)


@pytest.mark.parametrize("job", [job for _, job in JOBS], ids=[name for name, _ in JOBS])
def test_a_job_of_a_ci_system_fits_that_systems_schema(job: dict[str, Any], tmp_path: Path) -> None:
    kind = kind_of(job)
    (tmp_path / "job.yml").write_text(yaml.safe_dump({"on": "push", **job} if "jobs" in job else job))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", kind, str(tmp_path / "job.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_is_one_that_the_program_takes(line: str) -> None:
    assert parser().parse_args(shlex.split(line)).command


def test_the_step_is_given_inputs_that_it_has() -> None:
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    workflows = [job for _, job in JOBS if "jobs" in job]
    workflows.append(yaml.safe_load((ROOT / "templates/github/trt-engines.yml").read_text()))
    steps = [step for workflow in workflows for job in workflow["jobs"].values() for step in job["steps"]]
    given = [step["with"] for step in steps if step.get("uses", "").startswith("OWNER/")]
    assert len(given) == 5
    assert {name for each in given for name in each} <= set(inputs)


def test_the_component_is_given_inputs_that_it_has() -> None:
    spec = next(yaml.safe_load_all((ROOT / "templates/gitlab/trt-engines.yml").read_text()))["spec"]["inputs"]
    given = [part["inputs"] for _, job in JOBS for part in job.get("include", ())]
    needed = {name for name, told in spec.items() if "default" not in told}
    assert [needed <= set(each) <= set(spec) for each in given] == [True]


def test_there_are_examples_of_each_kind() -> None:
    assert len(PARTS) >= 6
    assert {kind_of(job) for _, job in JOBS} == {"vendor.github-workflows", "vendor.gitlab-ci"}
    assert {line.split()[0] for line in command_lines()} >= {"run", "export"}
