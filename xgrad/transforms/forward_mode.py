"""Forward mode as a transform, `jvp`, with JAX's signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backends import DeviceError
from ..backends.dtypes import is_complex
from ..core.context import mode
from ..core.forward import push_forward
from ..core.graph import Level
from ..core.pytree import flatten, paths, unflatten
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import asarray, astype
from .lifting import Lifted
from .reverse_mode import name_of, refuse_no_function, released, with_aux


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """Jacobian-vector product: `(f(*primals), tangent)`, the output's derivative along `tangents`.

    The function runs once and is recorded; then the tangents are pushed through its stages in order.

    Args:
        f: a function whose output is a Tensor, or a nested container of them.
        primals: a tuple or list of its arguments, arrays or nested containers of them.
        tangents: a direction for each primal, of the same structure and shapes.
        has_aux: `f` returns `(output, aux)`, and aux comes third.

    Returns:
        The output, and its tangent in the same structure; zeros for outputs without a derivative.

    Raises:
        ShapeError: tangents of another structure or other shapes than the primals. TypeError: a primal holds
        integers.

    >>> import xgrad as xg
    >>> xg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    (tensor(6.), tensor(3.))
    """
    refuse_no_function(f, "differentiated")
    for what, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise TypeError(
                f"the {what} of {name_of(f)} must be a tuple with one entry per argument, not "
                f"{type(given).__name__}: write (x,) for x"
            )
    with Level() as level:
        lifted = Lifted(tuple(primals), f"the primals of {name_of(f)} at ", level)
        directions = _directions(tangents, primals, lifted.inputs)
        with mode(grad=True, lifted=True):
            output = f(*lifted.tree)
        output, aux = with_aux(output, f) if has_aux else (output, None)
        leaves, structure = flatten(output)
        outputs = [asarray(v)._alias() for v in leaves]
        found, connected = push_forward(outputs, lifted.inputs, directions)
        if connected:
            outputs, found, aux = released((outputs, found, aux), lifted.inputs)
        else:
            outputs, found = [z._unrecorded() for z in outputs], [t._unrecorded() for t in found]
            aux = released(aux, lifted.inputs) if has_aux else None
    value, tangent = unflatten(structure, outputs), unflatten(structure, found)
    return (value, tangent, aux) if has_aux else (value, tangent)


def _directions(tangents: Sequence[Any], primals: Sequence[Any], inputs: list[Tensor]) -> list[Tensor]:
    """The leaves of `tangents`, each with the shape, dtype and device of its primal."""
    leaves, structure = flatten(tuple(tangents))
    if structure != flatten(tuple(primals))[1]:
        raise ShapeError(
            f"the tangents have the structure {structure}, but the primals have {flatten(tuple(primals))[1]}"
        )
    directions = []
    for i, (leaf, x) in enumerate(zip(leaves, inputs, strict=True)):
        direction = leaf if isinstance(leaf, Tensor) else asarray(leaf, device=x.device)
        if direction.device is not x.device:
            raise DeviceError(
                f"the tangent at {paths(tuple(primals))[i]} is on {direction.device}, but its primal is on "
                f"{x.device}"
            )
        if direction.shape != x.shape:
            raise ShapeError(
                f"the tangent at {paths(tuple(primals))[i]} has shape {direction.shape}, but its primal has "
                f"{x.shape}"
            )
        if is_complex(direction.dtype) and not is_complex(x.dtype):
            raise TypeError(f"the tangent at {paths(tuple(primals))[i]} is complex, but its primal is not")
        directions.append(direction if direction.dtype == x.dtype else astype(direction, x.dtype))
    return directions
