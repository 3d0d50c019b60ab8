"""Processes that store in S3 and are killed; run as a module with a task and its arguments.

The parent of the killed ones imports everything once and forks, so that two hundred deaths take little time.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pipeline.cache.content import ContentCache
from pipeline.cache.s3_address import S3Address
from pipeline.cache.s3_bucket import S3Bucket, make_s3_client
from pipeline.cache.s3_store import S3Store
from pipeline.keys import Key, key_from_ingredients
from tests.support.s3_places import BUCKET

_REPOSITORY = Path(__file__).parents[2]
_PLAN_BYTES = (17 << 20) + 1


def start(task: str, *arguments: object) -> subprocess.Popen[str]:
    """Start ``task`` in a process of its own, with this process's environment."""
    command = [sys.executable, "-m", "tests.support.s3_processes", task, *map(str, arguments)]
    return subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a task printed; fails with its stderr when it did not end well."""
    stdout, stderr = process.communicate(timeout=250)
    assert process.returncode == 0, stderr
    result: dict[str, Any] = json.loads(stdout)
    return result


def entry_key(number: int) -> Key:
    """The key of the ``number``-th entry."""
    return key_from_ingredients("engine", {"number": number})


def write_files(folder: Path, number: int) -> dict[str, Path]:
    """An engine that is sent in three parts, of other bytes for each number, and an outcome."""
    files = {name: folder / f"{number}-{name}" for name in ("engine.plan", "outcome.json")}
    files["engine.plan"].write_bytes(random.Random(number).randbytes(1 << 10) * (_PLAN_BYTES >> 10))
    files["outcome.json"].write_text(f'{{"number": {number}}}')
    return files


def die_often(prefix: str, first: str, count: str) -> dict[str, Any]:
    """Commit ``count`` entries, each in a process that is killed at another moment; says how each ended.

    Half of them die just before a request is sent, the others at a random moment, mostly within one.
    """
    address = S3Address(bucket=BUCKET, prefix=prefix)
    ends = []
    with tempfile.TemporaryDirectory() as folder:
        make_s3_client(address).close()
        for number in range(int(first), int(first) + int(count)):
            files = write_files(Path(folder), number)
            child = os.fork()
            if child == 0:
                _commit_and_die(address, number, files)
            if number % 2:
                time.sleep(random.Random(number).uniform(0.02, 0.5))
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            ends.append(-status if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
            for path in files.values():
                path.unlink()
    return {"ends": ends}


def _commit_and_die(address: S3Address, number: int, files: dict[str, Path]) -> None:
    """Commit; an even number dies before its request number ``number / 2 % 10``."""
    lock, left = threading.Lock(), [number // 2 % 10 + 1]

    def before_send(**_details: Any) -> None:
        with lock:
            left[0] -= 1
            if number % 2 == 0 and left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def make_client(address: S3Address) -> Any:
        client = make_s3_client(address)
        client.meta.events.register("before-send.s3", before_send)
        return client

    try:
        store = S3Store(S3Bucket(address, make_client=make_client), "trusted")
        ContentCache(store).commit(entry_key(number), "subject", files, {})
    finally:
        os._exit(0)


def commit_at_once(prefix: str, start_file: str, name: str) -> dict[str, Any]:
    """Commit other bytes than the other processes do under one key, at the same moment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "engine.plan"
        path.write_text(f"plan of {name} " * 1000)
        cache = ContentCache(S3Store(S3Bucket(S3Address(bucket=BUCKET, prefix=prefix)), "trusted"))
        cache.lookup(entry_key(0), "subject")
        while not Path(start_file).exists():
            time.sleep(0.001)
        committed = cache.commit(entry_key(0), "subject", {"engine.plan": path}, {})
    return {"outcome": committed.outcome.value, "digest": str(committed.receipt.blobs[0].digest)}


_TASKS = {task.__name__: task for task in (die_often, commit_at_once)}

if __name__ == "__main__":
    print(json.dumps(_TASKS[sys.argv[1]](*sys.argv[2:])))
