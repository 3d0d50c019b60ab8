"""A machine with one H200 and TensorRT, whose children are functions: whole runs without a process or a GPU.

An engine holds the level that it was built at as text, and ``FakeMachine.ms`` says how long one of that level takes.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import run
from pipeline.bench.measurement import Measurement, measurement_to_json
from pipeline.bench.samples import compact_from_ms, distribution_from_ms
from pipeline.build.refit_outcome import NotRefittableError
from pipeline.build.timing_cache import SUFFIX, TACTICS_FILE
from pipeline.commands.cli import main
from pipeline.digest import digest_from_file
from pipeline.inspection.layers import EngineLayers, Layer, layers_to_json
from pipeline.machine.devices import GpuDevice
from pipeline.machine.gpu_lock import GpuPool
from pipeline.verify.comparison import ENGINE, Comparison, OutputComparison, comparison_to_json
from tests.support.answers import answered_build
from tests.support.workshops import FACTS, IMAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from pipeline.errors import PipelineError

VERSION = "8.6.0"
JOB = "digits/h200/fp16"
MANIFEST = """
version: 1
runners: {{default: [gpu]}}
models:
  - name: digits
    onnx: model.onnx
    profiles: [{{image: {{min: [1, 1, 8, 8], opt: [8, 1, 8, 8], max: [32, 1, 8, 8]}}}}]
    targets: [h200]
    precisions: [{precisions}]
    build: {{optimization_level: {level}, {build}}}
    {more}
