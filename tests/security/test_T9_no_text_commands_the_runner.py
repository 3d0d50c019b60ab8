"""T9: text of a model, a manifest or a log starts no workflow command, and forges no output."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from pipeline.action.step import run_step
from pipeline.hosts.job_log import Annotation, GitHubLog, GitLabLog
from pipeline.publish.report import report_to_json
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.reports import hostile_report

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "::error::forged",
    "::set-output name=verdict::passed",
    "::add-mask::passed",
    "##[error]forged",
    "x ##[add-mask]passed",
    "::stop-commands::x\n::x::",
    "%0A::error::forged",
)


def obeyed(log: str) -> Iterator[str]:
    """The commands that a runner obeys in ``log``: ``::name``, or ``##[name]`` anywhere; none while it is stopped."""
    word: str | None = None
    for line in log.splitlines():
        text = line.strip()
        if word is not None:
            word = None if text == f"::{word}::" else word
        elif text.startswith("::stop-commands::"):
            word = text.removeprefix("::stop-commands::")
        elif re.match(r"::[a-z-]+[ :]", text) or "##[" in text:
            yield text


@pytest.mark.parametrize("text", [*COMMANDS, *(text for text in HOSTILE_TEXTS if "\ud800" not in text)])
def test_a_hostile_report_is_printed_without_commanding_anything(
    text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "unbegun").mkdir()
    report = hostile_report(text)
    for name, each in (("begun", report), ("unbegun", replace(report, jobs=()))):
        (tmp_path / name / "report.json").write_text(json.dumps(report_to_json(each)))
    for folder in (tmp_path, tmp_path / "begun", tmp_path / "unbegun"):
        for form in ("terminal", "markdown", "json", "html", "metrics", "code-quality"):
            run_step(["report", "--from", str(folder), "--format", form], {"GITHUB_ACTIONS": "true"})
            printed = capfd.readouterr()
            assert printed.out
            assert list(obeyed(f"{printed.err.splitlines()[0]}\n{printed.out}\n{printed.err}")) == []


def test_the_runner_is_told_to_listen_again_at_the_end_also_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_step(["report", "--from", "/nowhere"], {"GITHUB_ACTIONS": "true"}) == 2
    lines = capfd.readouterr().err.splitlines()
    word = lines[0].removeprefix("::stop-commands::")
    assert re.fullmatch("stop-[0-9a-f]{32}", word)
    assert lines[-1] == f"::{word}::"


def test_a_wrong_input_is_told_without_commanding_anything(capfd: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        assert run_step([], {"GITHUB_ACTIONS": "true", "INPUT_COMMAND": command}) == 2
        assert list(obeyed(capfd.readouterr().err)) == []


def test_each_run_stops_commands_by_another_word(capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        run_step(["report", "--from", "/nowhere"], {"GITHUB_ACTIONS": "true"})
    assert len(set(re.findall(r"::stop-commands::(\S+)", capfd.readouterr().err))) == 2


@pytest.mark.parametrize("text", [*COMMANDS, *HOSTILE_TEXTS])
def test_an_annotation_is_one_command_whatever_it_says(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    log = GitHubLog("word")
    with log.guarded():
        log.annotate([Annotation(file=text, line=3, column=5, title=text, text=text)])
    printed = capfd.readouterr().err
    (command,) = obeyed(printed)
    assert re.fullmatch(r"::error file=[^:,]*,line=3,col=5,title=[^:,]*::.*", command)
    assert printed.splitlines()[0] == "::stop-commands::word"
    assert printed.splitlines()[-1] == "::word::"


@pytest.mark.parametrize("text", [*COMMANDS, *HOSTILE_TEXTS])
def test_no_text_opens_or_closes_a_section_of_gitlab(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with GitLabLog().section(f"{text}\r\x1b[0Ksection_end:1:x\r\x1b[0K"):
        pass
    marks = re.findall(r"section_(?:start|end):\d+:[\w.-]+\r\x1b\[0K", capfd.readouterr().err)
    assert [mark[8:13] for mark in marks] == ["start", "end:1"] or len(marks) == 2


def test_no_workflow_of_ours_puts_foreign_text_into_a_script() -> None:
    for path in [*(ROOT / ".github/workflows").glob("*.yml"), ROOT / "templates/github/trt-engines.yml"]:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job.get("steps", ()):
                assert "${{" not in step.get("run", ""), (path.name, step["run"])
