"""Functions with a hand-written derivative, in JAX's form: `custom_vjp` and `custom_jvp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backends import device_of
from ..backends.dtypes import is_complex, is_floating
from ..core.backward import pull_back
from ..core.context import mode
from ..core.dispatch import NUMBERS
from ..core.graph import Input
from ..core.pytree import broadcast_prefix, paths, unflatten
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import asarray, conj, zeros_like
from ..ops import Op
from .boxing import boxed, on_arrays
from .custom_function import CustomFunction, Use


class custom_vjp(CustomFunction):
    """A function with a hand-written gradient, like `jax.custom_vjp`.

    `f.defvjp(fwd, bwd)` defines it. `fwd(*args)` returns the output and the residuals; `bwd(residuals, dz)`
    returns a tuple with the gradient of each argument, None for none. For forward mode, `bwd` must be linear
    in `dz`. The arguments in `nondiff_argnums` are fixed, and come first in `bwd`. Higher derivatives, in
    both modes, differentiate the rule like any other code; it also applies in scans and compiled functions.
    Values that the function uses from outside get no gradient: pass them in. For complex numbers the rule is
    plain calculus, as in JAX: `dz` times the derivative.

    Raises TypeError for gradients of another structure than the arguments, ShapeError for other shapes.

    >>> import xgrad as xg
    >>> @xg.custom_vjp
    ... def clipped(x):                 # its gradient is, at most 1 in size
    ...     return x * x
    >>> clipped.defvjp(lambda x: (x * x, x), lambda x, dz: (xg.clip(2 * x * dz, -1, 1),))
    >>> xg.grad(clipped)(3.0)
    tensor(1.)
    """

    _define = "defvjp(fwd, bwd)"

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Define the gradient: `fwd(*args) -> (output, residuals)`, `bwd(*nondiff, residuals, dz)`."""
        if not callable(fwd) or not callable(bwd):
            raise TypeError(f"defvjp of {self.name} takes two functions, fwd and bwd")
        self._fwd, self._bwd = fwd, bwd
        self.op = Op(self.name, self._forward, dx=self._dx, variadic=True)

    def _forward(self, xp: Any, *x: Any, use: Use) -> Any:
        # in a trace, the backward pass runs `fwd` itself
        keeps = use.keeps and not any(isinstance(v, Tensor) for v in x)

        def f(*leaves: Any) -> Any:
            if not keeps:
                return _single(use.outputs(self.fun(*use.arguments(leaves))))
            z, residuals = self._kept(use, leaves)
            use.residuals = (residuals,)
            return _single(z)

        return on_arrays(f, x)

    def _kept(self, use: Use, leaves: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
        """The leaves of the output, and the residuals, from `fwd`."""
        found = self._fwd(*use.arguments(leaves))
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                f"fwd of {self.name} must return a pair (output, residuals), not {type(found).__name__}"
            )
        return use.outputs(found[0]), found[1]

    def _dx(self, dz: Any, z: Any, x: tuple[Any, ...], *, use: Use) -> tuple[Any, ...]:
        given, zs = _parts(dz), _parts(z)
        several = given is dz
        if several:  # the engine does not conjugate the cotangents of a tuple
            given = _each(_conj, given)
        # differentiated again: the residuals must be connected to the operands
        if any(isinstance(v, Tensor) for v in (*given, *x)):
            found = self._gradients(use, self._kept(use, x)[1], x, given, zs)
        else:
            with mode(grad=False, record=False):
                residuals = use.residuals[0] if use.residuals else self._kept(use, _each(boxed, x))[1]
                found = self._gradients(use, residuals, x, _each(boxed, given), _each(boxed, zs))
            found = _each(lambda g: g.data, found)
        return tuple(_each(_conj, found) if several else found)

    def _gradients(
        self, use: Use, residuals: Any, x: Sequence[Any], dz: Sequence[Any], z: Sequence[Any]
    ) -> Sequence[Any]:
        """The gradient of each leaf, or None."""
        whole = unflatten(use.output, [zeros_like(v) if d is None else d for d, v in zip(dz, z, strict=True)])
        found = self._bwd(*use.fixed.values(), residuals, whole)
        if not isinstance(found, tuple | list) or len(found) != len(use.moving):
            got = f"{len(found)} of them" if isinstance(found, tuple | list) else type(found).__name__
            raise TypeError(
                f"bwd of {self.name} must return a tuple with one gradient for each of {len(use.moving)} "
                f"arguments, not {got}"
            )
        try:
            leaves = broadcast_prefix(tuple(found), use.moving)
        except ValueError as error:
            raise TypeError(
                f"bwd of {self.name} returned gradients of another structure than the arguments: {error}"
            ) from None
        return [self._gradient(g, v, name) for g, v, name in zip(leaves, x, paths(use.moving), strict=True)]

    def _gradient(self, g: Any, x: Any, name: str) -> Tensor | None:
        """Check a gradient from `bwd` for the argument `x` at `name`: same shape, and real if `x` is."""
        if g is None:
            return None
        if not isinstance(g, Tensor) and type(g) not in NUMBERS and device_of(g) is None:
            raise TypeError(
                f"bwd of {self.name} returned {type(g).__name__} as a gradient, which must be an array "
                f"shaped like its argument, or None"
            )
        gradient: Tensor = asarray(g)
        if is_complex(gradient.dtype) and not is_complex(getattr(x, "dtype", type(x))):
            raise TypeError(
                f"bwd of {self.name} returned a complex gradient for the argument at {name}, which is "
                f"real: use xg.real"
            )
        shape = tuple(getattr(x, "shape", ()))
        if gradient.shape != shape:
            raise ShapeError(
                f"bwd of {self.name} returned a gradient of shape {gradient.shape} for the argument at "
                f"{name}, of shape {shape}"
            )
        return gradient


