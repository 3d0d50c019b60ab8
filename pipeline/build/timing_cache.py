"""TensorRT's timing caches: loaded before a build, saved whole after it.

A cache is bound to TensorRT's version, the GPU's product and its driver, and so is the key that it is kept under
(``pipeline.recipes.timing_caches``); one that does not fit all the same is refused by TensorRT and left out, never
forced (``ignore_mismatch`` may give wrong engines).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from pipeline.paths import write_bytes_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.build.builder_log import BuilderLog


TACTICS_FILE = "tactics.timing"
SUFFIX = ".timing"
"""Of the files in a folder that are loaded."""


def load_timing_cache(config: Any, path: Path | None, log: BuilderLog) -> Any:
    """Give ``config`` the cache at ``path``, a file or a folder of files, merged; an empty one where none fits.

    Files are taken in the order of their names, and where two differ the first counts (``ITimingCache.combine``).
    """
    merged = None
    for file in _files(path):
        cache = _read(config, file)
        if cache is None or (merged is None and not config.set_timing_cache(cache, ignore_mismatch=False)):
            log.take("WARNING", f"the timing cache {file} does not fit this TensorRT or GPU and is left out")
        elif merged is None:
            merged = cache
        elif not merged.combine(cache, ignore_mismatch=False):
            log.take("WARNING", f"the timing cache {file} does not fit the others and is left out")
    if merged is None:
        merged = config.create_timing_cache(b"")
        config.set_timing_cache(merged, ignore_mismatch=False)
    return merged


def kept_tactics(cache: Any, folder: Path) -> str:
    """Write ``cache`` into ``folder`` as a record of the tactics of the engine there; the file's name."""
    write_bytes_atomically(folder / TACTICS_FILE, bytes(cache.serialize()))
    return TACTICS_FILE


def _files(path: Path | None) -> Iterator[Path]:
    """What is to be loaded. A place that may not even be looked at was not there when this child was given its user."""
    with contextlib.suppress(PermissionError):
        if path is not None and path.is_dir():
            yield from sorted(path.glob(f"*{SUFFIX}"))
        elif path is not None and path.is_file():
            yield path


def _read(config: Any, file: Path) -> Any:
    """The cache in ``file``; ``None`` where it cannot be read, or was removed meanwhile."""
    try:
        return config.create_timing_cache(file.read_bytes())
    except OSError:
        return None
