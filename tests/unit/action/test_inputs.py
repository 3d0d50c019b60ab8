from __future__ import annotations

import pytest

from pipeline.action.inputs import arguments_from_inputs, secrets_from_inputs
from pipeline.errors import SettingsError

OPTIONS = {"run": {"cache-scope": True, "only": True, "require-all": False}, "plan": {"only": True}}


def test_without_inputs_there_are_no_arguments() -> None:
    assert arguments_from_inputs({"GITHUB_ACTIONS": "true"}, OPTIONS) is None


def test_the_command_is_run_unless_another_is_named() -> None:
    assert arguments_from_inputs({"INPUT_ONLY": ""}, OPTIONS) == ("run",)
    assert arguments_from_inputs({"INPUT_COMMAND": "plan"}, OPTIONS) == ("plan",)


def test_a_value_is_one_argument_whatever_it_holds() -> None:
    hostile = "--out=/etc $(id); `id`"
    assert arguments_from_inputs({"INPUT_ONLY": hostile}, OPTIONS) == ("run", f"--only={hostile}")


def test_the_runners_capitals_are_the_names_of_options() -> None:
    assert arguments_from_inputs({"INPUT_CACHE-SCOPE": "trusted"}, OPTIONS) == ("run", "--cache-scope=trusted")


@pytest.mark.parametrize(
    ("value", "arguments"), [("true", ("run", "--require-all")), ("FALSE", ("run",)), ("", ("run",))]
)
def test_a_switch_is_given_where_it_is_true(value: str, arguments: tuple[str, ...]) -> None:
    assert arguments_from_inputs({"INPUT_REQUIRE-ALL": value}, OPTIONS) == arguments


def test_a_switch_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(SettingsError, match="`require-all` is 'yes'; set it to true or false"):
        arguments_from_inputs({"INPUT_REQUIRE-ALL": "yes"}, OPTIONS)


def test_an_input_that_the_command_does_not_have_is_refused() -> None:
    with pytest.raises(SettingsError, match="the command 'plan' has no input `cache-scope`"):
        arguments_from_inputs({"INPUT_COMMAND": "plan", "INPUT_CACHE-SCOPE": "trusted"}, OPTIONS)


def test_a_switch_of_another_command_may_be_off() -> None:
    assert arguments_from_inputs({"INPUT_COMMAND": "plan", "INPUT_REQUIRE-ALL": "false"}, OPTIONS) == ("plan",)


def test_a_command_that_there_is_not_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match=r"the input `command` is 'plam'; .*plan"):
        arguments_from_inputs({"INPUT_COMMAND": "plam"}, OPTIONS)


def test_a_token_is_no_argument_because_others_can_read_those() -> None:
    environment = {"INPUT_COMMAND": "run", "INPUT_GITHUB-TOKEN": "ghs_secret"}
    assert arguments_from_inputs(environment, OPTIONS) == ("run",)
    assert secrets_from_inputs(environment) == {"GITHUB_TOKEN": "ghs_secret"}


def test_an_empty_token_leaves_that_of_the_environment() -> None:
    assert secrets_from_inputs({"INPUT_GITHUB-TOKEN": " "}) == {}
