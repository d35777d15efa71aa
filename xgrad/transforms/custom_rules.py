"""Functions whose derivative is given by hand, in JAX's form: `custom_vjp` and `custom_jvp`."""

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
    """A function with its gradient given by hand, as `jax.custom_vjp`.

    `f.defvjp(fwd, bwd)` says how: `fwd(*args)` returns the output and what is kept of it; `bwd(kept, dz)` a
    tuple with the gradient of each argument, None for none; linear in `dz`, if forward mode is to be had too.
    With `nondiff_argnums` those arguments are fixed, and come first in `bwd`. The rule is differentiated like
    any other code for derivatives of higher order, in both modes, and holds inside scans and compiled
    functions. What the function uses from outside gets no gradient: pass it in. Of complex numbers the rule
    is plain calculus, as in JAX: `dz` times the derivative.

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
        """Say how the gradient is found: `fwd(*args) -> (output, kept)`, `bwd(*nondiff, kept, dz) ->
        gradients`."""
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
        """The leaves of the output, and what `fwd` keeps."""
        found = self._fwd(*use.arguments(leaves))
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                f"fwd of {self.name} must return a pair (output, residuals), not {type(found).__name__}"
            )
        return use.outputs(found[0]), found[1]

    def _dx(self, dz: Any, z: Any, x: tuple[Any, ...], *, use: Use) -> tuple[Any, ...]:
        given, zs = _parts(dz), _parts(z)
        several = given is dz
        if several:  # which the engine hands on without conjugation
            given = _each(_conj, given)
        # to be differentiated again: what was kept must be connected
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
        """The gradient that `bwd` gave for the argument `x` at `name`: of its shape, and real where it is."""
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
    """A function with its tangent given by hand, as `jax.custom_jvp`.

    `f.defjvp(rule)` says how: `rule(primals, tangents)`, of two tuples, returns the output and its tangent,
    which is linear in the tangents; `f.defjvps(*rules)` gives one rule an argument, `rule(tangent, output,
    *primals)`, None where it has none. Gradients are its transpose. With `nondiff_argnums` those arguments
    are fixed, and come first. Rules are differentiated like any other code.

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
        """Say how the output moves: `rule(*nondiff, primals, tangents) -> (output, tangent)`.

        Returns the rule.
        """
        self._rule = rule
        self.op = Op(self.name, self._forward, dx=self._dx, jvp=self._jvp, variadic=True)
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Say it for each argument: `rule(tangent, output, *primals) -> tangent`."""
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
        """The tangent of each output, from one of each leaf."""
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
        def tangents(x: Sequence[Any], t: Sequence[Any]) -> list[Any]:
            moves = [_still(v) if d is None else d for v, d in zip(x, t, strict=True)]
            return self._tangents(use, x, moves)

        if any(isinstance(v, Tensor) for v in (*t, *x)):
            return _single(tuple(tangents(x, t)))
        with mode(grad=False, record=False):
            found = tangents(_each(boxed, x), _each(boxed, t))
        return _single(tuple(d.data for d in found))

    def _dx(self, dz: Any, x: tuple[Any, ...], needs: Sequence[Any], *, use: Use) -> tuple[Any, ...]:
        """The transpose: the rule on tangents that a gradient flows to, and back."""
        parts = _parts(dz)
        # the engine conjugates what goes in and what comes out, which transposes by itself
        plain = parts is not dz and is_complex(dz.dtype)
        turned = _conj if plain else lambda v: v
        raw = not any(isinstance(v, Tensor) for v in (*parts, *x))
        values = _each(boxed, x)
        floating = [isinstance(v, Tensor) and is_floating(v.dtype) for v in values]
        moving = [flows and need is not None for flows, need in zip(floating, needs, strict=True)]
        with mode(grad=True, record=False):
            t = [_wanted(_still(v)) if moves else _still(v) for v, moves in zip(values, moving)]
            outputs = self._tangents(use, values, t)
            given = [(z, turned(boxed(d))) for z, d in zip(outputs, parts, strict=True) if d is not None]
            roots, dzs = [z for z, _ in given], [d for _, d in given]
            gradients = pull_back(roots, dzs, [v for v, moves in zip(t, moving) if moves], free=False)
            found = iter([turned(g) for g in gradients])
        gs = [next(found) if moves else None for moves in moving]
        return tuple(_each(lambda g: g.data, gs) if raw else gs)


def _each(f: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """`f` of each value, None for None."""
    return [None if v is None else f(v) for v in values]


def _wanted(t: Tensor) -> Tensor:
    """A tangent to which a gradient flows."""
    return Tensor(t.data, t.device, Input(t.device, t.shape, t.data.dtype))


def _conj(v: Any) -> Any:
    """The conjugate of a Tensor or an array; a real one is its own."""
    if not is_complex(v.dtype):
        return v
    return conj(v) if isinstance(v, Tensor) else device_of(v).xp.conj(v)  # type: ignore[union-attr]


def _still(v: Any) -> Any:
    """The tangent of what does not move."""
    return zeros_like(v) if isinstance(v, Tensor) else type(v)(0)


def _single(z: tuple[Any, ...]) -> Any:
    return z[0] if len(z) == 1 else z


def _parts(z: Any) -> Sequence[Any]:
    return z if isinstance(z, tuple | list) else (z,)
