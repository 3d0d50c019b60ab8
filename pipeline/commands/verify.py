"""``verify``: checks an engine file against what is said of it beside it and in the cache, and loads nothing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pipeline.cache.receipt import ReceiptDamaged, receipt_from_bytes
from pipeline.cache.store import StoreFailed
from pipeline.digest import digest_from_bytes, digest_from_file
from pipeline.errors import ModelError, SettingsError
from pipeline.export.engines import sidecar_from_file
from pipeline.provenance.checks import Check, Evidence, State, checks_of
from pipeline.provenance.statement import PROVENANCE_SUFFIX, StatementError, origin_key, statement_from_bytes
from pipeline.publish.escape import one_line
from pipeline.publish.json_output import print_json
from pipeline.stores import store_from_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.cache.receipt import Receipt
    from pipeline.digest import Digest
    from pipeline.provenance.statement import Statement
    from pipeline.settings import Settings

_MAX_STATEMENT_BYTES = 8 << 20


def run_verify(
    settings: Settings, engines: Sequence[Path], *, sources: Path | None, strict: bool, as_json: bool
) -> int:
    """Check every engine and print what was found.

    Returns 4 where a check failed, and with ``strict`` also where one could not be made, else 0. Raises
    ``SettingsError`` for a file that cannot be read.
    """
    found = {str(engine): checks_of(_evidence(engine, settings, sources)) for engine in engines}
    if as_json:
        print_json({"engines": [_json_from_checks(engine, checks) for engine, checks in found.items()]})
    else:
        for engine, checks in found.items():
            _print_checks(engine, checks)
    bad = {State.FAILED, State.NOT_CHECKED} if strict else {State.FAILED}
    wrong = any(check.state in bad for checks in found.values() for check in checks)
    return ModelError.exit_code if wrong else 0


def _evidence(engine: Path, settings: Settings, sources: Path | None) -> Evidence:
    absent: dict[str, str] = {}
    try:
        digest = digest_from_file(engine)
    except OSError as error:
        raise SettingsError("the engine cannot be read", why=error.strerror or str(error), where=str(engine)) from error
    beside = engine.with_suffix(".json")
    sidecar = sidecar_from_file(beside) if beside.is_file() else None
    statement = statement_digest = None
    path = engine.with_suffix(PROVENANCE_SUFFIX)
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_STATEMENT_BYTES)
        statement_digest = digest_from_bytes(data)
        statement = statement_from_bytes(data)
    except OSError as error:
        absent["provenance"] = f"{path} cannot be read: {error.strerror or error}"
    except StatementError as error:
        absent["provenance"] = f"{path} is no statement: {error}"
    key = sidecar.key if sidecar else statement.key.digest if statement else None
    receipt: Receipt | None = None
    damage = ""
    try:
        receipt = _receipt("receipt", key, settings, absent)
    except ReceiptDamaged as found:
        damage = found.reason
    return Evidence(
        engine=engine,
        digest=digest,
        sidecar=sidecar,
        statement=statement,
        statement_digest=statement_digest,
        receipt=receipt,
        origin=_origin(statement, settings, absent),
        damage=damage,
        sealed=_seal_name(settings),
        sources=sources,
        absent=absent,
    )


def _origin(statement: Statement | None, settings: Settings, absent: dict[str, str]) -> Receipt | None:
    """The cache's receipt of the engine that the statement's was refitted from; ``absent`` says why there is none."""
    key = origin_key(statement) if statement is not None else None
    if key is None:
        return None
    try:
        return _receipt("origin", key, settings, absent)
    except ReceiptDamaged as found:
        absent["origin"] = found.reason
        return None


def _receipt(what: str, key: Digest | None, settings: Settings, absent: dict[str, str]) -> Receipt | None:
    """The cache's receipt of ``key``; where there is none, ``absent[what]`` says why. Raises ``ReceiptDamaged``."""
    store = store_from_settings(settings, threading.Event())
    if key is None:
        absent[what] = "nothing beside the engine names its key"
    elif store is None:
        absent[what] = "there is no cache: name one with --cache"
    else:
        try:
            data = store.get_receipt("engine", key)
        except StoreFailed as failure:
            absent[what] = f"the cache {store} cannot say: {failure.reason}"
            return None
        if data is not None:
            return receipt_from_bytes(data, kind="engine", stored_as=key)
        absent[what] = f"the cache {store} has no entry {key}"
    return None


def _seal_name(settings: Settings) -> str:
    if settings.cache_secret is not None:
        return "HMAC-SHA-256 and the secret that is set here"
    return f"the KMS key {settings.cache_kms_key}" if settings.cache_kms_key is not None else ""


def _print_checks(engine: str, checks: Sequence[Check]) -> None:
    print(one_line(engine))
    for check in checks:
        print(f"  {check.state!s:12} {one_line(check.name)}: {one_line(check.detail)}")


def _json_from_checks(engine: str, checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "engine": engine,
        "checks": [{"name": check.name, "state": str(check.state), "detail": check.detail} for check in checks],
    }
