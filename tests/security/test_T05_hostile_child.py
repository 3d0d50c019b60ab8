"""T5: whoever takes over a parser finds no token, no network, no process, no file that is not its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.child import confinement, supervisor
from pipeline.child.harvest import TrapError, take_over
from pipeline.child.identity import NOBODY, Identity, may_read
from pipeline.child.kernel import PR_SET_DUMPABLE, prctl
from pipeline.child.supervisor import run_task
from pipeline.errors import BuildError
from tests.support.hostile_tasks import PR_GET_DUMPABLE, TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CANARY = "canary-5f0f2c"
PLANTED = [Path(folder, "planted-by-a-child") for folder in ("/tmp", "/dev/shm", "/usr/local/bin")]


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that every user may pass, unlike those of pytest when it runs as root."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def attack(ground: Path, task: str, request: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    folder = ground / "scratch" / task
    folder.mkdir(parents=True)
    options = {"timeout_s": 60.0, "cancel": threading.Event(), "log": ground / "log", **options}
    return run_task(task, request or {}, folder, _tasks=TASKS, **options)


@contextlib.contextmanager
def targets(ground: Path) -> Iterator[dict[str, Any]]:
    """What there is to be had: a token, a secret, a daemon, a server, another child's folder."""
    workspace, neighbour = ground / "workspace", ground / "scratch" / "other"
    (workspace / ".git").mkdir(parents=True)
    neighbour.mkdir(parents=True)
    for path in (workspace / ".git/config", ground / "secret", neighbour / "kept", workspace / "model.onnx"):
        path.write_text(CANARY)
        path.chmod(0o666)
    with (
        socket.socket(socket.AF_UNIX) as daemon,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        log.bind(str(ground / "log.sock"))
        (ground / "log.sock").chmod(0o666)
        daemon.bind(str(ground / "docker.sock"))
        (ground / "docker.sock").chmod(0o600)
        daemon.listen()
        yield {
            "model": str(workspace / "model.onnx"),
            "targets": {
                "token": str(workspace / ".git/config"),
                "secret": str(ground / "secret"),
                "workspace": str(workspace),
                "neighbour": str(neighbour),
                "socket": str(ground / "docker.sock"),
                "datagrams": str(ground / "log.sock"),
                "port": server.getsockname()[1],
            },
        }


@pytest.fixture(scope="module")
def planted() -> list[Path]:
    """What the hostile child left outside of its folder."""
    return []


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory, planted: list[Path]) -> dict[str, Any]:
    """What came of every attempt of one hostile child."""
    ground = tmp_path_factory.mktemp("ground")
    with pytest.MonkeyPatch.context() as patch, targets(ground) as request:
        patch.setenv("GITHUB_TOKEN", CANARY)
        patch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", CANARY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
        try:
            return attack(ground, "attempt", request)
        finally:
            # What was planted once would accuse every run after it.
            planted.extend(path for path in PLANTED if path.exists())
            for path in planted:
                path.unlink()


def test_T05_every_attempt_is_refused(came: dict[str, Any]) -> None:
    assert len(came["came"]) == 37
    assert {name: result for name, result in came["came"].items() if result == "done"} == {}


def test_T05_no_secret_is_in_the_childs_environment(came: dict[str, Any]) -> None:
    assert CANARY not in came["environment"].values()


def test_T05_nothing_but_its_three_channels_is_open(came: dict[str, Any]) -> None:
    assert came["descriptors"] == 4


@pytest.mark.usefixtures("came")
def test_T05_nothing_was_planted(planted: list[Path], tmp_path_factory: pytest.TempPathFactory) -> None:
    ground = next(tmp_path_factory.getbasetemp().glob("ground*"))
    assert not list(ground.rglob("planted"))
    assert planted == []


def test_T05_a_child_keeps_no_capability_and_gains_none(ground: Path) -> None:
    (ground / "model.onnx").write_text("model")
    seen = attack(ground, "tell_who_it_is", {"model": str(ground / "model.onnx"), "beside": []})
    assert seen["capabilities"] == 0
    assert seen["no_new_privileges"] == "1"
    assert seen["input"] == "model"


def test_T05_a_child_is_held_to_limits_that_it_cannot_raise_and_goes_first_where_memory_ends(ground: Path) -> None:
    (ground / "model.onnx").write_text("model")
    request = {"model": str(ground / "model.onnx"), "beside": []}
    seen = attack(ground, "tell_who_it_is", request, memory_bytes=1 << 30)
    most = {"DATA": 1 << 30, "FSIZE": os.statvfs(ground).f_blocks * os.statvfs(ground).f_frsize}
    most |= {"NOFILE": 4096, "NPROC": 16384}
    limits = {name: (soft, hard) for name, (soft, hard) in seen["limits"].items()}
    assert {name: 0 < soft == hard <= most[name] for name, (soft, hard) in limits.items()} == dict.fromkeys(most, True)
    assert seen["goes_first"] == 1000
    assert seen["mode"] == 0o600


