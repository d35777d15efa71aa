"""The cotangents of a reverse sweep: the sum of what the users of each value contribute, eager or lazy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from ..backends.dtypes import is_complex
from ..backends.types import Array, Namespace
from ..ops import Op
from ..ops.linalg import MATMUL, rows
from ..ops.rules import Given
from .graph import Node
from .rules import conjugate_vjp


class Cotangents:
    """The cotangents that a sweep has accumulated so far, by node.

    The first contribution to a node is borrowed: it may be aliased, as the rule of `+` gives the same array
    to both operands. The sum of two is owned here, and later contributions are added to it in place. With
    `keep`, cotangents stay after they are taken.
    """

    def __init__(self, keep: bool = False) -> None:
        self.of: dict[Any, Any] = {}
        self.owned: set[Any] = set()
        self.keep = keep

    def taker(self) -> Callable[[Any, None], Any]:
        """A function `take(node, None)` that returns the cotangent of a node once it is complete."""
        return self.of.get if self.keep else self.of.pop

    def add(self, nodes: Sequence[Any], found: Sequence[Any]) -> None:
        """Add to each node's cotangent the contribution found for it, which may be None."""
        of, owned = self.of, self.owned
        for node, g in zip(nodes, found):
            if g is None:
                continue
            if node not in of:
                of[node] = g
            elif node in owned:
                of[node] += g
            else:
                of[node] = of[node] + g
                owned.add(node)

    def whole(self) -> dict[Any, Any]:
        """All cotangents; that of a tuple is a list."""
        return self.of


class LazyCotangents(Cotangents):
    """Cotangents of which some are `Lazy`: these are evaluated when they are taken."""

    def taker(self) -> Callable[[Any, None], Any]:
        taken = super().taker()

        def take(node: Node, default: None) -> Any:
            dz = taken(node, default)
            return self._made_whole(node, dz) if isinstance(dz, Lazy) else dz

        return take

    def _made_whole(self, node: Node, dz: Lazy) -> Any:
        whole = dz.whole()
        if self.keep:
            self.of[node] = whole
        return whole

    def add(self, nodes: Sequence[Any], found: Sequence[Any]) -> None:
        of, owned = self.of, self.owned
        for node, g in zip(nodes, found):
            if g is None:
                continue
            if node not in of:
                of[node] = g
                continue
            if isinstance(g, Lazy) and not isinstance(of[node], Lazy):
                of[node] = g + of[node]  # in this order: an array cannot add a Lazy
            elif node in owned:
                of[node] += g
                continue
            else:
                of[node] = of[node] + g
            owned.add(node)

    def whole(self) -> dict[Any, Any]:
        for node, dz in self.of.items():
            if isinstance(dz, Lazy):
                self.of[node] = dz.whole()
        return self.of


class GuardedCotangents(LazyCotangents):
    """Lazy cotangents for libraries with a current device: each sum is computed on its node's device."""

    def _made_whole(self, node: Node, dz: Lazy) -> Any:
        with node.device.guard or nullcontext():
            return super()._made_whole(node, dz)

    def add(self, nodes: Sequence[Any], found: Sequence[Any]) -> None:
        for node, g in zip(nodes, found):
            if g is not None:
                with node.device.guard or nullcontext():
                    super().add((node,), (g,))

    def whole(self) -> dict[Any, Any]:
        for node, dz in self.of.items():
            if isinstance(dz, Lazy):
                with node.device.guard or nullcontext():
                    self.of[node] = dz.whole()
        return self.of


class Lazy(ABC):
    """A cotangent that is evaluated only when it is needed.

    It belongs to a single node, and adding to it changes it in place.
    """

    @abstractmethod
    def __iadd__(self, other: Any) -> Any:
        """Add a contribution in place."""

    def __add__(self, other: Any) -> Any:
        return self.__iadd__(other)

    @abstractmethod
    def whole(self) -> Any:
        """Evaluate to an array, or a list of arrays."""


class Parts(Lazy):
    """The cotangent of a tuple of `count` parts, some of which have one."""

    def __init__(self, count: int, of: dict[int, Any]) -> None:
        self._count, self._of = count, of

    def __iadd__(self, other: Any) -> Any:
        for i, dz in other._of.items():
            self._of[i] = self._of[i] + dz if i in self._of else dz
        return self

    def whole(self) -> list[Any]:
        return [self._of.get(i) for i in range(self._count)]


class Products(Lazy):
    """The cotangent of a matrix W in many products x @ W, as at every time step of a recurrent network.

    It is the sum over t of x_tᵀ @ dz_t. Computed as one product of the concatenated rows, it is faster than
    many small products and their sum.
    """

    ENOUGH = 1024  # rows: waiting for more holds memory and saves no more time

    def __init__(self, W: Node) -> None:
        self._W = W
        self._x: list[Array] = []
        self._dz: list[Array] = []
        self._count = 0
        self._total: Array | None = None
        self._rest: Any = None  # contributions of other uses of W

    def use(self, x: Array, dz: Array, count: int) -> None:
        """Add the product `x` @ W, of `count` rows."""
        if self._x and (x.dtype != self._x[0].dtype or dz.dtype != self._dz[0].dtype):
            self._add_up()
        self._x.append(x)
        self._dz.append(dz)
        self._count += count
        if self._count >= self.ENOUGH:
            self._add_up()

    def __iadd__(self, other: Any) -> Any:
        self._rest = other if self._rest is None else self._rest + other
        return self

    def whole(self) -> Any:
        self._add_up()
        return self._total if self._rest is None else self._rest + self._total

    def _add_up(self) -> None:
        if not self._x:
            return
        xp = self._W.device.xp
        x, dz = (
            (self._x[0], self._dz[0]) if len(self._x) == 1 else (_joined(xp, self._x), _joined(xp, self._dz))
        )
        vjp = conjugate_vjp if is_complex(dz.dtype) else Op.vjp
        _, g = vjp(MATMUL, Given(xp, dz, (None, x, None)), (None, self._W), {})
        self._total = g if self._total is None else self._total + g
        self._x, self._dz, self._count = [], [], 0


def _joined(xp: Namespace, arrays: list[Array]) -> Array:
    """Concatenate the rows of all arrays."""
    return xp.concat([rows(xp, a) for a in arrays])
