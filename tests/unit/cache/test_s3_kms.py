from __future__ import annotations

import hashlib
import hmac
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from pipeline.cache.s3_kms import KmsSeal
from pipeline.cache.store import Extent, StoreFailed


class FakeKms:
    """What KMS answers; ``denied`` names the calls that this role may not make, ``refusal`` is the answer to all."""

    def __init__(self, denied: tuple[str, ...] = (), broken: bool = False, refusal: str = "") -> None:
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_names: None))
        self.denied = denied
        self.refusal = refusal
        self.broken = broken
        self.calls: list[dict[str, Any]] = []

    def generate_mac(self, **parameters: Any) -> dict[str, Any]:
        self._begin("generate_mac", parameters)
        return {"Mac": self._code(parameters["Message"])}

    def verify_mac(self, **parameters: Any) -> dict[str, Any]:
        self._begin("verify_mac", parameters)
        if parameters["Mac"] != self._code(parameters["Message"]):
            raise ClientError({"Error": {"Code": "KMSInvalidMacException"}}, "VerifyMac")
        return {"MacValid": True}

    def _begin(self, name: str, parameters: dict[str, Any]) -> None:
        self.calls.append(parameters)
        if self.broken:
            raise EndpointConnectionError(endpoint_url="u")
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal}}, name)
        if name in self.denied:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, name)

    @staticmethod
    def _code(message: bytes) -> bytes:
        return hmac.new(b"hidden", message, hashlib.sha256).digest()


def _seal(kms: FakeKms) -> KmsSeal:
    return KmsSeal("alias/engines", make_client=lambda: kms)


def test_what_was_signed_verifies_and_nothing_else_does() -> None:
    kms = FakeKms()
    code = _seal(kms).sign(b"message")

    assert _seal(kms).verify(b"message", code)
    assert not _seal(kms).verify(b"massage", code)
    assert not _seal(kms).verify(b"message", bytes(32))


def test_the_key_and_the_algorithm_are_named_in_each_call() -> None:
    kms = FakeKms()
    _seal(kms).verify(b"message", _seal(kms).sign(b"message"))

    assert [(call["KeyId"], call["MacAlgorithm"]) for call in kms.calls] == [("alias/engines", "HMAC_SHA_256")] * 2


def test_a_role_that_may_only_verify_has_a_cache_that_is_only_read() -> None:
    with pytest.raises(StoreFailed, match="may not seal") as failure:
        _seal(FakeKms(denied=("generate_mac",))).sign(b"message")

    assert failure.value.extent is Extent.WRITES
    assert "kms:GenerateMac" in failure.value.fix


def test_a_role_that_may_not_verify_has_no_cache() -> None:
    with pytest.raises(StoreFailed, match="cannot be verified") as failure:
        _seal(FakeKms(denied=("verify_mac",))).verify(b"message", bytes(32))

    assert failure.value.extent is Extent.PLACE


def test_kms_that_does_not_answer_is_a_failure_and_no_verdict() -> None:
    with pytest.raises(StoreFailed, match="no connection"):
        _seal(FakeKms(broken=True)).verify(b"message", bytes(32))


@pytest.mark.parametrize("code", [b"", bytes(31), bytes(33), bytes(150)])
def test_what_cannot_be_a_code_is_wrong_without_a_question(code: bytes) -> None:
    kms = FakeKms()

    assert not _seal(kms).verify(b"message", code)
    assert kms.calls == []


def test_F9_expired_credentials_are_renewed_once_by_asking_the_chain_anew() -> None:
    clients = [FakeKms(refusal="ExpiredTokenException"), FakeKms()]
    seal = KmsSeal("alias/engines", make_client=lambda: clients.pop(0))

    assert seal.verify(b"message", seal.sign(b"message"))
    assert clients == []


def test_F9_credentials_that_stay_expired_are_named() -> None:
    with pytest.raises(StoreFailed, match="expired") as failure:
        _seal(FakeKms(refusal="ExpiredTokenException")).verify(b"message", bytes(32))

    assert failure.value.extent is Extent.PLACE


def test_a_key_that_cannot_be_used_closes_the_cache_at_once_and_is_named() -> None:
    with pytest.raises(StoreFailed, match="cannot be used") as failure:
        _seal(FakeKms(refusal="DisabledException")).verify(b"message", bytes(32))

    assert failure.value.extent is Extent.PLACE
    assert "HMAC_256" in failure.value.fix


def test_a_cancelled_run_asks_nothing() -> None:
    kms, cancel = FakeKms(), threading.Event()
    cancel.set()

    with pytest.raises(StoreFailed, match="cancelled"):
        KmsSeal("alias/engines", cancel=cancel, make_client=lambda: kms).sign(b"message")
    assert kms.calls == []
