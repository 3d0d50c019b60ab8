"""How long a plan of many cached jobs takes to look up its receipts in S3, and how many requests that is.

    python -m benchmarks.s3_lookups [--jobs 300] [--rounds 5] [--threads 32] [--endpoint URL]

The server is a Ceph gateway on loopback. Every round uses a new client, as a run does, and every look-up must be a hit.
Requests are counted where they are sent.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.cache.answers import Hit
from pipeline.cache.content import ContentCache
from pipeline.cache.s3_address import S3Address
from pipeline.cache.s3_bucket import S3Bucket, make_s3_client
from pipeline.cache.s3_store import S3Store
from pipeline.keys import Key, key_from_ingredients
from tests.support.ceph import SECRET, USER, Gateway, running_gateway

_BUCKET = "benchmark"
_SUBJECT = "model/sm_89/int8"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300, help="how many receipts are looked up")
    parser.add_argument("--rounds", type=int, default=5, help="how often")
    parser.add_argument("--threads", type=int, default=32, help="how many ask at once")
    parser.add_argument("--endpoint", default=None, help="a gateway that runs already, see tests/support/ceph.py")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="s3b") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        running = (
            Gateway(options.endpoint, USER, SECRET)
            if options.endpoint
            else stack.enter_context(running_gateway(folder / "rgw"))
        )
        os.environ.update(running.environment())
        make_s3_client(S3Address(bucket=_BUCKET)).create_bucket(Bucket=_BUCKET)
        _measure(folder, options.jobs, options.rounds, options.threads)


def _measure(folder: Path, jobs: int, rounds: int, threads: int) -> None:
    address = S3Address(bucket=_BUCKET, prefix=secrets.token_hex(8))
    keys = [
        key_from_ingredients("engine", {f"ingredient.{i}": f"{number} {i}" for i in range(30)})
        for number in range(jobs)
    ]
    plan = folder / "engine.plan"
    plan.write_bytes(b"plan" * 1000)
    with ThreadPoolExecutor(threads) as pool:
        cache = ContentCache(S3Store(S3Bucket(address), "trusted"))
        list(pool.map(lambda key: cache.commit(key, _SUBJECT, {"engine.plan": plan}, {"duration_s": 1}), keys))
    taken_s, sent = [], Counter[str]()
    for _ in range(rounds):
        sent.clear()
        started_s = time.perf_counter()
        _look_up(S3Bucket(address, make_client=lambda at: _counting_client(at, sent)), keys, threads)
        taken_s.append(time.perf_counter() - started_s)
    print(f"{jobs} look-ups, {threads} at once, with a new client each round")
    print(
        f"seconds   best {min(taken_s):.2f}, worst {max(taken_s):.2f}  ({', '.join(f'{each:.2f}' for each in taken_s)})"
    )
    print(f"requests  {dict(sent)}")


def _look_up(bucket: S3Bucket, keys: list[Key], threads: int) -> None:
    cache = ContentCache(S3Store(bucket, "trusted"))
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda key: cache.lookup(key, _SUBJECT), keys))
    assert all(isinstance(each, Hit) for each in found), cache.trouble


def _counting_client(address: S3Address, sent: Counter[str]) -> Any:
    client = make_s3_client(address)

    def count(event_name: str, **_details: Any) -> None:
        sent[event_name.rpartition(".")[2]] += 1

    client.meta.events.register("before-send.s3", count)
    return client


if __name__ == "__main__":
    main()
