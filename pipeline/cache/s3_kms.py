"""Seals by AWS KMS: an HMAC key that nobody can read, and roles that may only verify with it.

The trusted role is allowed ``kms:GenerateMac`` and ``kms:VerifyMac``, a pull request's role ``kms:VerifyMac`` alone;
so what a pull request stores can never pass for what the trusted branch built.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pipeline.cache.s3_bucket import ATTEMPTS, CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from pipeline.cache.s3_errors import EXPIRED, CredentialsExpired, failed_from_botocore
from pipeline.cache.shared_client import SharedClient
from pipeline.cache.store import Extent, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

_MAC = "HMAC_SHA_256"
_MAC_BYTES = 32
_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "403"})
_UNUSABLE = frozenset(
    {"NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException"}
)


class KmsSeal:
    """A seal with the KMS key ``key_id``, an id, ARN or ``alias/...``. Safe to use from many threads.

    ``cancel`` ends a call before its next try.
    """

    algorithm = "kms-hmac-sha256"

    def __init__(
        self, key_id: str, *, cancel: threading.Event | None = None, make_client: Callable[[], Any] | None = None
    ) -> None:
        self._key_id = key_id
        self._client = SharedClient(make_client or _make_kms_client, "kms", cancel or threading.Event())

    def sign(self, message: bytes) -> bytes:
        """See ``Seal``."""
        answer = self._call("generate_mac", Message=message)
        return bytes(answer["Mac"])

    def verify(self, message: bytes, code: bytes) -> bool:
        """See ``Seal``. KMS is not asked of what cannot be a code, which it would call an error of the caller."""
        if len(code) != _MAC_BYTES:
            return False
        answer = self._call("verify_mac", Message=message, Mac=code)
        return answer is not None and answer.get("MacValid") is True

    def _call(self, method: str, **parameters: Any) -> Any:
        """The answer, or ``None`` where KMS says that the code is wrong.

        A client whose credentials have expired is replaced once, as that of a bucket is.
        """
        return self._client.call(lambda client: self._try(client, method, parameters), method)

    def _try(self, client: Any, method: str, parameters: dict[str, Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        self._client.check_cancelled()
        try:
            return getattr(client, method)(KeyId=self._key_id, MacAlgorithm=_MAC, **parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "?"))
            if code == "KMSInvalidMacException":
                return None
            raise _failed(method, code) from error
        except (BotoCoreError, OSError) as error:
            raise failed_from_botocore(method, error) from error


def _failed(method: str, code: str) -> StoreFailed:
    signs = method == "generate_mac"
    extent = Extent.WRITES if signs else Extent.PLACE
    if code in _DENIED and signs:
        fix = "if it should write, allow kms:GenerateMac"
        return StoreFailed(f"this job may not seal receipts ({code})", fix=fix, extent=extent)
    if code in _DENIED:
        fix = "allow kms:VerifyMac on the key that seals the cache"
        return StoreFailed(f"seals cannot be verified ({code})", fix=fix, extent=extent)
    if code in EXPIRED:
        return CredentialsExpired(code)
    if code in _UNUSABLE:
        fix = "it must be an enabled HMAC_256 key of usage GENERATE_VERIFY_MAC, in this account and region"
        return StoreFailed(f"the key that seals the cache cannot be used ({code})", fix=fix, extent=extent)
    return StoreFailed(f"KMS answered {method} with {code}")


def _make_kms_client() -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=64,
    )
    return boto3.session.Session().client("kms", config=config)
