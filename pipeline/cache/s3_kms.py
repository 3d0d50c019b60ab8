"""Seals by AWS KMS: an HMAC key that nobody can read, and roles that may only verify with it.

The trusted role is allowed ``kms:GenerateMac`` and ``kms:VerifyMac``, a pull request's role ``kms:VerifyMac`` alone;
so what a pull request stores can never pass for what the trusted branch built.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pipeline.cache.s3_bucket import ATTEMPTS, CONNECT_TIMEOUT_S, READ_TIMEOUT_S
from pipeline.cache.s3_errors import failed_from_botocore
from pipeline.cache.store import Extent, StoreFailed

if TYPE_CHECKING:
    from collections.abc import Callable

_MAC = "HMAC_SHA_256"
_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "403"})


class KmsSeal:
    """A seal with the KMS key ``key_id``, an id, ARN or ``alias/...``. Safe to use from many threads."""

    algorithm = "kms-hmac-sha256"

    def __init__(self, key_id: str, *, make_client: Callable[[], Any] | None = None) -> None:
        self._key_id = key_id
        self._make_client = make_client or _make_kms_client
        self._lock = threading.Lock()
        self._client: Any = None

    def sign(self, message: bytes) -> bytes:
        """See ``Seal``."""
        answer = self._call("generate_mac", Message=message)
        return bytes(answer["Mac"])

    def verify(self, message: bytes, code: bytes) -> bool:
        """See ``Seal``."""
        answer = self._call("verify_mac", Message=message, Mac=code)
        return answer is not None and answer.get("MacValid") is True

    def _call(self, method: str, **parameters: Any) -> Any:
        """The answer, or ``None`` where KMS says that the code is wrong."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with self._lock:
                if self._client is None:
                    self._client = self._make_client()
            return getattr(self._client, method)(KeyId=self._key_id, MacAlgorithm=_MAC, **parameters)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "?"))
            if code == "KMSInvalidMacException":
                return None
            if code in _DENIED and method == "generate_mac":
                reason, fix = "this job may not seal receipts", "if it should write, allow kms:GenerateMac"
                raise StoreFailed(f"{reason} ({code})", fix=fix, extent=Extent.WRITES) from error
            if code in _DENIED:
                fix = "allow kms:VerifyMac on the key that seals the cache"
                raise StoreFailed(f"seals cannot be verified ({code})", fix=fix, extent=Extent.PLACE) from error
            raise StoreFailed(f"KMS answered {method} with {code}") from error
        except (BotoCoreError, OSError) as error:
            raise failed_from_botocore(method, error) from error


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
