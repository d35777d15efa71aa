"""Lifting: turn the arguments of a transformed function into Tensors to which a gradient flows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..backends.dtypes import is_floating
from ..core.graph import Input, Leaf, Level
from ..core.pytree import flatten, paths, unflatten
from ..core.tensor import Tensor
from ..errors import TraceError
from ..namespace import asarray


class Lifted:
    """A tree of a transform's arguments, with new Tensors as leaves, which `inputs` lists.

    A Tensor that was computed from others stays connected to them, so transforms nest. Of a leaf made with
    requires_grad=True, only the value is used.
    """

    def __init__(self, tree: Any, what: str, level: Level) -> None:
        leaves, self.structure = flatten(tree)
        self.inputs = [
            _input(leaf, level, lambda i=i: f"{what}{paths(tree)[i]}")  # type: ignore[misc]
            for i, leaf in enumerate(leaves)
        ]
        # aliases, as the function may change its arguments in place
        self.tree = unflatten(self.structure, [x._alias() for x in self.inputs])

    def like(self, gradients: list[Any]) -> Any:
        """The gradients of the inputs in the structure of the tree."""
        return unflatten(self.structure, gradients)


def _input(value: Any, level: Level, what: Callable[[], str]) -> Tensor:
    x = asarray(as_number(value))
    if not is_floating(x.dtype):
        raise TypeError(
            f"{what()} has dtype {x.dtype}, but a gradient needs a floating-point dtype: write 3.0 for 3, "
            f"or use astype(xg.float64)"
        )
    origin = x.node if x.requires_grad and not isinstance(x.node, Leaf) else None
    return x._with_node(Input(x.device, x.shape, x.data.dtype, level, origin))


def as_number(leaf: Any) -> Any:
    """A Python integer as a float, as notes write `x = 3` for a number; anything else unchanged."""
    return float(leaf) if type(leaf) is int else leaf


def parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names of the parameters that take the first `count` arguments; `*args` gives args0, args1, ..."""
    names = []
    for p in inspect.signature(f).parameters.values():
        names += [f"{p.name}{i}" for i in range(count)] if p.kind is p.VAR_POSITIONAL else [p.name]
    return names[:count]


def returned(leaves: Iterable[Any], who: str) -> list[Tensor]:
    """Convert what a function returned to Tensors.

    Raises TypeError, naming the function, for anything other than numbers and arrays.
    """
    found = []
    for leaf in leaves:
        try:
            found.append(asarray(leaf))
        except TraceError:
            raise
        except (TypeError, ValueError) as error:
            kind = type(leaf).__name__
            raise TypeError(
                f"{who} must return Tensors, arrays or numbers in nested containers, but returned a "
                f"{kind}: {error}"
            ) from error
    return found


class Flat(NamedTuple):
    """A flattened tree: its leaves, which are Tensors, and its structure."""

    leaves: list[Tensor]
    structure: Any

    def tree(self) -> Any:
        """The tree, in new containers."""
        return unflatten(self.structure, self.leaves)


def to_tensors(tree: Any) -> Flat:
    """Flatten a tree; plain arrays and numbers become Tensors, and Tensors get new handles."""
    leaves, structure = flatten(tree)
    return Flat([asarray(leaf)._alias() for leaf in leaves], structure)
