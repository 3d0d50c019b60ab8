"""T2 and T11: the policies in examples/aws, which users copy, let in nobody but whom they name."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples/aws"
ISSUER = "token.actions.githubusercontent.com"
ROLES = ("trusted", "pull-requests")
SUBJECT = re.compile(r"repo:[a-z]+@\d+/[a-z]+@(?P<repository>\d+):(?P<context>ref:refs/heads/main|pull_request)")
WRITES = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
PREFIX = "arn:aws:s3:::engines/team/v1/"
TRUSTED, OWN, OTHERS = f"{PREFIX}trusted/x", f"{PREFIX}pr/123456789/7/x", f"{PREFIX}pr/123456780/7/x"
ELSEWHERE = (
    "arn:aws:s3:::engines/x",
    "arn:aws:s3:::engines/other/v1/trusted/x",
    "arn:aws:s3:::others/team/v1/trusted/x",
)


def policy(name: str) -> list[dict[str, Any]]:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    assert document["Version"] == "2012-10-17"
    statements: list[dict[str, Any]] = document["Statement"]
    return statements


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allowed(role: str, action: str, resource: str) -> bool:
    """What IAM decides: a statement allows it, and none denies it. Case counts in the names of objects."""
    found = {
        statement["Effect"]
        for statement in policy(f"{role}-permissions")
        if any(fnmatch.fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
    }
    return found == {"Allow"}


@pytest.mark.parametrize("role", ROLES)
def test_T11_a_role_is_taken_by_exactly_one_subject_of_one_issuer_for_one_audience(role: str) -> None:
    (statement,) = policy(f"{role}-trust")

    assert statement["Effect"] == "Allow"
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Principal"].keys() == {"Federated"}
    assert statement["Principal"]["Federated"].endswith(f":oidc-provider/{ISSUER}")
    assert statement["Condition"].keys() == {"StringEquals"}, "nothing is compared loosely"
    exactly = statement["Condition"]["StringEquals"]
    assert exactly.keys() == {f"{ISSUER}:aud", f"{ISSUER}:sub"}
    assert exactly[f"{ISSUER}:aud"] == "sts.amazonaws.com"
    assert SUBJECT.fullmatch(exactly[f"{ISSUER}:sub"]), "owner and repository with their ids, and what the run is of"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-trust.json")), ids=lambda path: path.stem)
def test_T11_no_trust_policy_has_a_wildcard(path: Path) -> None:
    assert not set(path.read_text()) & set("*?")


def test_T11_the_two_roles_are_taken_by_different_events_of_the_same_repository() -> None:
    found = {}
    for role in ROLES:
        (statement,) = policy(f"{role}-trust")
        match = SUBJECT.fullmatch(statement["Condition"]["StringEquals"][f"{ISSUER}:sub"])
        assert match is not None
        found[role] = match["repository"], match["context"]

    assert found == {
        "trusted": ("123456789", "ref:refs/heads/main"),
        "pull-requests": ("123456789", "pull_request"),
    }


@pytest.mark.parametrize("action", WRITES)
def test_T2_the_role_of_pull_requests_writes_the_scopes_of_its_own_repository_alone(action: str) -> None:
    assert allowed("pull-requests", action, OWN)
    for resource in (TRUSTED, OTHERS, *ELSEWHERE):
        assert not allowed("pull-requests", action, resource), resource


def test_T2_the_role_of_pull_requests_reads_the_trusted_scope_and_its_own() -> None:
    assert allowed("pull-requests", "s3:GetObject", TRUSTED)
    assert allowed("pull-requests", "s3:GetObject", OWN)
    for resource in (OTHERS, *ELSEWHERE):
        assert not allowed("pull-requests", "s3:GetObject", resource), resource


@pytest.mark.parametrize("action", ["s3:GetObject", *WRITES])
def test_T2_the_trusted_role_uses_the_trusted_scope_and_touches_no_pull_request(action: str) -> None:
    assert allowed("trusted", action, TRUSTED)
    for resource in (OWN, OTHERS, *ELSEWHERE):
        assert not allowed("trusted", action, resource), resource


@pytest.mark.parametrize("role", ROLES)
def test_T2_no_role_is_given_what_the_program_never_does(role: str) -> None:
    given = {action for each in policy(f"{role}-permissions") for action in listed(each["Action"])}

    assert given == {"s3:GetObject", *WRITES, "s3:ListBucket", "s3:ListBucketMultipartUploads"}


def test_T2_what_a_role_must_not_touch_is_denied_whatever_else_it_is_given() -> None:
    denied = {
        role: [each["Resource"] for each in policy(f"{role}-permissions") if each["Effect"] == "Deny"] for role in ROLES
    }

    assert denied == {"trusted": [f"{PREFIX}pr/*"], "pull-requests": [f"{PREFIX}trusted/*"]}


def test_T2_the_bucket_refuses_to_everybody_a_receipt_that_is_written_without_a_condition() -> None:
    (statement,) = (each for each in policy("bucket-policy") if each["Sid"] == "ReplaceNoReceiptUnseen")

    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:PutObject")
    # Both are absent: IAM asks for all keys of a condition at once.
    assert statement["Condition"] == {"Null": {"s3:if-none-match": "true", "s3:if-match": "true"}}
    for scope in ("trusted", "pr/123456789/7"):
        covered = f"{PREFIX}{scope}/receipt/engine/ab/abcd.json"
        free = f"{PREFIX}{scope}/blob/sha256/ab/abcd"
        assert any(fnmatch.fnmatchcase(covered, pattern) for pattern in statement["Resource"])
        assert not any(fnmatch.fnmatchcase(free, pattern) for pattern in statement["Resource"])
