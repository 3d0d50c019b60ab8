"""A folder with a model and a cache, where runs follow each other, and children that only write names."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.build.plan_header import PlanHeader
from pipeline.build.refit_outcome import NotRefittableError
from pipeline.build.request import BuildOutcome, outcome_to_json
from pipeline.digest import digest_from_bytes
from pipeline.errors import BuildError
from pipeline.machine.devices import GpuDevice
from pipeline.manifest.types import Accuracy, BuildSettings, Location
from pipeline.planning.plan import PlannedJob, planned_from_lookup
from pipeline.planning.survey import SurveyedModel, survey_models
from pipeline.precision import Precision
from pipeline.recipes.engine import engine_recipe
from pipeline.recipes.model import Recipes
from pipeline.recipes.refit import with_outlook
from tests.support.specs import H200, job, model_spec
from tests.support.workshops import FACTS, workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.artefacts.recipe import Artefact
    from pipeline.artefacts.workshop import Workshop

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
    """Answers like the tasks; ``structure`` is that of every model, and ``refusal`` why nothing can be refitted.

    ``no_kernel`` is why no engine can be built with REFIT.
    """

    structure: bytes = b"structure"
    refusal: str = ""
    no_kernel: str = ""
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
        if request["refit"] and self.no_kernel:
            raise NotRefittableError("TensorRT could not build an engine that can be refitted", why=self.no_kernel)
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
    """What an engine was made of, in words."""
    return engine.files[engine.outcome["engine"]].read_text()[HEADER_CHARS:]
