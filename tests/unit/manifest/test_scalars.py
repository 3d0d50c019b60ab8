from __future__ import annotations

import pytest

from pipeline.manifest.scalars import scalar_from_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("12", 12),
        ("-3", -3),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
    ],
)
def test_the_core_schema_of_yaml_1_2_is_followed(text: str, value: object) -> None:
    result = scalar_from_text(text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize("text", ["no", "yes", "on", "off", "y", "12:30", "1_000", "2030-01-31", "=", "0b11", "1.2.3"])
def test_words_that_yaml_1_1_would_change_stay_text(text: str) -> None:
    assert scalar_from_text(text) == text


def test_a_leading_zero_does_not_make_an_octal_number() -> None:
    assert scalar_from_text("010") == 10


@pytest.mark.parametrize("text", [".nan", "-.inf", "1e999", "9" * 41, "0x" + "f" * 40])
def test_numbers_without_a_usable_value_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        scalar_from_text(text)
