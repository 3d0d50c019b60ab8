"""A run spread over runners that share a cache in S3: plan, builds of which one dies, the same again, a last plan."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.s3_places import BUCKET

if TYPE_CHECKING:
    from tests.support.ceph import Gateway

ROOT = Path(__file__).parents[3]
RUNNERS = "runners: {sm_89: [gpu-l4], default: [cpu]}\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples/digits", folder)
    with (folder / "trt-engines.yaml").open("a") as manifest:
        manifest.write(RUNNERS)
    return folder


@pytest.fixture
def settings(gateway: Gateway, request: pytest.FixtureRequest) -> list[str]:
    place = f"s3://{BUCKET}/{request.node.name}?endpoint={gateway.endpoint_url}&addressing=path"
    return ["--cache", place, "--cache-scope", "trusted"]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "entrypoint.py"), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=dict(os.environ), stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    told, complaint = process.communicate(timeout=200)
    assert process.returncode == 0, told + complaint
    return told


def statuses(folder: Path) -> dict[str, str]:
    report: Any = json.loads((folder / "report.json").read_text())
    assert report["verdict"] == "passed"
    return {job["id"]: job["status"] for job in report["jobs"]}


def test_only_what_is_missing_is_handed_out_even_after_a_builder_died(checkout: Path, settings: list[str]) -> None:
    first = json.loads(finish(start(checkout, "plan", "--matrix", "github", "--out", "parts/plan", *settings)))
    batches = {batch["name"]: batch for batch in first["include"]}
    assert {name: batch["jobs"] for name, batch in batches.items()} == {"cpu": 6, "gpu-l4": 3}
    assert not (checkout / "parts/plan/report.json").exists()

    build = ("run", "--out", "parts/gpu-l4", "--only", batches["gpu-l4"]["only"], *settings)
    finish(start(checkout, *build))
    dying = start(checkout, "run", "--out", "parts/cpu", "--only", batches["cpu"]["only"], "--workers", "1", *settings)
    assert dying.stderr is not None
    for line in dying.stderr:
        if "building" in line and "done" in line:
            break
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    assert not (checkout / "parts/cpu/report.json").exists()

    second = json.loads(finish(start(checkout, "plan", "--matrix", "github", "--out", "parts/plan", *settings)))
    (left,) = second["include"]
    assert left["name"] == "cpu"
    finish(start(checkout, "run", "--out", "parts/cpu", "--only", left["only"], *settings))

    told = finish(start(checkout, "report", "--from", "parts"))
    assert "passed: 9 jobs" in told

    last = json.loads(finish(start(checkout, "plan", "--matrix", "github", "--out", "parts/plan", *settings)))
    assert last == {"include": []}
    settled = statuses(checkout / "parts/plan")
    assert len(settled) == 9
    assert set(settled.values()) == {"cached"}
    assert len(list((checkout / "parts/plan").rglob("*.engine"))) == 9

    without = ("plan", "--matrix", "github", "--out", "parts/plan", "--cache", "none")
    assert len(json.loads(finish(start(checkout, *without)))["include"]) == 2
    assert not (checkout / "parts/plan/report.json").exists()


def test_where_all_is_cached_the_report_of_the_plan_alone_tells_everything(
    checkout: Path, settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull request that changes a limit: no build job runs, so the plan alone can tell what it is held against."""
    monkeypatch.setenv("TRT_ENGINE_REPOSITORY", "acme/models")
    monkeypatch.setenv("TRT_ENGINE_COMMIT", "1234abc" + 33 * "0")
    monkeypatch.setenv("TRT_ENGINE_BRANCH", "main")
    finish(start(checkout, "run", "--out", "main", "--only", "*/sm_89/*", *settings))
    monkeypatch.delenv("TRT_ENGINE_BRANCH")
    monkeypatch.setenv("TRT_ENGINE_BASE_BRANCH", "main")
    manifest = checkout / "trt-engines.yaml"
    manifest.write_text(manifest.read_text().replace("engine_size_mib: 5", "engine_size_mib: 50"))

    request = [*settings[:2], "--cache-scope", "pr/5/7", "--only", "*/sm_89/*"]
    plan = json.loads(finish(start(checkout, "plan", "--matrix", "github", "--out", "parts/plan", *request)))
    assert plan == {"include": []}
    report = json.loads(finish(start(checkout, "report", "--from", "parts", "--format", "json", "--exit-code")))
    assert [job["status"] for job in report["jobs"]] == ["cached"] * 3
    details = report["details"]
    assert details["base"] == "main at 1234abc"
    assert {job["job"]: job["base"]["figures"]["engine_size_bytes"] for job in details["jobs"]} == {
        job["id"]: job["engine"]["size_bytes"] for job in report["jobs"]
    }
    assert {(gate["gate"], gate["base"], gate["head"], gate["held"]) for gate in details["changed_gates"]} == {
        ("budgets.engine_size_mib", 5, 50, True)
    }
    assert "held against `main at 1234abc`" in finish(
        start(checkout, "report", "--from", "parts", "--format", "markdown")
    )
