"""Run as a program: whole runs, one after another, each with faults drawn from a seed, and what must hold after each.

    python -m tests.support.soak RUNS SEED [--without-bucket]

The digits example with the real step, its children giving again what the real tasks gave once. Caches are a folder, a
real S3 server behind a proxy that answers wrongly, and one before the other. Some runs write the comment of the only
pull request, on a GitHub of the tests' own that answers wrongly too. Ends with 1 where anything did not hold,
and with 2 where there is no server to test with and ``--without-bucket`` was not given.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from pipeline.digest import digest_from_file
from tests.support.ceph import CephMissing, Gateway, running_gateway
from tests.support.fake_github import TOKEN, FakeGitHub
from tests.support.fake_host import Fault as HostFault
from tests.support.fault_tasks import OUTCOME
from tests.support.faulty_proxy import Fault, FaultyProxy, Request
from tests.support.faulty_step import MANIFEST, plan_file, run_step_in, start_step
from tests.support.publications import github_environment
from tests.support.s3_places import BUCKET
from tests.support.soak_cache import SCOPE, SECRET, SoakCache
from tests.support.soak_invariants import Aftermath, violations_of
from tests.support.soak_schedule import PLACES, STORE_FAULTS, Plan, plan_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.digest import Digest

PR_SET_CHILD_SUBREAPER = 36
CANARIES = {
    "GITHUB_TOKEN": "canary-of-github-7f3a9b2c1d5e",
    "ACTIONS_RUNTIME_TOKEN": "canary-of-the-runner-8e4b0c3d2f6a",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "canary-of-oidc-9d5c1e4f3a7b",
    "TRT_ENGINE_CACHE_SECRET": SECRET,
}
_TIMEOUT_S = 120.0
_SWEEPABLE_S = 1.1
_CANCEL_S = 5.0
_SHARE_OF_RECORDING = 0.5
"""What a cancelled run may take of the time that the example took with the real tasks, where that is more."""


class Soak:
    """The work folder, the caches and the servers of one soak."""

    def __init__(self, folder: Path, host: FakeGitHub, gateway: Gateway | None, proxy: FaultyProxy | None) -> None:
        self._folder = folder
        self._host = host
        self._gateway = gateway
        self._proxy = proxy
        self._recordings = folder / "recordings"
        self._recordings.mkdir()
        self._before = set(_children())
        url = gateway.endpoint_url if gateway else None
        self._caches = {
            "folder": SoakCache(folder / "cache", None),
            "bucket": SoakCache(None, url, "soak"),
            "folder and bucket": SoakCache(folder / "near", url, "soak-tiered"),
        }
        begun = time.monotonic()
        self._handed = folder / "handed"
        self._genuine = self._record()
        self._handed_before = frozenset(digest for _, digest in self._handed_to_children())
        self._patience_s = max(_CANCEL_S, _SHARE_OF_RECORDING * (time.monotonic() - begun))

    def run(self, plan: Plan) -> tuple[Aftermath, tuple[str, ...]]:
        """Carry ``plan`` out; the aftermath, and what does not hold."""
        draw, cache = random.Random(plan.seed), self._caches[plan.place]
        if plan.fresh_cache:
            cache.clear()
        for damage in plan.damages:
            cache.spoil(damage, draw, self._folder / "forged")
        damaged_before, staged_before = cache.damaged(), cache.staged()
        work = self._folder / "work"
        shutil.rmtree(work / "engines", ignore_errors=True)
        if self._proxy is not None:
            self._proxy.script = _script(draw, plan.store_fault_share)
        limit = () if plan.time_limit_s is None else ("--time-limit-s", f"{plan.time_limit_s:.2f}")
        self._host.faults = [HostFault(**fault) for fault in plan.host_faults]
        options = ("--only", plan.only, "--workers", "3", *limit)
        process = self._start(work, cache, *options, faults=plan.faults, publishes=plan.publishes)
        said, elapsed_s = _ended(process, plan)
        processes = self._left()
        if self._proxy is not None:
            self._proxy.script = lambda _request: None
        after = Aftermath(
            plan=plan,
            exit_code=process.returncode,
            said=said,
            folder=work,
            cache_folder=cache.folder,
            genuine=self._genuine,
            handed_before=self._handed_before,
            handed=self._handed_to_children(),
            damaged_before=damaged_before,
            damaged=cache.damaged(),
            staged_before=staged_before,
            staged=cache.staged(),
            processes=processes,
            elapsed_s=elapsed_s,
            patience_s=self._patience_s,
            canaries=(*CANARIES.values(), TOKEN),
            comments=tuple(self._host.own_bodies),
        )
        found = violations_of(after)
        if after.killed:
            time.sleep(_SWEEPABLE_S)
        return after, found

    def heal(self) -> tuple[str, ...]:
        """Run without faults on every cache: all must pass, and no damage may stay. What does not hold."""
        found: list[str] = []
        for place in PLACES if self._gateway else PLACES[:1]:
            work, cache = self._folder / "work", self._caches[place]
            process = self._start(work, cache, "--workers", "3")
            stdout, stderr = process.communicate(timeout=_TIMEOUT_S)
            if process.returncode:
                found.append(f"{place}: a run without faults ends with {process.returncode}: {stdout}{stderr}")
            found += [f"{place}: {entry} stays damaged" for entry in sorted(cache.damaged()) if "engine" in entry]
        return tuple(found)

    def _start(
        self, work: Path, cache: SoakCache, *arguments: str, faults: Any = (), publishes: bool = False
    ) -> subprocess.Popen[str]:
        place = cache.text(self._proxy.endpoint_url if self._proxy else None)
        options: tuple[str, ...] = ("--manifest", str(MANIFEST), "--cache", place, "--cache-scope", SCOPE)
        keys = self._gateway.environment() if self._gateway else {}
        environment = {**CANARIES, **keys, "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "2"}
        if publishes:
            environment |= github_environment(self._host, self._folder)
            arguments = (*arguments, "--publish")
        work.mkdir(exist_ok=True)
        return start_step(
            work,
            "run",
            *options,
            *arguments,
            faults=faults,
            recordings=self._recordings,
            handed=self._handed,
            environment=environment,
        )

    def _record(self) -> Mapping[str, Digest]:
        """Let the real tasks do their work once; job id -> digest of its engine."""
        work = self._folder / "recording"
        work.mkdir()
        done = run_step_in(
            work, "run", "--manifest", str(MANIFEST), recordings=self._recordings, handed=self._handed, timeout_s=300
        )
        if done.returncode:
            raise RuntimeError(f"the example cannot be built: {done.stdout}{done.stderr}")
        assert list(self._recordings.glob(f"*/{OUTCOME}"))
        engines = (work / "engines").glob("*/*/*.engine")
        return {
            "/".join(path.relative_to(work / "engines").with_suffix("").parts): digest_from_file(path)
            for path in engines
        }

    def _handed_to_children(self) -> tuple[tuple[str, str], ...]:
        """Path and digest of each file that children were given since this was asked last."""
        if not self._handed.exists():
            return ()
        lines = self._handed.read_text().splitlines()
        self._handed.unlink()
        return tuple((path, digest) for path, digest in map(json.loads, lines))

    def _left(self) -> tuple[str, ...]:
        """What still runs of a run that ended, after a moment; it is ended then, by its number."""
        deadline = time.monotonic() + self._patience_s
        while (left := [pid for pid in _children() if pid not in self._before]) and time.monotonic() < deadline:
            _reap(left)
            time.sleep(0.02)
        told = tuple(f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes()!r:.200}" for pid in left)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        _reap(left)
        return told


def _ended(process: subprocess.Popen[str], plan: Plan) -> tuple[str, float]:
    """What it printed to its end, and the seconds from the first signal to that."""
    asked = time.monotonic()
    if plan.signals:
        begun = plan_file(process)
        while begun.exists() and process.poll() is None:
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(plan.after_s)
        asked = time.monotonic()
        for number in plan.signals:
            process.send_signal(number)
            time.sleep(0.2)
    stdout, stderr = process.communicate(timeout=_TIMEOUT_S)
    return stdout + stderr, time.monotonic() - asked


def _script(draw: random.Random, share: float) -> Any:
    def script(_request: Request) -> Fault | None:
        return Fault(**draw.choice(STORE_FAULTS)) if draw.random() < share else None

    return script


def _children() -> list[int]:
    """Living children of this process, which orphans are given to, and zombies, which must be reaped."""
    return [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]


def _reap(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


@contextlib.contextmanager
def _server(folder: Path, *, without: bool) -> Iterator[tuple[Gateway | None, FaultyProxy | None]]:
    if without:
        yield None, None
        return
    with running_gateway(folder) as gateway, FaultyProxy(gateway.endpoint_url).running() as proxy:
        os.environ.update(gateway.environment(), AWS_EC2_METADATA_DISABLED="true")
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield gateway, proxy


def main(arguments: list[str] | None = None) -> int:
    """Soak, print what happened, and say whether everything held."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Whole runs with random faults.")
    parser.add_argument("runs", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--without-bucket", action="store_true", help="caches in a folder alone")
    options = parser.parse_args(arguments)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    kinds: collections.Counter[str] = collections.Counter()
    ends: collections.Counter[int] = collections.Counter()
    wrong: list[str] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak") as folder, contextlib.ExitStack() as opened:
        try:
            server = opened.enter_context(_server(Path(folder) / "rgw", without=options.without_bucket))
        except CephMissing as missing:
            print(f"soak: no S3 server to test with: {missing}", file=sys.stderr)
            return 2
        soak = Soak(Path(folder), opened.enter_context(FakeGitHub()), *server)
        for number in range(1, options.runs + 1):
            plan = plan_of(options.seed, number, with_bucket=server[0] is not None)
            after, found = soak.run(plan)
            kinds.update(plan.kinds)
            ends[after.exit_code] += 1
            for text in found:
                wrong.append(f"run {number}: {text}")
                print(f"{wrong[-1]}\n  {plan}", flush=True)
            if number % 25 == 0:
                print(f"{number} runs in {time.monotonic() - started:.0f} s, {len(wrong)} violations", flush=True)
        wrong += soak.heal()
    elapsed_s = time.monotonic() - started
    print(f"{options.runs} runs with seed {options.seed} in {elapsed_s:.0f} s")
    print("faults: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    print("exit codes: " + ", ".join(f"{count} with {code}" for code, count in sorted(ends.items())))
    print(f"{len(wrong)} violations", *wrong, sep="\n  ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