class custom_jvp(CustomFunction):
    """A function with a hand-written tangent, like `jax.custom_jvp`.

    `f.defjvp(rule)` defines it. `rule(primals, tangents)` takes two tuples and returns the output and its
    tangent, which must be linear in the tangents. `f.defjvps(*rules)` takes one rule per argument instead,
    `rule(tangent, output, *primals)`, or None. Gradients come from the transpose. The arguments in
    `nondiff_argnums` are fixed, and come first. Rules are differentiated like any other code.

    >>> import xgrad as xg
    >>> @xg.custom_jvp
    ... def f(x):
    ...     return xg.sin(x)
    >>> @f.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return f(x), 10 * t * xg.cos(x)
    >>> xg.grad(f)(0.0), xg.jvp(f, (0.0,), (2.0,))[1]
    (tensor(10.), tensor(20.))
    """

    _define = "defjvp(rule)"

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Define the tangent: `rule(*nondiff, primals, tangents) -> (output, tangent)`.

        Returns the rule.
        """
        self._rule = rule
        self.op = Op(self.name, self._forward, dx=self._dx, jvp=self._jvp, variadic=True)
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Define the tangent by one rule per argument: `rule(tangent, output, *primals) -> tangent`."""
        if self.static:
            raise TypeError(f"defjvps of {self.name} does not support nondiff_argnums: use defjvp")

        def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
            z = self(*primals)
            total = None
            if len(rules) != len(primals):
                raise TypeError(f"defjvps of {self.name} got {len(rules)} rules for {len(primals)} arguments")
            for one, t in zip(rules, tangents, strict=True):
                if one is not None:
                    part = one(t, z, *primals)
                    total = part if total is None else total + part
            return z, zeros_like(z) if total is None else total

        self.defjvp(rule)

    def _forward(self, xp: Any, *x: Any, use: Use) -> Any:
        return on_arrays(lambda *leaves: _single(use.outputs(self.fun(*use.arguments(leaves)))), x)

    def _tangents(self, use: Use, x: Sequence[Any], t: Sequence[Any]) -> list[Any]:
        """The tangents of the outputs, from those of the leaves."""
        found = self._rule(
            *use.fixed.values(), unflatten(use.structure, list(x)), unflatten(use.structure, list(t))
        )
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                f"the rule of {self.name} must return a pair (output, tangent), not {type(found).__name__}"
            )
        z = use.like_output(found[0], "the output that the rule")
        moved = use.like_output(found[1], "the tangent that the rule")
        for v, d in zip(z, moved, strict=True):
            if v.shape != d.shape:
                raise ShapeError(
                    f"the rule of {self.name} returned a tangent of shape {d.shape} for an output "
                    f"of shape {v.shape}"
                )
        return moved

    def _jvp(self, t: tuple[Any, ...], x: tuple[Any, ...], *, use: Use) -> Any:
        def of_outputs(x: Sequence[Any], t: Sequence[Any]) -> list[Any]:
            tangents = [_zero_tangent(v) if d is None else d for v, d in zip(x, t, strict=True)]
            return self._tangents(use, x, tangents)

        if any(isinstance(v, Tensor) for v in (*t, *x)):
            return _single(tuple(of_outputs(x, t)))
        with mode(grad=False, record=False):
            found = of_outputs(_each(boxed, x), _each(boxed, t))
        return _single(tuple(d.data for d in found))

    def _dx(self, dz: Any, x: tuple[Any, ...], needs: Sequence[Any], *, use: Use) -> tuple[Any, ...]:
        """Transpose the rule: record it on tangents, then sweep back through it."""
        parts = _parts(dz)
        # the engine conjugates dz and the result; undo that, as the sweep below conjugates by itself
        plain = parts is not dz and is_complex(dz.dtype)
        conjugated = _conj if plain else lambda v: v
        raw = not any(isinstance(v, Tensor) for v in (*parts, *x))
        values = _each(boxed, x)
        floating = [isinstance(v, Tensor) and is_floating(v.dtype) for v in values]
        moving = [flows and need is not None for flows, need in zip(floating, needs, strict=True)]
        with mode(grad=True, record=False):
            t = [
                _as_input(_zero_tangent(v)) if wanted else _zero_tangent(v)
                for v, wanted in zip(values, moving)
            ]
            outputs = self._tangents(use, values, t)
            given = [(z, conjugated(boxed(d))) for z, d in zip(outputs, parts, strict=True) if d is not None]
            roots, dzs = [z for z, _ in given], [d for _, d in given]
            gradients = pull_back(roots, dzs, [v for v, wanted in zip(t, moving) if wanted], free=False)
            found = iter([conjugated(g) for g in gradients])
        gs = [next(found) if wanted else None for wanted in moving]
        return tuple(_each(lambda g: g.data, gs) if raw else gs)


def _each(f: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """Apply `f` to each value; None stays None."""
    return [None if v is None else f(v) for v in values]


def _as_input(t: Tensor) -> Tensor:
    """Make a tangent a new input, so that a gradient flows to it."""
    return Tensor(t.data, t.device, Input(t.device, t.shape, t.data.dtype))


def _conj(v: Any) -> Any:
    """The conjugate of a Tensor or array; a real one is returned as it is."""
    if not is_complex(v.dtype):
        return v
    return conj(v) if isinstance(v, Tensor) else device_of(v).xp.conj(v)  # type: ignore[union-attr]


def _zero_tangent(v: Any) -> Any:
    """The zero tangent of a leaf."""
    return zeros_like(v) if isinstance(v, Tensor) else type(v)(0)


def _single(z: tuple[Any, ...]) -> Any:
    return z[0] if len(z) == 1 else z


def _parts(z: Any) -> Sequence[Any]:
    return z if isinstance(z, tuple | list) else (z,)
