from __future__ import annotations

import re

from pipeline.hosts.gitlab_reports import code_quality_from_annotations, metrics_from_report
from pipeline.hosts.job_log import Annotation
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.reports import hostile_report, sample_report

SAMPLE_LINE = re.compile(
    r'trt_engine_[a-z0-9_]+\{model="(?:[^"\\]|\\.)*",target="(?:[^"\\]|\\.)*",precision="\w+"\} [\d.e+-]+'
)


def finding(text: str = "it broke", line: int = 4) -> Annotation:
    return Annotation(file="./models/m.yaml", line=line, column=1, title="digits/sm_89/fp16: build", text=text)


def test_a_finding_has_what_gitlab_asks_for() -> None:
    (found,) = code_quality_from_annotations([finding()])
    assert found.pop("fingerprint")
    assert found == {
        "description": "digits/sm_89/fp16: build: it broke",
        "check_name": "tensorrt-engines",
        "severity": "major",
        "location": {"path": "models/m.yaml", "lines": {"begin": 4}},
    }


def test_the_same_finding_has_the_same_fingerprint_wherever_it_moves() -> None:
    first, other = code_quality_from_annotations([finding(), finding("it is slow")])
    (moved,) = code_quality_from_annotations([finding(line=9)])
    assert first["fingerprint"] == moved["fingerprint"]
    assert first["fingerprint"] != other["fingerprint"]


def test_a_finding_that_is_measured_anew_is_the_same_finding() -> None:
    """Else GitLab would tell of a new one and of one that was mended, in every run."""
    (before,) = code_quality_from_annotations([finding("an inference takes 6.4 % longer (5.5 % to 7.3 %)")])
    (after,) = code_quality_from_annotations([finding("an inference takes 12 % longer (9.81 % to 1e+02 %)")])
    assert before["fingerprint"] == after["fingerprint"]


def test_no_two_findings_have_one_fingerprint() -> None:
    found = code_quality_from_annotations([finding(), finding(line=9), finding("a 1"), finding("a 2"), finding("a 1")])
    assert len({each["fingerprint"] for each in found}) == len(found)


def test_metrics_are_lines_of_openmetrics_that_end() -> None:
    lines = metrics_from_report(sample_report()).splitlines()
    assert lines[-1] == "# EOF"
    assert 'trt_engine_size_bytes{model="digits",target="sm_89",precision="fp32"} 1300000' in lines
    for line in lines[:-1]:
        assert line.startswith("# TYPE trt_engine_") or SAMPLE_LINE.fullmatch(line), line


def test_each_family_is_declared_once_and_stands_together() -> None:
    names = [
        re.split(r"[ {]", line.removeprefix("# TYPE "))[0] for line in metrics_from_report(sample_report()).splitlines()
    ]
    assert len([name for n, name in enumerate(names) if n == 0 or names[n - 1] != name]) == len(set(names))


def test_no_name_ends_a_label_or_a_line() -> None:
    for text in HOSTILE_TEXTS:
        for line in metrics_from_report(hostile_report(text)).splitlines():
            assert line.startswith("#") or SAMPLE_LINE.fullmatch(line), line


def test_half_a_character_in_a_name_has_a_fingerprint_too() -> None:
    finding = Annotation(file="a.yaml", line=1, column=1, title="digits \ud800", text="\udcff failed")
    (found,) = code_quality_from_annotations([finding])
    assert re.fullmatch("[0-9a-f]{64}", found["fingerprint"])
