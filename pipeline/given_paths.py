"""Paths as they were given on the command line or in the environment, refused where nothing good can come of them."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import SettingsError


def path_from_text(text: str, option: str) -> Path:
    """The path that ``option`` names, as it was given.

    Raises ``SettingsError`` where it, or the working folder that it starts from, is not UTF-8, which neither ONNX nor a
    report in JSON can hold, and where that folder is gone.
    """
    path = Path(text)
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise SettingsError(
            f"{option} {str(path.absolute())!a} is not UTF-8",
            fix="rename it, or, where its name is UTF-8 for others, set LC_ALL=C.UTF-8",
        ) from None
    except OSError as error:
        raise SettingsError(
            "the working folder is not there", why=error.strerror or str(error), fix="change to a folder that is"
        ) from error
    return path


def manifest_from_text(text: str, option: str) -> Path:
    """The manifest that ``option`` names, from the working folder where it lies in that, as the repository has it.

    A host shows a finding at that path, and the command that does a job again finds the manifest by it in another
    checkout. Raises ``SettingsError``.
    """
    path = path_from_text(text, option)
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def folder_from_text(text: str, option: str) -> Path:
    """The absolute path of the folder that ``option`` names, which need not be there. Raises ``SettingsError``."""
    path = path_from_text(text, option).absolute()
    if os.path.exists(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112  these ask without raising
        raise SettingsError(f"{option} {path} is no folder", fix="name a folder; it is made where it is not there")
    return path
