"""T2: a real server enforces the policies of examples/aws, and with no more than these both roles do their work."""

from __future__ import annotations

import gc
import json
import secrets
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pipeline.cache.answers import Commit, Hit, Miss, Off
from pipeline.cache.content import ContentCache
from pipeline.cache.lease import S3Leases
from pipeline.cache.pruning import prune
from pipeline.cache.s3_address import S3Address
from pipeline.cache.s3_bucket import S3Bucket
from pipeline.cache.s3_opening import CachePlace, opened_store
from pipeline.cache.scope import Scope
from pipeline.keys import key_from_ingredients
from tests.support.ceph import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.ceph import Gateway

POLICIES = Path(__file__).parents[3] / "examples/aws"
FILES = dict(zip(ROLES, ("trusted", "pull-requests"), strict=True))
PULL_REQUEST, OTHER_REPOSITORY = "pr/123456789/7", "pr/123456780/7"
SUBJECT = "digits"


def policy_of(bucket: str) -> str:
    """The permissions of both roles as one policy of ``bucket``, which is how this server knows them."""
    statements = []
    for role, name in FILES.items():
        text = (POLICIES / f"{name}-permissions.json").read_text().replace(":::engines", f":::{bucket}")
        for statement in json.loads(text)["Statement"]:
            principal = {"AWS": [f"arn:aws:iam:::user/{role}"]}
            statements.append({**statement, "Sid": f"{role}-{statement['Sid']}", "Principal": principal})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Guarded:
    """A bucket under those policies, and a cache in it for each role."""

    def __init__(self, gateway: Gateway) -> None:
        self.name = f"engines-{secrets.token_hex(6)}"
        self._gateway = gateway
        self.owner = self.client(gateway)
        self.owner.create_bucket(Bucket=self.name)
        self.owner.put_bucket_policy(Bucket=self.name, Policy=policy_of(self.name))

    def client(self, user: Gateway) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=user.endpoint_url,
            aws_access_key_id=user.access_key,
            aws_secret_access_key=user.secret_key,
            region_name="us-east-1",
        )

    def used_by(self, role: str) -> Any:
        return self.client(self._gateway.used_by(role))

    def become(self, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on boto3's default chain finds the credentials of ``role``."""
        for name, value in self._gateway.used_by(role).environment().items():
            monkeypatch.setenv(name, value)

    @property
    def address(self) -> S3Address:
        return S3Address(bucket=self.name, prefix="team", endpoint_url=self._gateway.endpoint_url, addressing="path")

    def cache(self, scope: str) -> ContentCache:
        place = CachePlace(None, self.address)
        return ContentCache(opened_store(place, Scope(scope), seal=None, cancel=threading.Event()))

    def written(self) -> set[str]:
        """The scopes that anything was written to."""
        listed = self.owner.list_objects_v2(Bucket=self.name).get("Contents", ())
        names = {found["Key"].removeprefix("team/v1/") for found in listed}
        return {name.split("/receipt/")[0].split("/blob/")[0].split("/lease/")[0] for name in names}


@pytest.fixture
def guarded(gateway: Gateway) -> Iterator[Guarded]:
    yield Guarded(gateway)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Clients that caches made are closed when forgotten.
        gc.collect()


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Path]:
    """An engine that is sent in parts."""
    path = tmp_path / "plan"
    path.write_bytes(bytes(range(256)) * 40_000)
    return {"engine.plan": path}


KEY = key_from_ingredients("engine", {"model": "m"})
OWN_KEY = key_from_ingredients("engine", {"model": "changed"})


