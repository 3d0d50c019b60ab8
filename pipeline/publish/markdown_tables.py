"""Tables of a Markdown report. What is no news is folded away where it would bury what is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FEW_ROWS = 12
"""Rows that a reader takes in at once; a table of so many is shown whole."""
FOLD_BYTES = 120
"""Of UTF-8, the most that folding a part of a table adds to it besides a second header and ``rest``."""


def table(header: Sequence[str], rows: Iterable[str]) -> str:
    """``header``, two lines of Markdown, and ``rows``; nothing without rows."""
    lines = tuple(rows)
    return "\n".join((*header, *lines)) if lines else ""


def folded(summary: str, body: str) -> str:
    """``body`` under ``summary``, which must need no escape in HTML; nothing without a body."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>" if body else ""


def table_of_news(header: Sequence[str], rows: Sequence[tuple[str, bool]], rest: str) -> str:
    """A table of ``rows``, each with whether it is news; of many rows the others are folded, as ``rest`` says."""
    if len(rows) <= FEW_ROWS:
        return table(header, (row for row, _ in rows))
    others = [row for row, is_news in rows if not is_news]
    parts = (
        table(header, (row for row, is_news in rows if is_news)),
        folded(f"{rest} ({len(others)})", table(header, others)),
    )
    return "\n\n".join(filter(None, parts))
