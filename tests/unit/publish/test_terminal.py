from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from pipeline.manifest.types import Budgets, BuildSettings, Location, ModelSpec
from pipeline.planning.plan import Job, Plan, PlannedJob, State
from pipeline.precision import Precision
from pipeline.publish.job_report import Status
from pipeline.publish.terminal import print_plan, print_report
from pipeline.targets import Target
from tests.support.details import hostile_details, sample_details
from tests.support.goldens import golden_text
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.reports import hostile_report, job_report, report_of, sample_report

if TYPE_CHECKING:
    from pipeline.publish.report import Report


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def printed(report: Report, width: int = 80) -> str:
    stream = io.StringIO()
    print_report(report, stream, width=width)
    return stream.getvalue()


def sample_plan(name: str = "digits", reason: str = "hit: every ingredient is the same") -> Plan:
    model = ModelSpec(
        name=name,
        onnx=Path("model.onnx"),
        sha256=None,
        profiles=(),
        targets=(),
        precisions=(),
        calibration=None,
        build=BuildSettings(),
        accuracy=None,
        budgets=Budgets(),
        location=Location("m.yaml", 1, 1),
    )
    target = Target("sm_89", "tensorrt-rtx", (8, 9))
    jobs = (
        PlannedJob(Job(model, target, Precision.FP32), State.CACHED, reason, 0.31),
        PlannedJob(Job(model, target, Precision.INT8), State.BUILD, "profile opt 8 -> 16", 83.0),
        PlannedJob(Job(model, target, Precision.FP16), State.NEEDS_RUNNER, "needs a runner with H100"),
    )
    return Plan(jobs)


def squeezed(text: str) -> str:
    """Without the spaces that only fill the lines."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_the_report_looks_as_it_did() -> None:
    text = squeezed(printed(sample_report()))
    assert text == golden_text("report/terminal.txt", text)


def test_the_plan_looks_as_it_did() -> None:
    stream = io.StringIO()
    print_plan(sample_plan(), stream, width=80)
    text = squeezed(stream.getvalue())
    assert text == golden_text("report/plan.txt", text)


@pytest.mark.parametrize("width", [40, 80, 132])
@pytest.mark.parametrize("text", ["harmless", "x" * 500, "日本語" * 90, "a b " * 90])
def test_no_line_is_wider_than_the_terminal(text: str, width: int) -> None:
    assert max(map(cell_len, printed(hostile_report(text), width).splitlines())) <= width


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is no terminal, and has no columns."""
    monkeypatch.delenv("COLUMNS", raising=False)
    return io.StringIO()


def test_a_log_has_each_job_on_a_line_of_its_own_whatever_its_length(log: io.StringIO) -> None:
    long = replace(sample_report().jobs[0], id=f"{'detector-' * 8}/sm_89/fp16", reason="made anew: " + "x y " * 60)
    print_report(replace(sample_report(), jobs=(long,)), log)
    assert [line for line in log.getvalue().splitlines() if line.startswith(f"{long.id} ")]
    assert [line for line in log.getvalue().splitlines() if line.endswith(" ")] == []


def test_so_has_the_log_of_a_plan(log: io.StringIO) -> None:
    reason = "changed: " + " ".join(f"field-{number}" for number in range(25))
    print_plan(Plan((replace(sample_plan().jobs[0], reason=reason),)), log)
    assert len(log.getvalue().splitlines()) == 2
    assert reason in log.getvalue()


def test_columns_that_are_asked_for_are_kept_in_a_log(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_plan(sample_plan(), log)
    assert max(map(len, log.getvalue().splitlines())) <= 60


def test_cached_jobs_share_their_reason_whenever_they_were_made(log: io.StringIO) -> None:
    first, second, *_ = sample_report().jobs
    jobs = tuple(
        replace(job, reason=f"every ingredient is the same; made 2026-01-02T03:04:0{place}Z")
        for place, job in enumerate((first, second))
    )
    print_report(replace(sample_report(), jobs=jobs), log)
    assert f"why: every ingredient is the same\n    {first.id}, {second.id}\n" in log.getvalue()


def test_a_run_that_could_do_nothing_says_what_could(log: io.StringIO) -> None:
    waiting = job_report("m/h200/fp16", Status.NEEDS_RUNNER, "needs a runner with H200")
    print_report(report_of(waiting), log)
    assert "note: nothing was done here: run on such a machine" in log.getvalue()
    print_report(report_of(job_report("m/sm_89/fp16", Status.BUILT, ""), waiting), again := io.StringIO())
    assert "nothing was done" not in again.getvalue()


def test_the_verdict_is_the_last_line() -> None:
    assert printed(sample_report(), 200).splitlines()[-1].startswith("failed (exit code 6): 8 jobs")


def test_there_is_no_colour_where_nobody_watches() -> None:
    assert "\x1b" not in printed(sample_report())


def test_there_is_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    print_report(sample_report(), stream, width=80)
    assert "\x1b[1;31mfailed" in stream.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    print_report(sample_report(), stream, width=80)
    assert not re.search(r"\x1b\[[0-9;]*[349][0-9]m", stream.getvalue())


def test_ascii_is_enough() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_report(sample_report(), stream, width=80)
    print_plan(sample_plan("日本"), stream, width=80)
    stream.flush()
    assert raw.getvalue().isascii()
    assert max(map(len, raw.getvalue().splitlines())) <= 80


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_foreign_text_cannot_command_the_terminal(text: str) -> None:
    assert (
        re.findall(r"[^\n\x20-\x7e\xa0-\U0010ffff]|[\u200b-\u200f\u2028-\u202e\u2066]", printed(hostile_report(text)))
        == []
    )


def test_foreign_text_is_no_rich_markup() -> None:
    assert "[red]styled[/red]" in printed(hostile_report("[red]styled[/red]"), 120)


def test_a_plan_prints_foreign_text_as_text() -> None:
    stream = io.StringIO()
    print_plan(sample_plan("[b]x[/b]", "\x1b[31mred"), stream, width=120)
    assert "[b]x[/b]/sm_89/fp32" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_stream_that_is_gone_is_no_error() -> None:
    closed = io.StringIO()
    closed.close()
    print_report(sample_report(), closed, width=80)
    print_plan(sample_plan(), None, width=80)


def test_what_changed_against_the_base_branch_is_told() -> None:
    stream = io.StringIO()
    print_report(sample_report(), stream, width=80, details=sample_details())
    text = stream.getvalue()
    for told in (
        "+5.0 % (+4.5 to +5.5)",
        "against main at 1234abc",
        "loosened: digits/sm_89/fp16: budgets.latency_ms 2 -> none: the base branch's",
        "slower than the base branch: digits/sm_89/fp16",
        "split, int8 -> fp16, slower: conv + relu: conv; relu",
    ):
        assert told in text, told
    assert max(map(len, text.splitlines())) <= 80
    verdict = " ".join(text[text.rindex("failed (exit code") :].split())
    assert "1 slower, 2 min 5 s of GPU time spent, 31.0 s saved" in verdict


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_foreign_text_in_details_cannot_steer_the_terminal(text: str) -> None:
    stream = io.StringIO()
    report = hostile_report(text)
    print_report(report, stream, width=80, details=hostile_details(text, report.jobs[0].id))
    assert not any(ord(character) < 32 and character != "\n" for character in stream.getvalue())
