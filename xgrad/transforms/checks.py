"""Gradient checks: compare derivatives with finite differences along random directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from ..backends.dtypes import canonical, is_complex, is_floating
from ..core.context import no_grad
from ..core.pytree import flatten, paths, unflatten
from ..core.tensor import Tensor
from ..namespace import asarray, astype, imag, ones_like, real, reshape, zeros_like
from ..ops.axes import is_integer
from ..random import Generator, default_rng
from .forward_mode import jvp
from .graph_view import graph
from .reverse_mode import refuse_no_function, vjp

#: Reverse and forward mode.
MODES = ("rev", "fwd")
_WHAT = {"rev": "the gradient", "fwd": "the tangent"}
_COMPLEX_STEP = 1e-30  # may be tiny, as no difference is taken

#: A function of real Tensors.
Function = Callable[..., Any]


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
    """Check the derivatives of `f` at `args`, up to `order`, in reverse and forward mode.

    The slope of `f` along a random direction, as its gradient and its tangent predict it, is compared with a
    complex step (W. Squire and G. Trapp, Using complex variables to estimate derivatives of real functions,
    1998) where every op of `f` is holomorphic and its arguments are float64, which is exact to rounding; and
    with central differences elsewhere.

    Args:
        f: a function of arrays, or nested containers of them, whose output is a Tensor or a nested container
            of them. Complex arguments and outputs are checked as real and imaginary parts, without a complex
            step.
        args: where to check; integers and booleans in them are held fixed.
        order: how many times to differentiate, in every sequence of the modes.
        modes: "rev", "fwd" or both: gradients, tangents.
        rtol, atol: tolerances; by default what the dtype and the kind of difference allow.
        seed: seed of the random directions.

    Raises AssertionError with the order, the mode, the argument, the index of the worst element, and both
    numbers; ValueError for another mode, and where nothing moves.

    >>> import xgrad as xg
    >>> xg.check_grads(lambda x, W: xg.tanh(W @ x), (xg.ones(3), xg.ones((2, 3))))
    """
    modes = _refuse_nothing_to_check(f, args, order, modes, (rtol, atol))
    real_f, values, labels = _of_real_numbers(f, tuple(args))
    _Check(order, modes, (rtol, atol), default_rng(seed)).check(real_f, values, labels)


def _refuse_nothing_to_check(
    f: Any, args: Any, order: Any, modes: str | Sequence[str], tolerances: tuple[Any, Any]
) -> tuple[str, ...]:
    """Raise TypeError or ValueError for bad arguments of `check_grads`; return the modes as a tuple."""
    if not isinstance(args, tuple | list):
        raise TypeError(
            f"check_grads: args must be a tuple with one entry per argument, not {type(args).__name__}: "
            f"write (x,) for x"
        )
    refuse_no_function(f, "checked")
    if isinstance(order, bool) or not is_integer(order):
        raise TypeError(f"check_grads: order must be an integer of at least 1, not {order!r}")
    if order < 1:  # type: ignore[operator]
        raise ValueError(f"check_grads: order={order} checks nothing: it must be at least 1")
    for name, value in zip(("rtol", "atol"), tolerances):
        if value is not None and not (isinstance(value, float | int) and 0 <= value < float("inf")):
            raise ValueError(
                f"check_grads: {name}={value!r} is not a number of at least 0, so nothing would be checked"
            )
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or not set(modes) <= set(MODES):
        raise ValueError(f"check_grads: modes={modes!r} is unknown; choose from {MODES}")
    return modes


def _of_real_numbers(f: Function, args: tuple[Any, ...]) -> tuple[Function, list[Tensor], list[str]]:
    """`f` as a function of real Tensors that returns a list of them; its arguments' values and labels."""
    leaves, structure = flatten(args)
    values = [asarray(leaf).detach() for leaf in leaves]
    chosen = [i for i, v in enumerate(values) if is_floating(v.dtype)]
    parts = [_parts(values[i]) for i in chosen]

    def outputs(everything: list[Tensor]) -> list[Tensor]:
        return [asarray(z) for z in flatten(f(*unflatten(structure, everything)))[0]]

    with no_grad():
        found = outputs(values)
        cut = [is_complex(z.dtype) for z in found]  # tested here: during a complex step all are complex

    def of_parts(*moved: Tensor) -> list[Tensor]:
        everything, rest = list(values), iter(moved)
        for i, part in zip(chosen, parts, strict=True):
            everything[i] = next(rest) if len(part) == 1 else next(rest) + 1j * next(rest)
        pairs = zip(outputs(everything), cut, strict=True)
        return [part for z, both in pairs for part in (_parts(z) if both else [z])]

    if not chosen or not any(is_floating(z.dtype) for z in found):
        raise ValueError(
            "check_grads: nothing to check: no argument, or no output, is a floating-point Tensor"
        )
    names, which = paths(args), {1: ("",), 2: ("real part of ", "imaginary part of ")}
    labels = [f"{w}argument {names[i]}" for i, part in zip(chosen, parts) for w in which[len(part)]]
    return of_parts, [v for part in parts for v in part], labels


