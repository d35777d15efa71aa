"""What is drawn: functions that are run here, graphs, programs, modules and Tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..backends.dtypes import is_floating
from ..compiler.ir import Program
from ..compiler.printing.spelling import shown
from ..core.pytree import leaves_with_paths
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import ones_like
from ..nn import Module
from ..transforms import Graph, graph
from .from_graph import from_graph, parts_of
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
    inspect.signature(f).bind(*args)
    title = getattr(f, "__name__", type(f).__name__)
    computed: list[Tensor] = []
    note = ""

    def one_output(*inputs: Any) -> Tensor:
        found = parts_of(f(*inputs))
        if not found:
            raise TypeError(f"{title} returned no Tensor, so there is nothing to draw")
        computed.extend(found)
        return found[0]

    one_output.__signature__ = inspect.signature(f)  # type: ignore[attr-defined]
    named = _with_names_of(f, one_output)
    g = graph(named, *args)
    if len(computed) > 1:
        note = f"the result has {len(computed)} parts: this is the graph of the first"
    if gradients:
        try:
            g.bprop(None if g.output.shape == () else ones_like(g._value.detach()))
            if g.output.shape != ():
                note = f"{note}; " * bool(note) + "the result is no scalar: gradients are those of its sum"
        except GraphError as error:
            note = f"{note}; " * bool(note) + f"no gradients: {error}"
    picture = from_graph(g, shown(title))
    picture.notes += [note] * bool(note)
    return picture


def _with_names_of(f: Callable[..., Any], other: Callable[..., Any]) -> Callable[..., Any]:
    return other


def _of_module(module: Module) -> Picture:
    """The parameters of a module that was not run, in a group for each submodule."""
    picture = Picture(type(module).__name__)
    numbers: dict[tuple[Any, ...], int] = {(): picture.open_group(type(module).__name__, "module", 0)}
    for path, leaf in leaves_with_paths(module):
        for depth in range(1, len(path)):
            if path[:depth] not in numbers:
                label = ".".join(map(str, path[:depth]))
                numbers[path[:depth]] = picture.open_group(shown(label), "module", numbers[path[: depth - 1]])
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
    picture.notes.append("these are the parameters: xg.draw(module, x) draws what it computes")
    return picture.finish()
