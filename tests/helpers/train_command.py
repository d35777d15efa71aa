"""`examples/train.py` as a command that runs in this process, on a small text."""

from __future__ import annotations

import sys

from .paths import EXAMPLES

#: Options of a run that takes a second.
SMALL = "--data text.txt --steps 12 --hidden 8 --embedding 4 --batch 4 --window 8 --validate-every 6".split()
SMALL += ["--sample", "20"]
sys.path.append(str(EXAMPLES))  # the modules that it imports have plain names


def train(*options: str) -> str:
    """Run the command; return the error message it ends with, if any."""
    import train

    try:
        train.main([*SMALL, *options])
    except SystemExit as end:
        return str(end.code)
    return ""
