"""A real S3 server for the tests of this folder: started once, with one bucket, and a prefix for each test."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.support.ceph import SECRET, USER, CephMissing, Gateway, running_gateway
from tests.support.faulty_proxy import FaultyProxy
from tests.support.s3_places import BUCKET, S3Place

if TYPE_CHECKING:
    from collections.abc import Iterator


_ATTEMPTS = 3


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    """The server. Where it is not installed, the tests are skipped, but not in CI, where they fail.

    ``TEST_S3_ENDPOINT`` names one that runs already, started by ``python -m tests.support.ceph FOLDER``.
    """
    if os.environ.get("TEST_S3_ENDPOINT"):
        running = Gateway(os.environ["TEST_S3_ENDPOINT"], USER, SECRET)
        _make_bucket(running)
        yield running
        return
    with tempfile.TemporaryDirectory(prefix="rgw") as folder, contextlib.ExitStack() as opened:
        try:
            running = _started(Path(folder), opened)
        except CephMissing as missing:
            if os.environ.get("CI") == "true":
                pytest.fail(f"no S3 server to test with: {missing}")
            pytest.skip(f"no S3 server to test with: {missing}")
        _make_bucket(running)
        yield running


def _started(folder: Path, opened: contextlib.ExitStack) -> Gateway:
    """A server, at the second or third try where another process took one of its ports meanwhile."""
    for attempt in range(1, _ATTEMPTS):
        with contextlib.suppress(RuntimeError):
            return opened.enter_context(running_gateway(folder / str(attempt)))
    return opened.enter_context(running_gateway(folder / "last"))


def _make_bucket(running: Gateway) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=running.endpoint_url,
        aws_access_key_id=running.access_key,
        aws_secret_access_key=running.secret_key,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture(autouse=True)
def _credentials(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What boto3's default chain finds: the server's user, and nothing of the machine's own configuration."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in gateway.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def place(gateway: Gateway) -> Iterator[S3Place]:
    """A store below a prefix of its own."""
    with S3Place(gateway.endpoint_url, prefix=f"test/{secrets.token_hex(8)}") as opened:
        yield opened


@pytest.fixture
def proxy(gateway: Gateway) -> Iterator[FaultyProxy]:
    """A proxy in front of the server."""
    with FaultyProxy(gateway.endpoint_url).running() as running:
        yield running


@pytest.fixture
def faulty(proxy: FaultyProxy, place: S3Place) -> Iterator[S3Place]:
    """The place of ``place``, reached through ``proxy``."""
    with S3Place(proxy.endpoint_url, prefix=place.prefix) as opened:
        yield opened
