"""``doctor``: what this machine can build, and what is missing. Nothing native is loaded."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from typing import TYPE_CHECKING

from pipeline.doctor.container import container_findings, surroundings
from pipeline.doctor.finding import Finding
from pipeline.doctor.gpus import gpu_findings
from pipeline.doctor.host import host_findings
from pipeline.errors import PipelineError, SettingsError
from pipeline.machine.devices import installed_gpus
from pipeline.machine.installed import TOOLS, installed_runtimes, installed_tools
from pipeline.machine.slots import available_memory_bytes
from pipeline.publish.json_output import print_json
from pipeline.runtimes import RTX_COMPUTE_CAPABILITIES, RUNTIMES
from pipeline.targets import TENSORRT_RTX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.cache.s3_opening import CachePlace
    from pipeline.settings import Settings

_GIB = 1 << 30
_LOW_DISK_BYTES = 2 * _GIB


def examine(settings: Settings) -> tuple[Finding, ...]:
    """Everything that decides what this machine can do."""
    return (
        Finding("ok", "python", f"{platform.python_version()} at {sys.executable}"),
        Finding(
            "ok",
            "machine",
            f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
            f"{available_memory_bytes() / _GIB:.1f} GiB memory available",
        ),
        *_tools(),
        *_runtimes(),
        *_gpus(),
        *_cache(settings.cache, settings.cache_scope),
        *host_findings(settings.publishing.place if settings.publishing is not None else None),
    )


def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """Print the findings. Returns 5 where there is a problem."""
    findings = examine(settings)
    if as_json:
        print_json([{"level": each.level, "subject": each.subject, "text": each.text} for each in findings])
    else:
        for each in findings:
            print(f"{each.level:8} {each.subject:22} {each.text}")
    return 5 if any(each.level == "problem" for each in findings) else 0


def _tools() -> Iterator[Finding]:
    try:
        versions = installed_tools()
    except SettingsError as error:
        yield Finding("problem", "packages", f"{error.what}: {error.fix}")
        return
    yield from (Finding("ok", name, versions[name]) for name in TOOLS)


def _runtimes() -> Iterator[Finding]:
    try:
        installed = installed_runtimes()
    except PipelineError as error:
        yield Finding("problem", "runtimes", str(error))
        return
    for name in RUNTIMES:
        if name not in installed:
            yield Finding("note", name, "not installed: jobs for it need another runner")
        elif name == TENSORRT_RTX:
            capabilities = ", ".join(f"{major}.{minor}" for major, minor in RTX_COMPUTE_CAPABILITIES)
            yield Finding("ok", name, f"{installed[name]}, builds here for compute capabilities {capabilities}")
        else:
            yield Finding("ok", name, installed[name])


def _gpus() -> tuple[Finding, ...]:
    try:
        runtimes = installed_runtimes()
    except PipelineError:
        runtimes = {}
    devices = installed_gpus()
    return (*gpu_findings(devices, runtimes), *container_findings(surroundings(), gpus=len(devices)))


def _cache(place: CachePlace | None, scope: str) -> Iterator[Finding]:
    if place is None:
        yield Finding("note", "cache", "switched off: every run builds everything")
        return
    if place.bucket is not None:
        from pipeline.cache.s3_bucket import S3Bucket
        from pipeline.doctor.bucket import bucket_findings

        yield from bucket_findings(S3Bucket(place.bucket), scope)
    if place.folder is not None:
        yield from _cache_folder(place.folder)


def _cache_folder(folder: Path) -> Iterator[Finding]:
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        yield Finding("problem", "cache", f"{nearest} cannot be written: choose another with --cache FOLDER")
        return
    free = shutil.disk_usage(nearest).free
    level = "note" if free < _LOW_DISK_BYTES else "ok"
    yield Finding(level, "cache", f"{folder}, {free / _GIB:.1f} GiB free")
