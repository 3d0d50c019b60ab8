"""One archive for one target: its engines, their sidecars and statements, licences, and checksums."""

from __future__ import annotations

import io
import tarfile
from typing import IO, TYPE_CHECKING

from pipeline.digest import digest_from_file
from pipeline.errors import PublishError, SettingsError
from pipeline.paths import written_atomically
from pipeline.provenance.statement import PROVENANCE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pipeline.export.engines import DeliveredEngine

CHECKSUMS = "SHA256SUMS"
_LICENCES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*")


def export_bundle(engines: Iterable[DeliveredEngine], file: Path, *, licences_from: Path) -> None:
    """Write an uncompressed tar archive; the same engines make the same bytes.

    Licences are the files of the folder ``licences_from`` that are named like one. ``sha256sum --check SHA256SUMS``
    checks what was unpacked. Raises ``SettingsError`` for engines of several targets.
    """
    engines = tuple(engines)
    targets = sorted({engine.sidecar.target.id for engine in engines})
    if len(targets) > 1:
        raise SettingsError(
            f"these engines are for several targets: {', '.join(targets)}",
            why="an engine runs on its target alone, so an archive is for one",
            fix=f"choose one, such as --only '*/{targets[0]}/*'",
        )
    licences = sorted({path for glob in _LICENCES for path in licences_from.glob(glob) if path.is_file()})
    members = {f"licenses/{path.name}": path for path in licences}
    for engine in engines:
        members[f"{engine.sidecar.job}.engine"] = engine.path
        members[f"{engine.sidecar.job}.json"] = engine.sidecar_path
        if engine.provenance_path is not None:
            members[f"{engine.sidecar.job}{PROVENANCE_SUFFIX}"] = engine.provenance_path
    try:
        with written_atomically(file) as written:
            _write(written, members)
    except OSError as error:
        raise PublishError(
            f"the bundle {file} could not be written", why=str(error), fix="make space, or check the permissions"
        ) from error


def _write(written: IO[bytes], members: Mapping[str, Path]) -> None:
    sums = []
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in sorted(members.items()):
            with path.open("rb") as file:
                sums.append(f"{digest_from_file(path).hex}  {name}\n")
                archive.addfile(_member(name, path.stat().st_size), file)
        text = "".join(sums).encode()
        archive.addfile(_member(CHECKSUMS, len(text)), io.BytesIO(text))


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    """Nobody's, from 1970, so that an archive says nothing of the machine that wrote it."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size_bytes, 0o644
    return member
