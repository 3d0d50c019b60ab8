"""The inputs of the container action as the arguments of the command line (pure).

The runner hands an input over as ``INPUT_`` and its name in capitals, spaces as ``_``, other characters as they are;
one that the workflow leaves out arrives with the default of ``action.yml``
(docs.github.com/actions/reference/workflows-and-actions/metadata-syntax).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import SettingsError
from pipeline.near import near_spelling

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "INPUT_"
COMMAND = "command"
DEFAULT_COMMAND = "run"
SECRETS = {"github-token": "GITHUB_TOKEN"}
"""Inputs that go into the environment under that name, because others can read the arguments of a process."""


def secrets_from_inputs(environment: Mapping[str, str]) -> dict[str, str]:
    """The secret inputs that are given, as environment variables."""
    given = {variable: environment.get(f"{PREFIX}{name.upper()}", "").strip() for name, variable in SECRETS.items()}
    return {variable: value for variable, value in given.items() if value}


def arguments_from_inputs(
    environment: Mapping[str, str], options: Mapping[str, Mapping[str, bool]]
) -> tuple[str, ...] | None:
    """What the inputs ask for as command line arguments, ``None`` where there are no inputs.

    ``options`` is command -> option without dashes -> whether it takes a value. Raises ``SettingsError`` for a command
    that there is not, for an input that the command does not have, and for a switch that is neither true nor false.
    """
    given = {
        name.removeprefix(PREFIX).lower(): value.strip()
        for name, value in environment.items()
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() not in SECRETS
    }
    if not given:
        return None
    command = given.pop(COMMAND, "") or DEFAULT_COMMAND
    if command not in options:
        raise SettingsError(
            f"the input `{COMMAND}` is {command!r}",
            fix=near_spelling(command, options) or f"use one of {', '.join(options)}",
        )
    arguments = [command]
    for name, value in sorted(given.items()):
        if value:
            arguments += _argument(command, name, value, options[command])
    return tuple(arguments)


def _argument(command: str, name: str, value: str, options: Mapping[str, bool]) -> tuple[str, ...]:
    if name not in options and value.lower() == "false":
        return ()  # a switch of another command, as `action.yml` sets it
    if name not in options:
        raise SettingsError(
            f"the command {command!r} has no input `{name}`",
            fix=near_spelling(name, options) or f"it has {', '.join(sorted(options))}",
        )
    if options[name]:
        return (f"--{name}={value}",)
    if value.lower() not in {"true", "false"}:
        raise SettingsError(f"the input `{name}` is {value!r}", fix="set it to true or false")
    return (f"--{name}",) if value.lower() == "true" else ()
