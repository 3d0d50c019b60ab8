"""Whether an engine file is what is said of it: its digest, the cache's receipt, its provenance, its materials.

Each check ends as passed, failed or not checked, and says why. Nothing is loaded: an engine that failed must not be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pipeline.digest import digest_from_file
from pipeline.paths import OutsideFolderError, contained
from pipeline.provenance.statement import PROVENANCE_FILE, REFITTED, origin_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.cache.receipt import Receipt
    from pipeline.digest import Digest
    from pipeline.provenance.statement import Material, Statement
    from pipeline.publish.sidecar import Sidecar


class State(str, Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not checked"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``detail`` is a phrase that says what was found, or why nothing could be."""

    name: str
    state: State
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was found of an engine. What is ``None`` was not found, for the reason of the same name in ``absent``.

    ``sealed`` is how the receipt's maker was proven, empty where it was not; ``damage`` is what is wrong with a receipt
    that must not be believed. ``origin`` is the receipt of the engine that it was refitted from. ``sources`` is the
    folder of the manifest.
    """

    engine: Path
    digest: Digest
    sidecar: Sidecar | None
    statement: Statement | None
    statement_digest: Digest | None
    receipt: Receipt | None
    origin: Receipt | None
    damage: str
    sealed: str
    sources: Path | None
    absent: dict[str, str]


def checks_of(evidence: Evidence) -> tuple[Check, ...]:
    """Every check, in the order of what it rests on."""
    return (
        _digest_check(evidence),
        _receipt_check(evidence),
        _seal_check(evidence),
        _provenance_check(evidence),
        _provenance_receipt_check(evidence),
        *_material_checks(evidence),
    )


def _digest_check(evidence: Evidence) -> Check:
    said = {
        "sidecar": evidence.sidecar.engine_digest if evidence.sidecar else None,
        "provenance": evidence.statement.engine if evidence.statement else None,
    }
    for name, digest in said.items():
        if digest not in (None, evidence.digest):
            return Check("digest", State.FAILED, f"the file is {evidence.digest}, its {name} says {digest}")
    named = [name for name, digest in said.items() if digest is not None]
    if not named:
        return Check("digest", State.NOT_CHECKED, f"{evidence.digest}; nothing beside it says what it should be")
    return Check("digest", State.PASSED, f"{evidence.digest}, as its {' and its '.join(named)} say")


def _receipt_check(evidence: Evidence) -> Check:
    receipt = evidence.receipt
    if evidence.damage:
        return Check("receipt", State.FAILED, evidence.damage)
    if receipt is None:
        return Check("receipt", State.NOT_CHECKED, evidence.absent["receipt"])
    entry = f"the cache's entry {receipt.key.digest}, made {receipt.created},"
    if evidence.digest not in {blob.digest for blob in receipt.blobs}:
        return Check("receipt", State.FAILED, f"{entry} was made of the same, but is another engine")
    return Check("receipt", State.PASSED, f"{entry} is this file")


def _seal_check(evidence: Evidence) -> Check:
    if evidence.receipt is None:
        return Check("seal", State.NOT_CHECKED, "there is no sound receipt")
    if not evidence.sealed:
        why = "neither TRT_ENGINE_CACHE_SECRET nor TRT_ENGINE_CACHE_KMS_KEY is set, so the cache's owner is trusted"
        return Check("seal", State.NOT_CHECKED, why)
    return Check("seal", State.PASSED, f"the receipt was sealed with {evidence.sealed}")


def _provenance_check(evidence: Evidence) -> Check:
    statement, sidecar = evidence.statement, evidence.sidecar
    if statement is None:
        state = State.NOT_CHECKED if evidence.statement_digest is None else State.FAILED
        return Check("provenance", state, evidence.absent["provenance"])
    if statement.engine != evidence.digest:
        return Check("provenance", State.FAILED, f"it is about another engine, {statement.engine}")
    ingredients = dict(statement.key.ingredients)
    if sidecar is not None:
        pairs = {
            "key": (statement.key.digest, sidecar.key),
            "model": (ingredients.get("model"), str(sidecar.model_digest)),
            "precision": (ingredients.get("precision"), str(sidecar.precision)),
            "runtime": (ingredients.get("runtime"), sidecar.target.runtime),
        }
        for name, (said, beside) in pairs.items():
            if said != beside:
                return Check("provenance", State.FAILED, f"its {name} is {said}, the sidecar's is {beside}")
    how = "built" if origin_key(statement) is None else "refitted"
    by = f"{how} by {statement.builder} at {statement.finished} as {statement.job}"
    return Check("provenance", State.PASSED, f"{by}; its parameters make key {statement.key.digest}")


def _provenance_receipt_check(evidence: Evidence) -> Check:
    """Whether the cache vouches for the statement: by itself it is not signed."""
    name = "provenance's maker"
    if evidence.receipt is None or evidence.statement_digest is None:
        return Check(name, State.NOT_CHECKED, "a statement is not signed: only a receipt of the cache can vouch for it")
    kept = next((blob.digest for blob in evidence.receipt.blobs if blob.name == PROVENANCE_FILE), None)
    if kept != evidence.statement_digest:
        return Check(name, State.FAILED, "it is not the statement that the receipt names")
    return Check(name, State.PASSED, "the receipt names this very statement")


def _material_checks(evidence: Evidence) -> Iterator[Check]:
    if evidence.statement is None:
        yield Check("materials", State.NOT_CHECKED, "there is no provenance that names them")
        return
    for material in evidence.statement.materials:
        yield (
            _origin_check(material, evidence)
            if material.role == REFITTED
            else _material_check(material, evidence.sources)
        )
    beside = evidence.sidecar.refitted_from if evidence.sidecar else None
    if beside is not None and origin_key(evidence.statement) is None:
        why = f"its sidecar says that it was refitted from {beside}, of which its provenance says nothing"
        yield Check(REFITTED, State.NOT_CHECKED, why)


def _origin_check(material: Material, evidence: Evidence) -> Check:
    """What the cache says of the engine whose weights were replaced. A build may have taken its place since."""
    assert evidence.statement is not None  # noqa: S101  the material is its
    name, key = f"{material.role} {material.name}", origin_key(evidence.statement)
    beside = evidence.sidecar.refitted_from if evidence.sidecar else None
    if key is None:
        return Check(name, State.FAILED, "it names no key of an engine")
    if evidence.sidecar is not None and beside != key:
        return Check(name, State.FAILED, f"the sidecar says that it was refitted from {beside or 'none'}")
    if evidence.origin is None:
        return Check(name, State.NOT_CHECKED, f"sha256:{material.value}; {evidence.absent['origin']}")
    entry = f"the cache's entry {key}, made {evidence.origin.created},"
    if material.value not in {blob.digest.hex for blob in evidence.origin.blobs}:
        return Check(name, State.NOT_CHECKED, f"{entry} holds another engine than sha256:{material.value} by now")
    return Check(name, State.PASSED, f"{entry} is the engine that it was refitted from, sha256:{material.value}")


def _material_check(material: Material, sources: Path | None) -> Check:
    name = f"{material.role} {material.name}"
    if material.role in ("source", "image"):
        said = f"{material.algorithm} {material.value}" if material.algorithm else "without a digest"
        return Check(name, State.NOT_CHECKED, f"{said}; look it up where it is kept")
    if sources is None:
        return Check(name, State.NOT_CHECKED, "no --sources FOLDER was given")
    try:
        digest = digest_from_file(contained(sources, material.name))
    except (OSError, OutsideFolderError) as error:
        return Check(name, State.NOT_CHECKED, f"it cannot be read: {error}")
    if digest.hex != material.value:
        return Check(name, State.FAILED, f"the file is {digest}, the engine was made from sha256:{material.value}")
    return Check(name, State.PASSED, f"{digest}")
