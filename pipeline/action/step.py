"""One start of the program: by a command line, or by a runner that has set inputs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.action.inputs import arguments_from_inputs, secrets_from_inputs
from pipeline.action.ownership import hand_over
from pipeline.commands.cli import main
from pipeline.commands.command_line import command_options
from pipeline.errors import SettingsError
from pipeline.hosts.job_log import job_log_from_environment, secrets_from_environment
from pipeline.publish.complaint import complaint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.hosts.job_log import JobLog

_INPUT_COMMANDS = ("run", "plan", "report", "validate", "doctor")
"""What the input ``command`` may be. ``cache prune`` removes entries, so it is no step of a workflow."""


def run_step(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run what the arguments say, or the inputs where there are no arguments. Returns the exit code.

    In the image (``TRT_ENGINE_HAND_OVER``), what root wrote in the workspace is handed to its owner, whatever the end.
    """
    log = job_log_from_environment(environment)
    log.mask(secrets_from_environment(environment))
    with log.guarded():
        try:
            return _run(arguments, environment, log)
        finally:
            if environment.get("TRT_ENGINE_HAND_OVER") == "true" and os.geteuid() == 0:
                _hand_over(_workspace(environment))


def input_options() -> dict[str, dict[str, bool]]:
    """Command -> its options that may be inputs, without dashes -> whether the option takes a value."""
    return {command: command_options(command) for command in _INPUT_COMMANDS}


def _run(arguments: Sequence[str], environment: Mapping[str, str], log: JobLog) -> int:
    if not arguments:
        try:
            arguments = arguments_from_inputs(environment, input_options()) or ()
            environment = {**environment, **secrets_from_inputs(environment)}
        except SettingsError as error:
            print(complaint(error), file=sys.stderr)
            return error.exit_code
    return main(arguments, environment, log)


def _workspace(environment: Mapping[str, str]) -> Path:
    """The checkout: as GitHub or GitLab names it, else the working folder."""
    return Path(environment.get("GITHUB_WORKSPACE") or environment.get("CI_PROJECT_DIR") or ".")


def _hand_over(workspace: Path) -> None:
    try:
        hand_over(workspace)
    except OSError as error:
        print(f"warning: {workspace} was not handed to its owner: {error}", file=sys.stderr)
