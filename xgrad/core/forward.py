"""The forward sweep: tangents from the inputs to the outputs, in the order of recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any

from ..backends.dtypes import canonical, is_complex, is_floating
from ..backends.types import Array, Namespace
from ..ops import OPS, Op
from ..ops.perturbation import Limit
from ..ops.rules import Given, Saved
from ..ops.shaping import ITEM
from .backward import pull_back, sweep, zeros_like
from .context import MODE, Hooks, mode
from .dispatch import Value, apply, compute, lift
from .graph import FREED, Input, Node, ancestors, connected, freed
from .limits import decompositions, limit_along, seal_of
from .rules import ShapeDtype, conjugate_vjp
from .vjps import needs_guard

#: Maps a node and its operands' tangents (None for zero) to the tangent of its output.
JVP = Callable[..., Any]

# Size of an input above which tangents are freed after their last use; that costs as much as a small op.
LARGE = 4096


def push_forward(
    outputs: Sequence[Any], inputs: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], bool]:
    """Jacobian-vector product: push the `tangents` of `inputs` forward to `outputs`.

    Returns the tangents, zeros for outputs that do not depend on the inputs; and whether they were recorded.
    As in `pull_back`, they are recorded in a graph of their own if a gradient flows to anything else: to
    another source, through an input to what it was computed from, or to `tangents`.
    """
    if not any(z.requires_grad for z in outputs):
        return [zeros_like(z) for z in outputs], False
    found, outside = _swept(
        outputs, [x.node for x in inputs], tangents, max((x.size for x in inputs), default=0) > LARGE
    )
    return [zeros_like(z) if t is None else t for z, t in zip(outputs, found, strict=True)], outside


def _swept(
    outputs: Sequence[Any], targets: Sequence[Node], tangents: Sequence[Any], large: bool
) -> tuple[list[Any], bool]:
    """The tangents of `outputs` as Tensors, None for zero; and whether they were recorded.

    The tangent of a target that is a tuple is a list with one entry for each part.
    """
    roots = [z.node for z in outputs if z.requires_grad]
    order, sources = ancestors(roots, frozenset(targets))
    outside = MODE.get().grad and (
        connected(sources, targets) or any(t.requires_grad for t in tangents if not isinstance(t, list))
    )
    kind, hooks = type(outputs[0]), MODE.get().hooks
    lifted = outside or MODE.get().trace is not None
    ops: set[Any] = set(map(attrgetter("op"), order))
    limits = {node: limit_along(sweep, outputs, node, recorded=lifted) for node in decompositions(order, ops)}
    further: list[Any] = [None] * len(outputs)
    jvp: JVP = _Rules(kind, lifted, _used_parts(order) if ITEM in ops else {}).jvp
    if any(limits.values()):
        jvp = _limited(
            jvp,
            limits,
            lambda node, turn, part: _add(further, _through_vectors(kind, outputs, node, turn, part, lifted)),
        )
    if needs_guard(order, ops):
        jvp = _guarded(jvp)
    if hooks is not None:
        jvp = _watched(jvp, hooks)
    # the tangent of a tuple is always lifted
    by_node = dict(zip(targets, tangents if lifted else [t.data for t in tangents], strict=True))
    if large:
        jvp = _dropping(jvp, by_node, _last_uses(order, roots))
    with mode(grad=outside, hooks=None):
        fprop(order, by_node, jvp)
    found = [by_node.get(z.node) for z in outputs]
    _add(found, further)
    return [
        t if t is None or lifted else kind(t, z.device) for z, t in zip(outputs, found, strict=True)
    ], outside


def fprop(order: Sequence[Node], by_node: dict[Any, Any], jvp: JVP) -> None:
    """Go forward node by node, oldest first, from the operands' tangents to each output's.

    `by_node` holds those of the inputs, and receives the others.
    """
    for node in reversed(order):
        by_node[node] = jvp(node, list(map(by_node.get, node.parents)))


def _dropping(jvp: JVP, by_node: dict[Any, Any], last: dict[Any, Node]) -> JVP:
    """Wrap `jvp` to free each tangent in `by_node` after its last use."""

    def dropping(node: Node, tangents: list[Any]) -> Any:
        found = jvp(node, tangents)
        for p in node.parents:
            if last[p] is node:
                by_node.pop(p, None)
        return found

    return dropping


def _used_parts(order: Sequence[Node]) -> dict[Any, list[bool]]:
    """For each node whose output is a tuple, which of its parts are used."""
    used: dict[Any, list[bool]] = {}
    for node in order:
        if node.op is ITEM:
            (whole,) = node.parents
            used.setdefault(whole, [False] * len(whole.shape))[node.params["i"]] = True  # type: ignore[union-attr]
    return used


def _limited(jvp: JVP, limits: dict[Node, Any], beyond: Callable[..., None]) -> JVP:
    """Wrap `jvp` to pass decompositions their limit at equal values; `beyond` adds what that leaves out."""

    def limited(node: Node, tangents: list[Any]) -> Any:
        if limits.get(node) is None or all(t is None for t in tangents):
            return jvp(node, tangents)
        rest, part = limits[node]
        if part is not None:
            beyond(node, jvp(node, tangents, part), part)
        return jvp(node, tangents, rest)

    return limited


def _guarded(jvp: JVP) -> JVP:
    """Wrap `jvp` to run each rule on its node's device."""

    def guarded(node: Node, tangents: list[Any]) -> Any:
        with node.device.guard or nullcontext():
            return jvp(node, tangents)

    return guarded


