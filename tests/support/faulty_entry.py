"""Run as a program: ``faulty_step`` behind the real front door, which is open for signals before all else."""

from __future__ import annotations

import sys

from entrypoint import start


def _run() -> int:
    from tests.support.faulty_step import step

    return step(*sys.argv[1:])


if __name__ == "__main__":
    sys.exit(start(_run))
