from __future__ import annotations

import pytest
from botocore import exceptions as known

from pipeline.cache.s3_errors import failed_from_botocore, failed_from_client_error
from pipeline.cache.store import Extent


def _response(code: str, message: str = "") -> dict[str, dict[str, str]]:
    return {"Error": {"Code": code, "Message": message}}


@pytest.mark.parametrize(
    ("operation", "code", "extent"),
    [
        ("GetObject", "SlowDown", Extent.CALL),
        ("GetObject", "InternalError", Extent.CALL),
        ("GetObject", "AccessDenied", Extent.PLACE),
        ("HeadObject", "403", Extent.PLACE),
        ("ListObjectsV2", "AccessDenied", Extent.PLACE),
        ("PutObject", "AccessDenied", Extent.WRITES),
        ("CreateMultipartUpload", "AccessDenied", Extent.WRITES),
        ("PutObject", "KMS.DisabledException", Extent.WRITES),
        ("PutObject", "NoSuchBucket", Extent.PLACE),
        ("GetObject", "RequestTimeTooSkewed", Extent.PLACE),
        ("GetObject", "ExpiredToken", Extent.PLACE),
        ("GetObject", "PermanentRedirect", Extent.PLACE),
        ("HeadObject", "400", Extent.PLACE),
        ("GetObject", "400", Extent.CALL),
    ],
)
def test_how_far_an_answer_reaches(operation: str, code: str, extent: Extent) -> None:
    assert failed_from_client_error(operation, _response(code)).extent is extent


@pytest.mark.parametrize("code", ["NoSuchBucket", "AccessDenied", "RequestTimeTooSkewed", "ExpiredToken", "301"])
def test_what_needs_a_hand_says_how_to_mend_it(code: str) -> None:
    assert failed_from_client_error("GetObject", _response(code)).fix


def test_foreign_text_is_one_short_printable_line() -> None:
    reason = failed_from_client_error("GetObject", _response("Odd", "\x1b[31m::error::x\n" + "y" * 5000)).reason

    assert reason.isprintable()
    assert len(reason) < 400


def test_an_answer_without_a_code_is_a_failure_of_the_call() -> None:
    assert failed_from_client_error("GetObject", {}).extent is Extent.CALL


@pytest.mark.parametrize(
    ("error", "extent", "told"),
    [
        (known.ReadTimeoutError(endpoint_url="u"), Extent.CALL, "did not answer"),
        (known.ConnectTimeoutError(endpoint_url="u"), Extent.CALL, "did not answer"),
        (known.EndpointConnectionError(endpoint_url="u"), Extent.CALL, "no connection"),
        (known.ConnectionClosedError(endpoint_url="u"), Extent.CALL, "no connection"),
        (known.ResponseStreamingError(error="e"), Extent.CALL, "no connection"),
        (ConnectionResetError("the body ended early"), Extent.CALL, "no connection"),
        (known.SSLError(endpoint_url="u", error="e"), Extent.PLACE, "certificate"),
        (known.NoCredentialsError(), Extent.PLACE, "Unable to locate credentials"),
        (known.NoRegionError(), Extent.PLACE, "region"),
    ],
)
def test_how_far_a_failure_of_the_connection_reaches(error: Exception, extent: Extent, told: str) -> None:
    failure = failed_from_botocore("GetObject", error)

    assert failure.extent is extent
    assert told in failure.reason
