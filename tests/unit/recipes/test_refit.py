"""From a retrained model to a refit: what is kept by an engine's structure, and what is found by it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.build.refit_outcome import NO_REASON, NotRefittableError
from pipeline.cache.answers import Hit
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.manifest.types import BuildSettings
from pipeline.planning.plan import State, planned_from_lookup
from pipeline.precision import Precision
from pipeline.recipes.engine import engine_recipe
from pipeline.recipes.refit import with_outlook
from tests.support.refit_site import Children, Site, text_of
from tests.support.specs import H200, SM_89, job

if TYPE_CHECKING:
    from pathlib import Path


def test_a_retrained_model_gets_the_engine_of_the_first_with_new_weights(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    _, first = site.run("first", children)
    _, second = site.run("second", children)
    assert text_of(first) == "engine of first"
    assert text_of(second) == "engine of first with second"
    assert children.asked.count("build") == 1


def test_the_outcome_and_the_receipt_name_the_engine_that_it_came_from(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    _, first = site.run("first", children)
    _, second = site.run("second", children)
    assert second.outcome["refit"]["origin"] == str(first.key.digest)
    assert second.outcome["refit"]["instead_of_s"] == round(first.made_in_s, 3)
    workshop, _, _ = site.surveyed("second", children)
    hit = workshop.look_up(second.key, "digits/h200/fp16")
    assert isinstance(hit, Hit)
    assert hit.receipt.metadata["refitted_from"] == str(first.key.digest)


def test_a_refitted_engine_is_cached_like_any_other(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    site.run("first", children)
    site.run("second", children)
    planned, again = site.run("second", children)
    assert planned.state is State.CACHED
    assert again.cached
    assert children.asked.count("refit") == 1


def test_every_retrained_model_starts_from_the_engine_that_was_built(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    for model in ("first", "second", "third"):
        _, engine = site.run(model, children)
    assert text_of(engine) == "engine of first with third"


def test_the_plan_says_what_a_refit_saves(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    site.run("first", children)
    planned, _ = site.run("second", children)
    assert planned.state is State.BUILD
    assert planned.reason.startswith("to be refitted instead of built in about 0.")
    assert "since the weights alone changed; changed: model sha256:" in planned.reason


def test_another_structure_is_built(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.run("first", Children())
    children = Children(structure=b"other")
    planned, engine = site.run("second", children)
    assert text_of(engine) == "engine of second"
    assert "refit" not in children.asked
    assert "the weights alone" not in planned.reason


def test_what_cannot_be_refitted_is_built_with_the_reason(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children(refusal="it folded 'b1'")
    site.run("first", children)
    _, engine = site.run("second", children)
    assert text_of(engine) == "engine of second"
    assert "refit" not in engine.outcome
    assert engine.warnings == ("not made by refitting: it cannot be refitted: it folded 'b1'",)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"build": BuildSettings(refit="never")}, "the manifest says `refit: never`"),
        ({"build": BuildSettings(sparsity=True)}, "kernels for sparse weights"),
        ({"version": "11.3.0.1"}, "TensorRT 11.3 computes wrong numbers with refittable engines"),
        ({"build": BuildSettings(plugins=())}, ""),
        ({"verified": False}, "there is no `accuracy` data, and a refitted engine is used only after it was verified"),
    ],
)
def test_where_nothing_is_refitted_the_plan_says_why(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    site, children = Site(tmp_path, **changed), Children()
    site.run("first", children)
    planned, _ = site.run("second", children)
    assert reason in planned.hindrance
    assert ("refit" in children.asked) == (not reason)


def test_always_overrules_what_auto_avoids(tmp_path: Path) -> None:
    site, children = Site(tmp_path, BuildSettings(refit="always"), version="11.3.0.1"), Children()
    site.run("first", children)
    site.run("second", children)
    assert children.requests["build"]["refit"] is True
    assert "refit" in children.asked


def test_the_first_build_is_told_nothing_of_refits(tmp_path: Path) -> None:
    planned, _ = Site(tmp_path).run("first", Children())
    assert planned.hindrance == ""
    assert planned.reason == "never built before"


def test_names_of_nodes_count_where_settings_choose_nodes_by_them(tmp_path: Path) -> None:
    build = BuildSettings(layer_precisions=(("/stem/*", Precision.FP32),))
    site, children = Site(tmp_path, build), Children()
    site.run("first", children)
    # The stand-in gives every model one structure with names, and here another one without.
    children.structure = b"other"
    site.run("second", children)
    assert "refit" in children.asked


def test_tensorrt_rtx_keeps_nothing_for_refits(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    _, model, recipes = site.surveyed("first", children)
    recipe = engine_recipe(
        replace(job(Precision.FP16, SM_89), model=model.spec),
        model,
        replace(recipes, runtimes={"tensorrt-rtx": "1.7.1.116"}),
    )
    assert recipe.also({"weights_record": "weights.json"}) == ()
    assert recipe.shortcut() is None


def test_an_engine_that_did_not_pass_is_made_anew_by_a_build(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    site.run("first", children)
    workshop, model, recipes = site.surveyed("second", children)
    recipe = engine_recipe(replace(job(Precision.FP16, H200), model=model.spec), model, recipes)
    refitted = workshop.obtain(recipe)
    built = workshop.obtain_anew(recipe, refitted, "it did not pass")
    assert text_of(built) == "engine of second"
    assert built.lookup == refitted.lookup
    _, again = site.run("second", children)
    assert again.cached
    assert text_of(again) == "engine of second"


NO_KERNEL = "Could not find any implementation for node {ForeignNode[norm1.weight]}"


def test_what_cannot_be_built_with_refit_is_built_without_it_once(tmp_path: Path) -> None:
    children = Children(no_kernel=NO_KERNEL)
    _, engine = Site(tmp_path).run("first", children)
    assert text_of(engine) == "engine of first"
    assert children.asked.count("build") == 2
    assert children.requests["build"]["refit"] is False


def test_the_outcome_and_the_receipt_say_that_it_cannot_be_refitted(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children(no_kernel=NO_KERNEL)
    _, engine = site.run("first", children)
    assert engine.outcome["not_refittable"] == NO_KERNEL
    assert engine.outcome["warnings"][0].startswith("built without REFIT, so that every retrained model is built again")
    workshop, _, _ = site.surveyed("first", children)
    hit = workshop.look_up(engine.key, "digits/h200/fp16")
    assert isinstance(hit, Hit)
    assert hit.receipt.metadata["not_refittable"] == NO_KERNEL


def test_a_later_run_finds_it_by_its_key_with_the_warning(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children(no_kernel=NO_KERNEL)
    site.run("first", children)
    planned, again = site.run("first", children)
    assert planned.state is State.CACHED
    assert NO_KERNEL in again.outcome["warnings"][0]


def test_a_retrained_model_is_not_refitted_from_it_and_the_plan_says_why(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children(no_kernel=NO_KERNEL)
    site.run("first", children)
    planned, engine = site.run("second", children)
    assert "refit" not in children.asked
    assert text_of(engine) == "engine of second"
    assert f"TensorRT could not build the earlier engine with REFIT: {NO_KERNEL}" in planned.hindrance


def test_a_retrained_model_is_not_tried_with_refit_again(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children(no_kernel=NO_KERNEL)
    for model in ("first", "second", "third"):
        _, engine = site.run(model, children)
    assert children.asked.count("build") == 4
    assert engine.outcome["not_refittable"] == NO_KERNEL
    assert NO_KERNEL in engine.outcome["warnings"][0]


def test_it_is_tried_again_with_another_version_or_where_no_reason_was_told(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children(no_kernel=NO_REASON)
    site.run("first", children)
    site.run("second", children)
    assert children.asked.count("build") == 4
    children.no_kernel = NO_KERNEL
    site.run("third", children)
    site.version = "10.16.1"
    children.no_kernel = ""
    _, engine = site.run("fourth", children)
    assert "not_refittable" not in engine.outcome


def test_always_fails_where_nothing_can_be_built_with_refit(tmp_path: Path) -> None:
    children = Children(no_kernel=NO_KERNEL)
    with pytest.raises(NotRefittableError, match="Could not find any implementation"):
        Site(tmp_path, BuildSettings(refit="always")).run("first", children)
    assert children.asked.count("build") == 1


def test_always_never_takes_what_auto_built_without_refit(tmp_path: Path) -> None:
    children = Children(no_kernel=NO_KERNEL)
    Site(tmp_path).run("first", children)
    with pytest.raises(NotRefittableError):
        Site(tmp_path, BuildSettings(refit="always"), runs=1).run("first", children)


def origin_blobs(folder: Path, text: str) -> list[Path]:
    """The cached files that hold ``text``."""
    return [path for path in (folder / "cache").rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_damaged_engine_to_start_from_is_told_and_replaced_by_the_build(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    site.run("first", children)
    for blob in origin_blobs(tmp_path, "engine of first"):
        blob.chmod(0o644)
        blob.write_bytes(blob.read_bytes().replace(b"engine of first", b"engine of fault"))
    _, built = site.run("second", children)
    assert text_of(built) == "engine of second"
    (told,) = built.warnings
    assert told.startswith("not made by refitting: the engine to start from cannot be used: the bytes of blob")
    _, third = site.run("third", children)
    assert text_of(third) == "engine of second with third"


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        ({"engine": "engine.plan", "weights_record": "weights.json"}, "build_s: is missing"),
        ([], "its outcome is no object"),
        ("whole", "built by tensorrt 8.5.0"),
    ],
)
def test_a_foreign_engine_to_start_from_is_never_loaded(tmp_path: Path, outcome: Any, reason: str) -> None:
    site, children = Site(tmp_path), Children(version="8.5.0")
    _, model, recipes = site.surveyed("first", children)
    recipe = engine_recipe(replace(job(Precision.FP16, H200), model=model.spec), model, recipes)
    (kept,) = recipe.also({"weights_record": "weights.json"})
    children.version, folder = "8.5.0", tmp_path / "foreign"
    folder.mkdir()
    whole = children("build", {"model": str(tmp_path / "model.onnx"), "refit": True}, folder)
    (folder / "outcome.json").write_text(json.dumps(whole if outcome == "whole" else outcome))
    files = {path.name: path for path in folder.iterdir()}
    ContentCache(LocalStore(tmp_path / "cache")).commit(kept, "digits/h200/fp16", files, {"duration_s": 1.0})
    _, built = site.run("second", children)
    assert text_of(built) == "engine of second"
    assert "refit" not in children.asked
    assert reason in built.warnings[0]


def test_an_engine_that_went_after_the_plan_promised_a_refit_is_told(tmp_path: Path) -> None:
    site, children = Site(tmp_path), Children()
    site.run("first", children)
    workshop, model, recipes = site.surveyed("second", children)
    wanted = replace(job(Precision.FP16, H200), model=model.spec)
    recipe = engine_recipe(wanted, model, recipes)
    planned = with_outlook(
        planned_from_lookup(wanted, workshop.look_up(recipe.key, recipe.subject)), model, recipes, recipe
    )
    assert "to be refitted" in planned.reason
    shutil.rmtree(tmp_path / "cache")
    built = workshop.obtain(recipe)
    assert text_of(built) == "engine of second"
    (told,) = built.warnings
    assert told.endswith("the engine to start from cannot be used: it was there when this was planned, and is gone")
