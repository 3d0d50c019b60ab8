"""A workshop for unit tests: a real cache in a folder, and a function in place of the child process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pipeline.artefacts import Workshop
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.gpu_lock import GpuPool
from pipeline.publish.progress import Progress
from pipeline.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

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


def workshop_with(child: Task, folder: Path, run: str = "a", *, store: Store | None = None) -> Workshop:
    """A workshop whose children are calls of ``child`` with task, request and private folder.

    Its cache is ``store``, or lies in ``folder``.
    """
    shop_folder = folder

    def run_task(task: str, request: Mapping[str, Any], folder: Path, **_options: Any) -> dict[str, Any]:
        return child(task, request, folder)

    return Workshop(
        cache=ContentCache(store or LocalStore(shop_folder / "cache")),
        scratch=shop_folder / f"scratch-{run}",
        logs=shop_folder / "logs",
        slots=Slots(2, 1 << 40),
        gpus=GpuPool(shop_folder),
        cancel=threading.Event(),
        progress=Progress(None),
        run_task=run_task,
    )
