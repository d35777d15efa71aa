"""Loops through time: `scan`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ..backends import DeviceError
from ..compiler.bodies import body_of
from ..compiler.invariants import split_invariants
from ..compiler.scan import apply_scan, replay
from ..compiler.trace import ChangedOutside, trace_to_ir
from ..compiler.variables import Spec
from ..core.context import MODE, mode, within
from ..core.pytree import flatten, paths, tree_map, unflatten
from ..core.recording import Recorded
from ..core.tensor import Tensor
from ..errors import ShapeError, TraceError
from ..namespace import asarray, stack, unstack, zeros, zeros_like
from ..ops.axes import integer
from .changes import apply_change, body_with_change
from .checkpointing import Segments, scan_in_segments
from .lifting import Flat, returned, to_tensors

Body = Callable[[Any, Any], tuple[Any, Any]]


def scan(
    f: Body,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    *,
    compiled: bool = True,
    checkpoint_every: int | None = None,
) -> tuple[Any, Any]:
    """Repeat `carry, y = f(carry, x)` over the leading axis of `xs`, as `jax.lax.scan` does.

    The body is traced once, on variables without values, into a program that is optimised and repeated, so
    the cost of its Python code does not depend on the number of steps. Tensors, arrays and numbers that it
    uses from outside are read at each call. A Tensor from outside that the body changes in place, such as a
    running mean or the position of a generator made by `xg.random.philox`, is changed at every step.

    Args:
        f: one time step. It must return a carry of the same structure, shapes and dtypes as it received.
        init: the first carry, a Tensor or a nested container of them; plain arrays are moved to the current
            device.
        xs: the inputs of the steps; the leading axis of every leaf has length T. None if `length` gives the
            number of steps.
        length: T.
        reverse: from the last step to the first; `ys` stay in the order of `xs`.
        checkpoint_every: keep the carry once in k steps, and recompute the steps between in the backward
            pass; the memory for the gradient then grows as T/k + k instead of T.
        compiled: False runs the body's Python code at every step, for bodies that branch on values or print
            them.

    Returns:
        `(carry, ys)`: the last carry, and the `y` of all steps, stacked along a leading axis of length T. For
        T = 0, the body still determines the shapes of `ys`.

    Raises:
        ShapeError: leading axes that differ; a carry that changes shape.
        TypeError: a carry that changes dtype or structure; a body that does not return a pair.
        TraceError: a body that branches on a value, takes one out, or draws random numbers from a generator
            not made by `xg.random.philox`.

        With `compiled=False`, an error inside the body names the time step.

    >>> import xgrad as xg
    >>> total, sums = xg.scan(lambda s, x: (s + x, s + x), 0.0, xg.asarray([1.0, 2.0, 3.0]))
    >>> total, sums
    (tensor(6.), tensor([1., 3., 6.]))
    """
    carry, read = to_tensors(init), to_tensors(xs)
    steps = _length(read.leaves, xs, length)
    mode = MODE.get()
    if checkpoint_every is not None:
        again = partial(scan, compiled=compiled)
        segments = Segments(steps, reverse, checkpoint_every)
        return scan_in_segments(again, f, carry.tree(), read.tree(), segments)
    if compiled and (not mode.record or mode.trace is not None):
        try:
            return _traced(f, carry, read, steps, reverse)
        except ChangedOutside as error:
            change = error
        body, init = body_with_change(f, change.handle), (carry.tree(), change.handle._alias())
        (last, value), ys = scan(body, init, read.tree(), steps, reverse)
        apply_change(change, value)
        return last, ys
    if steps == 0:
        return carry.tree(), _no_outputs(f, carry, read)
    with within("scan", f"scan over t = {_shown(steps, reverse)}"):
        return _looped(f, carry, read, steps, reverse)


def _traced(f: Body, carry: Flat, xs: Flat, steps: int, reverse: bool) -> tuple[Any, Any]:
    """Run the loop as one op, with the traced body as its program."""
    init, leaves = carry.leaves, xs.leaves
    _same_device([*init, *leaves])
    outer, check = MODE.get().trace, MODE.get().check
    carries, y_structure = len(init), None

    def step(*x: Tensor) -> list[Tensor]:
        nonlocal y_structure
        after, y = _step(
            f, Flat(list(x[:carries]), carry.structure), unflatten(xs.structure, x[carries:]), None
        )
        ys, y_structure = flatten(y)
        return [*after.leaves, *returned(ys, "the body of scan")]

    specs = [Spec(x.data.shape, x.dtype, x.device) for x in init]
    specs += [Spec(x.data.shape[1:], x.dtype, x.device) for x in leaves]
    traced = trace_to_ir(step, specs, remember=check is not None if outer is None else outer.remember, user=f)
    body = body_of(traced, carries)
    operands = [*init, *leaves, *traced.outside]
    traced.close()
    if not operands:
        raise ValueError("scan has nothing to compute with: no carry, no xs, no Tensor from outside")
    if outer is not None and not outer.remember:  # in a program to be compiled, not one to be shown
        split = body.once("invariants", lambda: split_invariants(body))
        if split is not None:
            results = replay(split.before, operands[carries + len(leaves) :])
            body, operands = split.body, split.operands(operands, results)
    z = apply_scan(operands, body=body, length=steps, reverse=reverse)
    result = unflatten(carry.structure, z[:carries]), unflatten(y_structure, z[carries:])
    if check is not None and steps:
        check.function(
            "scan", (body, steps, reverse), result, operands, lambda: _looped(f, carry, xs, steps, reverse)
        )
    return result


def _same_device(tensors: list[Tensor]) -> None:
    if any(x.device is not tensors[0].device for x in tensors):
        devices = dict.fromkeys(str(x.device) for x in tensors)
        raise DeviceError(f"scan got Tensors on {' and '.join(devices)}; move one with .to(device)")


def _looped(f: Body, carry: Flat, xs: Flat, steps: int, reverse: bool) -> tuple[Any, Any]:
    """Run the loop in Python, step by step."""
    slices = [unstack(leaf) for leaf in xs.leaves]
    outer = MODE.get()
    ys: list[list[Any]] = []
    y_structure = None
    token = MODE.set(outer)
    try:
        for t in reversed(range(steps)) if reverse else range(steps):
            MODE.set(outer._replace(steps=(*outer.steps, t)))
            x = [_of_step(parts[t]) for parts in slices]
            with within("step", f"t = {t}"):
                carry, y = _step(f, carry, unflatten(xs.structure, x), t)
                if outer.on_step is not None:
                    outer.on_step(carry.tree())
            y_leaves, here = flatten(y)
            if y_structure is not None and here != y_structure:
                raise TypeError(
                    f"scan: y has the structure {here} at step t={t}, but had {y_structure} before"
                )
            y_structure = here
            # aliases, as the body may still change its own handles
            ys.append([leaf._alias() for leaf in returned(y_leaves, "the body of scan")])
    finally:
        MODE.reset(token)
    if reverse:
        ys.reverse()
    return carry.tree(), unflatten(y_structure, [stack(series) for series in zip(*ys, strict=True)])


def _of_step(x: Tensor) -> Tensor:
    """Count a slice of `xs` to the present time step: a graph then names it x[t=3]."""
    if isinstance(x.node, Recorded):
        x.node.steps = MODE.get().steps
    return x


def _step(f: Body, carry: Flat, x: Any, t: int | None) -> tuple[Flat, Any]:
    """Run one step of the body and check its carry against the last; `t` is None while tracing."""
    old, structure = carry
    result = f(carry.tree(), x)  # new containers, as the body may change them
    when = "a step" if t is None else f"step t={t}"
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"the body of scan must return a pair (carry, y), but at {when} it returned "
            f"{type(result).__name__}"
        )
    leaves, new_structure = flatten(result[0])
    new = [leaf._alias() for leaf in returned(leaves, "the body of scan")]
    if structure != new_structure:
        raise TypeError(
            f"scan: the carry had the structure {structure}, but after {when} it has {new_structure}"
        )
    for i, (a, b) in enumerate(zip(old, new, strict=True)):
        if a.data.shape != b.data.shape or (a.data.dtype is not b.data.dtype and a.dtype != b.dtype):
            message = (
                f"scan: the carry{paths(result[0])[i]} was {a.shape} {a.dtype}, but after {when} it is "
                f"{b.shape} {b.dtype}"
            )
            raise ShapeError(message) if a.data.shape != b.data.shape else TypeError(message)
    return Flat(new, structure), result[1]


def _shown(steps: int, reverse: bool) -> str:
    """The time steps as text: `0, 1, 2` or `0, ..., 9`."""
    shown = [*range(steps)] if steps <= 3 else [0, "...", steps - 1]
    return ", ".join(map(str, reversed(shown) if reverse else shown))


def _length(leaves: list[Tensor], xs: Any, length: int | None) -> int:
    if length is not None:
        length = integer("scan: length", length)
        if not 0 <= length <= sys.maxsize:
            raise ValueError(f"scan: length={length} is {'negative' if length < 0 else 'too large'}")
    if not leaves:
        if length is None:
            raise ValueError("scan needs xs, or length= if there are no xs")
        return length
    steps: int | None = length
    for i, x in enumerate(leaves):
        shape = x.data.shape
        if not shape:
            raise ShapeError(f"scan: xs{paths(xs)[i]} has shape (), but needs a leading axis of time")
        steps = shape[0] if steps is None else steps
        if shape[0] != steps:
            first = f"length={length}" if length is not None else f"xs{paths(xs)[0]} has {steps}"
            raise ShapeError(f"scan: xs{paths(xs)[i]} has {shape[0]} steps, but {first}")
    assert steps is not None
    return steps


def _no_outputs(f: Body, carry: Flat, xs: Flat) -> Any:
    """The `ys` of a scan without steps.

    The shapes come from a trace, which changes nothing; where the body cannot be traced, from one run on
    zeros.
    """
    with suppress(TraceError), mode(grad=False, record=False):
        return scan(f, carry.tree(), xs.tree(), 0)[1]
    x = Flat([zeros(x.shape[1:], dtype=x.dtype, device=x.device) for x in xs.leaves], xs.structure)
    with mode(grad=False):
        _, y = _step(f, Flat([zeros_like(v) for v in carry.leaves], carry.structure), x.tree(), 0)
    return tree_map(
        lambda leaf: zeros((0, *asarray(leaf).shape), dtype=asarray(leaf).dtype, device=asarray(leaf).device),
        y,
    )
