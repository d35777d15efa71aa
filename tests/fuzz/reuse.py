"""One compiled function, called several times.

Its results must not share memory, and it must read its arguments anew each time. Arrays of other shapes may
get code that was made for several shapes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import xgrad as xg

from .plain import Plain
from .settings import numbers


def used_again(case: Any, run: Callable[..., Any], looped: Callable[..., Any], kind: str) -> None:
    """Call `run` on arrays that change in place, on one array in several places, and from several threads."""
    arrays = [np.array(a) for a in case.arrays]
    _fill(arrays, case.arrays, 0.7)
    run(*arrays)
    _fill(arrays, case.arrays)
    found = run(*arrays)
    case.check(found, kind)
    _fill(arrays, case.arrays, -0.4)
    run(*arrays)
    case.check(found, kind)  # the results are neither the arguments nor the function's workspace
    _twice(case, run, looped, kind)
    _by_threads(case, run, kind)


def _fill(arrays: list[np.ndarray], values: list[np.ndarray], factor: float = 1.0) -> None:
    for a, v in zip(arrays, values):
        a[...] = factor * v if a.dtype.kind in "fc" else v


def _twice(case: Any, run: Callable[..., Any], looped: Callable[..., Any], kind: str) -> None:
    """Pass one array for all arguments of its shape and dtype, unless values then come near a kink."""
    first: dict[Any, np.ndarray] = {}
    arrays = [first.setdefault((a.shape, a.dtype), a) for a in case.arrays]
    if len(first) == len(arrays):
        return
    expected = _expected(case, looped, arrays)
    if expected is not None:
        case.equal(numbers(run(*arrays)), expected)


def _expected(case: Any, looped: Callable[..., Any], arrays: list[np.ndarray]) -> list[np.ndarray] | None:
    """The results for other arrays; None if the values then come near a kink, or are large."""
    xp = Plain()
    z = case.loaded(xp)["f"](*arrays)
    if xp.margin < (1e-7 if case.exact else 1e-3) or not all(np.all(np.abs(v) < 1e3) for v in z):
        return None
    expected = numbers(looped(*map(xg.asarray, arrays)))  # a NumPy array cannot be added to in place
    return expected if all(np.all(np.abs(v) < 1e5) for v in expected) else None


def used_with_other_shapes(case: Any, run: Callable[..., Any], looped: Callable[..., Any], kind: str) -> None:
    """Call `run` on longer arrays, then on those of the case, and on longer ones again.

    All axes of one length become longer together. Arrays that the program captures stay, so it may refuse
    other lengths.
    """
    lengths = sorted({n for a in case.arrays for n in a.shape if n > 1})
    n = lengths[len(case.text.function) % len(lengths)] if lengths else 0
    for more in (3, 8, 1, 0, 5, 2) if lengths else (0,):
        arrays = [_longer(a, n, more) for a in case.arrays]
        try:
            expected = _expected(case, looped, arrays)
            found = numbers(run(*arrays))
        except (ValueError, IndexError):
            if not more:
                raise
            continue
        if not more:
            case.check(found, kind)
        elif expected is not None:
            case.equal(found, expected)


def _longer(a: np.ndarray, n: int, more: int) -> np.ndarray:
    """Repeat the elements along each axis of length n until it is longer by so many."""
    for axis, length in enumerate(a.shape):
        if length == n:
            a = np.take(a, np.arange(n + more) % n, axis=axis)
    return a * a.dtype.type(0.9) if more and a.dtype.kind in "fc" else a


def _by_threads(case: Any, run: Callable[..., Any], kind: str) -> None:
    faults: list[BaseException] = []

    def work() -> None:
        try:
            case.check(run(*case.arrays), kind)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
