"""TensorRT's timing cache: loaded before a build, saved whole after it.

A cache is bound to TensorRT's version, the GPU's product and its driver, and so is its file's name; one that does not
fit all the same is refused by TensorRT and left out, never forced (``ignore_mismatch`` may give wrong engines).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_json
from pipeline.paths import write_bytes_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.build.builder_log import BuilderLog


TACTICS_FILE = "tactics.timing"


def timing_cache_name(runtime_version: str, gpu: str, driver: str) -> str:
    """The file name of the timing cache for a TensorRT version, an NVML product name and a driver version."""
    return f"{digest_from_json({'tensorrt': runtime_version, 'gpu': gpu, 'driver': driver}).hex}.timing"


def load_timing_cache(config: Any, path: Path | None, log: BuilderLog) -> Any:
    """Give ``config`` the cache at ``path``, or an empty one where there is none or it does not fit."""
    data = path.read_bytes() if path is not None and path.is_file() else b""
    cache = config.create_timing_cache(data)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        log.take("WARNING", f"the timing cache {path} does not fit this TensorRT or GPU and is left out")
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def kept_tactics(cache: Any, folder: Path) -> str:
    """Write ``cache`` into ``folder`` as a record of the tactics of the engine there; the file's name."""
    write_bytes_atomically(folder / TACTICS_FILE, bytes(cache.serialize()))
    return TACTICS_FILE


def keep_timing_cache(folder: Path, path: Path | None) -> None:
    """Replace the file ``path`` by the record in ``folder`` as a whole: what was loaded, and what the build added.

    The process that started the build does so; the build itself may not write beside its folder. A disk that is full
    costs the timing cache alone.
    """
    record = folder / TACTICS_FILE
    if path is not None:
        with contextlib.suppress(OSError):
            write_bytes_atomically(path, record.read_bytes())
