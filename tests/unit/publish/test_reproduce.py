from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from pipeline.publish.details import Details
from pipeline.publish.escape import fenced_block, one_line
from pipeline.publish.job_report import Status
from pipeline.publish.reproduce import COMMAND_CHARS, command_from_job
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.reports import job_report, report_of

JOB = job_report("digits/h200/fp16", Status.BUILT, "")


def test_the_command_does_one_job_of_the_same_commit_in_the_same_image() -> None:
    details = Details(commit="c0ffee", image="registry.example/engines@sha256:12")
    assert command_from_job(replace(JOB, runtime="tensorrt"), report_of(JOB), details) == (
        "git fetch origin c0ffee && git checkout c0ffee && "
        'docker run --rm --gpus all --volume "$PWD:/workspace" --workdir /workspace '
        "registry.example/engines@sha256:12 run --manifest=examples/digits/trt-engines.yaml "
        "--only=digits/h200/fp16 --cache=none --out=engines-again"
    )


def test_an_engine_that_is_built_without_a_gpu_asks_for_none() -> None:
    assert "--gpus" not in command_from_job(JOB, report_of(JOB), Details())
    assert command_from_job(JOB, report_of(JOB), Details()).startswith("docker run")


def test_a_job_selects_itself_alone() -> None:
    command = command_from_job(replace(JOB, id="a[1]*/h200/fp16"), report_of(JOB), Details())
    assert "--only=a[[]1][*]/h200/fp16" in shlex.split(command)


SWALLOWING = (
    "x\x1b[",
    "x\x1b]",
    "x; touch owned \x1b['",
    "two  blanks",
    "tab\there",
    "a\nb",
    "::error::x",
    "\udcff\ud800",
    "é",
)
"""Names of which a report would change something, or a quotation mark behind them."""


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, *SWALLOWING])
def test_no_name_can_add_a_word_to_the_command(text: str) -> None:
    hostile = command_from_job(
        replace(JOB, id=text), replace(report_of(JOB), manifest=text), Details(image=text or "x")
    )
    plain = command_from_job(JOB, report_of(JOB), Details())
    assert len(shlex.split(hostile)) == len(shlex.split(plain))


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, *SWALLOWING])
def test_a_report_shows_the_command_as_it_is(text: str) -> None:
    command = command_from_job(replace(JOB, id=text), replace(report_of(JOB), manifest=text), Details(image=text))
    assert one_line(command, COMMAND_CHARS) == command
    assert fenced_block([command], COMMAND_CHARS).splitlines() == ["```text", command, "```"]


@pytest.mark.parametrize("text", ["-x", "--upload-pack=touch owned", "a b", "$(touch owned)", "", "\n"])
def test_a_commit_or_an_image_that_is_none_is_left_out(text: str) -> None:
    assert command_from_job(JOB, report_of(JOB), Details(commit=text, image=text)) == command_from_job(
        JOB, report_of(JOB), Details()
    )


def test_a_name_that_cannot_be_shown_is_written_as_its_bytes() -> None:
    command = command_from_job(JOB, replace(report_of(JOB), manifest="é\x1b'.yaml"), Details())
    assert " $'\\x2d\\x2dmanifest\\x3d\\xc3\\xa9\\x1b\\x27\\x2eyaml' " in command
