"""What an engine was made from, down to single files, and the statement that says so."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.digest import digest_from_file, digest_from_json
from pipeline.errors import ModelError
from pipeline.prepare.dataset_files import dataset_files
from pipeline.provenance.statement import Material, Statement, material_from_origin, utc_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.build.refit_outcome import Refit
    from pipeline.digest import Digest
    from pipeline.keys import Key
    from pipeline.planning.plan import Job
    from pipeline.planning.survey import SurveyedModel
    from pipeline.provenance.origin import Origin

_PINNED = re.compile(r".+@sha256:(?P<hex>[0-9a-f]{64})")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def statement_of_engine(
    job: Job, model: SurveyedModel, key: Key, origin: Origin, *, engine: Path, elapsed_s: float, refit: Refit | None
) -> Statement:
    """The statement about ``engine``, which was just built, or made by ``refit``, in ``elapsed_s``.

    Raises ``ModelError`` where the calibration data is no longer what the key names, ``OSError``.
    """
    now = time.time()
    return Statement(
        job=job.id,
        engine=digest_from_file(engine),
        key=key,
        materials=(*_materials(job, model, origin), *_refitted(refit)),
        builder=origin.builder,
        invocation=origin.invocation,
        started=utc_text(now - elapsed_s),
        finished=utc_text(now),
    )


def _materials(job: Job, model: SurveyedModel, origin: Origin) -> Iterator[Material]:
    spec, folder = model.spec, Path(model.spec.location.file).parent
    yield _file("model", folder, spec.onnx, model.onnx_digest)
    for name, digest in sorted(model.external.items()):
        yield _file("model-data", folder, spec.onnx.parent / name, digest)
    if job.precision.quantized and spec.calibration is not None:
        if spec.calibration.table is not None and model.calibration_data is not None:
            yield _file("calibration-table", folder, spec.calibration.table, model.calibration_data)
        elif spec.calibration.data is not None:
            yield from _data_set(folder, spec.calibration.data, model.calibration_data)
    for plugin in spec.build.plugins:
        yield _file("plugin", folder, plugin, digest_from_file(plugin))
    if origin.repository and _COMMIT.fullmatch(origin.commit):
        ref = f"@{origin.ref}" if origin.ref else ""
        yield Material("source", f"git+{origin.repository}{ref}", "gitCommit", origin.commit)
    if origin.image:
        pinned = _PINNED.fullmatch(origin.image)
        yield Material("image", origin.image, *(("sha256", pinned["hex"]) if pinned else ()))


def _refitted(refit: Refit | None) -> Iterator[Material]:
    if refit is not None and refit.origin_engine is not None:
        yield material_from_origin(refit.origin, refit.origin_engine)


def _data_set(folder: Path, data: Path, surveyed: Digest | None) -> Iterator[Material]:
    files = [(file, digest_from_file(file)) for file in dataset_files(data)]
    if digest_from_json([[file.suffix, str(digest)] for file, digest in files]) != surveyed:
        raise ModelError(
            f"{data}: the calibration data changed while it was being read",
            fix="run again when nothing writes to the model and its data",
        )
    for file, digest in files:
        yield _file("calibration-data", folder, file, digest)


def _file(role: str, folder: Path, path: Path, digest: Digest) -> Material:
    return Material(role, Path(os.path.relpath(path, folder)).as_posix(), digest.algorithm, digest.hex)
