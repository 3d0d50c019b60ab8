"""The front door: reads the environment once, runs the command line or the inputs, exits with the code."""

from __future__ import annotations

import os
import sys

from pipeline.action.step import run_step

if __name__ == "__main__":
    sys.exit(run_step(sys.argv[1:], os.environ))
