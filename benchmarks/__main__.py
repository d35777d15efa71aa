"""The command `python benchmarks`; command_line.py says what it does."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # `python benchmarks` has this folder on the path, where the package `benchmarks` cannot be found.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from benchmarks.command_line import main

    sys.exit(main(sys.argv[1:]))
