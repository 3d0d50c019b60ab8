"""How fast ``digest_from_file`` hashes a large file, against ``openssl dgst -sha256`` of the same file.

    python -m benchmarks.hash_throughput [--gibibytes 2] [--rounds 3] [--folder FOLDER]

Both read the file from the page cache, in turn; the best of the rounds counts, since noise only ever adds time.
The file holds one random block over and over, so it has no holes. Prints the two rates, their ratio, and how much a
fresh process grew while it hashed.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.digest import digest_from_file

_BLOCK_BYTES = 1 << 24


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gibibytes", type=float, default=2.0, help="size of the file")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is run")
    parser.add_argument("--folder", type=Path, default=None, help="where the file is put for the time being")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "model"
        size_bytes = _write_file(path, int(options.gibibytes * (1 << 30)))
        growth_kib = _growth_kib(path)  # This also brings the file into the page cache.
        ours_s, openssl_s = _measure(path, options.rounds)
    print(f"file        {size_bytes / (1 << 30):.2f} GiB")
    print(f"ours        {size_bytes / ours_s / 1e6:7.0f} MB/s  ({ours_s:.3f} s)")
    print(f"openssl     {size_bytes / openssl_s / 1e6:7.0f} MB/s  ({openssl_s:.3f} s)")
    print(f"ratio       {openssl_s / ours_s:7.3f}  (ours / openssl, more is better)")
    print(f"peak memory grew by {growth_kib / 1024:.1f} MiB while hashing")


def _write_file(path: Path, size_bytes: int) -> int:
    block = random.Random(0).randbytes(_BLOCK_BYTES)
    with path.open("wb") as file:
        for _ in range(size_bytes // _BLOCK_BYTES):
            file.write(block)
    return path.stat().st_size


def _growth_kib(path: Path) -> int:
    """By how much hashing raises the peak memory of a fresh process, in KiB (``VmHWM``, proc(5))."""
    code = (
        "import re, sys; from pathlib import Path; from pipeline.digest import digest_from_file\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "before = peak(); digest_from_file(Path(sys.argv[1])); print(peak() - before)"
    )
    return int(subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True).stdout)


def _measure(path: Path, rounds: int) -> tuple[float, float]:
    """Best seconds of ours and of OpenSSL."""
    ours_s, openssl_s = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        digest = digest_from_file(path)
        ours_s.append(time.perf_counter() - start)
        start = time.perf_counter()
        command = ["openssl", "dgst", "-sha256", "-r", str(path)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        openssl_s.append(time.perf_counter() - start)
        assert printed.split()[0] == digest.hex
    return min(ours_s), min(openssl_s)


if __name__ == "__main__":
    main()
