"""Reverse mode as transforms, with JAX's signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from ..core.backward import pull_back
from ..core.context import MODE, mode
from ..core.graph import Level, depending_on_more
from ..core.pytree import flatten, unflatten
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import asarray
from ..ops.axes import integers, is_integer
from .lifting import Lifted

Argnums = int | tuple[int, ...]


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns `(f(*args), gradient)`; see `grad`.

    With `has_aux` it returns `((value, aux), gradient)`.

    >>> import xgrad as xg
    >>> xg.value_and_grad(lambda x: x * x)(3.0)
    (tensor(9.), tensor(6.))
    """
    refuse_no_function(f, "differentiated")
    single = is_integer(argnums)

    @wraps(f)
    def gradient_function(*args: Any, **kwargs: Any) -> Any:
        with Level() as level:
            values, lifted = lifted_arguments(f, args, argnums, level)
            with mode(grad=True, lifted=True):
                z = f(*values, **kwargs)
            z, aux = with_aux(z, f) if has_aux else (z, None)
            z = _real_scalar(z, f)
            inputs = [x for tree in lifted for x in tree.inputs]
            found = iter(pull_back([z], [None], inputs))
            gradients = tuple(tree.like([next(found) for _ in tree.inputs]) for tree in lifted)
            value, aux = released((z, aux), inputs) if has_aux else (*released_leaves([z], inputs), None)
        return ((value, aux) if has_aux else value), (gradients[0] if single else gradients)

    return gradient_function


def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that returns the gradient of the scalar `f(*args)` with respect to one or more arguments.

    Args:
        f: a function of arrays, Tensors, floats, or nested lists, tuples, dicts and modules of them.
        argnums: position, or tuple of positions, to differentiate with respect to.
        has_aux: `f` returns `(value, aux)`, and the result is `(gradient, aux)`.

    Returns:
        The gradient in the structure, shapes and dtypes of the argument; zeros where `f` does not depend on
        it.

    Raises:
        TypeError: the argument holds integers, or `f` returns no real scalar.

    >>> import xgrad as xg
    >>> xg.grad(lambda x: x**3)(2.0)
    tensor(12.)
    >>> xg.grad(xg.grad(lambda x: x**3))(2.0)
    tensor(12.)
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient_function(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return gradient_function


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Vector-Jacobian product: `(f(*primals), pull)`; `pull(dz)` returns a tuple of the primals' gradients.

    Args:
        f: a function whose output is a Tensor, or a nested container of them.
        primals: its arguments, arrays or nested containers of them.
        has_aux: `f` returns `(output, aux)`, and aux comes third.

    `pull` may be called many times. It raises ShapeError if `dz` does not have the structure and shapes of
    the output.

    >>> import xgrad as xg
    >>> z, pull = xg.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> pull(1.0)
    (tensor(3.), tensor(2.))
    """
    refuse_no_function(f, "differentiated")
    level = Level()  # it never ends, as `pull` may be called at any time
    lifted = [Lifted(primal, f"argument {i} of {name_of(f)}", level) for i, primal in enumerate(primals)]
    with mode(grad=True, lifted=True):
        output = f(*(tree.tree for tree in lifted))
    output, aux = with_aux(output, f) if has_aux else (output, None)
    outputs, structure = flatten(output)
    outputs = [asarray(z)._alias() for z in outputs]
    inputs = [x for tree in lifted for x in tree.inputs]

    def pull(dz: Any) -> tuple[Any, ...]:
        given, dz_structure = flatten(dz)
        if dz_structure != structure:
            raise ShapeError(
                f"dz has the structure {dz_structure}, but the output of {name_of(f)} has {structure}"
            )
        found = iter(pull_back(outputs, given, inputs, free=False))
        return tuple(tree.like([next(found) for _ in tree.inputs]) for tree in lifted)

    if not has_aux:
        return unflatten(structure, released_leaves(outputs, inputs)), pull
    value, aux = released((outputs, aux), inputs)
    return unflatten(structure, value), pull, aux


def lifted_arguments(
    f: Callable[..., Any], args: tuple[Any, ...], argnums: Argnums, level: Level
) -> tuple[list[Any], list[Lifted]]:
    """The arguments of `f`, with those at `argnums` lifted; and the lifted ones alone."""
    chosen = positions(argnums, len(args), f)
    lifted = [Lifted(args[i], f"argument {i} of {name_of(f)}", level) for i in chosen]
    values = list(args)
    for i, tree in zip(chosen, lifted, strict=True):
        values[i] = tree.tree
    return values, lifted


def positions(argnums: Argnums, count: int, f: Callable[..., Any]) -> list[int]:
    try:
        positions = list(integers(argnums))
    except TypeError:
        raise TypeError(f"argnums={argnums!r} is neither an int nor a tuple of them") from None
    if len(set(positions)) < len(positions):
        raise TypeError(f"argnums={argnums} names an argument twice")
    for i in positions:
        if not -count <= i < count:
            raise TypeError(
                f"argnums={argnums}, but {name_of(f)} was called with {count} positional arguments"
            )
    return [i % count for i in positions]


def with_aux(output: Any, f: Callable[..., Any]) -> tuple[Any, Any]:
    if not isinstance(output, tuple) or len(output) != 2:
        raise TypeError(f"with has_aux, {name_of(f)} must return a pair (value, aux)")
    return output


def _real_scalar(z: object, f: Callable[..., Any]) -> Tensor:
    if isinstance(z, float | int):
        z = asarray(float(z))
    if not isinstance(z, Tensor):
        hint = {
            "tuple": "; for a pair (value, aux) pass has_aux=True",
            "ndarray": ", which has no gradient: return the Tensor",
        }.get(type(z).__name__, "")
        raise TypeError(
            f"the gradient needs a Tensor of shape (), but {name_of(f)} returned {type(z).__name__}{hint}"
        )
    if z.shape != ():
        raise TypeError(
            f"the gradient needs a scalar, but {name_of(f)} returned shape {z.shape}; use xg.sum, or "
            f"xg.vjp with a dz"
        )
    if z.dtype.kind == "c":
        raise TypeError(
            f"{name_of(f)} returned a complex number, whose gradient is ambiguous; use xg.real or xg.abs, "
            f"or use xg.vjp"
        )
    if z.dtype.kind in "biu":
        raise TypeError(
            f"{name_of(f)} returned a number of dtype {z.dtype}, which has no gradient: the gradient "
            f"stops where values become integers"
        )
    return z


def released(results: Any, inputs: Sequence[Tensor]) -> Any:
    """Remove the graphs from a tree of results, except where a gradient flows to more than `inputs`."""
    leaves, structure = flatten(results)
    return unflatten(structure, released_leaves(leaves, inputs))


def released_leaves(leaves: list[Any], inputs: Sequence[Tensor]) -> list[Any]:
    """As `released`, for a list of Tensors and other values."""
    roots = [v.node for v in leaves if isinstance(v, Tensor) and v.node is not None and v.requires_grad]
    if not roots:
        return leaves
    beyond = (
        depending_on_more(roots, {x.node for x in inputs if x.node is not None}) if MODE.get().grad else ()
    )
    return [
        v._unrecorded() if isinstance(v, Tensor) and v.requires_grad and v.node not in beyond else v
        for v in leaves
    ]


def refuse_no_function(f: object, done: str) -> None:
    """Raise TypeError if `f` is not callable; `done` says what the transform does to it."""
    if not callable(f):
        hint = ": pass the function, not its result" if isinstance(f, Tensor) else ""
        raise TypeError(f"only a function can be {done}, not {type(f).__name__}{hint}")


def name_of(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", type(f).__name__)
