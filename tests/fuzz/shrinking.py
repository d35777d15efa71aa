"""Shrinks a failing program as long as it fails in the same way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from .programs import Problem, Scan, generate
from .ways import Skipped, case_for, wrong


def smallest(number: int, kind: str, way: str, seconds: float = 60.0) -> str | None:
    """Return what is wrong with the program of a number, and a small program with the same fault.

    Returns None if nothing is wrong.
    """
    problem = generate(number)
    message = tried(problem, kind, way)
    if message is None:
        return None
    category = category_of(message)
    for simpler in dict.fromkeys(
        (*(k for k in ("value", "grad") if category_of(tried(problem, k, way)) == category), kind)
    ):
        problem = shrunk(problem, lambda p: category_of(tried(p, simpler, way)) == category, seconds)
        kind = simpler
        break
    case = case_for(problem)
    text = case.text
    return f"program {number}, {kind}, {way}: {tried(problem, kind, way)}\n\n{text.whole}"


def tried(problem: Problem, kind: str, way: str) -> str | None:
    """Return what is wrong with a program run in one way, if anything."""
    try:
        case = case_for(problem)
    except Skipped:
        return None
    return wrong(case, kind, way) if kind in case.kinds else None


def category_of(message: str | None) -> str | None:
    """Return the kind of error, without numbers and names."""
    if message is None:
        return None
    message = re.sub(r"^after \w+: ", "", message)
    return (
        "differs"
        if re.match("output|the slope", message)
        else re.sub(r"\d+|0x\w+|'[^']*'", "#", message)[:40]
    )


def shrunk(problem: Problem, fails: Callable[[Problem], bool], seconds: float = 60.0) -> Problem:
    """Return the smallest program found that still `fails`, by leaving out parts one at a time."""
    until, again = time.monotonic() + seconds, True
    while again:
        again = False
        place, tries = 0, list(smaller_ones(problem))
        while place < len(tries) and time.monotonic() < until:
            if fails(tries[place]):
                problem, again = tries[place], True
                tries = list(smaller_ones(problem))  # continue from the same place
            else:
                place += 1
    return problem


def smaller_ones(problem: Problem) -> Iterator[Problem]:
    for body in _bodies(problem.body):
        yield problem._replace(body=body)
    for name in ("captured", "arguments", "flags"):
        for part in _without_one(getattr(problem, name)):
            yield problem._replace(**{name: part})
    if problem.outputs > 1:
        yield problem._replace(outputs=1)
        yield problem._replace(outputs=problem.outputs - 1)


def _bodies(body: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield half of the instructions, all but one, or one of them shrunk."""
    if len(body) > 3:
        yield body[len(body) // 2 :]
        yield body[: len(body) // 2]
    yield from _without_one(body)
    for i, item in enumerate(body):
        if isinstance(item, Scan):
            for smaller in _scans(item):
                yield (*body[:i], smaller, *body[i + 1 :])


def _scans(scan: Scan) -> Iterator[Scan]:
    for body in _bodies(scan.body):
        yield scan._replace(body=body)
    for name in ("carries", "xs", "ys", "flags"):
        for part in _without_one(getattr(scan, name)):
            if part or name not in ("carries", "xs"):
                yield scan._replace(**{name: part})
    if scan.xs and "no xs" not in scan.flags:
        yield scan._replace(flags=(*scan.flags, "no xs"))
    for length in (1, 2, 3):
        if length < scan.length:
            yield scan._replace(length=length)


def _without_one(parts: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for i in reversed(range(len(parts))):
        yield (*parts[:i], *parts[i + 1 :])
