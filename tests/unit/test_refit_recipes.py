"""From a retrained model to a refit: what is kept by an engine's structure, and what is found by it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.build.plan_header import PlanHeader
from pipeline.build.request import BuildOutcome, outcome_to_json
from pipeline.cache.content import Hit
from pipeline.devices import GpuDevice
from pipeline.digest import digest_from_bytes
from pipeline.engine_recipes import engine_recipe
from pipeline.errors import BuildError
from pipeline.manifest.types import Accuracy, BuildSettings, Location
from pipeline.plan import PlannedJob, State, planned_from_lookup
from pipeline.precision import Precision
from pipeline.recipes import Recipes
from pipeline.refit_recipes import with_outlook
from pipeline.survey import SurveyedModel, survey_models
from tests.support.specs import H200, SM_89, job, model_spec
from tests.support.workshops import FACTS, workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.artefacts import Artefact, Workshop

TOOLS = {"onnx": "1.23.2", "onnxruntime": "1.31.1", "numpy": "2.4.6"}
GPU = GpuDevice(
    uuid="GPU-1", name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0"
)
HEADER_CHARS = 64
SECONDS = {"model": 0.1, "start": 0.1, "load": 0.1, "refit": 0.2, "write": 0.1}


def header_of(version: str) -> str:
    """How a plan of full TensorRT begins, as text."""
    numbers = [*map(int, version.split(".")), 0]
    return "ftrt" + 20 * "\0" + "".join(map(chr, numbers[:4])) + 36 * "\0"


@dataclass
class Children:
    """Answers like the tasks; ``structure`` is that of every model, and ``refusal`` why nothing can be refitted."""

    structure: bytes = b"structure"
    refusal: str = ""
    version: str = "8.6.0"
    asked: list[str] = field(default_factory=list)
    requests: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def __call__(self, task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        self.asked.append(task)
        self.requests[task] = request
        if task == "inspect-model":
            return FACTS | {"structure": str(digest_from_bytes(self.structure))}
        if task == "prepare":
            (folder / "model.onnx").write_text(Path(request["model"]).read_text())
            return {"model": "model.onnx", "files": ["model.onnx"]}
        if task == "refit":
            return self._refitted(request, folder)
        assert task == "build"
        (folder / "engine.plan").write_text(header_of(self.version) + "engine of " + Path(request["model"]).read_text())
        (folder / "weights.json").write_text("weights")
        record = "weights.json" if request["refit"] else None
        size_bytes = (folder / "engine.plan").stat().st_size
        header = PlanHeader(magic="ftrt", version="8.6.0.0", size_bytes=None, capability_mask=None)
        return outcome_to_json(
            BuildOutcome(
                engine="engine.plan",
                size_bytes=size_bytes,
                runtime_version="8.6.0",
                build_s=1.0,
                inputs=(),
                outputs=(),
                header=header,
                warnings=(),
                weights_record=record,
            )
        )

    def _refitted(self, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        if self.refusal:
            raise BuildError("it cannot be refitted", why=self.refusal)
        before = Path(request["engine"]).read_text()
        (folder / "engine.plan").write_text(f"{before} with {Path(request['build']['model']).read_text()}")
        told = {"seconds": SECONDS, "weights": 2, "changed": 1}
        size_bytes = (folder / "engine.plan").stat().st_size
        return {**request["outcome"], "size_bytes": size_bytes, "weights_record": None, "refit": told}


@dataclass
class Site:
    """One folder with a model and a cache, where runs follow each other."""

    folder: Path
    build: BuildSettings = field(default_factory=BuildSettings)
    precision: Precision = Precision.FP16
    verified: bool = True
    version: str = "8.6.0"
    runs: int = 0

    def run(self, model: str, children: Children) -> tuple[PlannedJob, Artefact]:
        """Plan and obtain the engine of a model whose bytes are ``model``."""
        workshop, model_of, recipes = self.surveyed(model, children)
        spec = model_of.spec
        wanted = replace(job(self.precision, H200), model=spec)
        recipe = engine_recipe(wanted, model_of, recipes)
        planned = with_outlook(
            planned_from_lookup(wanted, workshop.look_up(recipe.key, recipe.subject)), model_of, recipes, recipe
        )
        return planned, workshop.obtain(recipe)

    def surveyed(self, model: str, children: Children) -> tuple[Workshop, SurveyedModel, Recipes]:
        self.runs += 1
        children.version = self.version
        (self.folder / "model.onnx").write_text(model)
        (self.folder / "e.npy").write_bytes(b"data")
        location = Location("m.yaml", 1, 1)
        accuracy = Accuracy(data=self.folder / "e.npy", tolerances=(), location=location) if self.verified else None
        spec = model_spec(self.folder, build=self.build, accuracy=accuracy)
        workshop = workshop_with(children, self.folder, str(self.runs))
        (found,) = survey_models([spec], workshop, TOOLS)
        recipes = Recipes(workshop=workshop, tools=TOOLS, runtimes={"tensorrt": self.version}, gpus=(GPU,))
        return workshop, found, recipes


def text_of(engine: Artefact) -> str:
    return engine.files[engine.outcome["engine"]].read_text()[HEADER_CHARS:]


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