def _watched(jvp: JVP, hooks: Hooks) -> JVP:
    """Wrap `jvp` to report each result to the hooks."""

    def watched(node: Node, tangents: list[Any]) -> Any:
        found = jvp(node, tangents)
        hooks.on_sweep(node, tangents, (found,), "the tangent")
        return found

    return watched


def _add(totals: list[Any], terms: Sequence[Any]) -> None:
    """Add `terms` to `totals`, which is changed in place; None stands for zero."""
    for k, term in enumerate(terms):
        if term is not None:
            totals[k] = term if totals[k] is None else totals[k] + term


def _through_vectors(
    kind: Any, outputs: Sequence[Any], node: Node, turn: Sequence[Any], part: Any, lifted: bool
) -> list[Any]:
    """The tangent of `outputs` due to the vectors of equal values: the second derivative along both.

    The vectors turn by 1 / ε as their values move apart by ε.
    """
    at = node.op.calculus.spectrum.at  # type: ignore[union-attr]
    values = [part.towards if i == at else None for i in range(len(turn))]
    turn = [
        None if i == at else t if t is None or lifted else kind(t, node.device) for i, t in enumerate(turn)
    ]
    with mode(grad=True, hooks=None):
        turned, _ = _swept(outputs, [node], [turn], False)
        positions = [k for k, t in enumerate(turned) if t is not None and t.requires_grad]
        moved: list[Any] = [None] * len(outputs)
        if positions:
            for k, t in zip(positions, _swept([turned[k] for k in positions], [node], [values], False)[0]):
                moved[k] = t if part.sealed is None or t is None else t + seal_of(kind, node, part)
    return [t if t is None or lifted else t.data for t in moved]


def _last_uses(order: list[Node], roots: Sequence[Node]) -> dict[Any, Node]:
    """The last node of `order` (newest first) to use each node's tangent; roots map to themselves."""
    last: dict[Any, Node] = {root: root for root in roots}
    for node in order:
        for p in node.parents:
            last.setdefault(p, node)
    return last


