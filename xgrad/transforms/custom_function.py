"""A function of trees of arrays as one op, with one operand for each leaf of its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

from ..backends import device_of
from ..core.context import MODE
from ..core.dispatch import NUMBERS
from ..core.pytree import flatten, paths, unflatten
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import asarray
from ..namespace.calling import call
from ..ops import Op
from ..ops.axes import integers
from .boxing import refuse_closure
from .user_gates import key_of


class CustomFunction:
    """A function as one op, with one operand for each leaf of its arguments.

    Subclasses define the derivative, and make the op.
    """

    #: The call by which a user defines the derivative, for messages.
    _define = ""

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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

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
        use.leaves = []  # a cached program keeps the Use, but must not keep its arguments
        return unflatten(use.output, list(z) if isinstance(z, tuple) else [z])


class Use:
    """One call of a custom function: its leaves, and its fixed arguments.

    Calls that differ only in their leaves are equal, and share programs.
    """

    def __init__(self, owner: CustomFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
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
        self.moving = unflatten(self.structure, list(range(len(found))))  # each leaf is its own index
        self.output: Any = None  # the structure of what the function returned
        self.keeps = False  # whether the forward pass must keep residuals
        self.residuals: tuple[Any, ...] = ()  # at most one entry
        self._key = (id(owner), self.structure, *((i, key_of(v)) for i, v in self.fixed.items()))

    def _refuse_cutting(self, i: int, fixed: Any) -> None:
        """Raise GraphError if a fixed argument needs a gradient, or is a variable of a trace."""
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
        """Flatten what the function returned; keep its structure in `output`."""
        leaves, self.output = flatten(z)
        if not leaves:
            raise TypeError(f"{self.owner.name} returned no array")
        return tuple(map(asarray, leaves))

    def like_output(self, z: Any, what: str) -> list[Any]:
        """Flatten a value that must have the structure of the output."""
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
