"""The reverse sweep, from outputs back to their sources, for `Tensor.backward` and the transforms."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ..backends import DeviceError
from ..backends.dtypes import is_complex
from ..backends.types import NestedArrayLike
from ..errors import GraphError, ShapeError, TraceError
from .context import MODE, mode, where_in_time
from .cotangents import Cotangents
from .dispatch import Value
from .graph import Leaf, Node, ancestors, connected, leading_to
from .limits import decompositions, limits_at
from .memory import out_of_memory
from .recording import Recorded, source_line
from .vjps import VJP, MakeVJP, OnArrays, OnTensors, cotangents_of, is_plain, wrapped

if TYPE_CHECKING:
    from .tensor import Tensor

_OP = attrgetter("op")


def backward(z: Tensor, dz: NestedArrayLike | None, *, create_graph: bool, retain_graph: bool) -> None:
    """`Tensor.backward`: add the gradients to the leaves that `z` was computed from."""
    root = _root(z)
    dz = output_gradient(z, dz)
    order, sources = ancestors([root])
    if MODE.get().trace is not None and any(isinstance(source, Leaf) for source in sources):
        raise TraceError(
            f"{source_line()}: backward() in a traced function would set the gradient of a Tensor only "
            f"once, not at later calls or steps: use xg.grad or xg.value_and_grad, and return the gradient"
        )
    recorded = [node for node in order if isinstance(node, Recorded)]
    grads = sweep(
        [(z, dz)], order, None, create_graph=create_graph, free=not retain_graph, keep=bool(recorded)
    )
    for node in recorded:
        node.grad = grads.get(node)
    for leaf in sources:
        if isinstance(leaf, Leaf) and leaf in grads:
            leaf.grad = grads[leaf] if leaf.grad is None else leaf.grad + grads[leaf]


def pull_back(
    outputs: Sequence[Any], dz: Sequence[Any], inputs: Sequence[Any], *, free: bool = True
) -> list[Any]:
    """Vector-Jacobian product: pull the cotangents `dz` of `outputs` back to `inputs`.

    An input that no output depends on gets zeros. The gradients are recorded in a graph of their own if a
    gradient flows to anything else: to another source, or through an input to what it was computed from.
    Higher derivatives go through that graph.
    """
    roots = [(z, output_gradient(z, d)) for z, d in zip(outputs, dz, strict=True) if z.requires_grad]
    targets = [x.node for x in inputs]
    if not roots:
        return [zeros_like(x) for x in inputs]
    order, sources = ancestors([z.node for z, _ in roots], frozenset(targets))
    outside = MODE.get().grad and (connected(sources, targets) or any(d.requires_grad for _, d in roots))
    wanted = leading_to(order, targets) if outside else None
    if wanted is not None:
        order = [node for node in order if node in wanted]
    grads = sweep(roots, order, wanted, create_graph=outside, free=free and not outside)
    found = [grads[node] if node in grads else zeros_like(x) for node, x in zip(targets, inputs, strict=True)]
    # two inputs may have received the same dz: give each its own handle
    return found if len(found) == len(set(map(id, found))) else [g._alias() for g in found]


def sweep(
    roots: Sequence[tuple[Any, Any]],
    order: list[Node],
    wanted: set[Node] | None,
    *,
    create_graph: bool,
    free: bool,
    keep: bool = False,
) -> dict[Node, Any]:
    """Run the reverse sweep and return the gradients of the sources, as Tensors; with `keep`, of every node.

    `roots` are pairs of an output and its gradient. The sweep visits `order` (newest first). Where `wanted`
    is given, only its nodes get a gradient.
    """
    kind, ops = type(roots[0][0]), set(map(_OP, order))
    # a trace records the rules as they are applied to Tensors
    lifted = create_graph or MODE.get().trace is not None
    plain = is_plain(order, ops)
    limits = {} if plain else limits_at(sweep, roots, decompositions(order, ops), recorded=create_graph)
    cotangents = Cotangents(keep) if plain else cotangents_of(order, ops, keep)
    try:
        if lifted:
            make: MakeVJP = lambda way: OnTensors(way, kind, wanted).vjp
            with mode(grad=create_graph):
                return bprop(
                    roots,
                    order,
                    cotangents,
                    make(None) if plain else wrapped(make, order, ops, limits, lazy=False),
                )
        limits = {node: limit._unrecorded() for node, limit in limits.items()}
        make = lambda way: OnArrays(way, free).vjp
        vjp = make(None) if plain else wrapped(make, order, ops, limits, lazy=True)
        raw = bprop([(z, dz.data) for z, dz in roots], order, cotangents, vjp)
    except MemoryError as error:
        raise out_of_memory(
            error, "adding up gradients", roots[0][0].device, order, cotangents.of.values()
        ) from error
    return {node: kind(g, node.device) for node, g in raw.items() if not isinstance(g, list)}


def bprop(
    roots: Sequence[tuple[Any, Any]], order: list[Node], cotangents: Cotangents, vjp: VJP
) -> dict[Node, Any]:
    """Go back node by node, newest first, from each output's cotangent to those of its operands."""
    for z, dz in roots:
        cotangents.add((z.node,), (dz,))
    take, add = cotangents.taker(), cotangents.add
    try:
        for node in order:
            dz = take(node, None)
            if dz is not None:
                add(node.parents, vjp(node, dz, node.parents))
    except MemoryError as error:
        what = f"the gradient of {node.op.name!r} of shape {node.shape}"  # type: ignore[union-attr]
        raise out_of_memory(error, what, node.device, order, cotangents.of.values()) from error
    return cotangents.whole()


def _root(z: Value) -> Node:
    if z.node is None or not z.node.needs:
        raise GraphError(
            "this Tensor needs no gradient: nothing it was computed from was made with "
            "requires_grad=True, or it was computed under xg.no_grad()"
        )
    return z.node


def output_gradient(z: Tensor, dz: NestedArrayLike | None) -> Any:
    """`dz` as a Tensor with the shape, dtype and device of `z`; None means 1, for a scalar `z` only."""
    if dz is None:
        if z.shape != ():
            raise GraphError(
                f"the gradient of an output of shape {z.shape} needs dz, an array of that shape; only for "
                f"a scalar is dz 1 by default"
            )
        if is_complex(z.dtype):
            raise GraphError(
                "the gradient of a complex number is ambiguous: use xg.real or xg.abs, or pass dz"
            )
        return z.xp.ones((), dtype=z.dtype, device=z.device)
    if isinstance(dz, Value) and dz.device is not z.device:
        raise DeviceError(f"dz is on {dz.device}, but the output is on {z.device}")
    dz = z.xp.asarray(dz, device=z.device, copy=None if isinstance(dz, Value) else True)
    if dz.shape != z.shape:
        raise ShapeError(f"dz has shape {dz.shape}, but the output has {z.shape}{where_in_time()}")
    return z.xp.astype(dz, z.dtype)


def zeros_like(x: Tensor) -> Any:
    """Zeros with the shape, dtype and device of `x`, to which no gradient flows."""
    return x.xp.zeros(x.shape, dtype=x.dtype, device=x.device)
