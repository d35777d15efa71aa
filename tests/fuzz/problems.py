"""Random programs as data that can be shrunk.

A program is a list of instructions, each with a seed from which its op and operands are drawn. Every sublist
is a program too. Instructions without fitting operands are left out; the others keep their operands, because
these are chosen by the seeds of the values, not by their positions.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from . import CALLS
from .templates import CALL_WEIGHTS, WEIGHTS

LENGTHS = (0, 1, 1, 2, 2, 3, 3, 4, 5, 7)


class Step(NamedTuple):
    """One line, drawn from a family of templates."""

    family: str
    seed: int


class Scan(NamedTuple):
    """A loop: seeds for each carry, input and output, and the instructions of its body."""

    seed: int
    length: int
    flags: tuple[str, ...]
    carries: tuple[int, ...]
    xs: tuple[int, ...]
    ys: tuple[int, ...]
    body: tuple[Any, ...]


class Problem(NamedTuple):
    """A program: seeds for its arguments and captured Tensors, and its instructions."""

    seed: int
    length: int
    flags: tuple[str, ...]
    arguments: tuple[int, ...]
    captured: tuple[int, ...]
    body: tuple[Any, ...]
    outputs: int = 5


def generate(seed: int) -> Problem:
    """Return the program of a number; one in five is a recurrent cell.

    From CALLS on, programs have ops that are neither maps nor plain products, and there are no cells.
    """
    r = random.Random(seed)
    weights = WEIGHTS
    if seed >= CALLS:
        weights = CALL_WEIGHTS
    elif r.random() < 0.2:
        return _cell(r)
    flags = tuple(name for name, share in (("float32", 0.12), ("empty", 0.06)) if r.random() < share)
    if seed >= CALLS:
        flags = ("calls", *flags, *(("complex",) if r.random() < 0.15 else ()))
    length = r.choice(LENGTHS)
    body: list[Any] = _instructions(r, r.choice((0, 1, 2, 4)), 0, length, weights)
    body += [_scan(r, 1, length, weights) for _ in range(r.choice((1, 1, 1, 2)) if r.random() < 0.93 else 0)]
    body += _instructions(r, r.choice((0, 0, 1, 3)), 0, length, weights)
    count = r.choice((1, 2, 2, 3, 4))
    return Problem(
        _number(r), length, flags, _numbers(r, count), _numbers(r, r.choice((0, 0, 1, 2))), tuple(body)
    )


def _cell(r: random.Random) -> Problem:
    """Return a recurrent cell: rows of a batch through time, products with weights, and elementwise ops."""
    flags = ("cell", *(("float32",) if r.random() < 0.15 else ()))
    body = tuple(
        Step("cell" if r.random() < 0.8 else r.choice(("elementwise", "binary")), _number(r))
        for _ in range(r.choice((1, 2, 3, 5, 7)))
    )
    scan = Scan(
        _number(r),
        length := r.choice((1, 2, 3, 5)),
        tuple(
            name
            for name, share in (("reverse", 0.3), ("every", 0.05), ("checkpoint", 0.05))
            if r.random() < share
        ),
        _numbers(r, r.choice((1, 1, 2, 3))),
        _numbers(r, r.choice((1, 1, 2))),
        _numbers(r, r.choice((0, 1, 1, 2))),
        body,
    )
    return Problem(_number(r), length, flags, _numbers(r, r.choice((4, 5, 6, 8))), (), (scan,))


def _number(r: random.Random) -> int:
    return r.getrandbits(31)


def _numbers(r: random.Random, count: int) -> tuple[int, ...]:
    return tuple(_number(r) for _ in range(count))


def _instructions(
    r: random.Random, count: int, depth: int, length: int, weights: Mapping[str, float]
) -> list[Any]:
    found: list[Any] = []
    for _ in range(count):
        if depth and depth < 3 and r.random() < 0.06:
            found.append(_scan(r, depth + 1, length, weights))
        else:
            found.append(Step(r.choices(list(weights), list(weights.values()))[0], _number(r)))
    return found


SCAN_FLAGS = {
    "reverse": 0.3,
    "checkpoint": 0.08,
    "every": 0.08,
    "no xs": 0.2,
    "dict": 0.06,
    "single": 0.15,
    "many forms": 0.3,
    "outside": 0.1,
}


def _scan(r: random.Random, depth: int, length: int, weights: Mapping[str, float]) -> Scan:
    flags = tuple(name for name, share in SCAN_FLAGS.items() if r.random() < share)
    steps = length if r.random() < 0.7 else r.choice(LENGTHS)
    count = r.choice((0, 1, 2, 3, 4, 6) if depth == 1 else (1, 2, 3))
    body = _instructions(r, count, depth, length, weights)
    return Scan(
        _number(r),
        steps,
        flags,
        _numbers(r, r.choice((1, 1, 2, 2, 3, 4, 5))),
        _numbers(r, r.choice((1, 1, 2, 3))),
        _numbers(r, r.choice((0, 1, 1, 2, 3))),
        tuple(body),
    )
