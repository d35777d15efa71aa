"""The graph engine: nodes, their order, and the reverse sweep."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from itertools import count
from math import prod
from operator import attrgetter
from typing import Any

from .backends import Device
from .backends.dtypes import canonical, is_complex
from .derivatives import Form, gradients
from .errors import GraphError
from .memory import out_of_memory
from .modes import MODE, mode
from .ops import Op
from .ops.arithmetic import WHERE
from .ops.linalg import rows
from .ops.shaping import ITEM

_next_number = count().__next__
_by_number = attrgetter("number")

NOTHING = (None, None, None)  # saved by an op whose derivative needs neither output nor operands
FREED = (None, None, None, "freed")


class Node:
    """One op that was run, without its value: what the sweep needs to go back through it.

    Nodes are numbered as they are made, so the order of their numbers is a topological order, and the backward pass is
    the forward list in reverse. `device` is where its output is, `shape` and `dtype` are its form (of a tuple, tuples of
    them). `saved` holds (z, x, y) as far as the op's derivative asks for them.
    """

    __slots__ = ("device", "dtype", "number", "op", "params", "parents", "saved", "shape")
    needs = True  # whether a gradient flows to it

    def __init__(
        self, op: Op | None, device: Device, parents: tuple[Node | None, ...], params: dict[str, Any], saved: tuple[Any, ...], shape: Any, dtype: Any
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
    """Where a graph begins by the user's wish, and where `backward` leaves the gradient."""

    __slots__ = ("grad", "name")

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: Any, name: str | None = None) -> None:
        super().__init__(None, device, (), {}, NOTHING, shape, dtype)
        self.grad: Any = None
        self.name = name


class Input(Node):
    """An argument of a function while a transform runs it; afterwards no gradient flows to it any more."""

    __slots__ = ("needs",)

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__(None, device, (), {}, NOTHING, shape, dtype)
        self.needs = True


class Named(Leaf):
    """A value with a name, to which no gradient flows."""

    __slots__ = ()
    needs = False


def ancestors(roots: Collection[Node], stops: Collection[Node] = ()) -> tuple[list[Node], list[Node]]:
    """The nodes that `roots` were computed from, newest first, and the sources: leaves and `stops`, which end the walk."""
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
    """Whether a gradient flows further than to `inputs`: to another of the sources, or through an input to what it was made from."""
    return bool(_beyond(sources, inputs))


def _beyond(sources: Collection[Node], inputs: Collection[Node]) -> list[Node]:
    """The sources through which a gradient flows further than to `inputs`.

    Inputs of transforms that began later do not count: those run inside, and are done.
    """
    own, first = frozenset(inputs), min((node.number for node in inputs), default=0)

    def leads_on(source: Node) -> bool:
        if source in own:
            return bool(source.parents)
        return not (isinstance(source, Input) and source.number > first)

    return [source for source in sources if leads_on(source)]


def depending_on_more(roots: Collection[Node], inputs: Collection[Node]) -> set[Node]:
    """Of `roots`, and of what they were computed from, the nodes from which a gradient flows further than to `inputs`."""
    order, sources = ancestors(roots, inputs)
    return leading_to(order, _beyond(sources, inputs))


def leading_to(order: list[Node], targets: Collection[Node]) -> set[Node]:
    """`targets`, and of `order` (newest first) the nodes that depend on them: the only ones whose gradient is of use."""
    useful = set(targets)
    for node in reversed(order):
        if not useful.isdisjoint(node.parents):
            useful.add(node)
    return useful


def bprop(
    order: list[Node],
    grads: dict[Any, Any],
    wanted: Collection[Node] | None = None,
    *,
    xp: Any = None,
    lift: Callable[[Node], tuple[Any, ...]] | None = None,
    free: bool = True,
    keep: bool = False,
) -> None:
    """The reverse sweep: visit `order` (newest first) and add each node's gradients to those its operands already have.

    `grads` begins with the output's gradient and ends with that of every source (with `keep`, of every node). If `wanted`
    is given, only those nodes are given one. `free` drops saved arrays as it goes. Gradients are raw arrays; with `lift`,
    which turns a node's saved arrays into Tensors, and `xp`, the namespace of those, they are Tensors that record themselves.
    """
    owned: set[Node] = set()  # whose gradient is a sum made here, and so may be added to in place
    waiting: dict[Node, Uses] = {}
    dtype, conjugate, watch = None, False, MODE.get().watch
    masked: set[Node] | None = None  # found at the first `where`
    for node in order:
        if node in waiting:
            waiting.pop(node).give(node, grads)
        dz = grads.get(node) if keep else grads.pop(node, None)
        if dz is None:
            continue
        op, saved, device = node.op, node.saved, node.device
        assert op is not None
        if op is ITEM:  # one part of a tuple's gradient
            _put(dz, node, grads)
            continue
        if saved is FREED:
            raise freed(node)
        if free and saved is not NOTHING:
            node.saved = FREED
        if node.dtype is not dtype:
            dtype = node.dtype
            conjugate = type(dtype) is not tuple and is_complex(dtype)
        parents: Sequence[Any] = node.parents if wanted is None else [parent if parent in wanted else None for parent in node.parents]
        targets = parents
        if lift is None:
            place = [device.xp, dz, *saved, None]
        else:
            place, targets = [xp, dz, *lift(node), None], [None if p is None else Form(p.shape, canonical(p.dtype)) for p in parents]
        if op.by_rows and lift is None and watch is None and not conjugate and _is_matrix_of_rows(parents[1], saved[1]):
            waiting.setdefault(parents[1], Uses(op, parents[1])).add(saved[1], dz)
            parents = targets = (parents[0], None)
        if op is WHERE and masked is None:
            masked = _masked(order)
        guarded = masked is not None and node in masked
        try:
            if watch is None and device.guard is None:
                found = gradients(op, place, node.params, targets, conjugate, guarded)
            else:
                with device.guard or nullcontext(), mode(watch=None):  # the rule's result is of interest, not each op in it
                    found = gradients(op, place, node.params, targets, conjugate, guarded)
        except MemoryError as error:
            raise out_of_memory(error, f"the gradient of {op.name!r} of shape {node.shape}", device, order, grads.values()) from error
        if watch is not None:
            watch.swept(node, (dz,), found, "the gradient")
        if device.guard is not None:
            with device.guard:
                _collect(parents, found, grads, owned)
            continue
        for parent, g in zip(parents, found):  # `_collect` without a call, as there is one for each op
            if g is None:
                continue
            if parent not in grads:
                grads[parent] = g
            elif parent in owned:
                grads[parent] += g
            else:
                grads[parent] = grads[parent] + g
                owned.add(parent)
    for node, uses in waiting.items():
        uses.give(node, grads)


