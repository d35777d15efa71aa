"""Forward mode, as the transpose of reverse mode: no rule is written twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backends.dtypes import is_floating
from ..errors import ShapeError
from ..modes import mode
from ..namespace import asarray, zeros_like
from ..reverse import pull_back
from ..tensors import Tensor
from ..trees import flatten, paths, unflatten
from .lifting import Lifted
from .reverse_mode import _name, _released


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """`(f(*primals), tangent)`: how the output moves when the arguments move along `tangents`.

    The gradient's map from dz to dx is linear, and its transpose takes a tangent of x to that of z.

    Args:
        f: a function whose output is a Tensor, or a nested container of them.
        primals: a tuple or list of its arguments, arrays or nested containers of them.
        tangents: a direction for each, of the same structure and shapes.

    Returns:
        The output, and its tangent in the same structure, zero for what has no derivative.

    Raises:
        ShapeError: tangents of another structure or other shapes than the primals. TypeError: a primal holds integers.

    >>> import xgrad as xg
    >>> xg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    (tensor(6.), tensor(3.))
    """
    outer = Lifted(tuple(primals), f"the primals of {_name(f)} at ")
    inner = Lifted(outer.tree, "")  # connected to the outer ones, so that the sweep back to them records itself
    moves = _directions(tangents, primals, inner.inputs)
    with mode(grad=True):
        z, structure = flatten(f(*inner.tree))
        outputs = [asarray(v).twin() for v in z]
        moving = [i for i, v in enumerate(outputs) if is_floating(v.dtype)]
        dz = Lifted([zeros_like(outputs[i]) for i in moving], "dz")
        dx = pull_back([outputs[i] for i in moving], dz.tree, inner.inputs, free=False)
        found = dict(zip(moving, pull_back(dx, moves, dz.inputs, free=False)))
    nodes = {x.node for lifted in (outer, dz) for x in lifted.inputs}
    parts = [(v, found[i] if i in found else zeros_like(v)) for i, v in enumerate(outputs)]
    value, tangent = (unflatten(structure, [_released(part, nodes) for part in side]) for side in (zip(*parts) if parts else ((), ())))
    outer.close()
    dz.close()
    return value, tangent


def _directions(tangents: Sequence[Any], primals: Sequence[Any], inputs: list[Tensor]) -> list[Tensor]:
    """The leaves of `tangents`, each like its primal."""
    leaves, structure = flatten(tuple(tangents))
    if structure != flatten(tuple(primals))[1]:
        raise ShapeError(f"the tangents have the structure {structure}, the primals {flatten(tuple(primals))[1]}")
    moves = [asarray(leaf) for leaf in leaves]
    for name, move, x in zip(paths(tuple(primals)), moves, inputs, strict=True):
        if move.shape != x.shape:
            raise ShapeError(f"the tangent at {name} has shape {move.shape}, its primal {x.shape}")
    return moves
