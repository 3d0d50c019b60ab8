"""A run that fails before its jobs are begun is told wherever a run is told, and ends as it did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.fake_github import FakeGitHub
from tests.support.fake_gitlab import FakeGitLab
from tests.support.faulty_step import report_in, run_step_in
from tests.support.publications import github_environment

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/digits"
MANIFEST = "trt-engines.yaml"
RUN = ("run", "--manifest", MANIFEST, "--workers", "2")
PASSED = "**Passed**: 9 jobs, 9 cached, in 1.0 s."


@pytest.fixture
def example(tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    shutil.copytree(EXAMPLE, folder)
    return folder


def misspell(folder: Path) -> str:
    """Make the manifest faulty; where, as a comment must say it."""
    lines = (folder / MANIFEST).read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if "onnx:" in line)
    lines[number - 1] = lines[number - 1].replace("onnx:", "onx:")
    (folder / MANIFEST).write_text("\n".join(lines) + "\n")
    return f"{MANIFEST}:{number}:"


def cut_short(folder: Path) -> str:
    """Break the model; the place of the manifest that names it."""
    data = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(data[: len(data) // 2])
    lines = (folder / MANIFEST).read_text().splitlines()
    return f"{MANIFEST}:{next(number for number, line in enumerate(lines, 1) if line.lstrip().startswith('- name:'))}:"


def run(
    folder: Path, host: FakeGitHub, *options: str, command: tuple[str, ...] = RUN
) -> subprocess.CompletedProcess[str]:
    files = {"GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "GITHUB_OUTPUT": str(folder / "outputs")}
    return run_step_in(folder, *command, *options, environment=github_environment(host, folder) | files)


@pytest.mark.parametrize(
    ("spoil", "exit_code", "says"), [(misspell, 3, "the manifest has"), (cut_short, 4, "a model or its data is wrong")]
)
@pytest.mark.parametrize("earlier", [False, True], ids=["first run", "after one that passed"])
def test_the_comment_says_what_is_wrong_and_where(
    example: Path, spoil: object, exit_code: int, says: str, earlier: bool
) -> None:
    place = spoil(example)  # type: ignore[operator]
    with FakeGitHub() as host:
        if earlier:
            assert run(example, host, "--publish").returncode == exit_code
            (number, (author, body)) = next(iter(host.comments.items()))
            host.comments[number] = (author, f"{body.splitlines()[0]}\n{PASSED}")
        result = run(example, host, "--publish")
        (body,) = host.own_bodies
    assert result.returncode == exit_code, result.stderr
    assert PASSED not in body
    for told in (body, (example / "summary.md").read_text(), (example / "engines/report.md").read_text()):
        assert f"**Failed (exit code {exit_code}) before any engine was built**: {says}" in told
        assert f"- `{place}" in told
        assert "Fix: `" in told
    outputs = (example / "outputs").read_text()
    assert "failed" in outputs
    assert f"\n{exit_code}\n" in outputs


def test_what_is_printed_and_how_it_ends_do_not_change_by_being_published(example: Path) -> None:
    place = misspell(example)
    plain = run_step_in(example, *RUN)
    with FakeGitHub(may_write=False) as host:
        published = run(example, host, "--publish-required")
    assert (plain.returncode, published.returncode) == (3, 3)
    (complaint,) = (line for line in plain.stderr.splitlines() if line.startswith(place))
    assert published.stderr.count(complaint) == 1
    assert plain.stdout == ""
    assert plain.stderr.count("onx") == complaint.count("onx")


def test_a_program_that_asked_for_json_gets_the_report(example: Path) -> None:
    cut_short(example)
    result = run_step_in(example, *RUN, "--json")
    told = json.loads(result.stdout)
    assert result.returncode == told["exit_code"] == 4
    assert [failure["kind"] for failure in told["failures"]] == ["model"]


def test_a_selection_of_nothing_leaves_a_report(example: Path) -> None:
    result = run_step_in(example, *RUN, "--only", "nothing")
    assert result.returncode == 2, result.stderr
    (failure,) = report_in(example)["failures"]
    assert (failure["kind"], "selects none" in failure["what"]) == ("settings", True)


def test_a_cache_that_cannot_be_opened_is_told_in_the_comment_all_the_same(example: Path) -> None:
    with FakeGitHub() as host:
        result = run(example, host, "--publish", "--cache-scope", "no/scope")
        (body,) = host.own_bodies
    assert result.returncode == 2, result.stderr
    assert "is no scope of the cache" in result.stderr
    assert "before any engine was built**: the settings are wrong" in body


def test_a_required_cache_that_fails_is_told_in_the_comment(example: Path) -> None:
    (example / "cache").mkdir()
    (example / "cache/v1").write_text("no folder")
    with FakeGitHub() as host:
        result = run(example, host, "--publish", "--cache", "cache", "--cache-required")
        (body,) = host.own_bodies
    assert result.returncode == 9, result.stderr
    assert "before any engine was built**: the cache failed" in body


def test_a_wrong_command_line_leaves_none(example: Path) -> None:
    assert run_step_in(example, *RUN, "--no-such-option").returncode == 2
    assert not (example / "engines").exists()


def test_the_next_attempt_of_the_same_commit_replaces_the_failure(example: Path) -> None:
    misspell(example)
    with FakeGitHub() as host:
        assert run(example, host, "--publish", "--only", "*/sm_86/fp32").returncode == 3
        shutil.copy2(EXAMPLE / MANIFEST, example / MANIFEST)
        result = run(example, host, "--publish", "--only", "*/sm_86/fp32")
        (body,) = host.own_bodies
    assert result.returncode == 0, result.stderr
    assert "**Passed**: 1 job, 1 built" in body


@pytest.mark.parametrize(("spoil", "exit_code"), [(misspell, 3), (cut_short, 4)])
def test_a_plan_that_fails_leaves_its_report_to_the_last_job(example: Path, spoil: object, exit_code: int) -> None:
    place = spoil(example)  # type: ignore[operator]
    plan = ("plan", "--manifest", MANIFEST, "--matrix", "github", "--out", "parts/plan")
    report = ("report", "--from", "parts", "--publish", "--exit-code")
    with FakeGitHub() as host:
        planned = run(example, host, command=plan)
        assert (planned.returncode, planned.stdout) == (exit_code, "")
        assert host.own_bodies == []
        assert run(example, host, command=report).returncode == exit_code
        (body,) = host.own_bodies
    assert "before any engine was built" in body
    assert f"- `{place}" in body


def test_the_plan_of_the_gitlab_template_writes_the_note_itself_where_it_fails(example: Path) -> None:
    place = misspell(example)
    documents = yaml.safe_load_all((ROOT / "templates/gitlab/trt-engines.yml").read_text())
    plan = next(document for document in documents if "trt-engines-plan" in document)["trt-engines-plan"]
    command = example / "bin/trt-engines"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/entrypoint.py" "$@"\n')
    command.chmod(0o755)
    with FakeGitLab() as host:
        path = f"{command.parent}:{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(example), "TRT_ENGINE_MANIFEST": MANIFEST, "TRT_ENGINE_CACHE": "none"}
        result = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", *plan["script"]],
            cwd=example,
            env=host.environment() | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        (body,) = host.own_bodies
    assert result.returncode == 3, result.stderr
    assert f"- `{place}" in body
    findings = json.loads((example / plan["artifacts"]["reports"]["codequality"]).read_text())
    assert place in {f"{each['location']['path']}:{each['location']['lines']['begin']}:" for each in findings}
