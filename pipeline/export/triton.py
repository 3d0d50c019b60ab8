"""A Triton model repository from the engines of an output folder.

One model for each model and precision of the manifest, such as ``digits-fp16``; its plans, one for each kind of GPU,
lie in one version folder, and Triton takes the one for the GPU's compute capability. Beside each lies its statement of
provenance, which Triton does not read.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from pipeline.digest import digest_from_file
from pipeline.errors import PublishError, SettingsError
from pipeline.export.triton_config import config_from_sidecars
from pipeline.paths import write_bytes_atomically
from pipeline.provenance.statement import PROVENANCE_SUFFIX
from pipeline.targets import TENSORRT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pipeline.export.engines import DeliveredEngine

CONFIG = "config.pbtxt"


def export_triton(engines: Iterable[DeliveredEngine], repository: Path) -> tuple[Path, ...]:
    """Write or update the repository; returns the version folder of each model.

    A model whose newest version has the same plans keeps it; otherwise the next number is written whole, then the
    configuration. Raises ``SettingsError`` for engines that one model cannot serve, ``PublishError`` where the
    repository cannot be written; nothing is written before every model is known to be sound.
    """
    engines = tuple(engines)
    served = [engine for engine in engines if engine.sidecar.target.runtime == TENSORRT]
    if not served:
        raise SettingsError(
            "none of these engines can be served by Triton",
            why=f"its TensorRT backend loads engines of `runtime: {TENSORRT}` alone, not of TensorRT-RTX",
            fix=f"build targets with `runtime: {TENSORRT}`",
        )
    models: dict[str, dict[str, DeliveredEngine]] = {}
    for engine in served:
        name = f"{engine.model}-{engine.sidecar.precision}"
        models.setdefault(name, {})[f"{engine.sidecar.target.id}.plan"] = engine
    configs = {
        name: config_from_sidecars(name, {file: engine.sidecar for file, engine in plans.items()})
        for name, plans in models.items()
    }
    try:
        return tuple(_write_model(repository / name, plans, configs[name]) for name, plans in models.items())
    except OSError as error:
        raise PublishError(
            f"the model repository {repository} could not be written",
            why=str(error),
            fix="make space, or check the permissions",
        ) from error


def _write_model(folder: Path, plans: Mapping[str, DeliveredEngine], config: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    numbers = [int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()]
    newest = folder / str(max(numbers, default=0))
    if not _same(newest, plans):
        newest = folder / str(max(numbers, default=0) + 1)
        _write_version(newest, plans)
    write_bytes_atomically(folder / CONFIG, config.encode("ascii"))
    return newest


def _same(version: Path, plans: Mapping[str, DeliveredEngine]) -> bool:
    wanted = _files(plans)
    if not version.is_dir() or {path.name for path in version.iterdir()} != wanted.keys():
        return False
    return all(digest_from_file(version / name) == digest_from_file(path) for name, path in wanted.items())


def _write_version(version: Path, plans: Mapping[str, DeliveredEngine]) -> None:
    """All plans or none: Triton polls for new version folders, so one appears only when it is whole."""
    partial = version.with_name(f".{version.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, path in _files(plans).items():
            shutil.copyfile(path, partial / name)
        partial.replace(version)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _files(plans: Mapping[str, DeliveredEngine]) -> dict[str, Path]:
    """File name in the version folder -> what it is a copy of."""
    files = {file: engine.path for file, engine in plans.items()}
    for file, engine in plans.items():
        if engine.provenance_path is not None:
            files[f"{file.removesuffix('.plan')}{PROVENANCE_SUFFIX}"] = engine.provenance_path
    return files
