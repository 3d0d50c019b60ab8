"""Real child processes: every way in which one can end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.child.supervisor import run_task
from pipeline.errors import BuildError, Cancelled, ModelError
from tests.support.child_tasks import TASKS
from tests.support.leftovers import processes_of

ROOT = Path(__file__).resolve().parents[2]


class Runner:
    """Runs scripted tasks, each with a folder of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.log = base / "logs" / "task.log"
        self.cancel = threading.Event()

    def __call__(self, task: str, request: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        folder = self.base / "work" / options.pop("name", task)
        folder.mkdir(parents=True)
        options = {"timeout_s": 60.0, "cancel": self.cancel, "log": self.log, **options}
        return run_task(task, request or {}, folder, _tasks=TASKS, **options)

    def pid(self, task: str) -> int:
        return noted_pid(self.base / "work" / task / "pid")


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def noted_pid(note: Path) -> int:
    deadline = time.monotonic() + 60
    while not note.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return int(note.read_text())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def assert_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


def test_a_result_comes_back_as_it_was(run: Runner) -> None:
    request = {"text": "é\n\u2028", "number": 0.1, "list": [1, None, True]}
    assert run("repeat", request) == request


def test_the_childs_files_stay_in_its_folder_and_nothing_else_is_left(run: Runner) -> None:
    run("repeat")
    assert [path.name for path in (run.base / "work").rglob("*")] == ["repeat", "written"]


def test_a_request_larger_than_any_pipe_buffer_arrives(run: Runner) -> None:
    request = {"text": "x" * (4 << 20)}
    assert run("repeat", request) == request


def test_an_expected_failure_crosses_with_its_class_and_parts(run: Runner) -> None:
    with pytest.raises(ModelError) as caught:
        run("fail")
    assert caught.value.args == ("what", "why", "fix", "where")


def test_an_unexpected_failure_keeps_its_traceback_in_the_log(run: Runner) -> None:
    with pytest.raises(BuildError, match="unexpected KeyError: 'no such tensor'") as caught:
        run("mistake")
    assert "Traceback" not in str(caught.value)
    assert "Traceback" in run.log.read_text()


def test_a_result_that_json_cannot_say_is_an_error(run: Runner) -> None:
    with pytest.raises(BuildError, match="unexpected ValueError"):
        run("unserializable")


def test_a_crash_is_named_by_its_signal(run: Runner) -> None:
    with pytest.raises(BuildError, match="the crash task crashed: SIGSEGV"):
        run("crash")


def test_a_crash_quotes_the_line_that_explains_it(run: Runner) -> None:
    with pytest.raises(BuildError, match="SIGABRT") as caught:
        run("say_then_crash")
    assert caught.value.why == "[E] Error: CHECK(layer) failed"


def test_a_kill_from_outside_is_taken_for_lack_of_memory(run: Runner) -> None:
    with pytest.raises(BuildError, match="ran out of memory"):
        run("kill_itself")


def test_F27_an_allocation_over_the_limit_is_out_of_memory(run: Runner) -> None:
    with pytest.raises(BuildError, match="out of host memory"):
        run("allocate", {"bytes": 1 << 32}, memory_bytes=1 << 30)


def test_without_a_limit_memory_is_the_machines(run: Runner) -> None:
    assert run("allocate", {"bytes": 1 << 26}) == {"bytes": 1 << 26}


def test_a_full_disk_names_the_folder(run: Runner) -> None:
    with pytest.raises(BuildError, match="disk is full") as caught:
        run("overflow_disk")
    assert str(run.base / "work" / "overflow_disk") in caught.value.what
    assert "free space" in caught.value.fix


@pytest.mark.parametrize("code", [0, 3])
def test_a_child_that_leaves_without_an_outcome_failed(run: Runner, code: int) -> None:
    with pytest.raises(BuildError, match=f"exit code {code} and gave no usable outcome"):
        run("exit_early", {"code": code})


@pytest.mark.parametrize(
    "text",
    ["not json", "[]", '{"result": []}', '{"result": {"x": NaN}}', '{"error": {"class": "SystemExit"}}', "[" * 100_000],
)
def test_nonsense_is_not_taken_for_an_outcome(run: Runner, text: str) -> None:
    with pytest.raises(BuildError, match="no usable outcome"):
        run("lie", {"text": text})


def test_an_endless_outcome_is_refused(run: Runner) -> None:
    with pytest.raises(BuildError, match="no usable outcome: it is longer than"):
        run("lie", {"text": "x" * (1 << 20), "times": 80})


def test_the_time_limit_ends_a_child_that_is_deaf(run: Runner) -> None:
    with pytest.raises(BuildError, match=r"time limit of 1\.5 s") as caught:
        run("hang", timeout_s=1.5)
    assert "build.timeout_s" in caught.value.fix
    assert processes_of(os.getpid()) == []


def test_cancelling_ends_a_child_that_is_deaf(run: Runner) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run, "hang")
        pid = run.pid("hang")
        run.cancel.set()
        with pytest.raises(Cancelled):
            future.result(timeout=60)
    assert_gone(pid)


def test_nothing_starts_once_cancelled(run: Runner) -> None:
    run.cancel.set()
    with pytest.raises(Cancelled):
        run("repeat")
    assert not (run.base / "work" / "repeat" / "written").exists()


def test_a_flood_of_output_is_kept_at_both_ends_only(run: Runner) -> None:
    run("flood", {"bytes": 200 << 20})
    assert run.log.stat().st_size < (64 << 20) + 100
    with run.log.open("rb") as file:
        assert b"the first line\n" in file.read(1000)
        file.seek(-14, os.SEEK_END)
        assert file.read() == b"the last line\n"


def test_no_secret_and_no_descriptor_reaches_the_child(
    run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "LD_PRELOAD", "HOME"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        seen = run("look_around")
    assert "canary" not in seen["environment"].values()
    assert seen["environment"]["CUDA_VISIBLE_DEVICES"] == "0"
    assert seen["environment"]["HOME"] == seen["environment"]["TMPDIR"] == seen["folder"]
    assert seen["descriptors"] == 4
    assert seen["session"]


def test_no_descriptor_stays_open_here(run: Runner) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    run("repeat")
    with pytest.raises(BuildError):
        run("crash")
    with pytest.raises(BuildError):
        run("hang", timeout_s=0.5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_children_run_side_by_side_and_fail_alone(run: Runner) -> None:
    def attempt(number: int) -> Any:
        task = "crash" if number % 3 == 0 else "repeat"
        try:
            return run(task, {"number": number}, name=str(number), log=run.base / f"{number}.log")
        except BuildError:
            return "crashed"

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(attempt, range(9)))
    assert results == ["crashed" if number % 3 == 0 else {"number": number} for number in range(9)]


def test_a_folder_that_cannot_be_written_is_said_so(run: Runner, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BuildError, match="could not be started"):
        run("repeat", log=blocked / "task.log")


def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    folder = tmp_path / "hang"
    folder.mkdir()
    script = textwrap.dedent(
        f"""
        import threading
        from pathlib import Path
        from pipeline.child.supervisor import run_task
        run_task("x", {{}}, Path({str(folder)!r}), timeout_s=60, cancel=threading.Event(), log=Path({str(tmp_path)!r})
                 / "log", _tasks={{"x": "tests.support.child_tasks:hang"}})
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as parent:
        pid = noted_pid(folder / "pid")
        parent.kill()
    assert_gone(pid)
