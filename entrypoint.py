"""The front door: reads the environment once, runs the command line, exits with its code."""

from __future__ import annotations

import os
import sys

from pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
