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
    from tests.support.faulty_proxy import FaultyProxy

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


def test_a_wholly_cached_run_that_fetches_none_downloads_no_engine(
    tmp_path: Path, gateway: Gateway, proxy: FaultyProxy, cache: str
) -> None:
    assert run(tmp_path / "first", cache, "trusted") == BUILT
    behind = cache.replace(gateway.endpoint_url, proxy.endpoint_url)
    assert run(tmp_path / "second", behind, "trusted", "--fetch", "none") == CACHED

    first, second = (json.loads((tmp_path / name / "engines/report.json").read_text()) for name in ("first", "second"))
    for before, after in zip(first["jobs"], second["jobs"], strict=True):
        assert after["engine"] == before["engine"] | {"path": None}
        assert after["accuracy"] == before["accuracy"]
        hex_digest = after["engine"]["digest"].removeprefix("sha256:")
        assert proxy.count(hex_digest) == 0
    assert second["notes"] == ["3 cached engines were left in the cache (fetch: none)"]
    assert list((tmp_path / "second/engines").rglob("*.engine")) == []
    assert {request.method for request in proxy.requests} == {"GET"}


def test_what_needs_an_engine_that_was_to_be_left_fetches_it_and_what_is_built_is_delivered(
    tmp_path: Path, cache: str
) -> None:
    assert run(tmp_path / "run", cache, "trusted", "--fetch", "none") == BUILT
    assert len(list((tmp_path / "run/engines").rglob("*.engine"))) == 3


def test_a_plan_downloads_no_engine(tmp_path: Path, gateway: Gateway, proxy: FaultyProxy, cache: str) -> None:
    run(tmp_path / "first", cache, "trusted")
    behind = cache.replace(gateway.endpoint_url, proxy.endpoint_url)
    command = [sys.executable, str(ROOT / "entrypoint.py"), "plan", "--manifest", str(MANIFEST), "--cache", behind]
    command += ["--cache-scope", "trusted", "--only", "digits/sm_89/*", "--json"]
    result = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=True, timeout=200)

    assert {job["state"] for job in json.loads(result.stdout)["jobs"]} == {"cached"}
    assert proxy.count("GET", "/receipt/engine/") == 3
    assert proxy.count("GET", "/blob/") == 1, "what is known of the model, and nothing else"