def _parts(x: Tensor) -> list[Tensor]:
    """Split a complex Tensor into its real and imaginary parts."""
    return [real(x), imag(x)] if is_complex(x.dtype) else [x]


class _Prediction(NamedTuple):
    """The slope of a function along a direction, and the sum of its terms' magnitudes."""

    slope: float
    size: float


class _Sum:
    """The sum of a function's outputs with random weights, and its derivatives."""

    def __init__(self, f: Function, values: list[Tensor], rng: Generator) -> None:
        self.f, self.values = f, values
        with no_grad():
            outputs = f(*values)
        self.floating = [i for i, z in enumerate(outputs) if is_floating(z.dtype)]
        floating = [outputs[i] for i in self.floating]
        one = len(floating) == 1 and floating[0].shape == ()  # a scalar keeps weight 1
        self.weights = [ones_like(z) if one else _random_like(z, rng) for z in floating]

    def __call__(self, *moved: Tensor) -> Any:
        z = self.f(*moved)
        return _total([(z[i] * w).sum() for i, w in zip(self.floating, self.weights, strict=True)])

    def gradient(self, *moved: Tensor) -> list[Tensor]:
        """The gradient with respect to each value."""
        _, pull = vjp(self, *moved)
        return list(pull(asarray(1.0, device=moved[0].device)))

    def tangent(self, directions: Sequence[Tensor], *moved: Tensor) -> list[Tensor]:
        """The tangent of each output, given a direction of each value."""

        def some(*v: Tensor) -> list[Tensor]:
            z = self.f(*v)
            return [z[i] for i in self.floating]

        return list(jvp(some, moved, directions)[1])

    def by_gradient(self, gradients: list[Tensor], i: int, direction: Tensor) -> _Prediction:
        """The slope along a direction of value `i`, by reverse mode."""
        terms = gradients[i] * direction
        return _Prediction(_number(terms.sum()), _number(abs(terms).sum()))

    def by_tangent(self, i: int, direction: Tensor) -> _Prediction:
        """The slope along a direction of value `i`, by forward mode."""
        along = [direction if k == i else zeros_like(v) for k, v in enumerate(self.values)]
        tangents = self.tangent(along, *self.values)
        products = [t * w for t, w in zip(tangents, self.weights, strict=True)]
        return _Prediction(
            _number(_total([p.sum() for p in products])), _number(_total([abs(p).sum() for p in products]))
        )


@dataclass(frozen=True)
class _Check:
    """The settings of a check: orders, modes, tolerances and random numbers."""

    order: int
    modes: tuple[str, ...]
    tolerances: tuple[float | None, float | None]
    rng: Generator

    def check(self, f: Function, values: list[Tensor], labels: list[str], of: tuple[str, ...] = ()) -> None:
        """Check one order, then the functions that compute its gradients and tangents.

        `of` lists the modes of the lower orders, the last first.
        """
        total = _Sum(f, values, self.rng)
        if not values or not total.floating:
            return
        directions = [_random_like(v, self.rng) for v in values]
        # a gradient of complex numbers is conjugated, so not holomorphic
        complex_step = not of and _allows_complex_step(total, values)
        predict: dict[str, Any] = {"fwd": total.by_tangent}
        if "rev" in self.modes:
            gradients = [g.detach() for g in total.gradient(*values)]
            predict["rev"] = partial(total.by_gradient, gradients)
        where = "".join(f"of {_WHAT[mode]} " for mode in of)
        for i, label in enumerate(labels):
            slope = _Slope(total, values, i, complex_step)
            measured = slope(directions[i])
            for mode in self.modes:
                derivative = partial(predict[mode], i)
                if not self._agree(derivative(directions[i]), measured, slope, directions[i]):
                    what = f"{_WHAT[mode]} {where}with respect to {label}"
                    raise AssertionError(f"order {len(of) + 1}: {what} {_worst(derivative, slope)}")
        functions: dict[str, Function] = {"rev": total.gradient, "fwd": partial(total.tangent, directions)}
        if len(of) + 1 < self.order:
            for mode in self.modes:
                self.check(functions[mode], values, labels, (mode, *of))

    def _agree(
        self, prediction: _Prediction, measured: tuple[float, float], slope: _Slope, direction: Tensor
    ) -> bool:
        """Whether a derivative agrees with the measured slope, within the tolerances."""
        (predicted, size), (difference, noise) = prediction, measured
        rtol, atol = _tolerance(slope.values, slope.complex_step, self.tolerances)
        allowed = atol + rtol * max(abs(predicted), abs(difference), size) + noise
        if abs(predicted - difference) <= allowed:
            return True
        if slope.complex_step:
            return False
        # Richardson extrapolation, for strongly curved f: it removes the h² error
        wide, more = slope.by_difference(direction, 2)
        return abs(predicted - (4 * difference - wide) / 3) <= allowed + more


