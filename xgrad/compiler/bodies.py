"""Bodies of scans: the same program gives the same object, however often it is traced."""

from __future__ import annotations

import warnings

from ..core.recording import source_line
from .caches import Cache
from .ir import Body
from .keys import exact
from .trace import Traced, Tracer
from .variables import Var

BODIES = Cache(1024)
#: How many bodies may differ only in numbers before the user is warned.
ALIKE = 32
_alike: dict[int, set[int]] = {}


def body_of(traced: Traced, carries: int) -> Body:
    """Return the body of a traced scan: the same object for the same program."""

    def make() -> Body:
        _count_alike(traced.tracer)
        return Body(traced.program(), carries, len(traced.inputs) - carries)

    body: Body = BODIES.get((carries, traced.key()), make)
    return body


def _count_alike(tracer: Tracer) -> None:
    """Warn when many bodies differ only in Python numbers.

    Each of them is optimised, and perhaps compiled, separately.
    """
    lines = tuple(
        (op.name, tuple([r.index if type(r) is Var else type(r) for r in refs]))
        for op, refs, _, _, _ in tracer.written
    )
    key = hash((lines, tuple((v.shape, v.dtype) for v in tracer.everything_read())))
    numbers = hash(
        tuple([exact(r) for _, refs, _, _, _ in tracer.written for r in refs if type(r) is not Var])
    )
    if len(_alike) > 4096:
        _alike.clear()
    found = _alike.setdefault(key, set())
    if numbers in found or len(found) >= ALIKE:
        return
    found.add(numbers)
    if len(found) == ALIKE:
        file, _, line = source_line().rpartition(":")
        message = (
            f"scan has compiled {ALIKE} programs for this body that differ only in Python numbers, and "
            f"each takes a while: pass the numbers as arrays, xg.asarray(number)"
        )
        warnings.warn_explicit(message, UserWarning, file or "?", int(line) if line.isdecimal() else 0)
