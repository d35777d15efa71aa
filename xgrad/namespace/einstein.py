"""Einstein's summation convention."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from string import ascii_letters
from typing import Any

from ..backends.types import ArrayLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.axes import is_integer
from ..ops.einsum import EINSUM, split_subscripts
from .calling import call
from .conversion import asarray
from .table import function


@function(numpy="")
def einsum(subscripts: str | ArrayLike, /, *operands: Any) -> Tensor:
    """Einstein summation: multiply elements with equal indices, and sum over indices missing in the result.

    Args:
        subscripts: a letter for each axis of each operand, as "ij,jk->ik". "..." stands for any number of
            axes, which broadcast. An index repeated in one operand takes its diagonal. Without "->" the
            result has the indices that occur once, in alphabetical order.
        operands: Tensors, arrays or numbers. In NumPy's alternative form there is no string: each operand is
            followed by a list of integer indices, optionally with those of the result at the end.

    More than two operands are contracted pairwise in the cheapest order, which is cached by subscripts and
    shapes.

    Raises ShapeError where subscripts and shapes do not fit.

    >>> import xgrad as xg
    >>> xg.einsum("ij,j->i", xg.ones((2, 3)), xg.ones(3))
    tensor([3., 3.])
    """
    if not isinstance(subscripts, str):
        if len(operands) < 1:
            raise TypeError(
                "einsum takes subscripts and operands, as in einsum('ij,j->i', A, x), or operands and lists "
                "of indices in turn, as in einsum(A, [0, 1], x, [1], [0])"
            )
        subscripts, operands = _from_lists((subscripts, *operands))
    operands = tuple(v if hasattr(v, "shape") else asarray(v) for v in operands)
    return call(EINSUM, operands, {"subscripts": _explicit(subscripts, [v.shape for v in operands])})


def _from_lists(arguments: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Convert alternating operands and index lists to subscripts and operands."""

    def letters(indices: Sequence[Any]) -> str:
        if not all(i is Ellipsis or (is_integer(i) and 0 <= index(i) < len(ascii_letters)) for i in indices):
            raise ShapeError(
                f"einsum: each index must be an integer from 0 to {len(ascii_letters) - 1}, or Ellipsis; got "
                f"{list(indices)}"
            )
        return "".join("..." if i is Ellipsis else ascii_letters[i] for i in indices)

    end = len(arguments) // 2 * 2
    subscripts = ",".join(letters(indices) for indices in arguments[1:end:2])
    return (f"{subscripts}->{letters(arguments[-1])}" if len(arguments) > end else subscripts), arguments[
        :end:2
    ]


def _explicit(subscripts: str, shapes: list[tuple[int, ...]]) -> str:
    """Expand `subscripts` to one letter per axis, with an explicit output."""
    subscripts = subscripts.replace(" ", "")
    inputs, output = split_subscripts(subscripts)
    if len(inputs) != len(shapes):
        raise ShapeError(
            f"einsum: {subscripts!r} is for {len(inputs)} operand{'s' * (len(inputs) != 1)}, but "
            f"{len(shapes)} were given"
        )
    free = [c for c in reversed(ascii_letters) if c not in subscripts]
    widest = 0
    for i, (subscript, shape) in enumerate(zip(inputs, shapes, strict=True)):
        extra = len(shape) - len(subscript.replace("...", ""))
        if extra < 0 or (extra and "..." not in subscript):
            raise ShapeError(
                f"einsum: {subscript!r} in {subscripts!r} does not fit an operand of shape {shape}: write "
                f"one letter for each axis, or '...' for several"
            )
        if "..." in subscript:
            inputs[i] = subscript.replace("...", "".join(reversed(free[:extra])))
            widest = max(widest, extra)
    spread = "".join(reversed(free[:widest]))
    if "->" not in subscripts:
        named = subscripts.replace("...", "").replace(",", "")
        output = "..." + "".join(sorted(c for c in set(named) if named.count(c) == 1))
    output = output.replace("...", spread)
    _check(subscripts, inputs, output, shapes)
    return ",".join(inputs) + "->" + output


def _check(subscripts: str, inputs: list[str], output: str, shapes: list[tuple[int, ...]]) -> None:
    lengths: dict[str, int] = {}
    for subscript, shape in zip(inputs, shapes, strict=True):
        for c, n in zip(subscript, shape, strict=True):
            if c not in ascii_letters:
                raise ShapeError(f"einsum: {c!r} in {subscripts!r} is not an index; an index is a letter")
            if lengths.setdefault(c, n) == 1:
                lengths[c] = n
            elif n not in (1, lengths[c]):
                raise ShapeError(
                    f"einsum: the index {c!r} in {subscripts!r} has length {lengths[c]} in one operand and "
                    f"{n} in another: shapes {', '.join(map(str, shapes))}"
                )
    if len(set(output)) != len(output) or not lengths.keys() >= set(output):
        raise ShapeError(
            f"einsum: the output {output!r} of {subscripts!r} must name each index once, and only indices of "
            f"the operands"
        )
