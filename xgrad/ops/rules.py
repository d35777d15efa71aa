"""How rules are called: what they are given to choose from, by name, and what they ask an op to save."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from operator import attrgetter, itemgetter
from typing import Any

from ..backends.dtypes import is_complex
from ..backends.types import Array, Namespace
from ..errors import ShapeError

#: What an op saves for its rules: (z, x, y), of its output and operands those that the rules ask for.
Saved = tuple[Any, Any, Any]


class Given:
    """What a rule is given to choose from.

    A sweep fills in the same one for every op: to make one costs as much as a rule.

    Attributes:
        xp: the array namespace.
        dz: the gradient of the output; or, of an elementwise op in forward mode, the tangent of an operand.
        t: the tangents of the operands, for a rule of forward mode.
        z, x, y: what the op saved. Of any number of operands, `x` is their tuple, or that of their shapes,
            and `y` all but the first.
        shape: of the operand whose gradient is asked for.
        needs: of any number of operands, those whose gradients are asked for, and None for the others; or, in
            forward mode, of several outputs whether the tangent of each is.
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


#: A rule as it is written, and what chooses its arguments from a `Given`; None where that is `dz` alone.
Rule = tuple[Callable[..., Any], Callable[[Given], tuple[Any, ...]] | None]


#: By the name that a rule asks for, what of a `Given` it means.
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
    """The rule of one operand, or of all of them."""
    return None if function is None else _rule(function, _VARIADIC_NAMES if variadic else _NAMES, "dz")


def forward_rule(function: Callable[..., Any] | None) -> Rule | None:
    """The rule of an op of any number of operands for its tangent."""
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
            f"a derivative takes {moves} and any of {', '.join(known)}, and parameters after a '*'; "
            f"this one takes {', '.join(names)}"
        )
    if names == ["dz"]:
        return function, None
    chosen = attrgetter(*[known[name] for name in names])
    return function, chosen if len(names) > 1 else lambda given: (chosen(given),)


def asked_for(function: Callable[..., Any] | None) -> set[str]:
    """The names of a rule's arguments."""
    return set() if function is None else set(inspect.signature(function).parameters)


def saver(asked: set[str], variadic: bool) -> Callable[[tuple[Any, ...]], Saved] | None:
    """What turns (None, z, *operands) into what rules ask for; None where that is nothing."""
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
    """Shape of an array, of a number, or of each in a tuple."""
    return tuple(map(shape_of, value)) if type(value) is tuple else getattr(value, "shape", ())


def fit(xp: Namespace, g: Array, target: Any) -> Array:
    """`g` as the gradient of an operand like `target`: summed over the axes along which that was broadcast,
    and in its dtype."""
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
