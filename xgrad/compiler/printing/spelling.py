"""Safe text for names and parameters: identifiers, literals, and single lines.

Users may give variables, Tensors, gates and ops any names. In the text of a program they are written only by
these functions, so that a name with a quote or a line break in it stays a name, and never becomes code.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Callable
from math import copysign, isfinite
from typing import Any

from ...ops import OPS

#: How many characters of a name are shown, and how many an identifier keeps.
SHOWN, WRITTEN = 200, 60

_PATH = re.compile(r"""(?:\[(?:-?\d+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\])+""")


def is_identifier(name: str) -> bool:
    """Whether Python reads it as exactly this name: it normalises some letters to lookalikes."""
    plain = name.isidentifier() and not keyword.iskeyword(name) and name != "__debug__"
    return plain and len(name) <= WRITTEN and unicodedata.normalize("NFKC", name) == name


def identifier(name: str, otherwise: str = "v") -> str:
    """Turn a name into an identifier, which starts with `otherwise` if nothing else is left of it.

    Different names may give the same identifier.
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
    """Turn a name into an expression: an identifier, with the path to a part, as in `params['W'][0]`."""
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
    """Write an op as it is called: library ops by name, others by an identifier, maybe with dots."""
    own = op in OPS and not OPS[op].listing.registered
    dotted = len(op) <= SHOWN and all(map(is_identifier, op.split(".")))
    return op if own or dotted else identifier(op, "op")


def gate_called(name: str) -> str:
    """Write a custom gate as it is called, distinct from a built-in op of the same name."""
    return f"{identifier(name, 'op')}_gate" if name in OPS else identifier(name, "op")


def shown(text: str) -> str:
    """Escape text for one line of a listing or comment: unprintable characters, such as line breaks."""
    text = str(text)
    if len(text) > SHOWN:
        text = f"{text[:SHOWN]}..."
    return text if text.isprintable() else "".join(map(_escaped, text))


def quoted(text: str) -> str:
    """Write a Python string in double quotes, as the notes write ops."""
    return f'"{"".join(_ESCAPES.get(c) or _escaped(c) for c in text)}"'


_ESCAPES = {'"': '\\"', "\\": "\\\\"}


def _escaped(c: str) -> str:
    return c if c.isprintable() else repr(c)[1:-1]


def number(v: Any) -> str:
    """Write a number so that Python reads it back exactly. Raises TypeError for other values."""
    v = _plain(v)
    if isinstance(v, complex):  # Python reads `1-0j` as a difference, which loses the sign of the zero
        exact = all(isfinite(part) and (part or copysign(1, part) > 0) for part in (v.real, v.imag))
        return repr(v) if exact else f"complex({number(v.real)}, {number(v.imag)})"
    if isinstance(v, float) and (v != v or v in (float("inf"), -float("inf"))):
        return f"float({str(v)!r})"
    if type(v) not in (bool, int, float):
        raise TypeError(f"{shown(repr(v))} is not a number")
    return repr(v)


def literal(v: Any, otherwise: Callable[[Any], str] | None = None) -> str:
    """Write a parameter's value so that Python reads it back; dtypes and devices by name.

    Raises TypeError for a value without such a text, unless `otherwise` returns one.
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
    """Convert NumPy's numbers and strings, and subclasses, to Python's own, written without a class."""
    if getattr(v, "shape", None) == () and hasattr(v, "item"):
        v = v.item()
    kinds: tuple[Any, ...] = (bool, int, float, complex, str)
    return v if type(v) in kinds else next((kind(v) for kind in kinds if isinstance(v, kind)), v)
