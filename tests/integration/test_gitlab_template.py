"""The GitLab template, run by gitlab-ci-local with its shell executor: plan, child pipeline, builds, report."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / ".ci/node_modules/.bin/gitlab-ci-local"
PIPELINE = """stages: [build]
include:
  - local: trt-engines-template.yml
    inputs:
      image: registry.example/trt-engines@sha256:0
      cache: {cache}
"""
COMMAND = """#!/bin/sh
echo "$*" >> {calls}
if [ -n "$AWS_WEB_IDENTITY_TOKEN_FILE" ]; then cp "$AWS_WEB_IDENTITY_TOKEN_FILE" "{calls}-token-of-$1"; fi
exec {python} {entrypoint} "$@"
"""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    missing = [tool for tool in ("git", "node", "rsync") if shutil.which(tool) is None]
    missing += [] if RUNNER.exists() else ["npm ci --prefix .ci"]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"the template cannot be run without {', '.join(missing)}")
    if missing:
        pytest.skip(f"the template cannot be run without {', '.join(missing)}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository that includes the template, with runners for two kinds of target."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "examples/digits", folder)
    shutil.copy2(ROOT / "templates/gitlab/trt-engines.yml", folder / "trt-engines-template.yml")
    with (folder / "trt-engines.yaml").open("a") as manifest:
        manifest.write("runners: {sm_89: [gpu-l4], default: [cpu]}\n")
    (folder / ".gitlab-ci.yml").write_text(PIPELINE.format(cache=tmp_path / "cache"))
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    command = COMMAND.format(calls=tmp_path / "calls", python=sys.executable, entrypoint=ROOT / "entrypoint.py")
    (bin_folder / "trt-engines").write_text(command)
    (bin_folder / "trt-engines").chmod(0o755)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        [*identity, "commit", "--quiet", "--message=x"],
        ["remote", "add", "origin", "https://gitlab.example/team/models.git"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def run_pipeline(project: Path) -> str:
    environment = {"PATH": f"{project.parent}/bin:{os.environ['PATH']}", "HOME": str(project.parent)}
    done = subprocess.run(
        [RUNNER, "--force-shell-executor"], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def calls(project: Path) -> list[str]:
    text = (project.parent / "calls").read_text()
    (project.parent / "calls").unlink()
    return text.splitlines()


def commit_of(project: Path) -> str:
    return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=project, text=True).strip()


def test_a_pipeline_builds_on_the_runners_of_each_target_and_the_next_one_builds_nothing(project: Path) -> None:
    told = run_pipeline(project)
    plan, *builds, quality, metrics, report = calls(project)
    parts = f"trt-engines-parts-{commit_of(project)}"
    assert plan == f"plan --matrix gitlab --out {parts}/plan"
    assert quality == f"report --from {parts} --format code-quality"
    assert metrics == f"report --from {parts} --format metrics"
    assert report == f"report --from {parts} --publish --exit-code"
    assert sorted(call.rsplit("/", 1)[1] for call in builds) == ["cpu", "gpu-l4"]
    assert "passed: 3 jobs, 3 built" in told
    assert "passed: 6 jobs, 6 built" in told
    assert "passed: 9 jobs, 9 built" in told
    run_pipeline(project)
    assert calls(project) == [plan, quality, metrics, report]


def test_a_limit_that_a_cached_engine_misses_fails_the_pipeline(project: Path) -> None:
    run_pipeline(project)
    manifest = project / "trt-engines.yaml"
    manifest.write_text(manifest.read_text().replace("engine_size_mib: 5", "engine_size_mib: 0.001"))
    told = run_pipeline(project)  # whose own exit code knows nothing of a child pipeline's
    assert len([call for call in calls(project) if call.startswith("run")]) == 2
    assert "FAIL  trt-engines-report" in told


def test_jobs_that_need_the_bucket_take_a_role_by_their_id_token(project: Path) -> None:
    """GitLab makes the token; here it is a variable of the pipeline."""
    with (project / ".gitlab-ci.yml").open("a") as pipeline:
        pipeline.write("variables: {AWS_ROLE_ARN: arn, TRT_ENGINE_ID_TOKEN: ey.token}\n")
    run_pipeline(project)
    tokens = {path.name.rpartition("-")[2]: path.read_text() for path in project.parent.glob("calls-token-of-*")}
    assert tokens == {"plan": "ey.token", "run": "ey.token"}
