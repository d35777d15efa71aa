"""Functions whose derivative is given by hand, in JAX's form: `custom_vjp` and `custom_jvp`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

from ..backends import device_of
from ..backends.dtypes import is_complex, is_floating
from ..core.backward import pull_back
from ..core.context import MODE, mode
from ..core.dispatch import NUMBERS
from ..core.graph import Input
from ..core.pytree import broadcast_prefix, flatten, paths, unflatten
from ..core.tensor import Tensor
from ..errors import GraphError, ShapeError
from ..namespace import asarray, conj, zeros_like
from ..namespace.calling import call
from ..ops import Op
from ..ops.reductions import integers
from .gates import key_of, lowered, raised, refuse_closure


class _Custom:
    """What the two have in common: a function that is one op of as many operands as its arguments have
    leaves."""

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        update_wrapper(self, fun)
        self.fun = fun
        self.name = getattr(fun, "__name__", type(fun).__name__)
        self.signature = inspect.signature(fun)
        try:
            self.static = frozenset(integers(nondiff_argnums))
        except (TypeError, ValueError):
            raise TypeError(
                f"{self.name}: nondiff_argnums={nondiff_argnums!r} is not a tuple of argument positions"
            ) from None
        self.op: Op | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.op is None:
            raise TypeError(f"{self.name} has no derivative yet: give it one with {self.name}.{self._define}")
        use = Use(self, args, kwargs)
        if MODE.get().grad:
            refuse_closure(self.fun)
        if not use.leaves:
            return self.fun(*use.arguments(use.leaves))
        use.keeps = MODE.get().grad and any(isinstance(v, Tensor) and v.requires_grad for v in use.leaves)
        z = call(self.op, tuple(use.leaves), {"use": use})
        use.leaves = []  # a program that is kept keeps the use, and nothing of its arguments
        return unflatten(use.output, list(z) if isinstance(z, tuple) else [z])

    _define = ""


class Use:
    """One call: its arguments as leaves and what is fixed.

    Two calls that differ in their leaves alone are equal, and share programs.
    """

    def __init__(self, owner: _Custom, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        bound = owner.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(
                f"{owner.name} takes {', '.join(bound.kwargs)} by keyword only; a function with a custom "
                f"derivative takes all arguments by position"
            )
        self.owner, self.count = owner, len(bound.args)
        if any(not -self.count <= i < self.count for i in owner.static):
            raise TypeError(
                f"{owner.name} was called with {self.count} arguments, but "
                f"nondiff_argnums={tuple(sorted(owner.static))} names other positions"
            )
        static = {i % self.count for i in owner.static}
        self.fixed = {i: v for i, v in enumerate(bound.args) if i in static}
        for i, v in self.fixed.items():
            self._refuse_cutting(i, v)
        moving = tuple(v for i, v in enumerate(bound.args) if i not in static)
        found, self.structure = flatten(moving)
        self.leaves = [self._leaf(v, name) for v, name in zip(found, paths(moving), strict=True)]
        self.moving = unflatten(self.structure, list(range(len(found))))  # as a pattern
        self.output: Any = None  # the structure of what the function returned
        self.keeps = False  # whether the forward pass is to leave what the backward pass wants
        self.residuals: tuple[Any, ...] = ()  # which is one thing, or none yet
        self._key = (id(owner), self.structure, *((i, key_of(v)) for i, v in self.fixed.items()))

    def _refuse_cutting(self, i: int, fixed: Any) -> None:
        """A fixed argument has no gradient, and no variable of a trace in it, which would be another at every
        step."""
        for v in flatten(fixed)[0]:
            if isinstance(v, Tensor) and (v.requires_grad or hasattr(v.data, "tracer")):
                what = (
                    "needs a gradient, which would be lost"
                    if v.requires_grad
                    else "is a Tensor of the function that is being traced"
                )
                name = self.owner.name
                raise GraphError(
                    f"{name}: argument {i} is in nondiff_argnums and {what}: pass arrays as other "
                    f"arguments, or use t.detach()"
                )

    def _leaf(self, v: Any, name: str) -> Any:
        if isinstance(v, Tensor) or type(v) in NUMBERS:
            return v
        if device_of(v) is None and not hasattr(v, "__array__"):
            raise TypeError(
                f"{self.owner.name}: the argument at {name} is {type(v).__name__}, not an array: add its "
                f"position to nondiff_argnums"
            )
        return asarray(v)

    def arguments(self, leaves: Sequence[Any]) -> list[Any]:
        """The arguments of the function, with these leaves."""
        moving = iter(unflatten(self.structure, list(leaves)))
        return [self.fixed[i] if i in self.fixed else next(moving) for i in range(self.count)]

    def outputs(self, z: Any) -> tuple[Any, ...]:
        """What the function returned, as leaves; `output` remembers the structure."""
        leaves, self.output = flatten(z)
        if not leaves:
            raise TypeError(f"{self.owner.name} returned no array")
        return tuple(map(asarray, leaves))

    def like_output(self, z: Any, what: str) -> list[Any]:
        """The leaves of something that must have the structure of the output."""
        leaves, structure = flatten(z)
        if structure != self.output:
            raise TypeError(
                f"{what} of {self.owner.name} has the structure {structure}, but its output has {self.output}"
            )
        return [asarray(v) for v in leaves]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Use) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _single(z: tuple[Any, ...]) -> Any:
    return z[0] if len(z) == 1 else z


def _parts(z: Any) -> Sequence[Any]:
    return z if isinstance(z, tuple | list) else (z,)


class custom_vjp(_Custom):
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

        return lowered(x, f)

    def _kept(self, use: Use, leaves: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
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
            given = [None if d is None else _conj(d) for d in given]
        # to be differentiated again: what was kept must be connected
        if any(isinstance(v, Tensor) for v in (*given, *x)):
            _, residuals = self._kept(use, x)
            found = self._gradients(use, residuals, x, given, zs)
        else:
            with mode(grad=False, record=False):
                residuals = use.residuals[0] if use.residuals else self._kept(use, list(map(raised, x)))[1]
                found = self._gradients(
                    use,
                    residuals,
                    x,
                    [None if d is None else raised(d) for d in given],
                    [raised(v) for v in zs],
                )
            found = [None if g is None else g.data for g in found]
        return tuple(_conj(g) if several and g is not None else g for g in found)

    def _gradients(
        self, use: Use, residuals: Any, x: Sequence[Any], dz: Sequence[Any], z: Sequence[Any]
    ) -> Sequence[Any]:
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
        """What `bwd` gave for the argument `x` at `name`: a Tensor of its shape, and real where it is."""
        if g is None:
            return None
        if not isinstance(g, Tensor) and type(g) not in NUMBERS and device_of(g) is None:
            raise TypeError(
                f"bwd of {self.name} returned {type(g).__name__} as a gradient, which must be an array "
                f"shaped like its argument, or None"
            )
        g = asarray(g)
        if is_complex(g.dtype) and not is_complex(getattr(x, "dtype", type(x))):
            raise TypeError(
                f"bwd of {self.name} returned a complex gradient for the argument at {name}, which is "
                f"real: use xg.real"
            )
        shape = tuple(getattr(x, "shape", ()))
        if g.shape != shape:
            raise ShapeError(
                f"bwd of {self.name} returned a gradient of shape {g.shape} for the argument at {name}, of "
                f"shape {shape}"
            )
        return g  # type: ignore[no-any-return]


class custom_jvp(_Custom):
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
        return lowered(x, lambda *leaves: _single(use.outputs(self.fun(*use.arguments(leaves)))))

    def _tangents(self, use: Use, x: Sequence[Any], t: Sequence[Any]) -> list[Any]:
        """What the rule gives, for a tangent of each leaf."""
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
        if any(isinstance(v, Tensor) for v in (*t, *x)):
            return _single(
                tuple(
                    self._tangents(use, x, [_still(v) if d is None else d for v, d in zip(x, t, strict=True)])
                )
            )
        with mode(grad=False, record=False):
            x = tuple(map(raised, x))
            found = self._tangents(
                use, x, [_still(v) if d is None else raised(d) for v, d in zip(x, t, strict=True)]
            )
        return _single(tuple(d.data for d in found))

    def _dx(self, dz: Any, x: tuple[Any, ...], needs: Sequence[Any], *, use: Use) -> tuple[Any, ...]:
        """The transpose: the rule on tangents that a gradient flows to, and back."""
        parts = _parts(dz)
        # the engine conjugates what goes in and what comes out, which transposes by itself
        plain = parts is not dz and is_complex(dz.dtype)
        raw = not any(isinstance(v, Tensor) for v in (*parts, *x))
        values = [raised(v) for v in x]
        chosen = [
            i
            for i, v in enumerate(values)
            if needs[i] is not None and isinstance(v, Tensor) and is_floating(v.dtype)
        ]
        with mode(grad=True, record=False):
            t = [_still(v) for v in values]
            for i in chosen:
                t[i] = Tensor(t[i].data, t[i].device, Input(t[i].device, t[i].shape, t[i].data.dtype))
            outputs = self._tangents(use, values, t)
            given = [
                (z, _conj(raised(d)) if plain else raised(d))
                for z, d in zip(outputs, parts, strict=True)
                if d is not None
            ]
            found = dict(
                zip(
                    chosen,
                    pull_back(
                        [z for z, _ in given], [d for _, d in given], [t[i] for i in chosen], free=False
                    ),
                )
            )
            found = {i: _conj(g) if plain else g for i, g in found.items()}
        return tuple(None if g is None else g.data if raw else g for g in map(found.get, range(len(x))))


def _conj(v: Any) -> Any:
    """The conjugate of a Tensor or an array; a real one is its own."""
    if not is_complex(v.dtype):
        return v
    return conj(v) if isinstance(v, Tensor) else device_of(v).xp.conj(v)  # type: ignore[union-attr]


def _still(v: Any) -> Any:
    """The tangent of what does not move."""
    return zeros_like(v) if isinstance(v, Tensor) else type(v)(0)
