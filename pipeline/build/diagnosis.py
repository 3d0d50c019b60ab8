"""What a builder's messages mean: the ones that decide, in words that help. Pure text, no native package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.child.log import HARMLESS
from pipeline.child.outcome import MEMORY_FIX

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 3
_DEFAULT_FIX = "the log has all that the builder said"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a builder failed, and what to do about it."""

    why: str
    fix: str


_KNOWN = (
    (
        r"Cannot compile operation '(?P<node>[^']*)' for (?P<gpu>[^:]*): FP32 GEMM is not supported",
        "{gpu} has no FP32 matrix product for node {node}",
        "use fp16 or int8-fp16 for this target",
    ),
    (
        r"Cannot compile for target\(s\) (?P<gpu>[^,]*), because .* HW-specific datatypes: (?P<type>[^.]*)",
        "{gpu} has no {type}",
        "use another precision for this target",
    ),
    (
        r"Could not find any implementation for node (?P<node>.*?)(?: due to|\.\s|\.?\)?$)",
        "no implementation of {node} fits, most likely for want of workspace memory",
        "raise or remove `build.workspace_mib`",
    ),
    (
        r"(?i)increase the (?:allowed )?workspace|requires workspace memory|within workspace limit",
        "it needs more workspace memory",
        "raise or remove `build.workspace_mib`",
    ),
    (
        r"Unable to load library: (?P<library>\S+)",
        "it needs {library}, which is not installed",
        "remove the setting that asks for it",
    ),
    (
        r"(?i)out\s?of\s?memory|bad_alloc|resizePhysical",
        "out of memory",
        f"{MEMORY_FIX}, or lower `build.workspace_mib` and the largest profile",
    ),
    (
        r"(?i).*\b(?:optimization )?profiles?\b.*",
        "{0}",
        "correct min, opt and max of the profiles in the manifest",
    ),
)  # fmt: skip
_WRAPPED = re.compile(r"^.*?Error Code \d+: [\w ]+ \((?P<text>.*?)\.?\s*In \S+ at \S+\)$")


def decisive_errors(messages: Iterable[str]) -> tuple[str, ...]:
    """``messages`` without repetitions and without what every run without a GPU says; all, if nothing else is left."""
    unique = tuple(dict.fromkeys(" ".join(message.split()) for message in messages))
    return tuple(message for message in unique if not HARMLESS.search(message)) or unique


def diagnosis_from_errors(messages: Iterable[str]) -> Diagnosis:
    """The reason and the remedy that a builder's error messages point to."""
    errors = tuple(_WRAPPED.sub(r"\g<text>", message) for message in decisive_errors(messages))
    for message in errors:
        for pattern, why, fix in _KNOWN:
            if match := re.search(pattern, message):
                named = {name: text.strip() for name, text in match.groupdict().items()}
                return Diagnosis(why.format(match[0], **named), fix)
    return Diagnosis(" | ".join(errors[-_SHOWN:]) or "it gave no reason", _DEFAULT_FIX)


def reason_from_parser(text: str) -> str:
    """A parser's error text without the C++ around it.

    The parser's checks quote their condition; what is meant for readers stands in its string literals, or after an
    ``Assertion failed: <condition>:``. A condition that is just ``false`` is an operator without an importer.
    """
    text = " ".join(text.split())
    if text == "false":
        return "the parser does not support it"
    if "Plugin not found" in text:
        return "the parser does not know it, and no plugin of that name is there"
    if match := re.search(r"\b(\w+) plugin creator version \S+ was not found", text):
        return f"it needs the {match[1]} plugin, which is not there"
    if literals := re.findall(r'"((?:[^"\\]|\\.)*)"', text.partition('&& "')[1] + text.partition('&& "')[2]):
        return "".join(literals).strip().rstrip(".!")
    return re.sub(r"^Assertion failed: .*?: (?=[A-Z])", "", text).rstrip(".!")
