"""One compiled function, called several times.

Its results must not share memory, and it must read its arguments anew each time.
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
    xp = Plain()
    z = case.loaded(xp)["f"](*arrays)
    if xp.margin < (1e-7 if case.exact else 1e-3) or not all(np.all(np.abs(v) < 1e3) for v in z):
        return
    expected = numbers(looped(*map(xg.asarray, arrays)))  # a NumPy array cannot be added to in place
    if all(np.all(np.abs(v) < 1e5) for v in expected):
        case.equal(numbers(run(*arrays)), expected)


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
