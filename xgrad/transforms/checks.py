"""Are the gradients right? Checked against differences, along random directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..backends.dtypes import canonical, is_complex, is_floating
from ..core.context import no_grad
from ..core.pytree import flatten, paths, unflatten
from ..core.tensor import Tensor
from ..namespace import asarray, astype, imag, ones_like, real, reshape, sum, zeros_like
from ..ops.reductions import is_integer
from ..random import Generator, default_rng
from .forward_mode import jvp
from .graph_view import graph
from .reverse_mode import refuse_no_function, vjp

#: Reverse and forward mode.
MODES = ("rev", "fwd")
_WHAT = {"rev": "the gradient", "fwd": "the tangent"}
_COMPLEX_STEP = 1e-30  # no difference is taken, so it may be as small as floating point goes


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: str | Sequence[str] = MODES,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> None:
    """Check the derivatives of `f` at `args`, and, up to `order`, the derivatives of those, in reverse and in
    forward mode.

    Along a random direction, `f` moves as its gradient and its tangent say: compared with a complex step (W.
    Squire and G. Trapp, Using complex variables to estimate derivatives of real functions, 1998), exact to
    rounding, where every op of `f` is holomorphic and its arguments are float64, and with central differences
    elsewhere.

    Args:
        f: a function of arrays, or nested containers of them, whose output is a Tensor or a nested container
            of them. Complex arguments and outputs are checked as real and imaginary parts, without a complex
            step.
        args: where to check; integers and booleans in them are held fixed.
        order: how many times to differentiate, in every succession of the modes.
        modes: "rev", "fwd" or both: gradients, tangents.
        rtol, atol: tolerances; by default what the dtype and the kind of difference allow.
        seed: of the random directions.

    Raises AssertionError with the order, the mode, the argument, the index of the worst element, and both
    numbers; ValueError for another mode, and where nothing moves.

    >>> import xgrad as xg
    >>> xg.check_grads(lambda x, W: xg.tanh(W @ x), (xg.ones(3), xg.ones((2, 3))))
    """
    if not isinstance(args, tuple | list):
        raise TypeError(
            f"check_grads: args must be a tuple with one entry per argument, not {type(args).__name__}: "
            f"write (x,) for x"
        )
    refuse_no_function(f, "checked")
    if isinstance(order, bool) or not is_integer(order):
        raise TypeError(f"check_grads: order must be an integer of at least 1, not {order!r}")
    if order < 1:
        raise ValueError(f"check_grads: order={order} checks nothing: it must be at least 1")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not (isinstance(value, float | int) and 0 <= value < float("inf")):
            raise ValueError(
                f"check_grads: {name}={value!r} is not a number of at least 0, so nothing would be checked"
            )
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or not set(modes) <= set(MODES):
        raise ValueError(f"check_grads: modes={modes!r} is unknown; choose from {MODES}")
    leaves, structure = flatten(tuple(args))
    names = paths(tuple(args))
    values = [asarray(leaf).detach() for leaf in leaves]
    chosen = [i for i, v in enumerate(values) if is_floating(v.dtype)]
    parts = [_parts(values[i]) for i in chosen]

    def outputs(everything: list[Tensor]) -> list[Tensor]:
        return [asarray(z) for z in flatten(f(*unflatten(structure, everything)))[0]]

    with no_grad():
        found = outputs(values)
        cut = [is_complex(z.dtype) for z in found]  # asked here: in a complex step, all are complex

    def of_parts(*moved: Tensor) -> list[Tensor]:
        everything, rest = list(values), iter(moved)
        for i, part in zip(chosen, parts, strict=True):
            everything[i] = next(rest) if len(part) == 1 else next(rest) + 1j * next(rest)
        return [
            part
            for z, both in zip(outputs(everything), cut, strict=True)
            for part in (_parts(z) if both else [z])
        ]

    if not chosen or not any(is_floating(z.dtype) for z in found):
        raise ValueError(
            "check_grads: nothing to check: no argument, or no output, is a floating-point Tensor"
        )
    which = {1: ("",), 2: ("real part of ", "imaginary part of ")}
    labels = [f"{w}argument {names[i]}" for i, part in zip(chosen, parts) for w in which[len(part)]]
    _check(
        of_parts,
        [v for part in parts for v in part],
        labels,
        "",
        order,
        modes,
        (rtol, atol),
        default_rng(seed),
    )


def _parts(x: Tensor) -> list[Tensor]:
    """Complex numbers as two of real ones."""
    return [real(x), imag(x)] if is_complex(x.dtype) else [x]


def _check(
    f: Callable[..., Any],
    values: list[Tensor],
    labels: list[str],
    of: str,
    order: int,
    modes: Sequence[str],
    tolerance: tuple[float | None, float | None],
    rng: Generator,
) -> None:
    """Check one order, then the functions that compute its gradients and its tangents.

    `of` says what was differentiated before.
    """
    with no_grad():
        outputs = f(*values)
    floating = [i for i, z in enumerate(outputs) if is_floating(z.dtype)]
    one = len(floating) == 1 and outputs[floating[0]].shape == ()  # a scalar is shown as it is
    weights = [ones_like(outputs[i]) if one else _random_like(outputs[i], rng) for i in floating]

    def scalar(*moved: Tensor) -> Any:
        """The outputs as one number, each element with a random weight."""
        z = f(*moved)
        return _total([sum(z[i] * w) for i, w in zip(floating, weights, strict=True)])

    def gradient(*moved: Tensor) -> list[Tensor]:
        _, pull = vjp(scalar, *moved)
        return list(pull(asarray(1.0, device=moved[0].device)))

    def tangent(directions: Sequence[Tensor], *moved: Tensor) -> list[Tensor]:
        def some(*v: Tensor) -> list[Tensor]:
            z = f(*v)
            return [z[i] for i in floating]

        return list(jvp(some, moved, directions)[1])

    if not values or not floating:
        return
    directions = [_random_like(v, rng) for v in values]
    # a gradient of complex numbers is a conjugate: not holomorphic
    complex_step = not of and _allows_complex_step(scalar, values)
    slope = _complex_slope if complex_step else _central_slope
    rtol, atol = _tolerance(values, complex_step, tolerance)

    def says(mode: str, i: int, direction: Tensor) -> tuple[float, float]:
        """How `scalar` moves along a direction of one argument, and the size of what it adds up from."""
        if mode == "rev":
            terms = gradients[i] * direction
            return _number(sum(terms)), _number(sum(abs(terms)))
        along = [direction if k == i else zeros_like(v) for k, v in enumerate(values)]
        products = [t * w for t, w in zip(tangent(along, *values), weights, strict=True)]
        return _number(_total([sum(p) for p in products])), _number(_total([sum(abs(p)) for p in products]))

    gradients = [g.detach() for g in gradient(*values)] if "rev" in modes else []
    for i, label in enumerate(labels):
        measured, noise = slope(scalar, values, i, directions[i])
        for mode in modes:
            predicted, size = says(mode, i, directions[i])
            scale = max(abs(predicted), abs(measured), size)
            right = abs(predicted - measured) <= atol + rtol * scale + noise
            # where f bends much, with the bend taken out of the difference
            if not right and not complex_step:
                wide, more = _central_slope(scalar, values, i, directions[i], 2)
                right = abs(predicted - (4 * measured - wide) / 3) <= atol + rtol * scale + noise + more
            if not right:
                where = f"order {of.count('of ') + 1}: {_WHAT[mode]} {of}with respect to {label}"
                raise AssertionError(_worst(scalar, values, partial(says, mode, i), slope, i, where))
    if order > 1:
        functions: dict[str, Callable[..., Any]] = {"rev": gradient, "fwd": partial(tangent, directions)}
        for mode in modes:
            _check(
                functions[mode], values, labels, f"of {_WHAT[mode]} {of}", order - 1, modes, tolerance, rng
            )


def _complex_slope(
    f: Callable[..., Any], values: list[Tensor], i: int, direction: Tensor
) -> tuple[float, float]:
    """Im f(x + i h d) / h"""
    moved = list(values)
    moved[i] = values[i] + direction * complex(0, _COMPLEX_STEP)
    with no_grad():
        return _number(imag(f(*moved))) / _COMPLEX_STEP, 0.0


def _central_slope(
    f: Callable[..., Any], values: list[Tensor], i: int, direction: Tensor, steps: int = 1
) -> tuple[float, float]:
    """(f(x + h d) - f(x - h d)) / 2h, and the rounding error of that difference."""
    h = steps * _epsilon(values[i]) ** (1 / 3)
    with no_grad():
        up, down = (
            _number(f(*values[:i], astype(values[i] + s * h * direction, values[i].dtype), *values[i + 1 :]))
            for s in (1, -1)
        )
    return (up - down) / (2 * h), 10 * _epsilon(values[i]) * max(abs(up), abs(down), 1e-3) / h


def _allows_complex_step(f: Callable[..., Any], values: list[Tensor]) -> bool:
    """Whether every op on the way is holomorphic, every argument may be complex, and the library's complex
    functions are exact enough."""
    if any(v.dtype != canonical("float64") or not v.device.backend.complex_steps for v in values):
        return False
    if not _analytic(f, values):
        return False
    try:
        for i, v in enumerate(values):
            # of complex numbers it may be another function
            if not _analytic(f, [*values[:i], v + v * complex(0, _COMPLEX_STEP), *values[i + 1 :]]):
                return False
    except (TypeError, ValueError):  # a function may well insist on real numbers
        return False
    return True


def _analytic(f: Callable[..., Any], values: list[Tensor]) -> bool:
    return all(
        stage.node is None or stage.node.op is None or stage.node.op.analytic for stage in graph(f, *values)
    )


def _tolerance(
    values: list[Tensor], complex_step: bool, given: tuple[float | None, float | None]
) -> tuple[float, float]:
    epsilon = max(_epsilon(v) for v in values)
    default = 1e3 * epsilon if complex_step else 20 * epsilon ** (2 / 3)
    return tuple(default if t is None else t for t in given)  # type: ignore[return-value]


def _worst(
    f: Callable[..., Any],
    values: list[Tensor],
    says: Callable[..., tuple[float, float]],
    slope: Callable[..., tuple[float, float]],
    i: int,
    where: str,
) -> str:
    """The element whose derivative is furthest off, found one by one."""
    x = values[i]
    worst: tuple[float, tuple[int, ...], float, float] = (-1.0, (), 0.0, 0.0)
    for index in _indices(x.shape):
        unit = _unit(x, index)
        predicted, measured = says(unit)[0], slope(f, values, i, unit)[0]
        gap = abs(predicted - measured)
        if not gap <= worst[0]:
            worst = (gap, index, predicted, measured)
    _, index, predicted, measured = worst
    return f"{where} at index {index} is {predicted!r}, but finite differences give {measured!r}"


def _indices(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for n in shape:
        found = [(*index, k) for index in found for k in range(n)]
    return found


def _unit(x: Tensor, index: tuple[int, ...]) -> Tensor:
    e = zeros_like(x)
    e[index] = 1
    return e


def _random_like(x: Tensor, rng: Generator) -> Tensor:
    return asarray(rng.standard_normal(x.shape), dtype=x.dtype, device=x.device)


def _total(terms: list[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return reshape(total, ())


def _number(x: Tensor) -> float:
    return float(x.item().real if isinstance(x.item(), complex) else x.item())


def _epsilon(x: Tensor) -> float:
    return {2: 2.0**-10, 4: 2.0**-23}.get(x.dtype.itemsize, 2.0**-52)