def test_T2_each_role_does_all_its_work_with_no_more_than_its_permissions(
    guarded: Guarded, engine: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.become("engines-trusted", monkeypatch)
    trusted = guarded.cache("trusted")
    assert isinstance(trusted.lookup(KEY, SUBJECT), Miss)
    assert trusted.commit(KEY, SUBJECT, engine, {}).outcome is Commit.STORED

    guarded.become("engines-pr", monkeypatch)
    pull_request = guarded.cache(PULL_REQUEST)
    found = pull_request.lookup(KEY, SUBJECT)
    assert isinstance(found, Hit)
    assert isinstance(pull_request.fetch(found, tmp_path / "out"), tuple)
    assert pull_request.commit(OWN_KEY, SUBJECT, engine, {}).outcome is Commit.STORED
    assert isinstance(pull_request.lookup(OWN_KEY, SUBJECT), Hit)
    assert pull_request.trouble == trusted.trouble == ""
    assert guarded.written() == {"trusted", PULL_REQUEST}


@pytest.mark.parametrize(("role", "scope"), [("engines-trusted", "trusted"), ("engines-pr", PULL_REQUEST)])
def test_T2_each_role_keeps_leases_and_prunes_its_own_scope(
    guarded: Guarded, engine: dict[str, Path], monkeypatch: pytest.MonkeyPatch, role: str, scope: str
) -> None:
    guarded.become(role, monkeypatch)
    leases = S3Leases(S3Bucket(guarded.address), guarded.address.root(scope), term_s=60)
    lease = leases.take(KEY.kind, KEY.digest)
    assert lease is not None
    assert leases.renew(lease)
    leases.release(lease)
    guarded.cache(scope).commit(KEY, SUBJECT, engine, {})

    store = opened_store(CachePlace(None, guarded.address), Scope(scope), seal=None, cancel=threading.Event())
    assert len(prune(store, now_s=9e9, keep_bytes=0, grace_s=0).entries) == 1
    assert guarded.written() == set()


def test_T2_a_pull_request_that_calls_itself_trusted_writes_nothing(
    guarded: Guarded, engine: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.become("engines-pr", monkeypatch)
    lying = guarded.cache("trusted")

    committed = lying.commit(KEY, SUBJECT, engine, {})

    assert committed.outcome is Commit.UNSTORED
    assert "only read" in lying.trouble
    assert guarded.written() == set()


def test_T2_a_pull_request_of_another_repository_is_neither_read_nor_written(
    guarded: Guarded, engine: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.become("engines-pr", monkeypatch)

    foreign = guarded.cache(OTHER_REPOSITORY)

    assert foreign.commit(KEY, SUBJECT, engine, {}).outcome is Commit.UNSTORED
    assert guarded.written() == set()


def test_T2_the_trusted_role_cannot_read_what_a_pull_request_planted(
    guarded: Guarded, engine: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.become("engines-pr", monkeypatch)
    guarded.cache(PULL_REQUEST).commit(KEY, SUBJECT, engine, {})

    guarded.become("engines-trusted", monkeypatch)
    assert isinstance(guarded.cache("trusted").lookup(KEY, SUBJECT), Miss)
    strayed = guarded.cache(PULL_REQUEST)
    assert isinstance(strayed.lookup(KEY, SUBJECT), Miss)
    assert isinstance(strayed.lookup(KEY, SUBJECT), Off)
    assert "may not read it" in strayed.trouble


@pytest.mark.parametrize("operation", ["put_object", "delete_object", "create_multipart_upload", "copy_object"])
def test_T2_past_the_program_a_pull_request_changes_nothing_in_the_trusted_scope(
    guarded: Guarded, operation: str
) -> None:
    name = "team/v1/trusted/receipt/engine/ab/x.json"
    guarded.owner.put_object(Bucket=guarded.name, Key=name, Body=b"sound")
    attacker = guarded.used_by("engines-pr")
    attacker.put_object(Bucket=guarded.name, Key=f"team/v1/{PULL_REQUEST}/x", Body=b"poison")
    more: dict[str, dict[str, Any]] = {
        "put_object": {"Body": b"poison"},
        "copy_object": {"CopySource": {"Bucket": guarded.name, "Key": f"team/v1/{PULL_REQUEST}/x"}},
    }

    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(attacker, operation)(Bucket=guarded.name, Key=name, **more.get(operation, {}))

    assert guarded.owner.get_object(Bucket=guarded.name, Key=name)["Body"].read() == b"sound"


def test_T2_the_server_takes_the_policy_and_the_lifecycle_of_the_bucket(guarded: Guarded) -> None:
    policy = (POLICIES / "bucket-policy.json").read_text().replace(":::engines", f":::{guarded.name}")
    lifecycle = json.loads((POLICIES / "lifecycle.json").read_text())

    guarded.owner.put_bucket_policy(Bucket=guarded.name, Policy=policy)
    guarded.owner.put_bucket_lifecycle_configuration(Bucket=guarded.name, LifecycleConfiguration=lifecycle)

    kept = guarded.owner.get_bucket_lifecycle_configuration(Bucket=guarded.name)["Rules"]
    assert {rule["ID"] for rule in kept} == {"dead uploads", "closed pull requests", "old versions"}
