from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PublishError
from pipeline.publish import github
from pipeline.publish.github import outputs_from_report, write_outputs, write_step_summary
from pipeline.publish.job_report import Status
from pipeline.publish.markdown import LIMIT_BYTES, MINIMUM_BYTES, markdown_from_report
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.reports import job_report, report_of, sample_report


def read_outputs(text: str) -> dict[str, str]:
    """What the runner reads: ``name=value`` or a heredoc, line by line."""
    lines, outputs = iter(text.split("\n")), {}
    for line in lines:
        if not line:
            continue
        assert "<<" in line, line
        name, delimiter = line.split("<<", 1)
        value = []
        for inner in lines:
            if inner == delimiter:
                break
            value.append(inner)
        else:
            raise AssertionError(f"{name} is not closed")
        outputs[name] = "\n".join(value)
    return outputs


def test_the_summary_is_the_markdown(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    write_step_summary(path, sample_report())
    assert path.read_text() == markdown_from_report(sample_report())


def test_the_summary_is_appended_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("earlier")
    write_step_summary(path, sample_report())
    assert path.read_text() == f"earlier\n{markdown_from_report(sample_report())}"


@pytest.mark.parametrize("used_bytes", [0, 500_000, LIMIT_BYTES - MINIMUM_BYTES - 1])
def test_the_summary_stays_under_the_limit_with_what_was_there(tmp_path: Path, used_bytes: int) -> None:
    path = tmp_path / "summary"
    path.write_bytes(b"x" * used_bytes)
    jobs = (job_report(f"m{number}/sm_89/fp32", Status.CACHED, "hit " * 70) for number in range(4000))
    write_step_summary(path, report_of(*jobs))
    assert path.stat().st_size <= LIMIT_BYTES
    assert "**Passed**: 4000 jobs" in path.read_text()
    assert "jobs left out here" in path.read_text()


def test_a_full_summary_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_bytes(b"x" * (LIMIT_BYTES - 100))
    with pytest.raises(PublishError, match="no room"):
        write_step_summary(path, sample_report())
    assert path.stat().st_size == LIMIT_BYTES - 100


def test_a_summary_that_cannot_be_written_is_a_publish_error(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="GITHUB_STEP_SUMMARY cannot be written: No such file"):
        write_step_summary(tmp_path / "absent" / "summary", sample_report())


def test_outputs_that_cannot_be_written_are_a_publish_error(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="GITHUB_OUTPUT cannot be written: Is a directory"):
        write_outputs(tmp_path, {"verdict": "passed"})


@pytest.mark.parametrize("text", [text for text in HOSTILE_TEXTS if "\ud800" not in text])
def test_T9_an_output_may_hold_any_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "outputs"
    write_outputs(path, {"first": text, "second": "2"})
    assert read_outputs(path.read_bytes().decode()) == {"first": text, "second": "2"}


@given(st.dictionaries(st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True), st.text(max_size=40), max_size=4))
def test_T9_outputs_read_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, outputs: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("outputs") / "file"
    write_outputs(path, outputs)
    assert read_outputs(path.read_bytes().decode()) == outputs


def test_T9_the_delimiter_is_new_each_time(tmp_path: Path) -> None:
    path = tmp_path / "outputs"
    write_outputs(path, {"a": "1", "b": "2"})
    delimiters = [line.split("<<")[1] for line in path.read_text().splitlines() if "<<" in line]
    assert len(set(delimiters)) == 2


def test_outputs_are_appended_on_a_line_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "outputs"
    path.write_text("a<<end\n1\nend")
    write_outputs(path, {"b": "2"})
    assert read_outputs(path.read_text()) == {"a": "1", "b": "2"}


def test_a_lone_surrogate_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "outputs"
    write_outputs(path, {"a": "x\udcffy"})
    assert read_outputs(path.read_text()) == {"a": "x?y"}


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a\nb", "1a", "a<<b"])
def test_T9_a_name_that_is_none_is_a_mistake_of_the_caller(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        write_outputs(tmp_path / "outputs", {name: "x"})
    assert not (tmp_path / "outputs").exists()


def test_a_report_gives_verdict_paths_and_counts(tmp_path: Path) -> None:
    outputs = outputs_from_report(sample_report(), report_path=tmp_path / "r.json", engines_path=tmp_path)
    assert outputs == {
        "verdict": "failed",
        "exit-code": "6",
        "report": str(tmp_path / "r.json"),
        "engines": str(tmp_path),
        "built": "2",
        "cached": "1",
        "delivered": "4",
        "failed": "2",
    }


def test_paths_of_a_container_action_lead_later_steps_to_the_files_too() -> None:
    out = Path("/github/workspace/built/engines")
    outputs = outputs_from_report(sample_report(), report_path=out / "report.json", engines_path=out)
    assert (outputs["report"], outputs["engines"]) == ("built/engines/report.json", "built/engines")


def test_a_disk_that_fills_up_is_a_publish_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(github, "_append", no_space)
    with pytest.raises(PublishError, match="No space left on device"):
        write_outputs(tmp_path / "outputs", {"a": "1"})
