"""From an output's gradient back to its sources: for `backward`, and for the transforms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from .applying import Value, lift
from .backends import DeviceError
from .errors import GraphError, ShapeError
from .graphs import Leaf, Node, ancestors, bprop, leading_to
from .modes import mode, where_in_time
from .recording import Recorded


def backward(z: Any, dz: Any, *, create_graph: bool, retain_graph: bool) -> None:
    """`Tensor.backward`: add the gradients to the leaves that `z` was computed from."""
    root = _root(z)
    dz = output_gradient(z, dz)
    order, sources = ancestors(root)
    recorded = [node for node in order if isinstance(node, Recorded)]
    grads = _sweep(z, dz, order, None, create_graph=create_graph, free=not retain_graph, keep=bool(recorded))
    for node in recorded:
        node.grad = grads.get(node)
    for leaf in sources:
        if isinstance(leaf, Leaf) and leaf in grads:
            leaf.grad = grads[leaf] if leaf.grad is None else leaf.grad + grads[leaf]


def pull_back(z: Any, dz: Any, inputs: Sequence[Any], *, free: bool = True) -> list[Any]:
    """Gradients of `z` with respect to `inputs`, Tensors that it may depend on; zeros where it does not.

    They are connected to a graph of their own wherever something beside the inputs, or the inputs themselves through
    their makers, needs a gradient: that is what a derivative of a derivative goes through.
    """
    targets = [x.node for x in inputs]
    if not z.requires_grad:
        return [_zeros_like(x) for x in inputs]
    order, sources = ancestors(z.node, frozenset(targets))
    outside = any(source not in targets for source in sources) or any(p is not None for node in targets for p in node.parents)
    wanted = leading_to(order, targets) if outside else None
    if wanted is not None:
        order = [node for node in order if node in wanted]
    grads = _sweep(z, output_gradient(z, dz), order, wanted, create_graph=outside, free=free and not outside)
    return [grads.get(node, None) if node in grads else _zeros_like(x) for node, x in zip(targets, inputs, strict=True)]


def _sweep(z: Any, dz: Any, order: list[Node], wanted: set[Node] | None, *, create_graph: bool, free: bool, keep: bool = False) -> dict[Node, Any]:
    """The gradients, as Tensors, of the sources of `z`; with `keep`, of every node."""
    kind = type(z)
    if create_graph:
        with mode(grad=True):
            grads: dict[Node, Any] = {z.node: dz}
            bprop(order, grads, wanted, xp=z.xp, lift=partial(lift, kind), free=False, keep=keep)
        return grads
    raw = {z.node: dz.data}
    bprop(order, raw, wanted, free=free, keep=keep)
    return {node: kind(g, node.device) for node, g in raw.items() if not isinstance(g, list)}


def _root(z: Value) -> Node:
    if z.node is None or not z.node.needs:
        raise GraphError(
            "this Tensor needs no gradient: nothing it was computed from was made with requires_grad=True, or it was computed under xg.no_grad()"
        )
    return z.node


def output_gradient(z: Any, dz: Any) -> Any:
    """`dz` as a Tensor like `z`; where it is None, 1 for a scalar."""
    if dz is None:
        if z.shape != ():
            raise GraphError(f"the gradient of an output of shape {z.shape} needs dz, an array of that shape; only a scalar's is 1 by itself")
        return z.xp.ones((), dtype=z.dtype, device=z.device)
    if isinstance(dz, Value) and dz.device is not z.device:
        raise DeviceError(f"dz is on {dz.device}, the output on {z.device}")
    dz = z.xp.asarray(dz, device=z.device, copy=None if isinstance(dz, Value) else True)
    if dz.shape != z.shape:
        raise ShapeError(f"dz has shape {dz.shape}, the output has {z.shape}{where_in_time()}")
    return z.xp.astype(dz, z.dtype)


def _zeros_like(x: Any) -> Any:
    return x.xp.zeros(x.shape, dtype=x.dtype, device=x.device)
