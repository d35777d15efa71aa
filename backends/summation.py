"""Einstein summation on the array standard, for libraries that lack it, and contraction order."""

from __future__ import annotations

from functools import lru_cache

from .types import Array, Namespace

Path = tuple[tuple[int, ...], ...]


@lru_cache(4096)
def path(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> Path:
    """Contraction order: the operands of each step.

    They are removed from the list, and their product is appended to it.
    """
    if len(shapes) < 3:
        return (tuple(range(len(shapes))),)
    from opt_einsum import contract_path  # slower to import than this whole library

    return tuple(map(tuple, contract_path(subscripts, *shapes, shapes=True)[0]))


def path_of(subscripts: str, operands: tuple[Array, ...]) -> Path:
    """As `path`, cached for operands of these shapes."""
    return path(subscripts, tuple([tuple(x.shape) for x in operands]))


def einsum(xp: Namespace, subscripts: str, *operands: Array) -> Array:
    """NumPy's einsum for explicit `subscripts`: one letter per axis, and an output.

    An axis of length 1 broadcasts.

    Operands are contracted in pairs, each as one batched matrix product: summed indices are the inner axes,
    indices that both keep are the batch axes.
    """
    inputs, _, output = subscripts.partition("->")
    waiting = [_prepared(xp, subscript, x) for subscript, x in zip(inputs.split(","), operands)]
    for places in path_of(subscripts, operands):
        (mine, x), *others = [waiting[i] for i in places]
        waiting = [term for i, term in enumerate(waiting) if i not in places]
        while others:
            (theirs, y), *others = others
            later = {*output, *(c for subscript, _ in (*waiting, *others) for c in subscript)}
            mine, x = _pair(xp, mine, x, theirs, y, later)
        waiting.append((mine, x))
    ((mine, x),) = waiting
    mine, x = _summed(xp, mine, x, set(output))
    return xp.permute_dims(x, tuple(mine.index(c) for c in output))


def _prepared(xp: Namespace, subscript: str, x: Array) -> tuple[str, Array]:
    """Replace repeated indices of an operand by their diagonal."""
    for c in dict.fromkeys(subscript):
        while subscript.count(c) > 1:
            i = subscript.index(c)
            j = subscript.index(c, i + 1)
            rest = [a for a in range(x.ndim) if a not in (i, j)]
            moved = xp.permute_dims(x, (*rest, i, j))
            x = xp.linalg.diagonal(moved)
            subscript = "".join(subscript[a] for a in rest) + c
    return subscript, x


def _summed(xp: Namespace, subscript: str, x: Array, kept: set[str]) -> tuple[str, Array]:
    """Sum `x` over the indices not in `kept`."""
    axes = tuple(a for a, c in enumerate(subscript) if c not in kept)
    return (
        ("".join(c for c in subscript if c in kept), xp.sum(x, axis=axes, dtype=x.dtype))
        if axes
        else (subscript, x)
    )


def _pair(xp: Namespace, mine: str, x: Array, theirs: str, y: Array, later: set[str]) -> tuple[str, Array]:
    """Contract two operands, keeping the indices needed later."""
    mine, x = _summed(xp, mine, x, later | set(theirs))
    theirs, y = _summed(xp, theirs, y, later | set(mine))
    # an axis of length 1 that broadcasts against another length is dropped from that operand
    narrow = {
        c for c in mine if c in theirs and (x.shape[mine.index(c)] == 1) != (y.shape[theirs.index(c)] == 1)
    }
    mine, x = _without(xp, mine, x, narrow)
    theirs, y = _without(xp, theirs, y, narrow)
    mine, x = _summed(xp, mine, x, later | set(theirs))
    theirs, y = _summed(xp, theirs, y, later | set(mine))
    both = [c for c in mine if c in theirs]
    batch, inner = [c for c in both if c in later], [c for c in both if c not in later]
    rows, columns = [c for c in mine if c not in both], [c for c in theirs if c not in both]
    shape = {**dict(zip(mine, x.shape)), **dict(zip(theirs, y.shape))}
    x = _laid(xp, mine, x, shape, batch, rows, inner)
    y = _laid(xp, theirs, y, shape, batch, inner, columns)
    z = xp.astype(xp.matmul(x, y), x.dtype) if inner else x * y
    left = [*batch, *rows, *columns]
    return "".join(left), xp.reshape(z, tuple(shape[c] for c in left))


def _without(xp: Namespace, subscript: str, x: Array, narrow: set[str]) -> tuple[str, Array]:
    """Drop the axes of `narrow` that have length 1."""
    axes = tuple(a for a, c in enumerate(subscript) if c in narrow and x.shape[a] == 1)
    return (
        ("".join(c for a, c in enumerate(subscript) if a not in axes), xp.squeeze(x, axis=axes))
        if axes
        else (subscript, x)
    )


def _laid(xp: Namespace, subscript: str, x: Array, shape: dict[str, int], *groups: list[str]) -> Array:
    """Arrange the axes of `x` in three groups, each merged to one axis."""
    x = xp.permute_dims(x, tuple(subscript.index(c) for group in groups for c in group))
    lengths = []
    for group in groups:
        n = 1
        for c in group:
            n *= shape[c]
        lengths.append(n)
    return xp.reshape(x, tuple(lengths))
