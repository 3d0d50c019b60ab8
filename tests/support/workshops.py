"""A workshop for unit tests: a real cache in a folder, and a function in place of the child process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.artefacts.recipe import Recipe
from pipeline.artefacts.workshop import Workshop
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.errors import BuildError
from pipeline.keys import key_from_ingredients
from pipeline.machine.gpu_lock import GpuPool
from pipeline.machine.slots import Slots
from pipeline.publish.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.cache.lease import Leases
    from pipeline.cache.store import Store

    Task = Callable[[str, Mapping[str, Any], Path], dict[str, Any]]

IMAGE = {"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}
FACTS: dict[str, Any] = {
    "opset": 17,
    "opsets": {},
    "ir_version": 8,
    "inputs": [IMAGE],
    "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", 10]}],
    "node_names": ["/stem/Conv", "/head/Gemm"],
    "operators": {"ai.onnx::Conv": 1, "ai.onnx::Gemm": 1},
    "external_files": [],
    "weights_bytes": 100,
    "structure": f"sha256:{'a' * 64}",
    "named_structure": f"sha256:{'b' * 64}",
    "weights": f"sha256:{'c' * 64}",
}
"""What `inspect-model` answers for a small classifier of images."""


@dataclass
class PlanTask:
    """Stands for a child that builds an engine: writes one file, and keeps what it was asked."""

    text: str = "engine"
    fails: bool = False
    requests: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(self, task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        self.requests.append(request)
        if self.fails:
            raise BuildError("the builder refused")
        (folder / "plan").write_text(self.text)
        return {"file": "plan", "size": len(self.text)}


def plan_recipe(**ingredients: str) -> Recipe:
    """The recipe of an engine that ``PlanTask`` makes."""
    return Recipe(
        key=key_from_ingredients("engine", ingredients or {"model": "m1"}),
        subject="digits/sm_89/fp16",
        task="build",
        stage="building",
        request=lambda _: {"model": "m"},
        files=lambda outcome: (outcome["file"],),
        memory_bytes=1,
    )


def workshop_with(
    child: Task,
    folder: Path,
    run: str = "a",
    *,
    store: Store | None = None,
    leases: Leases | None = None,
    cached: bool = True,
) -> Workshop:
    """A workshop whose children are calls of ``child`` with task, request and private folder.

    Its cache is ``store``, or lies in ``folder``; unless it is ``cached``, it has none.
    """
    shop_folder = folder

    def run_task(task: str, request: Mapping[str, Any], folder: Path, **_options: Any) -> dict[str, Any]:
        return child(task, request, folder)

    return Workshop(
        cache=ContentCache((store or LocalStore(shop_folder / "cache")) if cached else None),
        scratch=shop_folder / f"scratch-{run}",
        logs=shop_folder / "logs",
        slots=Slots(2, 1 << 40),
        gpus=GpuPool(shop_folder),
        cancel=threading.Event(),
        progress=Progress(None),
        run_task=run_task,
        leases=leases,
    )
