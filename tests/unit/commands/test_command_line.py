from __future__ import annotations

import pytest

from pipeline.commands.command_line import command_options, parser
from pipeline.errors import SettingsError


def test_the_options_of_a_command_say_whether_they_take_a_value() -> None:
    options = command_options("run")
    assert options["manifest"]
    assert options["workers"]
    assert not options["require-all"]


def test_how_something_is_printed_is_no_option_of_what_is_done() -> None:
    assert not {"json", "help"} & command_options("run").keys()


def test_a_wrong_command_line_points_to_the_help_of_its_command() -> None:
    with pytest.raises(SettingsError) as wrong:
        parser().parse_args(["cache", "prune", "--keep-mib", "much"])
    assert "--keep-mib" in str(wrong.value)
    assert wrong.value.fix == "see `entrypoint.py cache prune --help`"
