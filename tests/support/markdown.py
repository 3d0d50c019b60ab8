"""What a renderer makes of a Markdown report."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OWN_HTML = re.compile(
    r"<br>|</details>\n?"
    r"|<details><summary>(Do one job again|The last runs, and now|The layers that changed most)</summary>\n?"
    r"|<details><summary>The (decisive line|\d+ decisive lines)( of <code>[^<>]*</code>)?</summary>\n?"
)


def live_parts(markdown: str) -> set[str]:
    """What a renderer would make of the text, apart from code and the tags that the report itself writes."""
    found = set()
    for token in MARKDOWN.parse(markdown):
        for part in [token, *(token.children or ())]:
            if part.type in ("html_block", "html_inline"):
                if not OWN_HTML.fullmatch(part.content):
                    found.add(part.content)
            elif part.type in ("link_open", "image", "em_open", "s_open", "hr", "blockquote_open", "code_block"):
                found.add(part.type)
            elif part.type == "text":
                found.update(character for character in part.content if character in "@#<>[]`*\\&")
    return found
