"""T1, T7, T10: every kept input keeps the promises that fuzzing looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, BrokenPromise

CORPUS = Path(__file__).with_name("corpus")
KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_T1_T7_T10_a_kept_input_breaks_no_promise(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_begins_with_input_that_is_read(target: str) -> None:
    assert any(path.parent.name == target for path in KEPT)


def test_a_link_in_the_comment_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.targets.markdown_from_report", lambda *_, **__: "[x](https://example.com)")
    with pytest.raises(BrokenPromise, match="live Markdown"):
        TARGETS["report"]((CORPUS / "report/cached.json").read_bytes())
