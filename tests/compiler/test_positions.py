"""Every function of the namespace at every place of a loop's body gives what the plain loop gives.

A place is where its operand comes from and where its result goes. The default run tests some of them, `-m ""`
all.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.calls import CALLS, FLAT, Call

LENGTH = 3

#: Functions that cannot be in a loop: they take more than arrays, or their shapes depend on values.
APART = """
    __array_namespace_info__ can_cast finfo iinfo isdtype result_type from_dlpack empty empty_like tensor
    nonzero repeat unique_all unique_counts unique_inverse unique_values linalg.matrix_rank
""".split()


def results(f: Callable[..., Any], operands: tuple[Any, ...]) -> list[Any]:
    """Return a function's results as Tensors, with complex numbers split into real and imaginary parts."""
    z = f(xg, *operands)
    found: list[Any] = []
    for v in z if isinstance(z, tuple | list) else (z,):
        if isinstance(v, xg.Tensor):
            found += [xg.real(v), xg.imag(v)] if v.dtype.kind == "c" else [v]
    return found


def row(values: list[Any]) -> Any:
    """Return all elements in one row, as floating numbers between -1 and 1."""
    return xg.sin(xg.concat([xg.reshape(xg.astype(v, xg.float64), (1, -1)) for v in values], axis=1))


def before_a_product(f: Any, h: Any, c: Any, x: Any, W: Any) -> Any:
    return xg.mean(row(f(x)) @ W), c, None


def of_the_carry(f: Any, h: Any, c: Any, x: Any, W: Any) -> Any:
    return xg.mean(row(f(h))), c, None


def added_up(f: Any, h: Any, c: Any, x: Any, W: Any) -> Any:
    return 0.1, tuple(a + v if v.dtype != xg.bool else a | v for a, v in zip(c, f(x))), None


def added_up_and_kept(f: Any, h: Any, c: Any, x: Any, W: Any) -> Any:
    found = tuple(f(h))
    return 0.1, tuple(a + v if v.dtype != xg.bool else a | v for a, v in zip(c, found)), found


def as_output(f: Any, h: Any, c: Any, x: Any, W: Any) -> Any:
    return 0.1, c, (tuple(f(x)), tuple(f(h)))


def as_condition(f: Any, h: Any, c: Any, x: Any, W: Any) -> Any:
    chosen = [xg.where(v if v.dtype == xg.bool else v > 0, 1.5, 0.5) * xg.real(xg.mean(h)) for v in f(x)]
    return xg.mean(row(chosen)), c, None


def after_a_product(f: Any, h: Any, c: Any, x: Any, W: Any) -> Any:
    """The operand is computed for all steps at once, and no carry needs the result."""
    moved = (
        x if x.dtype.kind not in "fc" else x + 0.01 * xg.mean(xg.reshape(x, (1, -1)) @ xg.ones((x.size, 2)))
    )
    return 0.1, c, row(f(moved)) @ W


PLACES = [
    before_a_product,
    of_the_carry,
    added_up,
    added_up_and_kept,
    as_output,
    as_condition,
    after_a_product,
]


def cases() -> Iterator[Any]:
    for name, made in CALLS.items():
        for k, call in enumerate(made):
            floating = [i for i, a in enumerate(call.arrays) if a.dtype.kind in "fc"]
            if name in APART or not call.arrays:
                continue
            for place in PLACES:
                title = f"{name}-{k}-{place.__name__}"
                share = zlib.crc32(title.encode()) % 12
                yield pytest.param(
                    name,
                    call,
                    (floating or [0])[0],
                    place,
                    share,
                    marks=[] if share == 0 else pytest.mark.exhaustive,
                    id=title,
                )


def loop_of(call: Call, i: int, place: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loop over slices of the i-th operand, as a function of that operand and a first state."""
    floating = call.arrays[i].dtype.kind in "fc"

    def loop(x: Any, h: Any, compiled: bool) -> Any:
        f = lambda v: results(call.f, (*call.arrays[:i], v, *call.arrays[i + 1 :]))
        like = f(xg.asarray(call.arrays[i]))
        W = np.cos(np.arange(2 * sum(v.size for v in like))).reshape(-1, 2)

        def step(carry: Any, x: Any) -> Any:
            h, c = carry
            change, c, y = place(f, h, c, x, W)
            # interpolate towards another operand of the function, so that the function is defined there
            return (h + 0.1 * xg.sin(change) * (x - h) if floating else x, c), y

        init = (h, tuple(xg.zeros_like(v) for v in like))
        return xg.scan(step, init, x, compiled=compiled)

    return loop


def loss_of(outputs: Any) -> Any:
    total = xg.asarray(0.0)
    for v in xg.core.pytree.flatten(outputs)[0]:
        if v.dtype.kind == "c":
            total = total + xg.sum(xg.sin(xg.real(v))) + xg.sum(xg.cos(xg.imag(v)))
        elif v.dtype.kind == "f":
            total = total + xg.sum(xg.sin(v) * (1 + xg.arange(v.size).reshape(v.shape)))
    return total


def close(found: Any, expected: Any) -> None:
    (a, structure), (b, other) = xg.core.pytree.flatten(found), xg.core.pytree.flatten(expected)
    assert structure == other
    for u, v in zip(a, b, strict=True):
        assert u.dtype == v.dtype
        np.testing.assert_allclose(u.detach().numpy(), v.detach().numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning:xgrad")
@pytest.mark.parametrize(("name", "call", "i", "place", "share"), list(cases()))
def test_every_function_at_every_place(
    name: str, call: Call, i: int, place: Callable[..., Any], share: int
) -> None:
    loop, operand = loop_of(call, i, place), call.arrays[i]
    floating = operand.dtype.kind in "fc"
    nudge = np.linspace(0.99, 1.01, LENGTH).reshape(LENGTH, *(1,) * operand.ndim)
    x = xg.asarray(operand * nudge if floating else np.stack([operand] * LENGTH))
    h = xg.asarray(operand)
    expected = loop(x, h, False)
    close(loop(x, h, True), expected)
    run = lambda x, h: loop(x, h, True)
    if share % 3 == 0:
        close(xg.compile(run)(x, h), expected)
    if not floating or name in FLAT:
        return
    plain = lambda x, h: loss_of(loop(x, h, False))
    both = lambda x, h: loss_of(loop(x, h, True))
    gradients = xg.grad(plain, argnums=(0, 1))(x, h)
    close(xg.grad(both, argnums=(0, 1))(x, h), gradients)
    if share % 3 == 0:
        close(xg.compile(xg.grad(both, argnums=(0, 1)))(x, h), gradients)
    if share % 4 == 0:
        close(xg.jvp(both, (x, h), (x, h)), xg.jvp(plain, (x, h), (x, h)))
