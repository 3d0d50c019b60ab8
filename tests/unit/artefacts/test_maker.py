"""Making artefacts by a task that is only a function; nothing is kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.artefacts.gpu_time import GpuTime
from pipeline.artefacts.maker import Maker, Order
from pipeline.artefacts.recipe import SecondTry, Shortcut
from pipeline.cache.answers import Off
from pipeline.errors import BuildError
from pipeline.machine.devices import GpuDevice
from pipeline.machine.gpu_lock import GpuPool
from pipeline.machine.slots import Slots
from pipeline.publish.progress import Progress
from pipeline.time_limits import JobBudget
from tests.support.workshops import PlanTask, plan_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.artefacts.recipe import Artefact, Recipe
    from pipeline.errors import PipelineError

    Answer = Callable[[str, Mapping[str, Any], Path], dict[str, Any]]

GPU = GpuDevice(
    uuid="GPU-1", name="H200", compute_capability=(9, 0), memory_bytes=1, driver="580.1", cuda="13.0", index=0
)


def maker(answer: Answer, folder: Path, limits_s: list[float] | None = None) -> Maker:
    def run_task(
        task: str, request: Mapping[str, Any], folder: Path, *, timeout_s: float, **_options: Any
    ) -> dict[str, Any]:
        if limits_s is not None:
            limits_s.append(timeout_s)
        return answer(task, request, folder)

    return Maker(
        slots=Slots(2, 1 << 30),
        gpus=GpuPool(folder),
        run_task=run_task,
        logs=folder / "logs",
        cancel=threading.Event(),
        progress=Progress(None),
        gpu_time=GpuTime(),
    )


def order(recipe: Recipe, folder: Path, limit_s: float | None = None) -> Order:
    return Order(recipe=recipe, lookup=Off("no cache"), folder=folder / "work", budget=JobBudget(limit_s))


def shortcut() -> Shortcut:
    return Shortcut(task="refit", stage="refitting", request=lambda _: {}, told={"refit": {"origin": 1}}, timeout_s=1.0)


def refused_refit(task: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    if task == "refit":
        raise BuildError("the weights do not fit")
    return PlanTask()(task, request, folder)


def test_what_is_made_lies_in_the_folder_of_its_order(tmp_path: Path) -> None:
    made = maker(PlanTask(), tmp_path).make(order(plan_recipe(), tmp_path), lambda: True)
    assert made is not None
    assert made.files == {"plan": tmp_path / "work" / "plan"}


def test_what_may_not_begin_is_not_made(tmp_path: Path) -> None:
    task = PlanTask()
    assert maker(task, tmp_path).make(order(plan_recipe(), tmp_path), lambda: False) is None
    assert task.requests == []


def test_a_task_gets_what_is_left_of_its_jobs_time(tmp_path: Path) -> None:
    limits_s: list[float] = []
    maker(PlanTask(), tmp_path, limits_s).make(order(plan_recipe(), tmp_path, limit_s=7.0), lambda: True)
    assert limits_s == [7.0]


def test_a_job_without_time_left_makes_nothing(tmp_path: Path) -> None:
    late = order(plan_recipe(), tmp_path, limit_s=7.0)
    late.budget.spend(7.0)
    with pytest.raises(BuildError, match="no time was left for the build task of digits/sm_89/fp16"):
        maker(PlanTask(), tmp_path).make(late, lambda: True)


def test_a_task_that_names_a_file_outside_its_folder_is_not_believed(tmp_path: Path) -> None:
    def answer(_task: str, _request: Mapping[str, Any], _folder: Path) -> dict[str, Any]:
        return {"file": "../plan"}

    (tmp_path / "plan").write_text("somebody else's")
    with pytest.raises(BuildError, match="cannot be used"):
        maker(answer, tmp_path).make(order(plan_recipe(), tmp_path), lambda: True)


def test_a_shortcut_that_works_is_told_in_the_outcome(tmp_path: Path) -> None:
    made = maker(PlanTask(), tmp_path).make(order(replace(plan_recipe(), shortcut=shortcut), tmp_path), lambda: True)
    assert made is not None
    assert made.outcome["refit"] == {"origin": 1}


def test_what_a_shortcut_cannot_make_is_made_the_long_way(tmp_path: Path) -> None:
    recipe = replace(plan_recipe(), shortcut=shortcut)
    made = maker(refused_refit, tmp_path).make(order(recipe, tmp_path), lambda: True)
    assert made is not None
    assert made.warnings == ("not made by refitting: the weights do not fit",)
    assert made.files["plan"].read_text() == "engine"


def test_what_a_shortcut_makes_keeps_nothing_besides(tmp_path: Path) -> None:
    kept: list[Path] = []
    recipe = replace(plan_recipe(), gpus=(GPU,), keep=lambda folder, _gpu: kept.append(folder), shortcut=shortcut)
    maker(PlanTask(), tmp_path).make(order(recipe, tmp_path), lambda: True)
    assert kept == []


def test_a_gpu_that_is_held_by_a_task_counts(tmp_path: Path) -> None:
    at_work = maker(PlanTask(), tmp_path)
    made = at_work.make(order(replace(plan_recipe(), gpus=(GPU,)), tmp_path), lambda: True)
    assert made is not None
    assert at_work.gpu_time.spent_s == made.made_in_s > 0


@dataclass
class TwoTries:
    """A child whose first try writes half a file, and fails; the second fails too where ``fails`` twice."""

    fails: int = 1
    tries: list[tuple[Mapping[str, Any], float]] = field(default_factory=list)

    def __call__(
        self, task: str, request: Mapping[str, Any], folder: Path, *, timeout_s: float, log: Path, **_options: Any
    ) -> dict[str, Any]:
        self.tries.append((request, timeout_s))
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"try {len(self.tries)}")
        (folder / "plan").write_text("half" if len(self.tries) <= self.fails else "whole")
        if len(self.tries) <= self.fails:
            raise BuildError(f"try {len(self.tries)} failed")
        return {"file": "plan", "warnings": ["of the builder"]}


def tried_twice(error: PipelineError) -> SecondTry:
    return SecondTry(
        stage="building otherwise",
        request=lambda _: {"model": "m", "otherwise": True},
        told={"otherwise": error.what},
        warning="built otherwise",
    )


def made_by(child: TwoTries, folder: Path, **changed: Any) -> Artefact:
    at_work = replace(maker(PlanTask(), folder), run_task=child)
    made = at_work.make(order(replace(plan_recipe(), **changed), folder), lambda: True)
    assert made is not None
    return made


def test_a_second_try_makes_it_with_another_request_and_says_so(tmp_path: Path) -> None:
    child = TwoTries()
    made = made_by(child, tmp_path, second_try=tried_twice)
    assert [request for request, _ in child.tries] == [{"model": "m"}, {"model": "m", "otherwise": True}]
    assert made.files["plan"].read_text() == "whole"
    assert made.outcome["otherwise"] == "try 1 failed"
    assert made.outcome["warnings"] == ["built otherwise", "of the builder"]


def test_both_tries_share_one_time_limit(tmp_path: Path) -> None:
    child = TwoTries()
    made_by(child, tmp_path, second_try=tried_twice, timeout_s=100)
    (_, first_s), (_, second_s) = child.tries
    assert first_s == 100
    assert 40 < second_s < 100


def test_a_second_try_that_fails_is_the_last_and_its_error_counts(tmp_path: Path) -> None:
    child = TwoTries(fails=2)
    with pytest.raises(BuildError, match="try 2 failed"):
        made_by(child, tmp_path, second_try=tried_twice)
    assert len(child.tries) == 2


def test_the_log_of_the_first_try_is_kept_beside_that_of_the_second(tmp_path: Path) -> None:
    made_by(TwoTries(), tmp_path, second_try=tried_twice)
    logs = {path.name: path.read_text() for path in (tmp_path / "logs/digits/sm_89/fp16").iterdir()}
    assert logs == {"engine-first-try.log": "try 1", "engine.log": "try 2"}


def test_an_error_that_no_second_try_helps_is_raised_at_once(tmp_path: Path) -> None:
    child = TwoTries()
    with pytest.raises(BuildError, match="try 1 failed"):
        made_by(child, tmp_path)
    assert len(child.tries) == 1


@pytest.mark.parametrize("answer", [{"file": "../plan"}, {"file": "plan", "refit": "nonsense"}, {}])
def test_a_shortcut_that_answers_nonsense_is_left_for_the_long_way(tmp_path: Path, answer: dict[str, Any]) -> None:
    def task(name: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        return answer if name == "refit" else PlanTask()(name, request, folder)

    def faults(files: Mapping[str, Path], outcome: Mapping[str, Any]) -> tuple[str, ...]:
        return () if files["plan"].exists() and "refit" not in outcome else ("it is none",)

    recipe = replace(plan_recipe(), shortcut=shortcut, faults=faults)
    made = maker(task, tmp_path).make(order(recipe, tmp_path), lambda: True)
    assert made is not None
    assert made.files["plan"].read_text() == "engine"
    assert made.warnings[0].startswith("not made by refitting: ")


def test_the_error_of_a_task_names_its_log(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as raised:
        made_by(TwoTries(), tmp_path)
    assert raised.value.log == tmp_path / "logs/digits/sm_89/fp16/engine.log"


def test_so_does_the_error_of_an_answer_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot be used") as raised:
        made_by(TwoTries(fails=0), tmp_path, files=lambda answer: (answer["nothing"],))
    assert raised.value.log == tmp_path / "logs/digits/sm_89/fp16/engine.log"
