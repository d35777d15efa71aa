"""How rules are called: the arguments they select by name, and the values an op saves for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any

from ..backends.dtypes import is_complex
from ..backends.types import Array, Namespace
from ..errors import ShapeError

#: What an op saves for its rules: (z, x, y), with None for the output or operands that no rule uses.
Saved = tuple[Any, Any, Any]


class Given:
    """The values from which a rule selects its arguments.

    A sweep reuses one instance for every op, as making one costs as much as a rule.

    Attributes:
        xp: the array namespace.
        dz: the gradient of the output; or, of an elementwise op in forward mode, the tangent of an operand.
        t: the tangents of the operands, for a rule of forward mode.
        z, x, y: what the op saved. For a variadic op, `x` is the tuple of operands, or of their shapes, and
            `y` that of all operands but the first.
        shape: the shape of the operand whose gradient is computed.
        needs: for a variadic op, the operands whose gradients are needed, with None for the others; in
            forward mode, for several outputs, whether the tangent of each is needed.
    """

    __slots__ = ("dz", "needs", "shape", "t", "x", "xp", "y", "z")
    needs: Any
    shape: Any
    t: Any

    def __init__(
        self,
        xp: Namespace = None,  # type: ignore[assignment]  # None until a sweep fills it in
        dz: Any = None,
        saved: Saved = (None, None, None),
    ) -> None:
        self.xp, self.dz = xp, dz
        self.z, self.x, self.y = saved


#: A rule, and the function that selects its arguments from a `Given`; None if `dz` is the only argument.
Rule = tuple[Callable[..., Any], Callable[[Given], tuple[Any, ...]] | None]


#: The attribute of `Given` for each argument name of a rule.
_NAMES = {"xp": "xp", "dz": "dz", "z": "z", "x": "x", "y": "y", "x_shape": "shape", "y_shape": "shape"}
_VARIADIC_NAMES = {
    "xp": "xp",
    "dz": "dz",
    "z": "z",
    "x": "x",
    "x_shape": "x",
    "first": "x",
    "rest": "y",
    "needs": "needs",
}


def reverse_rule(function: Callable[..., Any] | None, variadic: bool) -> Rule | None:
    """Prepare the vjp rule of one operand or, for a variadic op, of all operands."""
    return None if function is None else _rule(function, _VARIADIC_NAMES if variadic else _NAMES, "dz")


def forward_rule(function: Callable[..., Any] | None) -> Rule | None:
    """Prepare the jvp rule of a variadic op."""
    return None if function is None else _rule(function, {**_VARIADIC_NAMES, "t": "t"}, "t")


def _rule(function: Callable[..., Any], known: dict[str, str], moves: str) -> Rule:
    names = [
        name
        for name, p in inspect.signature(function).parameters.items()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    unknown = [name for name in names if name not in known]
    if unknown or moves not in names:
        raise TypeError(
            f"a derivative must take {moves}, and may take {', '.join(n for n in known if n != moves)}; "
            f"parameters follow after a '*'. This one takes {', '.join(names) or 'nothing'}"
        )
    if names == ["dz"]:
        return function, None
    chosen = attrgetter(*[known[name] for name in names])
    return function, chosen if len(names) > 1 else lambda given: (chosen(given),)


def asked_for(function: Callable[..., Any] | None) -> set[str]:
    """The names of a rule's arguments."""
    return set() if function is None else set(inspect.signature(function).parameters)


def saver(asked: set[str], variadic: bool) -> Callable[[tuple[Any, ...]], Saved] | None:
    """A function from (None, z, *operands) to the values that rules need; None if they need nothing."""
    if not asked & {"z", "x", "y", "first", "rest"} and not (variadic and "x_shape" in asked):
        return None
    z = 1 if "z" in asked else 0
    if not variadic:
        return itemgetter(z, 2 if "x" in asked else 0, 3 if "y" in asked else 0)
    whole: Callable[[Any], Any] = lambda operands: None
    if "x_shape" in asked:
        whole = shape_of
    elif "x" in asked or "first" in asked:
        whole = itemgetter(slice(None if "x" in asked else 1))
    return lambda values: (values[z], whole(values[2:]), values[3:] if "rest" in asked else None)


def shape_of(value: Any) -> tuple[Any, ...]:
    """Shape of an array or number; for a tuple, the tuple of shapes."""
    return tuple(map(shape_of, value)) if type(value) is tuple else getattr(value, "shape", ())


def fit(xp: Namespace, g: Array, target: Any) -> Array:
    """Fit a gradient to an operand like `target`: sum over broadcast axes, and cast to its dtype."""
    shape = target.shape
    if len(shape) > g.ndim and shape == (1,) * (len(shape) - g.ndim) + tuple(g.shape):
        g = xp.reshape(g, shape)  # an assignment takes a value with leading axes of length 1
    if g.shape != shape:
        extra = g.ndim - len(shape)
        axes = tuple(a for a in range(g.ndim) if a < extra or (shape[a - extra] == 1 and g.shape[a] != 1))
        if extra < 0 or any(a not in axes and n != shape[a - extra] for a, n in enumerate(g.shape)):
            raise ShapeError(f"a gradient of shape {g.shape} does not fit an operand of shape {shape}")
        g = xp.reshape(xp.sum(g, axis=axes), shape)
    if g.dtype != target.dtype:
        g = xp.astype(xp.real(g) if is_complex(g.dtype) and not is_complex(target.dtype) else g, target.dtype)
    return g
