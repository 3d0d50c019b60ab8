"""What this machine has installed, read from package metadata: nothing is imported."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from pipeline.build.backend import BACKENDS
from pipeline.errors import SettingsError
from pipeline.runtimes import RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Mapping

TOOLS = ("numpy", "onnx", "onnxruntime")
"""The packages whose version can change an artefact."""


def installed_tools() -> Mapping[str, str]:
    """Package name -> version of every tool. Raises ``SettingsError`` naming those that are missing."""
    versions = {name: version for name in TOOLS if (version := _version(name))}
    if missing := sorted(set(TOOLS) - versions.keys()):
        raise SettingsError(f"not installed: {', '.join(missing)}", fix="run scripts/setup, or use the container image")
    return versions


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installed_runtimes() -> Mapping[str, str]:
    """Runtime name -> version of every TensorRT that is installed and has a backend.

    Raises ``DeviceError`` where the packages of one are of different versions.
    """
    found = {name: RUNTIMES[name].installed_version() for name in BACKENDS}
    return {name: version for name, version in found.items() if version}
