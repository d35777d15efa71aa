"""Loops through time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ShapeError
from ..modes import MODE, mode
from ..namespace import asarray, stack, unstack, zeros, zeros_like
from ..tensors import Tensor
from ..trees import flatten, map, paths, unflatten
from .lifting import to_tensors

Body = Callable[[Any, Any], tuple[Any, Any]]


def scan(f: Body, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> tuple[Any, Any]:
    """Repeat `carry, y = f(carry, x)` over the leading axis of `xs`, as `jax.lax.scan` does.

    Args:
        f: one time step. It must return a carry of the structure, shapes and dtypes that it was given.
        init: the first carry, a Tensor or a nested container of them; plain arrays are taken to the current device.
        xs: what is read at each step, every leaf with T as its leading axis; None if `length` says how many steps.
        length: T.
        reverse: from the last step to the first; `ys` stay in the order of `xs`.

    Returns:
        `(carry, ys)`: the last carry, and what the steps gave as `y`, stacked along a leading axis of T. With T = 0 the
        body runs once, on zeros, to find the shapes of `ys`.

    Raises:
        ShapeError: leading axes that differ; a carry that changes shape.
        TypeError: a carry that changes dtype or structure; a body that returns no pair.
        An error inside the body names the time step.

    >>> import xgrad as xg
    >>> total, sums = xg.scan(lambda s, x: (s + x, s + x), 0.0, xg.asarray([1.0, 2.0, 3.0]))
    >>> total, sums
    (tensor(6.), tensor([1., 3., 6.]))
    """
    carry = to_tensors(init)
    leaves, structure = flatten(to_tensors(xs))
    steps = _length(leaves, xs, length)
    if steps == 0:
        return carry, _no_outputs(f, carry, unflatten(structure, [zeros(x.shape[1:], dtype=x.dtype, device=x.device) for x in leaves]))
    slices = [unstack(leaf) for leaf in leaves]
    outer = MODE.get()
    ys: list[list[Any]] = []
    y_structure = None
    token = MODE.set(outer)
    try:
        for t in reversed(range(steps)) if reverse else range(steps):
            MODE.set(outer._replace(steps=(*outer.steps, t)))
            carry, y = _step(f, carry, unflatten(structure, [parts[t] for parts in slices]), t)
            y_leaves, here = flatten(y)
            if y_structure is not None and here != y_structure:
                raise TypeError(f"scan: y has the structure {here} at step t={t}, and {y_structure} before")
            y_structure = here
            ys.append([asarray(leaf).twin() for leaf in y_leaves])  # the body may go on changing its own handle
    finally:
        MODE.reset(token)
    if reverse:
        ys.reverse()
    return carry, unflatten(y_structure, [stack(series) for series in zip(*ys, strict=True)])


def _step(f: Body, carry: Any, x: Any, t: int) -> tuple[Any, Any]:
    """One step of the body, its carry checked against the one before."""
    result = f(carry, x)
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"the body of scan must return a pair (carry, y), at step t={t} it returned {type(result).__name__}")
    after = to_tensors(result[0])
    old, structure = flatten(carry)
    new, new_structure = flatten(after)
    if structure != new_structure:
        raise TypeError(f"scan: the carry had the structure {structure}, after step t={t} it has {new_structure}")
    for i, (a, b) in enumerate(zip(old, new, strict=True)):
        if a.data.shape != b.data.shape or a.data.dtype != b.data.dtype:
            message = f"scan: the carry{paths(carry)[i]} was {a.shape} {a.dtype}, after step t={t} it is {b.shape} {b.dtype}"
            raise ShapeError(message) if a.data.shape != b.data.shape else TypeError(message)
    return after, result[1]


def _length(leaves: list[Tensor], xs: Any, length: int | None) -> int:
    if not leaves:
        if length is None:
            raise ValueError("scan needs xs, or length= where there is nothing to read")
        if length < 0:
            raise ValueError(f"scan: length={length} is negative")
        return length
    for name, x in zip(paths(xs), leaves, strict=True):
        if not x.ndim:
            raise ShapeError(f"scan: xs{name} has shape (), and needs a leading axis of time")
        if len(x) != (len(leaves[0]) if length is None else length):
            first = f"length={length}" if length is not None else f"xs{paths(xs)[0]} has {len(leaves[0])}"
            raise ShapeError(f"scan: xs{name} has {len(x)} steps, but {first}")
    return len(leaves[0])


def _no_outputs(f: Body, carry: Any, x: Any) -> Any:
    """What `ys` is when there are no steps: the shapes come from one run on zeros."""
    with mode(grad=False):
        _, y = _step(f, map(zeros_like, carry), x, 0)
    return map(lambda leaf: zeros((0, *asarray(leaf).shape), dtype=asarray(leaf).dtype, device=asarray(leaf).device), y)
