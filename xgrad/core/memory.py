"""Out of memory: the size requested, the memory in use, and what the graph keeps alive."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod
from operator import attrgetter
from typing import Any

from ..backends import Array, Device
from ..errors import OutOfMemoryError
from ..ops.rules import shape_of
from .context import where_in_time

#: How many of the largest stages the message lists.
NAMED = 5

WAY_OUT = (
    "To save memory, use xg.checkpoint or scan(checkpoint_every=k), which compute values again instead "
    "of keeping them; a smaller batch; xg.no_grad() where you need no gradient; or del for Tensors that "
    "you no longer need."
)


def out_of_memory(
    error: MemoryError, what: str, device: Device, roots: Iterable[Any], gradients: Iterable[Array] = ()
) -> OutOfMemoryError:
    """The error to raise in place of a library's MemoryError.

    `what` was being computed, and the graph behind the nodes `roots` is alive. `gradients` are those that a
    reverse sweep holds. An OutOfMemoryError is returned unchanged.
    """
    if isinstance(error, OutOfMemoryError):
        return error
    requested = _requested(error)
    size = "more" if requested is None else _size(requested)
    have = device.memory()
    pool = f", {_size(have['pool'])} in the library's pool" if "pool" in have else ""
    lines = [
        f"{what}{where_in_time()} asks for {size} on {device}: {error}",
        f"{_size(have['used'])} are used by this process{pool}, of {_size(have['total'])} in total.",
    ]
    held = _held(roots, device)
    total = sum(n for n, _ in held.values())
    if total:
        lines.append(f"The graph holds {_size(total)} for its gradients. The largest parts:")
        largest = sorted(held.items(), key=lambda item: -item[1][0])
        lines += [
            f"  {_size(n):>9}  {stage}{f', {times} times' if times > 1 else ''}"
            for stage, (n, times) in largest[:NAMED]
        ]
        if len(largest) > NAMED:
            lines.append(
                f"  {_size(sum(n for _, (n, _) in largest[NAMED:])):>9}  {len(largest) - NAMED} others"
            )
    swept = sum(_bytes(g, device) for g in gradients if hasattr(g, "dtype"))
    if swept:
        lines.append(f"Gradients still to be processed hold {_size(swept)}.")
    return OutOfMemoryError("\n".join([*lines, WAY_OUT]))


def _held(roots: Iterable[Any], device: Device) -> dict[str, tuple[int, int]]:
    """Bytes that the graph behind `roots` keeps on `device`, and the number of nodes, by stage.

    An array that several nodes keep counts once.
    """
    stack = [node for node in roots if node is not None]
    seen: set[Any] = set(stack)
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    counted: set[int] = set()
    held: dict[str, tuple[int, int]] = {}
    for node in sorted(seen, key=attrgetter("number")):  # count an array for its producer, not for its users
        if node.op is None or node.device is not device:
            continue
        size = 0
        for array in _arrays(node.saved):
            owner: Any = array
            while hasattr(getattr(owner, "base", None), "dtype"):  # a view keeps its whole base alive
                owner = owner.base
            if id(owner) not in counted:
                counted.add(id(owner))
                size += _bytes(owner, device)
        if size:
            stage = _stage(node)
            before, times = held.get(stage, (0, 0))
            held[stage] = before + size, times + 1
    return held


def _arrays(saved: Any) -> Iterable[Array]:
    for part in saved:
        if type(part) is tuple:
            yield from _arrays(part)
        elif hasattr(part, "dtype"):
            yield part


def _stage(node: Any) -> str:
    """A node's description: its op and shape, and its name and line if recorded."""
    name, source = getattr(node, "name", None), getattr(node, "source", None)
    called = f"{name} = " if name else ""
    return f"{called}{node.op.name!r} of shape {node.shape}{f' at {source}' if source else ''}"


def _requested(error: MemoryError) -> int | None:
    """The number of bytes that could not be allocated, as NumPy and CuPy report it."""
    total = getattr(error, "_total_size", None)
    if total is not None:
        return int(total)
    found = re.search(r"allocating ([\d,]+) bytes", str(error))
    return int(found[1].replace(",", "")) if found else None


def _bytes(array: Array, device: Device) -> int:
    return int(prod(shape_of(array)) * device.backend.dtype_of(array).itemsize)


def _size(n: int) -> str:
    """Format a number of bytes."""
    for unit, name in (
        (10**18, "EB"),
        (10**15, "PB"),
        (10**12, "TB"),
        (10**9, "GB"),
        (10**6, "MB"),
        (10**3, "kB"),
    ):
        if n >= unit:
            return f"{n / unit:.3g} {name}"
    return f"{n} bytes"