@dataclass(frozen=True)
class _Slope:
    """The measured slope of `f` along a direction of value `i`, and its rounding error."""

    f: Function
    values: list[Tensor]
    i: int
    complex_step: bool

    def __call__(self, direction: Tensor) -> tuple[float, float]:
        return self.by_complex_step(direction) if self.complex_step else self.by_difference(direction)

    def by_complex_step(self, direction: Tensor) -> tuple[float, float]:
        """Im f(x + i h d) / h"""
        with no_grad():
            moved = self._at(self.values[self.i] + direction * complex(0, _COMPLEX_STEP))
            return _number(imag(moved)) / _COMPLEX_STEP, 0.0

    def by_difference(self, direction: Tensor, steps: int = 1) -> tuple[float, float]:
        """(f(x + h d) - f(x - h d)) / 2h"""
        x = self.values[self.i]
        h = steps * _epsilon(x) ** (1 / 3)
        with no_grad():
            up, down = (_number(self._at(astype(x + s * h * direction, x.dtype))) for s in (1, -1))
        return (up - down) / (2 * h), 10 * _epsilon(x) * max(abs(up), abs(down), 1e-3) / h

    def _at(self, x: Tensor) -> Any:
        return self.f(*self.values[: self.i], x, *self.values[self.i + 1 :])


def _worst(predict: Callable[[Tensor], _Prediction], slope: _Slope) -> str:
    """Describe the element whose derivative is furthest off, testing them one by one."""
    x = slope.values[slope.i]
    worst: tuple[float, tuple[int, ...], float, float] = (-1.0, (), 0.0, 0.0)
    for index in product(*map(range, x.shape)):
        unit = zeros_like(x)
        unit[index] = 1
        predicted, measured = predict(unit).slope, slope(unit)[0]
        gap = abs(predicted - measured)
        if not gap <= worst[0]:  # NaN counts as the worst
            worst = (gap, index, predicted, measured)
    _, index, predicted, measured = worst
    return f"at index {index} is {predicted!r}, but finite differences give {measured!r}"


def _allows_complex_step(f: Callable[..., Any], values: list[Tensor]) -> bool:
    """Whether the complex step applies to `f`.

    Every op must be holomorphic, every argument may be complex, and the library's complex functions must be
    accurate enough.
    """
    if any(v.dtype != canonical("float64") or not v.device.backend.complex_steps for v in values):
        return False
    if not _analytic(f, values):
        return False
    try:
        for i, v in enumerate(values):
            # for complex arguments, f may run other ops
            if not _analytic(f, [*values[:i], v + v * complex(0, _COMPLEX_STEP), *values[i + 1 :]]):
                return False
    except (TypeError, ValueError):  # f may accept real numbers only
        return False
    return True


def _analytic(f: Callable[..., Any], values: list[Tensor]) -> bool:
    return all(
        stage.node is None or stage.node.op is None or stage.node.op.calculus.analytic
        for stage in graph(f, *values)
    )


def _tolerance(
    values: list[Tensor], complex_step: bool, given: tuple[float | None, float | None]
) -> tuple[float, float]:
    epsilon = max(_epsilon(v) for v in values)
    default = 1e3 * epsilon if complex_step else 20 * epsilon ** (2 / 3)
    return tuple(default if t is None else t for t in given)  # type: ignore[return-value]


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
