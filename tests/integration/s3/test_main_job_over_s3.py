"""The main job with its cache in S3: what one runner built, another fetches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.s3_places import BUCKET

if TYPE_CHECKING:
    from tests.support.ceph import Gateway

ROOT = Path(__file__).parents[3]
MANIFEST = ROOT / "examples/digits/trt-engines.yaml"


@pytest.fixture
def cache(gateway: Gateway, request: pytest.FixtureRequest) -> str:
    """A cache below a prefix of its own."""
    prefix = request.node.name.replace("[", "-").replace("]", "")
    return f"s3://{BUCKET}/{prefix}?endpoint={gateway.endpoint_url}&addressing=path"


def run(folder: Path, cache: str, scope: str, *more: str) -> dict[str, str]:
    """Run one job on a runner of its own; job id -> status."""
    folder.mkdir()
    command = [sys.executable, str(ROOT / "entrypoint.py"), "run", "--manifest", str(MANIFEST), "--cache", cache]
    command += ["--cache-scope", scope, "--only", "digits/sm_89/*", *more]
    result = subprocess.run(
        command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=200
    )
    assert result.returncode == 0, result.stderr + result.stdout
    report = json.loads((folder / "engines/report.json").read_text())
    return {job["id"].rsplit("/", 1)[1]: job["status"] for job in report["jobs"]}


BUILT = dict.fromkeys(("fp32", "fp16", "int8"), "built")
CACHED = dict.fromkeys(("fp32", "fp16", "int8"), "cached")


def test_what_one_runner_built_another_fetches(tmp_path: Path, cache: str) -> None:
    assert run(tmp_path / "first", cache, "trusted") == BUILT
    assert run(tmp_path / "second", cache, "trusted", "--cache-required") == CACHED
    engines = [(tmp_path / name / "engines/digits/sm_89/int8.engine").read_bytes() for name in ("first", "second")]
    assert engines[0] == engines[1]


def test_a_pull_request_reads_the_trusted_scope_and_the_trusted_scope_never_reads_a_pull_request(
    tmp_path: Path, cache: str
) -> None:
    assert run(tmp_path / "pull", cache, "pr/12/7") == BUILT
    assert run(tmp_path / "main", cache, "trusted") == BUILT
    assert run(tmp_path / "other", cache, "pr/12/8") == CACHED
