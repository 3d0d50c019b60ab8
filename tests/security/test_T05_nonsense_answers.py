"""T5: whoever takes over a child may answer anything; it costs the job, with a reason, and never the run its report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import run
from pipeline.child.outcome import result_from_outcome
from pipeline.child.supervisor import run_task
from pipeline.commands.cli import main
from pipeline.errors import BuildError
from tests.support.digits import copy_of_example, digits_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES = ("model.onnx", "calibration.npz", "evaluation.npz")
MANIFEST = digits_manifest(
    "calibration: {data: calibration.npz, method: entropy, samples: 16}", "accuracy: {data: evaluation.npz}"
)
TASKS = ("inspect-model", "check-operators", "check-data", "calibrate", "prepare", "build", "verify")
OTHERS = (5, [5])

Answers = dict[str, tuple[Path, dict[str, Any]]]


def run_in(folder: Path, environment: pytest.MonkeyPatch) -> int:
    copy_of_example(folder, *FILES)
    (folder / "trt-engines.yaml").write_text(MANIFEST)
    environment.chdir(folder)
    return main(["run"], {})


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Task -> the files and the answer of a sound run."""
    answers: Answers = {}

    def recording(task: str, request: Mapping[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
        answer = run_task(task, request, folder, **options)
        shutil.copytree(folder, files := tmp_path_factory.mktemp("recorded") / task)
        answers[task] = files, answer
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "run_task", recording)
        assert run_in(tmp_path_factory.mktemp("honest"), patch) == 0
    assert set(answers) == set(TASKS)
    return answers


def nonsense(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """``answer`` with one part at a time of another type, and without any."""
    yield {}
    for name in sorted({*answer, "warnings"}):
        for other in OTHERS:
            yield {**answer, name: other}


@pytest.mark.parametrize("victim", TASKS)
def test_T05_an_answer_of_the_wrong_form_ends_in_a_report(
    victim: str,
    honest: Answers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, answer in enumerate(nonsense(honest[victim][1])):

        def answering(
            task: str, request: Mapping[str, Any], folder: Path, *, wrong: dict[str, Any] = answer, **_options: Any
        ) -> dict[str, Any]:
            files, sound = honest[task]
            shutil.copytree(files, folder, dirs_exist_ok=True)
            return wrong if task == victim else sound

        monkeypatch.setattr(run, "run_task", answering)
        folder = tmp_path / str(number)
        folder.mkdir()
        assert run_in(folder, monkeypatch) in {0, 4, 6}, answer
        json.loads((folder / "engines/report.json").read_text())
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["1e999", "-1e999", "9" * 400, '"\\ud800"', '{"\\udfff": 1}', "[" * 100_000, "NaN", "1" + "0" * 5000]
)
def test_T05_what_cannot_be_computed_with_or_written_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        result_from_outcome(f'{{"result": {{"build_s": {text}}}}}'.encode())


def test_T05_the_text_of_an_error_can_be_written() -> None:
    parts = '"class": "BuildError", "what": "\\ud800", "why": "", "fix": "", "where": ""'
    with pytest.raises(ValueError, match="surrogates"):
        result_from_outcome(f'{{"error": {{{parts}}}}}'.encode())
    with pytest.raises(BuildError):
        result_from_outcome(f'{{"error": {{{parts}}}}}'.replace("\\ud800", "x").encode())
