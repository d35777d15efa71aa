"""The command `python benchmarks`; see command_line.py."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # `python benchmarks` puts this folder on the path, from which the package `benchmarks` cannot be
    # imported.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from benchmarks.command_line import main

    sys.exit(main(sys.argv[1:]))
