from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cache.answers import Hit
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.digest import digest_from_bytes, digest_from_file
from pipeline.errors import ModelError
from pipeline.manifest.types import Calibration, Location
from pipeline.planning.plan import Job
from pipeline.planning.survey import survey_models
from pipeline.precision import Precision
from pipeline.provenance.origin import Origin
from pipeline.provenance.statement import PROVENANCE_FILE, Statement, origin_key, statement_from_bytes
from pipeline.recipes.engine import engine_recipe
from pipeline.recipes.model import Recipes
from tests.support.answers import TABLE, answered_build
from tests.support.refit_site import Children, Site
from tests.support.specs import SM_89, model_spec
from tests.support.statements import COMMIT
from tests.support.workshops import FACTS, workshop_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact

TOOLS = {"onnx": "1.23.2", "onnxruntime": "1.31.1", "numpy": "2.4.6"}
RUNTIMES = {"tensorrt-rtx": "1.7.1.116"}
ORIGIN = Origin(
    builder="https://example.com/team/models/ci.yml",
    repository="https://example.com/team/models",
    ref="refs/heads/main",
    commit=COMMIT,
    invocation="https://example.com/run/7",
    image=f"example.com/action@sha256:{'7' * 64}",
)


def engine_in(
    folder: Path,
    precision: Precision = Precision.INT8,
    *,
    origin: Origin = ORIGIN,
    while_building: Callable[[], None] = lambda: None,
) -> Artefact:
    """The engine of a model with external data and a folder of calibration data."""
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models/model.onnx").write_bytes(b"model")
    (folder / "models/weights.bin").write_bytes(b"weights")
    data = folder / "calibration"
    data.mkdir(exist_ok=True)
    for name in ("a.npy", "b.npy"):
        (data / name).write_bytes(name.encode())

    def child(task: str, request: Mapping[str, Any], private: Path) -> dict[str, Any]:
        if task == "build":
            while_building()
            return answered_build(request, private, RUNTIMES)
        (private / "t.table").write_text(TABLE)
        (private / "t.json").write_text("{}")
        (private / "model.onnx").write_text(task)
        made = {"table": "t.table", "json": "t.json", "tensors": 1, "model": "model.onnx", "files": ["model.onnx"]}
        return FACTS | made | {"external_files": ["weights.bin"]}

    workshop = workshop_with(child, folder)
    place = Location(str(folder / "m.yaml"), 1, 1)
    spec = model_spec(folder / "models", calibration=Calibration(data=data, location=place), location=place)
    (model,) = survey_models([spec], workshop, TOOLS)
    recipes = Recipes(workshop=workshop, tools=TOOLS, runtimes=RUNTIMES, origin=origin)
    return workshop.obtain(engine_recipe(Job(spec, SM_89, precision), model, recipes))


def statement_of(engine: Artefact) -> Statement:
    return statement_from_bytes(engine.files[PROVENANCE_FILE].read_bytes())


def test_an_engine_is_stated_with_its_digest_key_and_run(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    statement = statement_of(engine)
    assert (statement.job, statement.engine) == ("digits/sm_89/int8", digest_from_file(engine.files["engine.plan"]))
    assert statement.key == engine.key
    assert (statement.builder, statement.invocation) == (ORIGIN.builder, ORIGIN.invocation)
    assert statement.started <= statement.finished


def test_model_data_commit_and_image_are_materials(tmp_path: Path) -> None:
    found = [(each.role, each.name, each.value) for each in statement_of(engine_in(tmp_path)).materials]
    assert found == [
        ("model", "models/model.onnx", digest_from_bytes(b"model").hex),
        ("model-data", "models/weights.bin", digest_from_bytes(b"weights").hex),
        ("calibration-data", "calibration/a.npy", digest_from_bytes(b"a.npy").hex),
        ("calibration-data", "calibration/b.npy", digest_from_bytes(b"b.npy").hex),
        ("source", "git+https://example.com/team/models@refs/heads/main", COMMIT),
        ("image", ORIGIN.image, "7" * 64),
    ]


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    roles = [each.role for each in statement_of(engine_in(tmp_path, Precision.FP16, origin=Origin())).materials]
    assert roles == ["model", "model-data"]


def test_an_image_that_is_not_pinned_has_no_digest(tmp_path: Path) -> None:
    origin = replace(ORIGIN, image="example.com/action:latest")
    image = statement_of(engine_in(tmp_path, origin=origin)).materials[-1]
    assert (image.role, image.algorithm) == ("image", "")


def test_the_statement_is_kept_in_the_cache_beside_the_engine(tmp_path: Path) -> None:
    built = engine_in(tmp_path)
    hit = ContentCache(LocalStore(tmp_path / "cache")).lookup(built.key, "digits/sm_89/int8")
    assert isinstance(hit, Hit)
    kept = {blob.name: blob.digest for blob in hit.receipt.blobs}
    assert kept[PROVENANCE_FILE] == digest_from_file(built.files[PROVENANCE_FILE])


def test_F36_calibration_data_that_changes_during_the_build_is_refused(tmp_path: Path) -> None:
    def change() -> None:
        (tmp_path / "calibration/b.npy").write_bytes(b"x")

    with pytest.raises(ModelError, match="changed while it was being read"):
        engine_in(tmp_path, while_building=change)


def test_a_refitted_engine_names_the_engine_that_it_came_from(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    _, first = site.run("first", children)
    _, second = site.run("second", children)
    (origin,) = [each for each in statement_of(second).materials if each.role == "refitted-engine"]
    assert origin.name == f"urn:tensorrt-engine-action:engine:{first.key.digest}"
    assert (origin.algorithm, origin.value) == ("sha256", digest_from_file(first.files["engine.plan"]).hex)
    assert origin_key(statement_of(second)) == first.key.digest


def test_an_engine_that_was_built_names_none(tmp_path: Path) -> None:
    _, first = Site(tmp_path).run("first", Children())
    assert origin_key(statement_of(first)) is None