class _Rules:
    """Calls rules on the saved values of their nodes: arrays or, if `lifted`, Tensors, which are recorded.

    `used` says which parts of each tuple output are used.
    """

    def __init__(self, kind: type[Value], lifted: bool, used: dict[Any, list[bool]]) -> None:
        self._kind, self._lifted, self._used = kind, lifted, used
        self._given = Given()

    def jvp(self, node: Node, tangents: list[Any], limit: Limit | None = None) -> Any:
        """The tangent of the output of `node`: None for zero, a list for a tuple."""
        op: Any = node.op
        diagonal = op.calculus.diagonal and (op.calculus.analytic or not _complex(node))
        if not diagonal:
            if all(t is None for t in tangents):
                return None
            if op is ITEM:
                return tangents[0][node.params["i"]]
        saved, given, dtype = node.saved, self._given, node.dtype
        if saved is FREED:
            raise freed(node)
        given.xp = node.device.xp
        if self._lifted:  # Tensors have NumPy's dtypes on every device
            given.xp, saved = self._kind.xp, lift(self._kind, node)
            dtype = tuple(map(canonical, dtype)) if type(dtype) is tuple else canonical(dtype)
        given.z, given.x, given.y = saved
        if diagonal:
            found = op.jvp(given, tangents, node.params)
        else:
            given.needs = self._used.get(node)
            found = self._of_all(node, given, tangents, limit)
        if type(dtype) is tuple:
            return [
                None if t is None else _matched(given.xp, t, *form)
                for t, form in zip(found, zip(node.shape, dtype))
            ]
        return (
            found
            if found is None or (found.dtype is dtype and found.shape == node.shape)
            else _matched(given.xp, found, node.shape, dtype)
        )

    def _of_all(self, node: Node, given: Given, tangents: list[Any], limit: Limit | None) -> Any:
        """The tangent from the op's jvp rule, from its linearity, or from the transpose of its vjp rule."""
        op: Any = node.op
        kind, lifted, saved = self._kind, self._lifted, (given.z, given.x, given.y)
        if op.calculus.spectrum is not None:
            return _transposed(kind, node, saved, tangents, lifted=lifted, limit=limit or Limit("none"))
        found: Any = None
        if op.tangent is not None:
            found = op.jvp(given, tangents, node.params)
        elif op.calculus.linear:
            found = (
                _by_product_rule(node, saved, tangents, lifted)
                if op.calculus.linear == "each"
                else _of_linear(given.xp, node, saved, tangents, lifted)
            )
        if found is NotImplemented or (found is None and op.rules):
            found = _transposed(kind, node, saved, tangents, lifted=lifted)
        return found


def _run(node: Node, operands: tuple[Any, ...], lifted: bool) -> Any:
    """Apply the op of a node to other operands."""
    op: Any = node.op
    return apply(op, operands, node.params) if lifted else compute(op, node.device, operands, node.params)


def _complex(node: Node) -> bool:
    return is_complex(node.dtype) or any(p is not None and is_complex(p.dtype) for p in node.parents)


def _by_product_rule(node: Node, saved: Saved, tangents: list[Any], lifted: bool) -> Any:
    """Product rule: the sum of the op with one operand at a time replaced by its tangent."""
    operands = saved[1] if node.op.variadic else saved[1:]  # type: ignore[union-attr]
    total: Any = None
    for i, t in enumerate(tangents):
        if t is not None:
            part = _run(node, (*operands[:i], t, *operands[i + 1 :]), lifted)
            if total is None:
                total = part
            else:
                total += part  # in place: the product is not aliased
    return total


def _of_linear(xp: Namespace, node: Node, saved: Saved, tangents: list[Any], lifted: bool) -> Any:
    """Apply a linear op to the tangents; None if an operand without a tangent was not saved."""
    operands = tuple(
        [_stand_in(xp, node, saved, i, tangents) if t is None else t for i, t in enumerate(tangents)]
    )
    for v in operands:
        if v is None:
            return None
    return _run(node, operands, lifted)


