"""`python -m xgrad draw FILE.py:NAME`: draw what a file defines."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import runpy
import sys
from pathlib import Path
from typing import Any

from ..namespace import asarray, float64
from ..random import default_rng
from .drawing import Drawing, draw

HELP = """
draw a function of a file, run on example arguments; or a module, a Program or a Tensor that the file defines

  python -m xgrad draw neuron.py:neuron "[2.0, -3.0, -3.0]" "[-1.0, -2.0]"
  python -m xgrad draw cell.py:cell 6x6 6x4 6x 4x -o cell.svg

An argument is a Python literal, where a list of numbers is an array; or a shape such as 6x4 or 6x, for normal
random numbers from seed 0.
Parameters with a default need no argument.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("what", metavar="FILE.py:NAME")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT")
    parser.add_argument("-o", "--output", help="a .html (default), .svg, .png or .dot file")
    parser.add_argument(
        "--open", action="append", default=[], metavar="GROUP", help="a group to open, such as 't = 3'"
    )
    parser.add_argument("--depth", type=int, default=0, help="how many levels of groups are open (default 0)")


def run(given: argparse.Namespace) -> str:
    """Draw, save, and return what was written as text. Raises SystemExit for a wrong command line."""
    path, _, name = given.what.rpartition(":")
    if not path or not Path(path).is_file():
        raise SystemExit(f"python -m xgrad draw takes FILE.py:NAME, but there is no file {path or name!r}")
    sys.path.insert(0, str(Path(path).resolve().parent))  # as when Python runs the file
    names = runpy.run_path(path)
    if name not in names:
        public = [k for k, v in names.items() if callable(v) and not k.startswith("_")]
        raise SystemExit(f"{path} defines no {name!r}; it has {', '.join(public) or 'no function'}")
    f = names[name]
    if inspect.isfunction(f):
        _check(f, name, len(given.arguments))
    drawing = (
        f
        if isinstance(f, Drawing)
        else draw(f, *map(_argument, given.arguments), open=given.open, depth=given.depth)
    )
    output = given.output or f"{name}.html"
    drawing.save(output)
    notes = "".join(f"\n  note: {note}" for note in drawing.notes)
    return f"{output}: {drawing!r}{notes}"


def _check(f: Any, name: str, given: int) -> None:
    parameters = [
        p for p in inspect.signature(f).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.KEYWORD_ONLY)
    ]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if given < len(needed):
        raise SystemExit(
            f"{name}({', '.join(p.name for p in parameters)}) needs {len(needed)} arguments, not {given}: "
            f'write a literal such as "[1.0, 2.0]", or a shape such as 6x4, for each'
        )


def _argument(text: str) -> Any:
    """An argument: a shape, or a literal. Raises SystemExit for anything else."""
    if re.fullmatch(r"\d+(x\d+)+|\d+x", text):
        return default_rng(0).normal(size=tuple(int(n) for n in text.split("x") if n))
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        raise SystemExit(f"{text!r} is neither a Python literal nor a shape such as 6x4") from None
    if isinstance(value, list):
        return asarray(value, dtype=float64) if _numbers(value) else value
    return float(value) if type(value) is int else value


def _numbers(value: Any) -> bool:
    """Whether a list is a list of numbers, or of such lists, which is an array."""
    return type(value) in (int, float) or (isinstance(value, list) and all(map(_numbers, value)))
