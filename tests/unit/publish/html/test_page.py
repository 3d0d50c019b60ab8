from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from pipeline.publish.details import Details
from pipeline.publish.html.page import html_from_report
from pipeline.publish.job_report import FailureReport, SpeedReport, Status
from tests.support.details import hostile_details, sample_details
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.layers import engine_of, layer
from tests.support.reports import (
    accuracy_report,
    engine_report,
    hostile_report,
    job_report,
    measurement,
    report_of,
    sample_report,
)

if TYPE_CHECKING:
    from pipeline.inspection.layers import EngineLayers
    from pipeline.publish.job_report import JobReport

VOID = {"meta", "input", "line", "rect", "circle", "path", "polygon", "polyline"}


class Page(HTMLParser):
    """The tags of a page, each with its attributes, and whether they are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def layers_of(text: str) -> dict[str, EngineLayers]:
    return {f"{text}/sm_89/fp16": engine_of(layer(text, text, kind=text, tactic=text))}


def test_every_tag_is_closed() -> None:
    assert Page(html_from_report(sample_report(), sample_details())).open == []


def test_every_job_has_a_row_and_a_section_that_it_leads_to() -> None:
    page = Page(html_from_report(sample_report()))
    sections = [attributes["id"] for attributes in page.of("details") if "id" in attributes]
    links = [attributes["href"] for attributes in page.of("a")]
    assert sections == [f"job-{number}" for number in range(1, 9)]
    named = [f"#job-{number}" for number, job in enumerate(sample_report().jobs, 1) if job.failure is not None]
    assert links == ["#content", *named, *(f"#{section}" for section in sections)]


def test_a_failure_is_open_and_told_in_full() -> None:
    page = Page(html_from_report(sample_report()))
    opened = [attributes["id"] for attributes in page.of("details") if "open" in attributes and "id" in attributes]
    assert opened == ["job-4", "job-5"]
    for text in (
        "Could not find any implementation for node {conv1}",
        "2 layers have no implementation:",
        "exit code 6",
    ):
        assert text in page.text


def test_an_engine_that_was_left_in_the_cache_is_said_to_be_there() -> None:
    left = replace(engine_report(), path=None)
    page = Page(html_from_report(report_of(job_report("digits/sm_89/fp32", Status.CACHED, "cached", engine=left))))
    assert "left in the cache, " in page.text


def test_details_are_shown_where_they_are_known() -> None:
    layers = {"digits/sm_89/fp16": engine_of(layer("conv1", time_ms=0.03), layer("relu1", time_ms=0.01))}
    page = Page(html_from_report(sample_report(), sample_details(), layers))
    for text in (
        "Latency against main at 1234abc",
        "slower: +5.0 % (+4.5 to +5.5)",
        "from 32 processes",
        "+25.0 % (stored)",
        "2 runs: first 0.250 ms",
        "sm80_xmma_fprop",
        "75.0 %",
        "budgets.latency_ms",
        "the base branch's",
        "split, int8 -> fp16, slower",
        "0.100 ms -> 0.250 ms",
        "--only=digits/sm_89/fp16 --cache=none",
        "GPU time spent",
        "1 slower",
    ):
        assert text in page.text, text


def test_without_details_nothing_is_said_of_them() -> None:
    text = Page(html_from_report(sample_report())).text
    for absent in (
        "Loosened by this change",
        "Latency against main",
        "Latency trend",
        "Tactic",
        "GPU time spent",
        "held against",
    ):
        assert absent not in text


def test_the_base_branch_is_named_also_where_no_engine_differs_from_its_own() -> None:
    page = Page(html_from_report(sample_report(), Details(base="main at 1234abc")))
    assert "Latency against main" not in page.text
    assert "held against main at 1234abc" in page.text


def test_a_page_of_no_jobs_is_one_too() -> None:
    page = Page(html_from_report(report_of()))
    assert page.open == []
    assert "0 jobs" in page.text


def test_the_policy_allows_the_pages_own_style_and_script_alone() -> None:
    text = html_from_report(sample_report())
    policy = next(tag["content"] for tag in Page(text).of("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(bodies) == 1
        digest = base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_nothing_refers_to_another_place() -> None:
    page = Page(html_from_report(sample_report(), sample_details()))
    for tag, attributes in page.tags:
        assert tag not in {"img", "iframe", "link", "object", "embed", "base", "form"}
        assert not {"src", "srcset", "action", "style", "background"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=lambda text: repr(text)[:40])
def test_text_of_others_is_text(text: str) -> None:
    plain, hostile = (
        Page(html_from_report(hostile_report(each), hostile_details(each, f"{each}/sm_89/fp16"), layers_of(each)))
        for each in ("name", text)
    )
    expected = [tag for tag, _ in plain.tags if tag != "p"]
    assert hostile.open == []
    assert [tag for tag, _ in hostile.tags if tag != "p"] == expected


def test_headings_and_headers_can_be_read_out() -> None:
    page = Page(html_from_report(sample_report(), sample_details()))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.of("th"))
    assert all("aria-hidden" in attributes or attributes.get("role") == "img" for attributes in page.of("svg"))
    assert page.of("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_long_charts_are_folded_at_first() -> None:
    jobs = [
        job_report(
            f"m{index}/h200/fp16", Status.BUILT, "", speed=SpeedReport(engine=measurement()), accuracy=accuracy_report()
        )
        for index in range(41)
    ]
    few, many = (Page(html_from_report(report_of(*jobs[:count]))) for count in (40, 41))
    assert "open" in few.of("details")[0]
    assert "open" not in many.of("details")[0]


def test_the_slowest_layers_are_listed_first() -> None:
    layers = [layer(f"conv{index}", time_ms=float(index)) for index in range(50)]
    text = Page(html_from_report(sample_report(), None, {"digits/sm_89/fp16": engine_of(*layers)})).text
    assert "40 of 50 layers" in text
    assert text.index("conv49") < text.index("conv48") < text.index("conv10")
    assert "conv9 " not in text


def test_layers_that_were_not_timed_stay_in_their_order() -> None:
    layers = {"digits/sm_89/fp16": engine_of(layer("zeta"), layer("alpha"))}
    text = Page(html_from_report(sample_report(), None, layers)).text
    assert text.index("zeta") < text.index("alpha")


def failed_jobs(count: int) -> list[JobReport]:
    failure = FailureReport(kind="accuracy", exit_code=7, what="not accurate", why="cosine is 0.7", fix="calibrate")
    return [job_report(f"m{number}/sm_89/int8", Status.FAILED, "built", failure=failure) for number in range(count)]


def test_what_failed_stands_above_the_table_and_leads_to_its_details() -> None:
    text = html_from_report(report_of(job_report("m/sm_89/fp32", Status.CACHED, "hit"), *failed_jobs(1)))
    assert text.index("What failed") < text.index('<h2 id="table">')
    assert '<li><a href="#job-2">m0/sm_89/int8</a>: accuracy: cosine is 0.7. To do: calibrate</li>' in text


def test_of_very_many_failures_the_rest_are_counted() -> None:
    assert "and 5 more: sort the jobs by their status" in html_from_report(report_of(*failed_jobs(25)))


def test_without_a_failure_nothing_is_said_to_have_failed() -> None:
    assert "What failed" not in html_from_report(report_of(job_report("m/sm_89/fp32", Status.CACHED, "hit")))


def test_a_command_is_there_whole_however_long() -> None:
    report = replace(report_of(job_report("a/b/fp16", Status.BUILT, "")), manifest="m" * 3000)
    page = html_from_report(report, Details(commit="c0ffee"))
    assert f"--manifest={'m' * 3000} --only=a/b/fp16 --cache=none --out=engines-again</pre>" in page
