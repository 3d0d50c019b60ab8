from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from pipeline.publish.details import Details
from pipeline.publish.job_report import Status
from pipeline.publish.reproduce import command_from_job
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.reports import job_report, report_of

JOB = job_report("digits/h200/fp16", Status.BUILT, "")


def test_the_command_does_one_job_of_the_same_commit_in_the_same_image() -> None:
    details = Details(commit="c0ffee", image="registry.example/engines@sha256:12")
    assert command_from_job(replace(JOB, runtime="tensorrt"), report_of(JOB), details) == (
        'git checkout c0ffee && docker run --rm --gpus all --volume "$PWD:/workspace" --workdir /workspace '
        "registry.example/engines@sha256:12 run --manifest=examples/digits/trt-engines.yaml "
        "--only=digits/h200/fp16 --cache=none --out=engines-again"
    )


def test_an_engine_that_is_built_without_a_gpu_asks_for_none() -> None:
    assert "--gpus" not in command_from_job(JOB, report_of(JOB), Details())
    assert command_from_job(JOB, report_of(JOB), Details()).startswith("docker run")


def test_a_job_selects_itself_alone() -> None:
    command = command_from_job(replace(JOB, id="a[1]*/h200/fp16"), report_of(JOB), Details())
    assert "--only=a[[]1][*]/h200/fp16" in shlex.split(command)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_no_name_can_add_a_word_to_the_command(text: str) -> None:
    hostile = command_from_job(
        replace(JOB, id=text), replace(report_of(JOB), manifest=text), Details(image=text or "x")
    )
    plain = command_from_job(JOB, report_of(JOB), Details())
    assert len(shlex.split(hostile)) == len(shlex.split(plain))
