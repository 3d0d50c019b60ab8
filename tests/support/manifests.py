"""Manifests for tests: a folder with the files that they name, and the faults of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ManifestError
from pipeline.manifest.load import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.errors import Fault
    from pipeline.manifest.types import Manifest

FILES = ("model.onnx", "calibration.npz", "evaluation.npz", "labels.npy")
MODEL = """\
version: 1
models:
  - name: digits
    onnx: model.onnx
    targets: [l4]
    precisions: [fp32]
"""


def manifest_file(folder: Path, text: str) -> Path:
    """``manifest.yaml`` in ``folder``, beside an empty file of each name in ``FILES``."""
    for name in FILES:
        (folder / name).touch()
    path = folder / "manifest.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def manifest_from_text(folder: Path, text: str) -> Manifest:
    """What the loader makes of ``text``."""
    return load_manifest(manifest_file(folder, text))


def faults_of_file(path: Path) -> tuple[Fault, ...]:
    """The faults of the manifest at ``path``; none where it loads."""
    try:
        load_manifest(path)
    except ManifestError as error:
        return error.faults
    return ()


def faults_of_text(folder: Path, text: str) -> list[str]:
    """Each fault of ``text`` as ``line:column: path: what; fix``."""
    path = manifest_file(folder, text)
    return [str(fault).removeprefix(f"{path}:") for fault in faults_of_file(path)]
