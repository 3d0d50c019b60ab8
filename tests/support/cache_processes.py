"""What child processes do to a cache in the tests of races and crashes; run as a module with a task and its arguments.

Each task prints one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pipeline.cache.answers import Hit, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from pipeline.cache.pruning import prune
from pipeline.cache.receipt import bytes_from_receipt
from pipeline.keys import Key, key_from_ingredients

_REPOSITORY = Path(__file__).parents[2]


def start(task: str, *arguments: object) -> subprocess.Popen[str]:
    """Start ``task`` in a process of its own."""
    command = [sys.executable, "-m", "tests.support.cache_processes", task, *map(str, arguments)]
    return subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a task printed; fails with its stderr when it did not end well."""
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    result: dict[str, Any] = json.loads(stdout)
    return result


def entry_key(number: int = 0) -> Key:
    """The key that all tasks write to."""
    return key_from_ingredients("engine", {"number": number})


def write_files(folder: Path, text: str) -> dict[str, Path]:
    """Two files of an artefact, of some blocks each, whose bytes depend on ``text``."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("engine.plan", "outcome.json")}
    for name, path in files.items():
        path.write_text(f"{name} {text} " * 2000)
    return files


def commit_at_once(cache: str, start_file: str, name: str, threads: str) -> dict[str, Any]:
    """All threads commit other bytes under one key at the same moment, then fetch what stands."""
    store = LocalStore(Path(cache))
    barrier = threading.Barrier(int(threads))
    results: list[dict[str, Any]] = []

    def work(number: int) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            files = write_files(Path(scratch) / "in", f"{name}-{number}")
            content = ContentCache(store)
            while not Path(start_file).exists():
                time.sleep(0.001)
            barrier.wait(30)
            committed = content.commit(entry_key(), "subject", files, {"writer": f"{name}-{number}"})
            fetched = content.fetch(Hit(committed.receipt), Path(scratch) / "out")
            results.append(
                {
                    "outcome": committed.outcome.value,
                    "own_files": committed.own_files,
                    "receipt": bytes_from_receipt(committed.receipt).decode(),
                    "warnings": committed.warnings,
                    "fetched": [path.read_text() for path in fetched] if isinstance(fetched, tuple) else repr(fetched),
                }
            )

    workers = [threading.Thread(target=work, args=(number,)) for number in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"results": results}


def churn(cache: str, seed: str, duration_s: str) -> dict[str, Any]:
    """Look up, fetch, commit and prune the same few entries for a while; says how often each came out how.

    On a slow machine it goes on until it has both found and missed an entry.
    """
    content, counts = ContentCache(LocalStore(Path(cache))), {"hits": 0, "misses": 0, "rejected": 0, "failed": 0}
    deadline, number = time.monotonic() + float(duration_s), int(seed)
    with tempfile.TemporaryDirectory() as scratch:
        while time.monotonic() < deadline or not (counts["hits"] and counts["misses"]):
            number += 1
            key = entry_key(number % 5)
            found = content.lookup(key, "subject")
            got = content.fetch(found, Path(scratch) / "out") if isinstance(found, Hit) else found
            counts["hits"] += isinstance(got, tuple)
            counts["rejected"] += isinstance(got, Rejected)
            counts["failed"] += "failed" in getattr(got, "reason", "")
            if not isinstance(got, tuple):
                counts["misses"] += 1
                committed = content.commit(key, "subject", write_files(Path(scratch) / "in", f"{seed}-{number}"), {})
                counts["failed"] += any("failed" in warning for warning in committed.warnings)
            if number % 7 == 0:
                prune(LocalStore(Path(cache)), now_s=time.time(), keep_bytes=0, grace_s=0)
    return counts


def commit_and_die(cache: str, scratch: str, step: str) -> dict[str, Any]:
    """Commit, and be killed just before the ``step``-th thing that is done to the cache folder."""
    files = write_files(Path(scratch), f"step {step}")
    left = int(step)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event.startswith(("open", "os.")) and any(str(argument).startswith(cache) for argument in arguments):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    committed = ContentCache(LocalStore(Path(cache))).commit(entry_key(), "subject", files, {"duration_s": 1})
    return {"outcome": committed.outcome.value, "steps": int(step) - left}


def commit_with_little_space(cache: str, scratch: str, limit_bytes: str) -> dict[str, Any]:
    """Commit while no file may grow beyond ``limit_bytes``."""
    files = write_files(Path(scratch), "text")
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit_bytes), int(limit_bytes)))
    committed = ContentCache(LocalStore(Path(cache))).commit(entry_key(), "subject", files, {})
    return {"outcome": committed.outcome.value, "warnings": committed.warnings}


def commit_as_a_stranger(cache: str, scratch: str) -> dict[str, Any]:
    """Look up, fetch and commit as a user who owns nothing."""
    files = write_files(Path(scratch), "stranger")
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    content = ContentCache(LocalStore(Path(cache)))
    found = content.lookup(entry_key(), "subject")
    committed = content.commit(entry_key(), "subject", files, {})
    return {
        "found": type(found).__name__,
        "outcome": committed.outcome.value,
        "own_files": committed.own_files,
        "warnings": committed.warnings,
    }


_TASKS = {
    task.__name__: task
    for task in (commit_at_once, churn, commit_and_die, commit_with_little_space, commit_as_a_stranger)
}

if __name__ == "__main__":
    print(json.dumps(_TASKS[sys.argv[1]](*sys.argv[2:])))
