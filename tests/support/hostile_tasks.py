"""Tasks that do what an exploit in a model parser would try, for the tests of confinement. Standard library alone."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PR_GET_DUMPABLE = 3
PR_GET_PDEATHSIG = 2
LIMITS = ("DATA", "FSIZE", "NOFILE", "NPROC")
TASKS = {
    name: f"tests.support.hostile_tasks:{name}"
    for name in (
        "attempt", "build_or_attack", "fill_the_disk", "leave_a_link", "nest_folders", "overflow_one_file",
        "read_by_a_program", "start_a_program_and_hang", "start_threads", "tell_who_it_is",
    )
}  # fmt: skip


def attempt(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Try everything; each attempt by its name with what came of it: ``done``, or the error."""
    target = request["targets"]
    attempts: dict[str, Callable[[], object]] = {
        "read the parent's environment": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "read the first process's environment": lambda: Path("/proc/1/environ").read_bytes(),
        "list processes": lambda: list(Path("/proc").iterdir()),
        "read the token of the checkout": lambda: Path(target["token"]).read_bytes(),
        "read a secret beside the model": lambda: Path(target["secret"]).read_bytes(),
        "read passwords": lambda: Path("/etc/shadow").read_bytes(),
        "write the workspace": lambda: Path(target["workspace"], "planted").write_text("x"),
        "change the model": lambda: Path(request["model"]).write_text("x"),
        "remove the model": lambda: Path(request["model"]).unlink(),
        "write another child's folder": lambda: Path(target["neighbour"], "planted").write_text("x"),
        "read another child's folder": lambda: Path(target["neighbour"], "kept").read_bytes(),
        "write the temporary folder": lambda: Path("/tmp/planted-by-a-child").write_text("x"),
        "leave something in shared memory": lambda: Path("/dev/shm/planted-by-a-child").write_text("x"),
        "share memory by its number": lambda: _call("shmget", 0, 4096, 0o1600),
        "share a semaphore by its number": lambda: _call("semget", 0, 1, 0o1600),
        "leave messages in the kernel": lambda: _call("msgget", 0, 0o1600),
        "write a program": lambda: Path("/usr/local/bin/planted-by-a-child").write_text("x"),
        "connect to a daemon's socket": lambda: _connect(socket.AF_UNIX, target["socket"]),
        "send a daemon a datagram": lambda: _send(target["datagrams"]),
        "send a daemon a datagram from a pair": lambda: _send_from_pair(target["datagrams"]),
        "connect to loopback": lambda: _connect(socket.AF_INET, ("127.0.0.1", target["port"])),
        "open a datagram socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "open a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "talk to the kernel's network": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "start a process": _fork,
        "run a program": lambda: os.execv("/bin/sh", ["sh", "-c", "exit 0"]),
        "kill the parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
        "stop every process": lambda: os.kill(-1, signal.SIGSTOP),
        "leave the session": os.setsid,
        "trace the parent": lambda: _call("ptrace", 16, os.getppid(), 0, 0),
        "enter a user namespace": lambda: _call("unshare", 0x10000000),
        "mount a file system": lambda: _call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
        "become root": lambda: os.setresuid(0, 0, 0) if os.getuid() else _raise(PermissionError("it is, in name")),
        "make a device": lambda: os.mknod(folder / "device", 0o20600, os.makedev(1, 3)),
        "make a link": lambda: (folder / "link").symlink_to(target["secret"]),
        "make a pipe": lambda: os.mkfifo(folder / "pipe"),
        "raise its limits": _raise_limits,
    }
    came = {name: _outcome(tried) for name, tried in attempts.items()}
    return {
        "came": came,
        "environment": dict(os.environ),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
    }