"""
BENCHMARK = "benchmark: {}"
PLAN = ("plan", "--matrix", "github", "--out", "engines")


@dataclass
class FakeMachine:
    """``ms`` is optimization level -> latency; ``cosine`` what every engine is measured to have.

    ``no_kernel`` is why the builder makes nothing with REFIT. ``tasks`` counts the children by task; ``fails`` is
    raised by every child of a comparison, and ``refused`` by every refit; without ``samples`` all timings answer with
    none. ``loaded`` is what each build found in its timing caches: the levels that were built before.
    """

    folder: Path
    ms: dict[int, float] = field(default_factory=lambda: {1: 1.0, 2: 1.05, 3: 1.0001, 4: 0.9})
    cosine: float = 0.99
    version: str = VERSION
    inputs: tuple[str, ...] = ("image",)
    model: bytes = b"a model"
    noise: float = 0.001
    no_kernel: str = ""
    fails: PipelineError | None = None
    refused: PipelineError | None = None
    samples: bool = True
    has_gpu: bool = True
    tasks: Counter[str] = field(default_factory=Counter)
    loaded: list[set[str]] = field(default_factory=list)
    timed: list[str] = field(default_factory=list)
    timed_bytes: set[bytes] = field(default_factory=set)
    _random: random.Random = field(default_factory=lambda: random.Random(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def install(self, patch: pytest.MonkeyPatch) -> FakeMachine:
        """Let runs meet this machine."""
        gpu = GpuDevice(
            uuid="GPU-1", name="NVIDIA H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0"
        )
        patch.chdir(self.folder)
        patch.setattr(run, "run_task", self._child)
        patch.setattr(run, "installed_gpus", lambda: (gpu,) if self.has_gpu else ())
        patch.setattr(run, "installed_runtimes", lambda: {"tensorrt": self.version})
        patch.setattr(run, "GpuPool", lambda: GpuPool(self.folder))
        return self

    def run(
        self,
        *,
        level: int = 1,
        more: str = BENCHMARK,
        precisions: str = "fp16",
        build: str = "refit: auto",
        command: Sequence[str] = ("run",),
        **environment: str,
    ) -> dict[str, Any]:
        """Run the main job, or another command; the report, if it left one, with ``returncode`` and ``details``."""
        (self.folder / "model.onnx").write_bytes(self.model)
        (self.folder / "evaluation.npz").write_bytes(b"data")
        (self.folder / "trt-engines.yaml").write_text(
            MANIFEST.format(level=level, more=more, precisions=precisions, build=build)
        )
        returncode = main(list(command), {"TRT_ENGINE_REPOSITORY": "acme/models", **environment})
        written = self.folder / "engines/report.json"
        report: dict[str, Any] = json.loads(written.read_text()) if written.exists() else {}
        path = self.folder / "engines/report-details.json"
        return report | {"returncode": returncode, "details": json.loads(path.read_text()) if path.exists() else None}

    def run_main(self, **parts: Any) -> dict[str, Any]:
        """A trusted run of the branch ``main``."""
        trusted = {"TRT_ENGINE_CACHE_SCOPE": "trusted", "TRT_ENGINE_BRANCH": "main", "TRT_ENGINE_COMMIT": "a" * 40}
        return self.run(**(trusted | parts))

    def run_change(self, **parts: Any) -> dict[str, Any]:
        """A pull request's run against ``main``."""
        return self.run(TRT_ENGINE_CACHE_SCOPE="pr/42/7", TRT_ENGINE_BASE_BRANCH="main", **parts)

    def plan_change(self, **parts: Any) -> dict[str, Any]:
        """What the cache alone settles of a pull request, on a machine without a GPU."""
        self.has_gpu = False
        return self.run_change(command=PLAN, **parts)

    def _child(self, task: str, request: Mapping[str, Any], folder: Path, **_options: Any) -> dict[str, Any]:
        assert not list(folder.iterdir()), "a child's folder must be empty"
        with self._lock:
            self.tasks[task] += 1
            answers = {
                "inspect-model": self._facts,
                "check-operators": lambda *_: {"refused": []},
                "check-data": lambda *_: {"samples": 1},
                "prepare": self._prepared,
                "build": self._built,
                "refit": self._refitted,
                "inspect-engine": self._inspected,
                "verify-engine": lambda *_: self._verified(),
                "benchmark": self._timed,
            }
            return answers[task](request, folder)

    def _facts(self, _request: Mapping[str, Any], _folder: Path) -> dict[str, Any]:
        return FACTS | {"inputs": [IMAGE | {"name": name} for name in self.inputs]}

    def _prepared(self, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        (folder / "typed.onnx").write_bytes(b"typed " + Path(request["model"]).read_bytes())
        return {"model": "typed.onnx", "files": ["typed.onnx"], "warnings": []}

    def _built(self, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        if request["refit"] and self.no_kernel:
            raise NotRefittableError("TensorRT could not build an engine that can be refitted", why=self.no_kernel)
        answer = answered_build(request, folder, {"tensorrt": self.version})
        loaded = {word for file in _timing_files(request) for word in file.read_text().split()}
        self.loaded.append(loaded)
        timed = loaded | {f"level-{request['optimization_level']}"}
        (folder / TACTICS_FILE).write_text(" ".join(sorted(timed)))
        with (folder / answer["engine"]).open("ab") as engine:
            engine.write(f"level {request['optimization_level']}, build {self.tasks['build']}".encode())
        if request["refit"]:
            (folder / "weights.json").write_text("{}")
            answer["weights_record"] = "weights.json"
        tensors = [IMAGE | {"name": name} for name in self.inputs]
        size_bytes = (folder / answer["engine"]).stat().st_size
        return answer | {"size_bytes": size_bytes, "inputs": tensors, "outputs": FACTS["outputs"]}

    def _refitted(self, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        if self.refused is not None:
            raise self.refused
        engine, model = (Path(path).read_bytes() for path in (request["engine"], request["build"]["model"]))
        (folder / "engine.plan").write_bytes(engine + b", with the weights of " + model)
        outcome = {**request["outcome"], "size_bytes": (folder / "engine.plan").stat().st_size, "weights_record": None}
        seconds = {"model": 0.1, "start": 0.1, "load": 0.1, "refit": 0.2, "write": 0.1}
        return outcome | {"refit": {"seconds": seconds, "weights": 2, "changed": 1}}

    def _inspected(self, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        level = level_of(request["engine"])
        layers = tuple(
            Layer(
                name=f"/block.{number}/Conv",
                type="CaskConvolution",
                precision="fp16",
                tactic=f"tactic of level {level}",
                inputs=(),
                outputs=(),
                onnx_nodes=(f"/block.{number}/Conv",),
                time_ms=self.ms[level] / 8 * (1 + number * (level - 1)),
            )
            for number in range(8)
        )
        engine = EngineLayers(
            engine_digest=digest_from_file(folder.parent / request["engine"]),
            runtime_version=self.version,
            detailed=True,
            shapes={"image": (8, 1, 8, 8)},
            profiled_iterations=10,
            layers=layers,
        )
        (folder / "layers.json").write_text(json.dumps(layers_to_json(engine)))
        return {"layers": "layers.json", "warnings": []}

    def _verified(self) -> dict[str, Any]:
        output = OutputComparison(name="logits", cosine_min=self.cosine, cosine_mean=self.cosine)
        return comparison_to_json(Comparison(subject=ENGINE, samples=8, emulated=False, outputs=(output,)))

    def _timed(self, request: Mapping[str, Any], _folder: Path) -> dict[str, Any]:
        if request.get("compute_only"):
            if self.fails is not None:
                raise self.fails
            self.timed.append(request["engine"])
            self.timed_bytes.add(Path(request["engine"]).read_bytes())
        typical_ms = self.ms[level_of(request["engine"])] * (1 + self._random.gauss(0, self.noise))
        samples = [typical_ms * (1 + self._random.gauss(0, self.noise)) for _ in range(50)]
        return measurement_to_json(
            Measurement(
                subject="engine",
                device="NVIDIA H200",
                version=self.version,
                precision=request["precision"],
                shapes={"image": (8, 1, 8, 8)},
                cuda_graph=True,
                compute=distribution_from_ms(samples),
                inferences_per_s=1000 / typical_ms,
                warmup_s=0.5,
                stable=True,
                measured_s=1.0,
                samples=compact_from_ms(samples) if self.samples else "",
            )
        )


def _timing_files(request: Mapping[str, Any]) -> list[Path]:
    folder = request["timing_cache"]
    return [] if folder is None else sorted(Path(folder).glob(f"*{SUFFIX}"))


def level_of(engine: str) -> int:
    """The optimization level that an engine was built at."""
    found = re.search(rb"level (\d+)", Path(engine).read_bytes())
    assert found is not None
    return int(found[1])
