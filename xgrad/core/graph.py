"""The graph: nodes, their topological order, and reachability."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from math import inf
from operator import attrgetter
from typing import Any

from ..backends import Device
from ..backends.types import DTypeLike
from ..errors import GraphError
from ..ops import Op
from ..ops.arithmetic import NONE

_next_number = count().__next__
_LEVELS = count(1)
_by_number = attrgetter("number")

NOTHING = (None, None, None)  # saved by an op whose derivative needs neither output nor operands
FREED = (None, None, None, "freed")


class Node:
    """One op that was run: what the sweeps need to differentiate it, without its value.

    Nodes are numbered as they are made, so the order of their numbers is a topological order, and the
    backward pass is the forward list in reverse. `device`, `shape` and `dtype` are those of the output (for a
    tuple, tuples of them). `saved` holds (z, x, y), or None for each that the op's derivative does not need.
    """

    __slots__ = ("device", "dtype", "number", "op", "params", "parents", "saved", "shape")
    needs = True  # whether a gradient flows to it
    level = 0  # no transform

    def __init__(
        self,
        op: Op | None,
        device: Device,
        parents: tuple[Node | None, ...],
        params: dict[str, Any],
        saved: tuple[Any, ...],
        shape: Any,
        dtype: Any,
    ) -> None:
        self.op = op
        self.device = device
        self.parents = parents
        self.params = params
        self.saved = saved
        self.shape = shape
        self.dtype = dtype
        self.number = _next_number()


class Leaf(Node):
    """A source of the graph that the user made, and where `backward` accumulates the gradient."""

    __slots__ = ("grad", "name")

    def __init__(
        self, device: Device, shape: tuple[int, ...], dtype: DTypeLike, name: str | None = None
    ) -> None:
        super().__init__(None, device, (), {}, NOTHING, shape, dtype)
        self.grad: Any = None
        self.name = name


class Level:
    """One transform while it runs.

    A transform that began later has a higher number: it runs inside the other, or after it.
    """

    __slots__ = ("inputs", "number")

    def __init__(self) -> None:
        self.number = next(_LEVELS)
        self.inputs: list[Input] = []

    def __enter__(self) -> Level:
        return self

    def __exit__(self, *error: object) -> None:
        for node in self.inputs:  # whoever kept one finds a constant
            node.needs = bool(node.parents)


class Input(Node):
    """An argument of a function that a transform runs; its parent is `origin`, if that needs a gradient."""

    __slots__ = ("level", "needs")

    def __init__(
        self,
        device: Device,
        shape: tuple[int, ...],
        dtype: Any,
        level: Level | None = None,
        origin: Node | None = None,
    ) -> None:
        op, parents = (None, ()) if origin is None else (NONE, (origin,))
        super().__init__(op, device, parents, {}, NOTHING, shape, dtype)
        level = level or Level()
        level.inputs.append(self)
        self.level = level.number
        self.needs = True


class Named(Leaf):
    """A value with a name, to which no gradient flows."""

    __slots__ = ()
    needs = False


def ancestors(roots: Collection[Node], stops: Collection[Node] = ()) -> tuple[list[Node], list[Node]]:
    """The nodes that `roots` were computed from, newest first, and the sources: leaves and `stops`.

    The walk does not go past `stops`.
    """
    seen, stack = set(roots), list(dict.fromkeys(roots))
    inner: list[Node] = []
    sources: list[Node] = []
    while stack:
        node = stack.pop()
        if node.op is None or node in stops:
            if node.needs:
                sources.append(node)
            continue
        inner.append(node)
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    inner.sort(key=_by_number, reverse=True)
    return inner, sources


def connected(sources: Collection[Node], inputs: Collection[Node]) -> bool:
    """Whether a gradient flows beyond `inputs`: to another source, or through an input to its own parents."""
    return bool(_beyond(sources, inputs))


def _beyond(sources: Collection[Node], inputs: Collection[Node]) -> list[Node]:
    """The sources through which a gradient flows beyond `inputs`.

    These are leaves, inputs with a parent, and inputs of lower levels. Inputs of higher levels belong to
    inner transforms, which are done.
    """
    own, level = frozenset(inputs), min((node.level for node in inputs if node.level), default=inf)
    return [source for source in sources if (source.parents if source in own else source.level < level)]


def depending_on_more(roots: Collection[Node], inputs: Collection[Node]) -> set[Node]:
    """The nodes among `roots` and their ancestors from which a gradient flows beyond `inputs`."""
    order, sources = ancestors(roots, inputs)
    beyond = _beyond(sources, inputs)
    return leading_to(order, beyond) if beyond else set()


def leading_to(order: list[Node], targets: Collection[Node]) -> set[Node]:
    """`targets`, and the nodes of `order` (newest first) that depend on them: the only gradients needed."""
    useful = set(targets)
    for node in reversed(order):
        if not useful.isdisjoint(node.parents):
            useful.add(node)
    return useful


def freed(node: Node) -> GraphError:
    """The error for a node whose saved arrays are needed again after they were freed."""
    assert node.op is not None
    return GraphError(
        f"the arrays that {node.op.name!r} saved for its gradient are freed, because backward already "
        f"went through this graph; call backward(retain_graph=True) the first time, or compute the output "
        f"again"
    )
