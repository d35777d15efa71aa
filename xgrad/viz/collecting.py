"""What is drawn: functions that are run here, graphs, programs, modules and Tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from ..backends.dtypes import is_floating
from ..compiler.ir import Program
from ..compiler.printing.spelling import shown
from ..core.pytree import flatten, leaves_with_paths
from ..core.recording import Recorded
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import ones_like
from ..nn import Module
from ..transforms import Graph, graph
from .from_graph import from_graph
from .from_program import from_program
from .model import Box, Picture


def picture_of(f: Any, args: tuple[Any, ...], gradients: bool) -> Picture:
    """The picture of `f`, of whatever kind. Raises TypeError for a kind that has none."""
    if args or (callable(f) and not isinstance(f, Module)):
        if not callable(f):
            raise TypeError(f"draw takes arguments after a function or a module, not after {_kind(f)}")
        return _of_function(f, args, gradients)
    if isinstance(f, Graph):
        return from_graph(f)
    if isinstance(f, Program):
        return from_program(f)
    if isinstance(f, Tensor):
        return from_graph(graph(f), "what a Tensor was computed from")
    if isinstance(f, Module):
        return _of_module(f)
    raise TypeError(
        f"draw takes a function with its arguments, a graph, a Program, a module or a Tensor, not {_kind(f)}"
    )


def _kind(f: Any) -> str:
    return type(f).__name__


def _of_function(f: Callable[..., Any], args: tuple[Any, ...], gradients: bool) -> Picture:
    """Record a function, and run its backward pass. If it fails half-way, draw what there was until then."""
    inspect.signature(f).bind(*args)  # raises the same TypeError as the call would
    title = getattr(f, "__name__", type(f).__name__)
    notes: list[str] = []

    @wraps(f)
    def one_output(*inputs: Any) -> Tensor:
        parts = [leaf for leaf in flatten(f(*inputs))[0] if isinstance(leaf, Tensor)]
        if not parts:
            raise TypeError(f"{title} returned no Tensor, so there is nothing to draw")
        if len(parts) > 1:
            notes.append(f"the result has {len(parts)} parts: this is the graph of the first")
        return parts[0]

    try:
        g = graph(one_output, *args)
    except Exception as error:
        g = _until(error)
        notes.append(
            f"{shown(title)} failed: {type(error).__name__}: {shown(str(error))}; this is what was computed "
            f"before, without gradients"
        )
    else:
        if gradients:
            notes += _run_backward(g)
    picture = from_graph(g, shown(title))
    picture.notes[:0] = notes
    return picture


def _run_backward(g: Graph) -> list[str]:
    """Find the gradients of a graph, and return notes on them."""
    scalar = g.output.shape == ()
    try:
        g.bprop(None if scalar else ones_like(g._value.detach()))
    except GraphError as error:
        return [f"there are no gradients: {error}"]
    return [] if scalar else ["the result is no scalar: the gradients are those of its sum"]


def _until(error: Exception) -> Graph:
    """The graph of what was recorded in the functions that an error passed through.

    Raises the error again if there is nothing.
    """
    found: dict[Recorded, Tensor] = {}
    trace = error.__traceback__
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            for v in _leaves(value):
                if isinstance(v, Tensor) and isinstance(v.node, Recorded):
                    found[v.node] = v
        trace = trace.tb_next
    if not any(node.operands for node in found):
        raise error
    *others, last = sorted(found, key=lambda node: node.number)
    return Graph(found[last], [found[node] for node in others])


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, list | tuple | dict | Tensor):
        return flatten(value)[0]
    return []


def _of_module(module: Module) -> Picture:
    """The parameters of a module that was not run, in a group for each submodule."""
    picture = Picture(type(module).__name__)
    numbers: dict[tuple[Any, ...], int] = {(): 0}
    for path, leaf in leaves_with_paths(module):
        for depth in range(1, len(path)):
            if path[:depth] not in numbers:
                label = ".".join(map(str, path[:depth]))
                numbers[path[:depth]] = picture.open_group(
                    shown(label), "parameters", numbers[path[: depth - 1]]
                )
        floating = is_floating(leaf.dtype)
        picture.add(
            Box(
                shown(".".join(map(str, path))),
                kind="input" if floating else "constant",
                group=numbers[path[:-1]],
                shape=leaf.shape,
                dtype=str(leaf.dtype),
                value=leaf.detach(),
                grad=leaf.grad,
            )
        )
    gradients = {name: p.grad for name, p in module.named_parameters().items() if p.grad is not None}
    picture.tree = {"parameters": module, "gradients": gradients} if gradients else module
    picture.notes.append("these are the parameters: xg.draw(module, x) draws what it computes")
    return picture.finish()
