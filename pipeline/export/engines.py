"""The engines of an output folder, with what their sidecars say of them."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.digest import digest_from_file
from pipeline.errors import ModelError, SettingsError
from pipeline.provenance.statement import PROVENANCE_SUFFIX
from pipeline.publish.sidecar import SCHEMA_VERSION, Sidecar
from pipeline.record import RecordError, record_from_json

if TYPE_CHECKING:
    from pathlib import Path

_MAX_SIDECAR_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class DeliveredEngine:
    """An engine file that is the one its sidecar describes."""

    path: Path
    sidecar: Sidecar

    @property
    def model(self) -> str:
        """The model's name in the manifest."""
        return self.sidecar.job.split("/", 1)[0]

    @property
    def sidecar_path(self) -> Path:
        """The JSON beside the engine."""
        return self.path.with_suffix(".json")

    @property
    def provenance_path(self) -> Path | None:
        """The statement beside the engine; ``None`` where an older version built it."""
        path = self.path.with_suffix(PROVENANCE_SUFFIX)
        return path if path.is_file() else None


def delivered_engines(out: Path, only: str = "*") -> tuple[DeliveredEngine, ...]:
    """Every engine below ``out`` whose job id matches a glob of ``only``, by job id. Each file is read and compared.

    Raises ``SettingsError`` where there is none, ``ModelError`` for one that is not what its sidecar says.
    """
    globs = [glob.strip() for glob in only.split(",")]
    found = []
    for path in sorted(out.glob("*/*/*.engine")):
        job = "/".join(path.relative_to(out).with_suffix("").parts)
        if not any(fnmatch.fnmatchcase(job, glob) for glob in globs):
            continue
        sidecar = sidecar_from_file(path.with_suffix(".json"))
        if sidecar.job != job or sidecar.engine_digest != digest_from_file(path):
            raise ModelError(
                f"{path} is not the engine that its sidecar describes", fix="run again, which writes both anew"
            )
        found.append(DeliveredEngine(path, sidecar))
    if not found:
        raise SettingsError(f"no engine in {out} matches {only!r}", fix="run first, or name the folder with --out")
    return tuple(found)


def sidecar_from_file(path: Path) -> Sidecar:
    """Read what lies beside an engine. Raises ``ModelError``."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MAX_SIDECAR_BYTES))
        if not isinstance(value, dict) or value.pop("schema_version", None) != SCHEMA_VERSION:
            raise RecordError(f"schema_version: must be {SCHEMA_VERSION}")
        return record_from_json(Sidecar, value)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            "the sidecar of an engine cannot be read",
            why=str(error),
            fix="run again, which writes it anew",
            where=str(path),
        ) from error
