"""What went wrong in a call to S3, in the words of a store: how far it reaches, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cache.store import Extent, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_FOUND = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchVersion"})
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"})
PRECONDITION_FAILED = frozenset({"PreconditionFailed", "412"})
CONFLICT = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})

_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccessDeniedException"})
_WRITES = frozenset(
    {
        "PutObject", "CopyObject", "DeleteObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload",
        "AbortMultipartUpload",
    }
)  # fmt: skip
_MESSAGE_LIMIT = 300

_PLACE_CODES: Mapping[str, tuple[str, str]] = {
    "NoSuchBucket": ("there is no such bucket", "create it, or correct its name, region or endpoint"),
    "InvalidAccessKeyId": ("its access key is not known", "check which credentials this job is given"),
    "SignatureDoesNotMatch": ("the secret key or the address of the endpoint is wrong", "check both"),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", "set it, for example with NTP"),
    "PermanentRedirect": ("the bucket is in another region", "name it: region=REGION in the address of the cache"),
    "AuthorizationHeaderMalformed": (
        "the bucket is in another region",
        "name it: region=REGION in the address of the cache",
    ),
    "IllegalLocationConstraintException": ("the bucket is in another region", "name it: region=REGION"),
    "301": ("the bucket is in another region", "name it: region=REGION in the address of the cache"),
}


class CredentialsExpired(StoreFailed):
    """The credentials were refused with ``code``, certainly or perhaps because they have expired."""

    def __init__(self, code: str) -> None:
        may = "have" if code in EXPIRED else "may have"
        fix = "take credentials that outlive the run, or that boto3 can renew"
        super().__init__(f"the credentials {may} expired ({code})", fix=fix, extent=Extent.PLACE)


def failed_from_client_error(operation: str, response: Mapping[str, Any]) -> StoreFailed:
    """A ``ClientError``'s ``response`` to ``operation`` (like ``GetObject``) as a failure of the store."""
    error = response.get("Error", {})
    code, message = str(error.get("Code", "?")), _one_line(str(error.get("Message", "")))
    detail = f"{code}: {message}" if message and message != code else code
    if code in _PLACE_CODES:
        phrase, fix = _PLACE_CODES[code]
        return StoreFailed(f"{phrase} ({code})", fix=fix, extent=Extent.PLACE)
    # An answer to HEAD has no body to say in that they have expired.
    if code in EXPIRED or (operation == "HeadObject" and code == "400"):
        return CredentialsExpired(code)
    if code in _DENIED and operation in _WRITES:
        fix = "if this job should write, allow s3:PutObject and s3:AbortMultipartUpload below its own prefix"
        return StoreFailed(f"this job may only read it ({operation}: {detail})", fix=fix, extent=Extent.WRITES)
    if code in _DENIED:
        fix = (
            "allow s3:GetObject below the prefix and s3:ListBucket on the bucket "
            "(without that, S3 answers 403 for what is not there), and kms:Decrypt where its key is your own"
        )
        return StoreFailed(f"this job may not read it ({operation}: {detail})", fix=fix, extent=Extent.PLACE)
    if code.startswith("KMS."):
        return StoreFailed(f"its encryption key cannot be used ({detail})", fix="check the key", extent=Extent.WRITES)
    return StoreFailed(f"it answered {operation} with {detail}")


def failed_from_botocore(operation: str, error: Exception) -> StoreFailed:
    """A ``BotoCoreError`` or an error of a connection as a failure of the store."""
    from botocore import exceptions as known

    silent = (known.ConnectTimeoutError, known.ReadTimeoutError)
    if isinstance(error, silent):
        return StoreFailed(f"it did not answer {operation} in time")
    if isinstance(error, known.SSLError):
        fix = "trust its certificate with AWS_CA_BUNDLE"
        return StoreFailed("its certificate is not trusted", fix=fix, extent=Extent.PLACE)
    if isinstance(error, known.HTTPClientError | known.ConnectionError | known.IncompleteReadError | OSError):
        return StoreFailed(f"there is no connection to it ({type(error).__name__} in {operation})")
    text = _one_line(str(error)) or type(error).__name__
    fix = "see boto3's credentials guide: OIDC web identity, instance profile, profile or keys"
    return StoreFailed(f"it cannot be asked ({text})", fix=fix, extent=Extent.PLACE)


def _one_line(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= _MESSAGE_LIMIT else shown[: _MESSAGE_LIMIT - 1] + "…"