def tell_who_it_is(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    (folder / "mine").write_text("x")
    return {
        "uid": os.getresuid(),
        "gid": os.getresgid(),
        "groups": os.getgroups(),
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16),
        "no_new_privileges": status["NoNewPrivs"],
        "input": Path(request["model"]).read_text(),
        "core_bytes": resource.getrlimit(resource.RLIMIT_CORE),
        "dumpable": ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, *[ctypes.c_ulong(0)] * 4),
        "limits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in LIMITS},
        "goes_first": int(Path("/proc/self/oom_score_adj").read_text()),
        "mode": (folder / "mine").stat().st_mode & 0o777,
        "death_signal": _death_signal(),
        "beside": sorted(path.name for path in map(Path, request["beside"]) if os.access(path, os.R_OK)),
    }


def read_by_a_program(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Whether ``cat`` can read each of the paths in ``request``, and two of processes'."""
    paths = [*request["targets"], "/proc/self/maps", f"/proc/{os.getppid()}/environ"]
    done = {path: subprocess.run(["cat", path], capture_output=True, check=False).returncode for path in paths}
    return {"read": [path for path, code in done.items() if code == 0]}


def start_a_program_and_hang(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    subprocess.Popen(["sleep", request["sleep_s"]])
    time.sleep(300)
    return {}


def fill_the_disk(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    block = bytes(1 << 16)  # no file may be cut by the kernel, whose limit goes by the free space too
    for number in range(1 << 20):
        (folder / str(number)).write_bytes(block)
        time.sleep(0.001)
    return {}


def overflow_one_file(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    with (folder / "engine.plan").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


def start_threads(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Threads are what native libraries need."""
    seen: list[int] = []
    threads = [threading.Thread(target=seen.append, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"threads": len(seen)}


def leave_a_link(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A hard link: it needs no right beyond the folder's, and names a file that was to stay as it is."""
    (folder / "one").write_text("x")
    os.link(folder / "one", folder / "engine.plan")
    return {"engine": "engine.plan"}


def nest_folders(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Folders within folders, each with a file, and none of them readable; then ``request["wait_s"]`` of sleep."""
    for top in (folder, Path(os.environ["HOME"])):
        os.chdir(top)
        for _ in range(request["depth"]):
            Path("file").write_text("x")
            Path("d").mkdir()
            os.chdir("d")
            Path("..").chmod(0o000)
    time.sleep(request["wait_s"])
    return {}


def build_or_attack(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Build as task ``build`` does, but for compute capability 8.6, where the child goes wrong as ``LC_ALL`` says."""
    if request["compute_capability"] != [8, 6]:
        from pipeline.build.worker import build_engine

        return build_engine(request, folder)
    wrong = os.environ["LC_ALL"]
    if wrong == "crash":
        os.abort()
    if wrong == "lie":
        (folder / "engine.plan").write_bytes(b"vtrt" + bytes(60))
    answers: dict[str, dict[str, Any]] = {
        "point outside": {"engine": "../../../../../../../../etc/passwd"},
        "answer a number": {"engine": 5},
        "answer nothing": {},
        "write no engine": _answer(1),
        "lie": _answer(1 << 40),
    }
    return answers[wrong]


def _answer(size_bytes: int) -> dict[str, Any]:
    header = {"magic": "vtrt", "version": "1.7.1.116", "size_bytes": size_bytes, "capability_mask": 127}
    return {
        "engine": "engine.plan", "size_bytes": size_bytes, "runtime_version": "1.7.1.116", "build_s": 1.0, "inputs": [],
        "outputs": [], "header": header, "warnings": [], "tactics": None,
    }  # fmt: skip


def _outcome(tried: Callable[[], object]) -> str:
    try:
        tried()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _connect(family: int, address: Any) -> None:
    with socket.socket(family) as connection:
        connection.settimeout(5)
        connection.connect(address)


def _send(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as loose:
        loose.sendto(b"x", address)


def _send_from_pair(address: str) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"x", address)


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def _death_signal() -> int:
    """What the kernel sends this process when its parent ends; 0 where nothing."""
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(number), *[ctypes.c_ulong(0)] * 3)
    return number.value


def _raise_limits() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError as error:
        raise PermissionError(str(error)) from None


def _raise(error: OSError) -> None:
    raise error
