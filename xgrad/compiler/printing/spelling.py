"""Names and parameters as text that cannot be anything else: identifiers, literals, and what stands on one
line.

Names of variables, Tensors, gates and ops are whatever their users like. In the text of a program they are
written by these functions alone, so that a name with a quote or a line break in it is a name still, and not
code.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Callable
from math import copysign, isfinite
from typing import Any

from ...ops import OPS

#: Characters of a name that are shown, and those that an identifier is made of.
SHOWN, WRITTEN = 200, 60

_PATH = re.compile(r"""(?:\[(?:-?\d+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\])+""")


def is_identifier(name: str) -> bool:
    """Whether Python reads it as this very name: it takes some letters for others that look alike."""
    plain = name.isidentifier() and not keyword.iskeyword(name) and name != "__debug__"
    return plain and len(name) <= WRITTEN and unicodedata.normalize("NFKC", name) == name


def identifier(name: str, otherwise: str = "v") -> str:
    """A name as an identifier, which begins with `otherwise` where nothing else is left of it.

    Different names may have the same.
    """
    if is_identifier(name):
        return name
    stem = (
        re.sub(r"\W+", "_", unicodedata.normalize("NFKC", name[: 4 * WRITTEN]))
        .strip("_")[:WRITTEN]
        .strip("_")
    )
    for found in (
        stem,
        f"{otherwise}{stem}",
        re.sub(r"\W+", "_", f"{otherwise}{stem}", flags=re.ASCII).strip("_"),
    ):
        if is_identifier(found):
            return found
    return f"{otherwise}_{sum(map(ord, name)) % 1000}"


def expression_name(name: str) -> str:
    """A name that may stand in an expression: an identifier, with the path to a part of it, as
    `params['W'][0]`."""
    stem, bracket, rest = name.partition("[")
    if (
        bracket
        and is_identifier(stem)
        and len(name) <= SHOWN
        and name.isprintable()
        and _PATH.fullmatch(bracket + rest)
    ):
        return name
    return identifier(name)


def called(op: str) -> str:
    """An op as it is called: the library's own by their names, others by an identifier, which may have dots
    in it."""
    own = op in OPS and not OPS[op].listing.registered
    dotted = len(op) <= SHOWN and all(map(is_identifier, op.split(".")))
    return op if own or dotted else identifier(op, "op")


def gate_called(name: str) -> str:
    """A gate of the user's own as it is called, told apart from the op of the table that has its name."""
    return f"{identifier(name, 'op')}_gate" if name in OPS else identifier(name, "op")


def shown(text: str) -> str:
    """Text on one line, for listings and comments: what is not printed, as a line break, is written as its
    escape."""
    text = str(text)
    if len(text) > SHOWN:
        text = f"{text[:SHOWN]}..."
    return text if text.isprintable() else "".join(map(_escaped, text))


def quoted(text: str) -> str:
    """A Python string in double quotes, as the notes write ops."""
    return f'"{"".join(_ESCAPES.get(c) or _escaped(c) for c in text)}"'


_ESCAPES = {'"': '\\"', "\\": "\\\\"}


def _escaped(c: str) -> str:
    return c if c.isprintable() else repr(c)[1:-1]


def number(v: Any) -> str:
    """A number as Python reads it again. Raises TypeError for what is none."""
    v = _plain(v)
    if isinstance(v, complex):  # `1-0j` is a difference to Python, which loses the sign of the zero
        exact = all(isfinite(part) and (part or copysign(1, part) > 0) for part in (v.real, v.imag))
        return repr(v) if exact else f"complex({number(v.real)}, {number(v.imag)})"
    if isinstance(v, float) and (v != v or v in (float("inf"), -float("inf"))):
        return f"float({str(v)!r})"
    if type(v) not in (bool, int, float):
        raise TypeError(f"{shown(repr(v))} is not a number")
    return repr(v)


def literal(v: Any, otherwise: Callable[[Any], str] | None = None) -> str:
    """A parameter's value as Python reads it again; dtypes and devices by their names.

    Raises TypeError for a value that has no such text, unless `otherwise` makes one.
    """
    v = _plain(v)
    if v is ...:
        return "..."
    if v is None or type(v) is str:
        return repr(v)
    if type(v) in (tuple, list):
        parts = ", ".join(literal(part, otherwise) for part in v)
        return f"[{parts}]" if type(v) is list else f"({parts}{',' * (len(v) == 1)})"
    if type(v) is slice:
        return f"slice({', '.join(literal(part, otherwise) for part in (v.start, v.stop, v.step))})"
    if hasattr(v, "kind") and hasattr(v, "name"):
        return repr(str(v.name))
    try:
        return number(v)
    except TypeError:
        if otherwise is not None:
            return otherwise(v)
        raise TypeError(f"{shown(repr(v))} cannot be written as Python text") from None


def _plain(v: Any) -> Any:
    """Numbers and strings of NumPy and of subclasses as Python's own, which are written without their
    class."""
    if getattr(v, "shape", None) == () and hasattr(v, "item"):
        v = v.item()
    kinds: tuple[Any, ...] = (bool, int, float, complex, str)
    return v if type(v) in kinds else next((kind(v) for kind in kinds if isinstance(v, kind)), v)
