from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.cli import main
from pipeline.publish.whole import whole_from_json

if TYPE_CHECKING:
    import pytest

SAMPLE = Path(__file__).parents[3] / "examples/report-sample"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["report", "--from", str(SAMPLE), *arguments], {}) == 0
    return capsys.readouterr().out


def test_the_terminal_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys) == printed(capsys, "--format", "terminal")


def test_showing_a_failed_run_is_no_failure_unless_asked_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    failed = json.loads(printed(capsys, "--format", "json"))["exit_code"]
    assert failed != 0
    assert main(["report", "--from", str(SAMPLE), "--exit-code"], {}) == failed


def test_json_is_a_report_again(capsys: pytest.CaptureFixture[str]) -> None:
    report, _ = whole_from_json(json.loads(printed(capsys, "--format", "json")))
    assert len(report.jobs) == 96


def test_json_tells_the_change_against_the_base_branch(capsys: pytest.CaptureFixture[str]) -> None:
    details = json.loads(printed(capsys, "--format", "json"))["details"]
    assert details["base"] == "main at 1f2e3d4"
    assert {job["change"]["verdict"] for job in details["jobs"] if job["change"]} >= {"faster", "slower"}


def test_what_json_prints_is_shown_like_the_folder_it_is_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(printed(capsys, "--format", "json"))
    assert main(["report", "--from", str(tmp_path), "--format", "markdown"], {}) == 0
    assert capsys.readouterr().out == printed(capsys, "--format", "markdown")


def test_markdown_is_that_of_the_step_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--format", "markdown").startswith(
        "## TensorRT engines of `models/trt-engines.yaml`\n\n**Failed (exit code 6)**: 96 jobs"
    )


def test_html_is_one_page(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--format", "html")
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>\n")
    assert text.count("<tr>") > 96


def test_the_sample_holds_every_case_that_a_reader_may_meet() -> None:
    jobs = [
        job
        for runner in ("runner-1", "runner-2")
        for job in json.loads((SAMPLE / runner / "report.json").read_text())["jobs"]
    ]
    assert {"built", "cached", "failed", "skipped", "needs-runner"} == {job["status"] for job in jobs}
    assert {"build", "accuracy", "regression"} == {job["failure"]["kind"] for job in jobs if job["failure"]}
    assert any("<img" in job["model"] for job in jobs)


def test_the_sample_is_what_its_script_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy
    import sys

    monkeypatch.setattr(sys, "argv", ["generate.py", str(tmp_path)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    runpy.run_path(str(SAMPLE / "generate.py"), run_name="__main__")
    for path in sorted(tmp_path.rglob("*.json")):
        assert path.read_bytes() == (SAMPLE / path.relative_to(tmp_path)).read_bytes(), path


def test_a_folder_without_reports_is_a_wrong_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--from", str(tmp_path)], {}) == 2
    assert "there is no report.json" in capsys.readouterr().err


def test_a_format_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--from", str(SAMPLE), "--format", "pdf"], {}) == 2
    assert "invalid choice: 'pdf'" in capsys.readouterr().err
