"""From how the inputs move to how the outputs do: the forward sweep, through the list of stages as it was recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from .applying import apply, compute, lift
from .backends.dtypes import canonical, is_complex, is_floating
from .derivatives import Form, gradients
from .graphs import FREED, Input, Node, ancestors, freed, leading_to
from .modes import MODE, mode
from .ops.shaping import ITEM
from .reverse import pull_back, zeros_like

Run = Callable[..., Any]


def push_forward(outputs: Sequence[Any], inputs: Sequence[Any], moves: Sequence[Any]) -> list[Any]:
    """How `outputs` move when `inputs` do by `moves`; zeros where they do not depend on them.

    Like the gradients of `pull_back`, tangents are connected to a graph of their own wherever something beside the inputs, or
    the inputs themselves through their makers, or the moves need a gradient.
    """
    roots = [z.node for z in outputs if z.requires_grad]
    targets = [x.node for x in inputs]
    if not roots:
        return [zeros_like(z) for z in outputs]
    order, sources = ancestors(roots, frozenset(targets))
    useful = leading_to(order, targets)
    outside = any(source not in targets for source in sources) or any(p is not None for node in targets for p in node.parents)
    outside = outside or any(t.requires_grad for t in moves)
    kind = type(outputs[0])
    lifted = outside or MODE.get().trace is not None
    tangents: dict[Node, Any] = {node: t if lifted else t.data for node, t in zip(targets, moves, strict=True)}
    asked: dict[Node, list[bool]] = {}  # of an output that is a tuple, the parts that somebody uses
    for node in order:
        if node.op is ITEM:
            asked.setdefault(node.parents[0], [False] * len(node.parents[0].shape))[node.params["i"]] = True  # type: ignore[index,union-attr,arg-type]
    with mode(grad=outside):
        for node in reversed(order):
            if node not in useful:
                continue
            if node.op is ITEM:
                t = tangents[node.parents[0]][node.params["i"]]  # type: ignore[index]
            else:
                t = _tangent(kind, node, [tangents.get(p) for p in node.parents], asked.get(node), lifted=lifted)  # type: ignore[arg-type]
            if t is not None:
                tangents[node] = t
    found = [tangents.get(z.node) for z in outputs]
    return [zeros_like(z) if t is None else t if lifted else kind(t, z.device) for z, t in zip(outputs, found, strict=True)]


def _tangent(kind: Any, node: Node, moves: list[Any], asked: Any, *, lifted: bool) -> Any:
    """The tangent of what `node` computed, None where it does not move, or a list of them for a tuple."""
    if all(t is None for t in moves):
        return None
    op, device = node.op, node.device
    assert op is not None
    if node.saved is FREED:
        raise freed(node)
    saved = lift(kind, node) if lifted else node.saved
    xp = kind.xp if lifted else device.xp
    run: Run = apply if lifted else lambda op, operands, params: compute(op, device, operands, params)
    with (None if lifted else device.guard) or nullcontext():
        if op.jvp is not None:
            rule, pick = op.jvp
            found = rule(*pick([xp, tuple(moves), *saved, asked]), **node.params)
        elif op.linear == "each":
            found = _of_product(run, node, saved, moves)
        elif op.elementwise and not op.linear and (op.analytic or not _complex(node)):
            found = _by_diagonal(xp, node, saved, moves)
        else:
            found = _moved_along(xp, run, node, saved, moves) if op.linear else None
            if found is None:
                found = _transposed(kind, node, saved, moves, lifted=lifted)
        as_seen: Callable[[Any], Any] = canonical if lifted else lambda dtype: dtype  # a Tensor's dtype is NumPy's on every device
        if isinstance(found, list | tuple):
            forms = zip(node.shape, map(as_seen, node.dtype))
            return [None if t is None else _matched(xp, t, *form) for t, form in zip(found, forms)]
        return None if found is None else _matched(xp, found, node.shape, as_seen(node.dtype))


def _complex(node: Node) -> bool:
    return is_complex(node.dtype) or any(p is not None and is_complex(p.dtype) for p in node.parents)


def _by_diagonal(xp: Any, node: Node, saved: Any, moves: list[Any]) -> Any:
    """The rule of each operand, applied to its tangent instead of the gradient of the output."""
    total = None
    for t, entry, parent in zip(moves, node.op.rules, node.parents):  # type: ignore[union-attr]
        if t is None or entry is None:
            continue
        rule, pick = entry
        part = rule(*pick([xp, t, *saved, parent.shape]), **node.params)  # type: ignore[union-attr]
        total = part if total is None else total + part
    return total


def _of_product(run: Run, node: Node, saved: Any, moves: list[Any]) -> Any:
    """The op with one operand after the other replaced by its tangent, added up."""
    operands = saved[1] if node.op.variadic else saved[1:]  # type: ignore[union-attr]
    total = None
    for i, t in enumerate(moves):
        if t is not None:
            part = run(node.op, (*operands[:i], t, *operands[i + 1 :]), node.params)
            total = part if total is None else total + part
    return total


def _moved_along(xp: Any, run: Run, node: Node, saved: Any, moves: list[Any]) -> Any:
    """The op itself, of the tangents; None where an operand that does not move was not saved, so that its form is not known."""
    _, x, y = saved
    op = node.op
    assert op is not None
    operands = list(moves)
    for i, t in enumerate(moves):
        if t is not None:
            continue
        if op.shapes and y is None:
            some = next(t for t in moves if t is not None)
            operands[i] = xp.zeros(x[i], dtype=some.dtype, device=some.device)
            continue
        known = (x, y)[i] if not op.variadic else y[i - 1] if i and y is not None else x[i] if i < len(x or ()) else None
        if known is None:
            return None
        floating = hasattr(known, "dtype") and is_floating(known.dtype)
        operands[i] = xp.zeros_like(known) if floating else known  # an index or a condition is what it is
    return run(op, tuple(operands), node.params)


def _transposed(kind: Any, node: Node, saved: Any, moves: list[Any], *, lifted: bool) -> Any:
    """The rule is linear in dz; the transpose of what it does takes tangents of the operands to that of the output."""
    op, device = node.op, node.device
    assert op is not None
    raised = saved if lifted else lift(kind, node, connected=False)
    several = type(node.dtype) is tuple
    forms = list(zip(node.shape, node.dtype)) if several else [(node.shape, node.dtype)]
    with mode(grad=True):
        dz = [kind.xp.zeros(shape, dtype=canonical(dtype), device=device) for shape, dtype in forms]
        dz = [kind(v.data, device, Input(device, v.shape, v.data.dtype)) for v in dz]
        place = [kind.xp, list(dz) if several else dz[0], *raised, None]
        targets = [None if t is None else Form(p.shape, canonical(p.dtype)) for t, p in zip(moves, node.parents)]  # type: ignore[union-attr]
        found = gradients(op, place, node.params, targets, not several and is_complex(node.dtype))
        given = [(g, t if lifted else kind(t, device)) for g, t in zip(found, moves) if g is not None and t is not None]
        tangents = pull_back([g for g, _ in given], [t for _, t in given], dz, free=False)
    for v in dz:
        v.node.needs = False  # what is found depends on it no more
    tangents = tangents if lifted else [t.data for t in tangents]
    return tangents if several else tangents[0]


def _matched(xp: Any, t: Any, shape: Any, dtype: Any) -> Any:
    """A tangent in the form of its value."""
    if t.dtype != dtype:
        t = xp.astype(xp.real(t) if is_complex(t.dtype) and not is_complex(dtype) else t, canonical(dtype))
    return t if t.shape == shape else xp.broadcast_to(t, shape)
