"""A GitHub runner's side of a container action: its folders, its variables, and what it reads afterwards.

The mounts, the working folder and the variables are those of ``actions/runner`` 2.3xx for ``runs.using: docker``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.container_image import ROOT

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.container_image import ContainerImage

RUNNER_UID = 1001
_OUTPUT = re.compile(r"^([\w-]+)<<(\S+)\n(.*?)\n\2$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class GithubRunner:
    """One job of a runner. ``workspace`` is a checkout of ``examples/digits`` that belongs to the runner's user."""

    folder: Path

    @property
    def workspace(self) -> Path:
        """The checkout."""
        return self.folder / "workspace"

    @property
    def summary(self) -> str:
        """The step's summary."""
        return (self.folder / "file_commands/step_summary").read_text()

    @property
    def outputs(self) -> dict[str, str]:
        """The step's outputs, read as the runner reads them."""
        text = (self.folder / "file_commands/set_output").read_text()
        return {name: value for name, _, value in _OUTPUT.findall(text)}

    def use(
        self, image: ContainerImage, inputs: Mapping[str, str], *, user: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """``uses:`` with ``inputs`` as ``with:``, the defaults of ``action.yml`` beneath them."""
        action: Any = yaml.safe_load((ROOT / "action.yml").read_text())
        given = {name: entry["default"] for name, entry in action["inputs"].items()} | dict(inputs)
        variables = {f"INPUT_{name.upper().replace(' ', '_')}": value for name, value in given.items()}
        return image.start(
            mounts={
                self.folder / "home": "/github/home",
                self.folder / "workflow": "/github/workflow",
                self.folder / "file_commands": "/github/file_commands",
                self.workspace: "/github/workspace",
            },
            environment=variables | _VARIABLES | environment,
            folder="/github/workspace",
            user=user,
        )


def github_runner(folder: Path) -> GithubRunner:
    """A runner with an event of a push to the default branch."""
    for name in ("home", "workflow", "file_commands"):
        (folder / name).mkdir(parents=True)
    shutil.copytree(ROOT / "examples/digits", folder / "workspace")
    (folder / "workflow/event.json").write_text(json.dumps({"ref": "refs/heads/main", "repository": {"id": 7}}))
    for name in ("step_summary", "set_output", "set_env", "add_path", "save_state"):
        (folder / "file_commands" / name).touch()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, RUNNER_UID, RUNNER_UID, follow_symlinks=False)
    return GithubRunner(folder)


_VARIABLES = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_EVENT_PATH": "/github/workflow/event.json",
    "GITHUB_OUTPUT": "/github/file_commands/set_output",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_REF_PROTECTED": "true",
    "GITHUB_REPOSITORY": "team/models",
    "GITHUB_REPOSITORY_ID": "7",
    "GITHUB_SHA": "0" * 40,
    "GITHUB_STEP_SUMMARY": "/github/file_commands/step_summary",
    "GITHUB_WORKSPACE": "/github/workspace",
    "HOME": "/github/home",
    "RUNNER_OS": "Linux",
    "RUNNER_TEMP": "/github/runner_temp",
}
