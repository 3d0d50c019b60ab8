"""What a host would make of a report's Markdown."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_SUMMARIES = (
    r"The (decisive line|\d+ decisive lines)( of <code>[^<>]*</code>)?",
    "Keys",
    "Layers by precision",
    "The layers that changed most",
    "The last runs, and now",
    "Do one job again",
)
_OWN_HTML = re.compile(
    rf"<br>|</details>\n?|<details><summary>({'|'.join(_SUMMARIES)})</summary>\n?"
    r"|<!-- tensorrt-engine-action manifest=[0-9a-f]{16} commit=[0-9a-f]* -->\n?"
)
_LINKED_BY_A_HOST = re.compile(r"(?:www\.|[a-z][a-z0-9.+-]*://)\S*|\bGH-[0-9]+|%\w+|:[\w+-]+:", re.IGNORECASE)
"""What becomes more than text without any brackets: addresses (GitHub Flavored Markdown, 6.9 "Autolinks"), GitHub's
issue numbers, GitLab's milestones, and emoji."""
_FENCED_FOR_GITLAB = re.compile(r"^```.+?\n```$", re.MULTILINE | re.DOTALL)


def live_parts(markdown: str) -> set[str]:
    """What is more than text, apart from code, the tags that we write, and links (``links`` has those)."""
    found = set()
    for token in MARKDOWN.parse(markdown):
        for part in [token, *(token.children or ())]:
            if part.type in ("html_block", "html_inline"):
                if not _OWN_HTML.fullmatch(part.content):
                    found.add(part.content)
            elif part.type in ("image", "em_open", "s_open", "hr", "blockquote_open", "code_block"):
                found.add(part.type)
            elif part.type == "text":
                found.update(character for character in part.content if character in "@#<>[]`*\\&")
                found.update(_LINKED_BY_A_HOST.findall(part.content))
    return found


def links(markdown: str) -> list[str]:
    """Where its links lead."""
    parts = (part for token in MARKDOWN.parse(markdown) for part in (token.children or ()))
    return [str(part.attrGet("href")) for part in parts if part.type == "link_open"]


def lines_outside_of_code(markdown: str) -> list[str]:
    """Lines that stand in no fenced block."""
    lines = markdown.splitlines()
    fenced: set[int] = set()
    for token in MARKDOWN.parse(markdown):
        if token.type == "fence" and token.map:
            fenced.update(range(*token.map))
    return [line for number, line in enumerate(lines) if number not in fenced]


def lines_outside_of_code_for_gitlab(markdown: str) -> list[str]:
    """Lines in which GitLab looks for quick actions. It may know code by fences of three backticks alone."""
    return _FENCED_FOR_GITLAB.sub("", markdown).splitlines()