def test_T05_F23_a_root_step_has_children_that_are_nobody_and_end_with_it(ground: Path) -> None:
    """The interpreter of the tests may lie where only root can read; the system's serves then."""
    (ground / "model.onnx").write_text("model")
    nobody = Identity(NOBODY, NOBODY, ())
    interpreter = sys.executable if may_read(Path(sys.executable), nobody) else "/usr/bin/python3"
    script = textwrap.dedent(
        f"""
        import json, threading
        from pathlib import Path
        from pipeline.child.supervisor import run_task
        from tests.support.hostile_tasks import PR_GET_DUMPABLE, TASKS
        ground = Path({str(ground)!r})
        folder = ground / "scratch"
        folder.mkdir()
        request = {{"model": str(ground / "model.onnx"), "beside": []}}
        seen = run_task("tell_who_it_is", request, folder, timeout_s=60, cancel=threading.Event(), log=ground / "log",
                        _tasks=TASKS)
        print(json.dumps(seen["uid"] + seen["gid"] + seen["groups"]), (folder / "mine").stat().st_uid)
        print(seen["death_signal"])
        """
    )
    told = subprocess.run([interpreter, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    expected = [NOBODY] * 6 if os.geteuid() == 0 else [*os.getresuid(), *os.getresgid(), *os.getgroups()]
    assert told.splitlines() == [f"{expected} {os.geteuid()}", str(int(signal.SIGKILL))]


def test_T05_a_model_that_nobody_may_read_is_read_all_the_same(ground: Path) -> None:
    model = ground / "private" / "model.onnx"
    model.parent.mkdir(mode=0o700)
    model.write_text("model")
    model.chmod(0o600)
    seen = attack(ground, "tell_who_it_is", {"model": str(model), "beside": []})
    assert (seen["input"], seen["capabilities"]) == ("model", 0)


def test_T05_a_program_that_a_child_may_start_sees_its_own_process_and_nobody_elses_secrets(
    ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PROGRAM_TASKS", frozenset({"read_by_a_program"}))
    (ground / "secret").write_text(CANARY)
    assert attack(ground, "read_by_a_program", {"targets": [str(ground / "secret")]}) == {"read": ["/proc/self/maps"]}


def test_T05_T08_once_a_child_ran_no_process_of_the_same_user_reads_the_parents_environment(ground: Path) -> None:
    """Where the kernel has no Landlock, nothing else keeps a child from it that could not be given another user."""
    prctl(PR_SET_DUMPABLE, 1)
    assert attack(ground, "start_threads")
    assert ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, *[ctypes.c_ulong(0)] * 4) == 0


@pytest.fixture
def core_files_allowed() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.usefixtures("core_files_allowed")
def test_T05_T08_a_child_that_crashes_leaves_no_core_file(ground: Path) -> None:
    """Its own limit holds where the kernel writes files, that it is not dumpable also where a program takes them."""
    (ground / "model.onnx").write_text("model")
    seen = attack(ground, "tell_who_it_is", {"model": str(ground / "model.onnx"), "beside": []})
    assert (seen["core_bytes"], seen["dumpable"]) == ([0, 0], 0)


def test_T05_native_libraries_have_their_threads(ground: Path) -> None:
    assert attack(ground, "start_threads") == {"threads": 64}


def test_T05_a_child_that_fills_the_disk_is_ended(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "_SHARE_OF_DISK", 1e-4)
    with pytest.raises(BuildError, match="filled the disk") as caught:
        attack(ground, "fill_the_disk")
    assert "TMPDIR" in caught.value.fix


def test_T05_one_endless_file_is_cut_by_the_kernel(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "_SHARE_OF_DISK", 1e-5)
    with pytest.raises(BuildError, match="the disk is full"):
        attack(ground, "overflow_one_file")


@pytest.mark.parametrize("wait_s", [0.0, 60.0], ids=["at its end", "while it runs"])
def test_T05_folders_within_folders_are_neither_walked_to_their_end_nor_left(ground: Path, wait_s: float) -> None:
    with pytest.raises(BuildError, match=r"left what cannot be used|was ended and") as caught:
        attack(ground, "nest_folders", {"depth": 3000, "wait_s": wait_s})
    assert "more than 64 deep" in caught.value.why
    assert [path.name for path in (ground / "scratch").rglob("*")] == ["nest_folders"]


def test_T05_folders_that_no_task_needs_deeper_are_taken_over(ground: Path) -> None:
    assert attack(ground, "nest_folders", {"depth": 60, "wait_s": 0.0}) == {}
    assert len(list((ground / "scratch/nest_folders").rglob("file"))) == 60


def test_T05_a_second_name_for_a_file_is_not_taken_over(ground: Path) -> None:
    with pytest.raises(BuildError, match="is not a plain file"):
        attack(ground, "leave_a_link")


def test_T05_an_unconfined_childs_pipe_is_not_opened(ground: Path) -> None:
    """Where the kernel has no Landlock, nothing keeps a child from making one, and opening it would wait for ever."""
    folder = ground / "left"
    folder.mkdir()
    os.mkfifo(folder / "engine.plan")
    with pytest.raises(TrapError, match="not a plain file"):
        take_over(folder)
