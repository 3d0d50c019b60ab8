"""What one run was asked to do. The only module that knows the names of environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MANIFEST = "trt-engines.yaml"
DEFAULT_CACHE = ".trt-cache"
DEFAULT_OUT = "engines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that comes from outside the manifest. ``workers`` bounds the child processes at work at once."""

    manifest: Path
    cache: Path | None
    out: Path
    only: str
    require_all: bool
    workers: int
    step_summary: Path | None
    step_outputs: Path | None


def settings_from_mapping(
    environment: Mapping[str, str],
    *,
    manifest: str | None = None,
    cache: str | None = None,
    out: str | None = None,
    only: str | None = None,
    require_all: bool = False,
    workers: int | None = None,
) -> Settings:
    """Settings from the command line's values over the environment's over the defaults.

    ``cache`` may be ``none``, which switches the cache off. Raises ``SettingsError``.
    """
    cache_text = cache or environment.get("TRT_ENGINE_CACHE") or DEFAULT_CACHE
    cores = workers if workers is not None else _workers_from(environment.get("TRT_ENGINE_WORKERS"))
    if cores < 1:
        raise SettingsError(f"{cores} workers cannot do anything", fix="give --workers 1 or more")
    summary, outputs = environment.get("GITHUB_STEP_SUMMARY"), environment.get("GITHUB_OUTPUT")
    return Settings(
        manifest=Path(manifest or environment.get("TRT_ENGINE_MANIFEST") or DEFAULT_MANIFEST),
        cache=None if cache_text == "none" else Path(cache_text).absolute(),
        out=Path(out or environment.get("TRT_ENGINE_OUT") or DEFAULT_OUT).absolute(),
        only=only or "*",
        require_all=require_all,
        workers=cores,
        step_summary=Path(summary) if summary else None,
        step_outputs=Path(outputs) if outputs else None,
    )


def _workers_from(text: str | None) -> int:
    if not text:
        return len(os.sched_getaffinity(0))
    if not text.isdecimal():
        raise SettingsError(f"TRT_ENGINE_WORKERS is {text!r}", fix="set it to a whole number, such as 4")
    return int(text)