def _collect(parents: Sequence[Any], found: Sequence[Any], grads: dict[Any, Any], owned: set[Any]) -> None:
    """Add the gradients of an op's operands to what these have already."""
    for parent, g in zip(parents, found):
        if g is None:
            continue
        if parent not in grads:
            grads[parent] = g  # borrowed: `+` hands the same array to both of its operands
        elif parent in owned:
            grads[parent] += g
        else:
            grads[parent] = grads[parent] + g
            owned.add(parent)


def _masked(order: list[Node]) -> set[Node]:
    """Of `order` (newest first), the ops element by element that have a slope and lead to a `where` further on.

    Where that has chosen otherwise the gradient is 0, as the value is not used, whatever the slope: 0 times infinity would make
    it NaN.
    """
    chosen_from: set[Node | None] = set()
    for node in order:
        if node.op is WHERE or node in chosen_from:
            chosen_from.update(node.parents)
    return {node for node in order if node in chosen_from and node.op.elementwise and node.op.saves[3]}  # type: ignore[union-attr]


def _is_matrix_of_rows(W: Node | None, x: Any) -> bool:
    """Whether `x @ W` is a product of rows with one matrix that wants a gradient."""
    return W is not None and len(W.shape) == 2 and len(x.shape) > 1


class Uses:
    """The products x @ W with one matrix, as there is one at every time step; its gradient is found from all together.

    dW is the sum over t of x_tᵀ @ dz_t, which is one product of all their rows: faster than the small ones and their sum.
    """

    __slots__ = ("_W", "_dz", "_op", "_rows", "_total", "_x")
    ENOUGH = 1024  # rows, from which on waiting for more holds memory and saves no more time

    def __init__(self, op: Op, W: Node) -> None:
        self._op, self._W = op, W
        self._x: list[Any] = []
        self._dz: list[Any] = []
        self._rows = 0
        self._total: Any = None

    def add(self, x: Any, dz: Any) -> None:
        """Take note of a use."""
        if self._x and (x.dtype != self._x[0].dtype or dz.dtype != self._dz[0].dtype):
            self._add_up()
        self._x.append(x)
        self._dz.append(dz)
        self._rows += prod(x.shape[:-1])
        if self._rows >= self.ENOUGH:
            self._add_up()

    def give(self, node: Node, grads: dict[Any, Any]) -> None:
        """Add the gradient from all uses to what `node` has from elsewhere."""
        self._add_up()
        with self._W.device.guard or nullcontext():
            grads[node] = self._total if node not in grads else grads[node] + self._total

    def _add_up(self) -> None:
        if not self._x:
            return
        device = self._W.device
        with device.guard or nullcontext():
            x, dz = (self._x[0], self._dz[0]) if len(self._x) == 1 else (_joined(device.xp, self._x), _joined(device.xp, self._dz))
            _, g = gradients(self._op, [device.xp, dz, None, x, None, None], {}, (None, self._W), False)
            self._total = g if self._total is None else self._total + g
        self._x, self._dz, self._rows = [], [], 0


def _joined(xp: Any, arrays: list[Any]) -> Any:
    """The rows of all arrays in one."""
    return xp.concat([rows(xp, a) for a in arrays])


def _put(dz: Any, node: Node, grads: dict[Any, Any]) -> None:
    """Add `dz` to its own part of the gradient of a tuple."""
    whole, i = node.parents[0], node.params["i"]
    assert whole is not None
    parts = grads.setdefault(whole, [None] * len(whole.shape))
    parts[i] = dz if parts[i] is None else parts[i] + dz


def freed(node: Node) -> GraphError:
    """The error of a node whose saved arrays are asked for again."""
    assert node.op is not None
    return GraphError(
        f"the arrays that {node.op.name!r} saved for its gradient are freed: backward has been through this graph; "
        "call backward(retain_graph=True) the first time, or compute the output again"
    )