def _stand_in(xp: Namespace, node: Node, saved: Saved, i: int, tangents: list[Any]) -> Any:
    """Stand-in for operand `i`, which has no tangent: zeros, or an index or a condition as it is.

    None if the operand was not saved.
    """
    _, x, y = saved
    op = node.op
    assert op is not None
    if op.shapes and y is None:
        some = next(t for t in tangents if t is not None)
        return xp.zeros(x[i], dtype=some.dtype, device=some.device)
    if not op.variadic:
        known = (x, y)[i]
    elif y is not None and i:
        known = y[i - 1]  # `rest`
    else:
        known = x[i] if x is not None and i < len(x) and not op.shapes else None
    return xp.zeros_like(known) if hasattr(known, "dtype") and is_floating(known.dtype) else known


def _transposed(
    kind: type[Value],
    node: Node,
    saved: Saved,
    tangents: list[Any],
    *,
    lifted: bool,
    limit: Limit | None = None,
) -> Any:
    """The tangent from the transpose of the vjp rule, which is linear in dz."""
    op, device = node.op, node.device
    assert op is not None
    tensors = saved if lifted else lift(kind, node, connected=False)
    several = type(node.dtype) is tuple
    forms = list(zip(node.shape, node.dtype)) if several else [(node.shape, node.dtype)]
    with mode(grad=True):
        zeros: list[Any] = [
            kind.xp.zeros(shape, dtype=canonical(dtype), device=device) if is_floating(dtype) else None
            for shape, dtype in forms
        ]
        dz = [
            None if v is None else kind(v.data, device, Input(device, v.shape, v.data.dtype)) for v in zeros
        ]
        given = [*dz, limit] if limit is not None else list(dz)
        targets = [
            None if t is None or p is None else ShapeDtype(p.shape, canonical(p.dtype))
            for t, p in zip(tangents, node.parents)
        ]
        vjp = conjugate_vjp if not several and is_complex(node.dtype) else Op.vjp
        found = vjp(op, Given(kind.xp, given if several else dz[0], tensors), targets, node.params)
        operands = zip(found, tangents, node.parents)
        pairs = [
            (g, t if lifted else kind(t, p.device))
            for g, t, p in operands
            if g is not None and t is not None and p is not None
        ]
        moving = [v for v in dz if v is not None]
        if OPS.get(op.name) is not op or op.name == "custom":
            _refuse_nonlinear(node.params.get("entry", op).name, [g for g, _ in pairs], moving)
        swept = iter(pull_back([g for g, _ in pairs], [t for _, t in pairs], moving, free=False))
    result = [None if v is None else next(swept) for v in dz]
    result = result if lifted else [None if t is None else t.data for t in result]
    return result if several else result[0]


def _refuse_nonlinear(name: str, found: Sequence[Any], dz: Sequence[Any]) -> None:
    """Raise TypeError if a hand-written rule is not linear in dz, for example because it clips gradients.

    Such a rule is not a derivative, and has no transpose.
    """
    moving = {v.node for v in dz}
    order, _ = ancestors([g.node for g in found if g.requires_grad], moving)
    for node in reversed(order):
        positions = [i for i, p in enumerate(node.parents) if p in moving]
        if positions:
            moving.add(node)
            if not _is_linear(node.op, positions):
                raise TypeError(
                    f"the derivative defined for {name!r} is not linear in dz, so it has no forward mode; "
                    f"use reverse mode, or custom_jvp for both modes"
                )


def _is_linear(op: Any, positions: list[int]) -> bool:
    """Whether an op is jointly linear in the operands at these positions; a user's gate is assumed to be."""
    if op.calculus.linear == "each":
        return len(positions) == 1
    return (
        op.calculus.linear == "jointly"
        or (op.calculus.linear == "first" and positions == [0])
        or OPS.get(op.name) is not op
    )


def _matched(xp: Namespace, t: Array, shape: tuple[int, ...], dtype: Any) -> Any:
    """Give a tangent the shape and dtype of its primal."""
    if t.dtype != dtype:
        t = xp.astype(xp.real(t) if is_complex(t.dtype) and not is_complex(dtype) else t, canonical(dtype))
    return t if t.shape == shape else xp.broadcast_to(t, shape)
