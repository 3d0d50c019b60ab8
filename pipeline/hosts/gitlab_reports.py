"""The two files of a report that GitLab shows in a merge request: code quality and metrics.

docs.gitlab.com/ci/testing/code_quality (the code quality report format) and docs.gitlab.com/ci/testing/metrics_reports,
which are of the OpenMetrics text format. GitLab compares metrics with those of the target branch by name and labels.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.digest import digest_from_json
from pipeline.publish.escape import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.hosts.job_log import Annotation
    from pipeline.publish.job_report import JobReport
    from pipeline.publish.report import Report


_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")


def code_quality_from_annotations(annotations: Iterable[Annotation]) -> list[dict[str, Any]]:
    """A JSON value: one finding for each. The same finding has the same fingerprint in every run, and no other has it.

    So neither its line nor what was measured is in that, and of those that differ in nothing else the later ones count.
    """
    alike: Counter[tuple[str, ...]] = Counter()
    findings = []
    for each in annotations:
        subject = tuple(_encodable(text) for text in (each.file, each.title, _NUMBER.sub("0", each.text)))
        findings.append(
            {
                "description": one_line(f"{each.title}: {each.text}", 1000),
                "check_name": "tensorrt-engines",
                "fingerprint": digest_from_json([*subject, alike[subject]]).hex,
                "severity": "major",
                "location": {"path": posixpath.normpath(each.file), "lines": {"begin": each.line}},
            }
        )
        alike[subject] += 1
    return findings


def metrics_from_report(report: Report) -> str:
    """OpenMetrics text; figures that a job does not have are left out."""
    families: dict[str, list[str]] = {}
    for job in report.jobs:
        labels = ",".join(
            f'{name}="{_label(value)}"'
            for name, value in (("model", job.model), ("target", job.target), ("precision", str(job.precision)))
        )
        for name, value in _figures(job):
            families.setdefault(name, []).append(f"{name}{{{labels}}} {value!r}")
    lines = (line for name, samples in families.items() for line in (f"# TYPE {name} gauge", *samples))
    return "\n".join((*lines, "# EOF\n"))


def _figures(job: JobReport) -> Iterator[tuple[str, float]]:
    if job.engine is not None:
        yield "trt_engine_size_bytes", job.engine.size_bytes
    if job.build_s is not None:
        yield "trt_engine_build_seconds", job.build_s
    if job.speed is not None:
        timed = job.speed.engine
        yield "trt_engine_latency_p50_seconds", round(timed.compute.p50_ms / 1000, 9)
        yield "trt_engine_latency_p99_seconds", round(timed.compute.p99_ms / 1000, 9)
        yield "trt_engine_inferences_per_second", timed.inferences_per_s
    if job.accuracy is not None and job.accuracy.top1_candidate_percent is not None:
        yield "trt_engine_top1_percent", job.accuracy.top1_candidate_percent


def _encodable(text: str) -> str:
    """Half a character may stand in a name that others chose; a digest is of bytes."""
    return text.encode("utf-8", "replace").decode()


def _label(text: str) -> str:
    return one_line(text, 200).replace("\\", "\\\\").replace('"', '\\"')
