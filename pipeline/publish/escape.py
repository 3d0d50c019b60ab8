"""Foreign text made harmless: names, log lines and error texts that others wrote, on their way to a reader.

In Markdown all foreign text becomes code, a span or a fenced block. Inside code GitHub turns nothing into
emphasis, links, images, mentions, issue references or HTML (GitHub Flavored Markdown, 6.1 "Code spans" and 4.5
"Fenced code blocks"), so there is nothing to escape character by character, only a fence that the text cannot close.

GitHub's runner obeys commands that a job prints, ``::command::`` behind any blanks of a line's start and
``##[command]`` anywhere in it (``ActionCommand.cs`` of actions/runner). Any word of a text may begin a line where a
table wraps, so both forms are taken apart wherever they stand.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "…"

# ECMA-48: control sequences (CSI), then command strings (OSC, DCS, APC, PM, SOS), then other escape sequences.
_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (direction overrides, zero width), lone surrogates, line and paragraph separators."""
_COMMAND = re.compile(
    r"(#)(#\[)|(:)(:(?:add-mask|add-matcher|add-path|debug|echo|endgroup|error|group|internal-set-repo-path|notice"
    r"|remove-matcher|save-state|set-env|set-output|stop-commands|warning)\b)",
    re.IGNORECASE,
)
_BACKTICKS = re.compile("`+")
_CLOSING_FENCE = re.compile(" {0,3}`{3,} *")
_PLAIN = re.compile(r"[A-Za-z0-9 .,;:()/%+-]*")
_LINKED = re.compile(r"www\.|:/|\bGH-[0-9]|%[A-Za-z0-9]|:[A-Za-z0-9+-]+:", re.IGNORECASE)
"""What a host makes more of by itself: addresses (GitHub Flavored Markdown, 6.9), GitHub's issue numbers, GitLab's
milestones, and emoji."""


def one_line(text: str, limit_chars: int = 300) -> str:
    """``text`` on one line of at most ``limit_chars``: no escape sequences, no invisible characters."""
    words = "".join(_printable(_ESCAPE_SEQUENCE.sub("", text[: limit_chars * 8]))).split()
    line = _without_commands(" ".join(words))
    return line if len(line) <= limit_chars else line[: limit_chars - 1].rstrip() + ELLIPSIS


def plain_lines(text: str, limit_chars: int = 500) -> tuple[str, ...]:
    """``text`` as lines that keep their indentation, each cleaned and cut as ``one_line`` does."""
    return tuple(_plain_line(line, limit_chars) for line in re.split(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text))


def code_span(text: str, limit_chars: int = 300) -> str:
    """``text`` as a Markdown code span on one line; nothing for blank text. Not for table cells."""
    line = one_line(text, limit_chars)
    if not line:
        return ""
    fence = "`" * (_longest_backtick_run(line) + 1)
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def cell_code_span(text: str, limit_chars: int = 300) -> str:
    r"""``code_span`` for a table cell, where ``|`` ends the cell even in code unless it is written ``\|``."""
    return code_span(text, limit_chars).replace("|", r"\|")


def cell_text(text: str) -> str:
    """``text`` as it is where nothing in it can mean anything to Markdown or to the host, else as a code span."""
    return text if _PLAIN.fullmatch(text) and not _LINKED.search(text) else cell_code_span(text)


def fenced_block(lines: Iterable[str], limit_chars: int = 500) -> str:
    """``lines`` as a fenced code block without a language; the text cannot close its fence.

    Each line is cut to ``limit_chars``. The fence is always of three backticks, because an older GitLab looks for
    quick actions (``/close``) in any other (``CODE_REGEX`` of its quick actions' extractor). A line that would close it
    is indented past that.
    """
    body = [clean for line in lines for clean in plain_lines(line, limit_chars)]
    return "\n".join(("```text", *(f"    {line}" if _CLOSING_FENCE.fullmatch(line) else line for line in body), "```"))


def html_code(text: str, limit_chars: int = 300) -> str:
    """``text`` for a raw HTML block, such as the summary of ``<details>``."""
    return f"<code>{html.escape(one_line(text, limit_chars))}</code>"


def _plain_line(text: str, limit_chars: int) -> str:
    expanded = _ESCAPE_SEQUENCE.sub("", text[: limit_chars * 8]).expandtabs(4)
    line = _without_commands("".join(_printable(expanded)).rstrip())
    return line if len(line) <= limit_chars else line[: limit_chars - 1] + ELLIPSIS


def _without_commands(line: str) -> str:
    return _COMMAND.sub(lambda found: " ".join(part for part in found.groups() if part), line)


def _printable(text: str) -> Iterable[str]:
    for character in text:
        if character.isspace() and unicodedata.category(character) != "Cf":
            yield " "
        else:
            yield REPLACEMENT if unicodedata.category(character) in _INVISIBLE else character


def _longest_backtick_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)
