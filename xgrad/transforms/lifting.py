"""Arguments of a transformed function as Tensors to which a gradient flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..backends.dtypes import is_floating
from ..core.graph import Input, Leaf, Level
from ..core.pytree import flatten, paths, unflatten
from ..core.tensor import Tensor
from ..errors import TraceError
from ..namespace import asarray


class Lifted:
    """A tree of arguments of the transform of that level, whose leaves are fresh Tensors; `inputs` lists
    them.

    A Tensor that was itself computed from others stays connected to them, so transforms nest. A leaf made
    with requires_grad=True is taken as its value.
    """

    def __init__(self, tree: Any, what: str, level: Level) -> None:
        leaves, self.structure = flatten(tree)
        self.inputs = [
            _input(leaf, level, lambda i=i: f"{what}{paths(tree)[i]}")  # type: ignore[misc]
            for i, leaf in enumerate(leaves)
        ]
        # which the function may change in place
        self.tree = unflatten(self.structure, [x._alias() for x in self.inputs])

    def like(self, gradients: list[Any]) -> Any:
        """The gradients of the inputs in the structure of the tree."""
        return unflatten(self.structure, gradients)


def _input(value: Any, level: Level, what: Callable[[], str]) -> Tensor:
    x = asarray(value)
    if not is_floating(x.dtype):
        raise TypeError(
            f"{what()} has dtype {x.dtype}, but a gradient needs a floating-point dtype: write 3.0 for 3, "
            f"or use astype(xg.float64)"
        )
    origin = x.node if x.requires_grad and not isinstance(x.node, Leaf) else None
    return x._with_node(Input(x.device, x.shape, x.data.dtype, level, origin))


def returned(leaves: Iterable[Any], who: str) -> list[Tensor]:
    """What a function returned, as Tensors.

    Raises TypeError where something is no number and no array, with the function's name.
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
    """A tree as its leaves, which are Tensors, and its structure."""

    leaves: list[Tensor]
    structure: Any

    def tree(self) -> Any:
        """The tree, in new containers."""
        return unflatten(self.structure, self.leaves)


def to_tensors(tree: Any) -> Flat:
    """A tree with plain arrays and numbers made Tensors on the current device, and Tensors handles of their
    own."""
    leaves, structure = flatten(tree)
    return Flat([asarray(leaf)._alias() for leaf in leaves], structure)
