"""How a reverse sweep calls a node's rule, and the wrappers around that call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from contextlib import nullcontext
from functools import partial
from math import prod
from typing import Any

from ..backends.dtypes import canonical, is_complex
from ..ops import Op
from ..ops.arithmetic import WHERE
from ..ops.linalg import MATMUL
from ..ops.rules import Given
from ..ops.shaping import ITEM, TO_DEVICE
from ..ops.spectral import DECOMPOSITIONS
from .context import MODE, Hooks, mode
from .cotangents import Cotangents, GuardedCotangents, LazyCotangents, Parts, Products
from .dispatch import Value, lift
from .graph import FREED, NOTHING, Node, freed
from .rules import ShapeDtype, conjugate_vjp

#: Maps a node, its output's cotangent, and its operands' nodes (None if not needed) to their cotangents.
VJP = Callable[[Node, Any, Sequence[Any]], Sequence[Any]]
#: Chooses, for a node, the function that calls its rules, such as `Op.vjp`.
Way = Callable[[Node], Callable[..., Sequence[Any]]]
#: Makes a VJP from a Way.
MakeVJP = Callable[[Way | None], VJP]

_SPECIAL = DECOMPOSITIONS | {ITEM, MATMUL, TO_DEVICE, WHERE}


class OnArrays:
    """Calls rules on the saved arrays of nodes; with `free`, the nodes release them."""

    __slots__ = ("_call", "_dtype", "_free", "_given", "_way")

    def __init__(self, way: Way | None, free: bool) -> None:
        self._given, self._way, self._free = Given(), way, free
        self._dtype: Any = None
        self._call: Any = None

    def vjp(self, node: Node, dz: Any, targets: Sequence[Any]) -> Sequence[Any]:
        """The cotangents of the node's operands."""
        given, saved = self._given, node.saved
        if saved is FREED:
            raise freed(node)
        given.xp, given.dz = node.device.xp, dz
        given.z, given.x, given.y = saved
        if self._free and saved is not NOTHING:
            node.saved = FREED
        if self._way is not None:
            return self._way(node)(node.op, given, targets, node.params)
        if node.dtype is not self._dtype:  # it seldom changes
            self._dtype, self._call = node.dtype, _plain(node)
        return self._call(node.op, given, targets, node.params)  # type: ignore[no-any-return]


class OnTensors:
    """Calls rules on Tensors, which are recorded; with `wanted`, finds only the cotangents of those nodes."""

    __slots__ = ("_given", "_kind", "_wanted", "_way")

    def __init__(self, way: Way | None, kind: type[Value], wanted: Collection[Node] | None) -> None:
        self._given, self._way, self._kind, self._wanted = Given(kind.xp), way or _plain, kind, wanted

    def vjp(self, node: Node, dz: Any, targets: Sequence[Any]) -> Sequence[Any]:
        """The cotangents of the node's operands."""
        if node.saved is FREED:
            raise freed(node)
        given, wanted = self._given, self._wanted
        given.dz = dz
        given.z, given.x, given.y = lift(self._kind, node)
        forms = [
            None
            if p is None or (wanted is not None and p not in wanted)
            else ShapeDtype(p.shape, canonical(p.dtype))
            for p in targets
        ]
        return self._way(node)(node.op, given, forms, node.params)


def _plain(node: Node) -> Callable[..., Sequence[Any]]:
    return conjugate_vjp if type(node.dtype) is not tuple and is_complex(node.dtype) else Op.vjp


def is_plain(order: Sequence[Node], ops: Set[Any]) -> bool:
    """Whether a sweep over `order` (newest first) needs no wrappers; most do not. `ops` are its ops."""
    return (
        ops.isdisjoint(_SPECIAL) and MODE.get().hooks is None and (not order or order[0].device.guard is None)
    )


def wrapped(
    make: MakeVJP, order: Sequence[Node], ops: Set[Any], limits: Mapping[Node, Any], *, lazy: bool
) -> VJP:
    """Make the VJP of a sweep over `order` (newest first), with the wrappers that its `ops` need.

    `limits` are those of decompositions with equal values. With `lazy`, the cotangent of a matrix in several
    products is computed from all of them at once.
    """
    hooks = MODE.get().hooks
    vjp = make(_shielding(order) if WHERE in ops else None)
    if limits:
        vjp = _limited(vjp, limits)
    if lazy and hooks is None and MATMUL in ops:
        vjp = _AtOnce(vjp).vjp
    if hooks is not None:
        vjp = _watched(vjp, hooks)
    if needs_guard(order, ops):
        vjp = _guarded(vjp)
    return _of_parts(vjp) if ITEM in ops else vjp


