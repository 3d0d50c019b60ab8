"""``doctor`` says of a cache in S3 what this very job may do there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.doctor.bucket import bucket_findings
from tests.support.faulty_proxy import Fault, always

if TYPE_CHECKING:
    import pytest

    from tests.support.faulty_proxy import FaultyProxy
    from tests.support.s3_places import S3Place

DENIED = Fault(status=403, code="AccessDenied")


def findings(place: S3Place) -> list[tuple[str, str]]:
    return [(each.level, each.text) for each in bucket_findings(place.bucket, "trusted")]


def test_a_bucket_that_can_be_used_is_said_to_be_and_nothing_is_left_in_it(place: S3Place) -> None:
    (reached, written) = findings(place)
    assert reached[0] == "ok"
    assert "engine-cache" in reached[1]
    assert written == ("ok", "it can be written, and keeps what is there")
    assert place.keys() == []


def test_a_bucket_that_may_not_be_read_is_a_problem_with_the_rights_to_give(
    faulty: S3Place, proxy: FaultyProxy
) -> None:
    proxy.script = always(DENIED, "GET")
    ((level, text),) = findings(faulty)
    assert level == "problem"
    assert "allow s3:GetObject" in text


def test_a_bucket_that_may_only_be_read_is_a_note(faulty: S3Place, proxy: FaultyProxy) -> None:
    proxy.script = always(DENIED, "PUT")
    assert [level for level, _ in findings(faulty)] == ["ok", "note"]


def test_a_bucket_that_may_not_be_listed_is_a_note(faulty: S3Place, proxy: FaultyProxy) -> None:
    proxy.script = always(DENIED, "list-type=2")
    assert [level for level, _ in findings(faulty)] == ["ok", "note", "ok"]


def test_a_probe_that_may_not_be_removed_is_said_to_stay(faulty: S3Place, proxy: FaultyProxy) -> None:
    proxy.script = always(DENIED, "DELETE")
    assert "which stays" in findings(faulty)[-1][1]


def test_a_server_that_writes_over_what_is_there_is_noticed(place: S3Place, monkeypatch: pytest.MonkeyPatch) -> None:
    call = place.bucket.call

    def unconditional(operation: str, **parameters: object) -> object:
        parameters.pop("IfNoneMatch", None)
        return call(operation, **parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(place.bucket, "call", unconditional)
    assert "ignores `If-None-Match`" in findings(place)[-1][1]