def cotangents_of(order: Sequence[Node], ops: Set[Any], keep: bool) -> Cotangents:
    """The cotangents for a sweep over `order`, of the class that it needs."""
    return GuardedCotangents(keep) if needs_guard(order, ops) else LazyCotangents(keep)


def needs_guard(order: Sequence[Node], ops: Set[Any]) -> bool:
    """Whether the array library of one of these nodes needs a device guard."""
    some = order if TO_DEVICE in ops else order[:1]
    return any(node.device.guard is not None for node in some)


def _shielding(order: Sequence[Node]) -> Way:
    shielded = _leading_to_where(order)

    def way(node: Node) -> Callable[..., Sequence[Any]]:
        return partial(_shielded_vjp, _plain(node)) if node in shielded else _plain(node)

    return way


def _leading_to_where(order: Sequence[Node]) -> set[Node]:
    """The elementwise ops with a slope in `order` (newest first) whose result reaches a `where`.

    Where `where` selects the other branch, the value is unused and its gradient is 0, whatever the slope; but
    0 times an infinite slope would give NaN.
    """
    chosen_from: set[Node | None] = set()
    for node in order:
        if node.op is WHERE or node in chosen_from:
            chosen_from.update(node.parents)
    return {node for node in order if node in chosen_from and node.op.elementwise and node.op.saves[3]}  # type: ignore[union-attr]


def _shielded_vjp(
    vjp: Callable[..., Sequence[Any]], op: Op, given: Given, targets: Sequence[Any], params: dict[str, Any]
) -> Sequence[Any]:
    """As `vjp`, but where dz is 0, an infinite slope gives 0 and not NaN."""

    def shielded(function: Callable[..., Any]) -> Callable[..., Any]:
        def rule(*args: Any, **params: Any) -> Any:
            xp, g = given.xp, function(*args, **params)
            return xp.where(given.dz == 0, xp.where(g == g, g, 0), g)

        return rule

    rules = [None if rule is None else (shielded(rule[0]), rule[1]) for rule in op.rules]
    return vjp(op, given, targets, params, rules)


def _limited(vjp: VJP, limits: Mapping[Node, Any]) -> VJP:
    """Wrap `vjp` to pass decompositions their limit at equal values."""
    return lambda node, dz, targets: vjp(node, [*dz, limits[node]] if node in limits else dz, targets)


class _AtOnce:
    """Defers the cotangent of a matrix in products of few rows, to compute it from all of them at once."""

    __slots__ = ("_vjp", "_waiting")

    def __init__(self, vjp: VJP) -> None:
        self._vjp = vjp
        self._waiting: dict[Node, Products] = {}

    def vjp(self, node: Node, dz: Any, targets: Sequence[Any]) -> Sequence[Any]:
        """The cotangents of the node's operands."""
        if node.op is not MATMUL or targets[1] is None or node.saved is FREED:
            return self._vjp(node, dz, targets)
        W, x, waiting = targets[1], node.saved[1], self._waiting
        count = prod(x.shape[:-1])
        if len(W.shape) != 2 or len(x.shape) < 2 or (count >= Products.ENOUGH and W not in waiting):
            return self._vjp(node, dz, targets)
        dx, _ = self._vjp(node, dz, (targets[0], None))
        if W in waiting:
            waiting[W].use(x, dz, count)
            return dx, None
        waiting[W] = Products(W)
        waiting[W].use(x, dz, count)
        return dx, waiting[W]


def _watched(vjp: VJP, hooks: Hooks) -> VJP:
    """Wrap `vjp` to report each rule's results to the hooks, but not the ops inside the rule.

    A hook that replaces a result by None stops the sweep there.
    """

    def watched(node: Node, dz: Any, targets: Sequence[Any]) -> Sequence[Any]:
        with mode(hooks=None):
            found = list(vjp(node, dz, targets))
        hooks.on_sweep(node, (dz,), found, "the gradient")
        return found

    return watched


def _guarded(vjp: VJP) -> VJP:
    """Wrap `vjp` to run each rule on its node's device."""

    def guarded(node: Node, dz: Any, targets: Sequence[Any]) -> Sequence[Any]:
        with node.device.guard or nullcontext():
            return vjp(node, dz, targets)

    return guarded


def _of_parts(vjp: VJP) -> VJP:
    """Wrap `vjp` to turn the cotangent of one part of a tuple into a cotangent of the tuple."""

    def of_part(node: Node, dz: Any, targets: Sequence[Any]) -> Sequence[Any]:
        if node.op is not ITEM:
            return vjp(node, dz, targets)
        return (Parts(len(targets[0].shape), {node.params["i"]: dz}),)

    return of_part
