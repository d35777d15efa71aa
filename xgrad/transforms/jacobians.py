"""Jacobians and Hessians, and Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import accumulate
from typing import Any

from ..backends.dtypes import is_complex, is_floating
from ..core.backward import pull_back
from ..core.context import mode
from ..core.forward import push_forward
from ..core.graph import Level
from ..core.pytree import flatten, tree_map, unflatten
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import asarray, conj, ones_like, reshape, stack, zeros
from ..ops.axes import is_integer
from .forward_mode import jvp
from .reverse_mode import (
    Argnums,
    grad,
    lifted_arguments,
    name_of,
    positions,
    refuse_no_function,
    released,
    vjp,
    with_aux,
)


def jacobian(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `f(*args)` with respect to an argument.

    `f` runs once and is recorded. Then one sweep per element computes the matrix by rows, in reverse mode, or
    by columns, in forward mode, whichever takes fewer sweeps.

    Args:
        f: a function of arrays, or nested containers of them, that returns a Tensor, or a nested container of
            them.
        argnums: position, or tuple of positions, to differentiate with respect to.
        has_aux: `f` returns `(output, aux)`, and the result is `(jacobian, aux)`.
        holomorphic: `f` is a holomorphic function of complex numbers; compute its complex derivative.

    Returns:
        The structure of the output, with each leaf replaced by the structure of the argument (a tuple of them
        where `argnums` is one), whose leaves have the output leaf's shape followed by the argument leaf's.

    Raises:
        TypeError: the argument holds integers, or complex numbers without `holomorphic`, or real ones with
        it.

    >>> import xgrad as xg
    >>> xg.jacobian(lambda x: xg.stack([x[0] * x[1], x[0] + x[1]]))(xg.asarray([2.0, 3.0]))
    tensor([[3., 2.],
            [1., 1.]])
    """
    refuse_no_function(f, "differentiated")
    single = is_integer(argnums)

    @wraps(f)
    def jacobian_function(*args: Any, **kwargs: Any) -> Any:
        with Level() as level:
            values, lifted = lifted_arguments(f, args, argnums, level)
            with mode(grad=True, lifted=True):
                output = f(*values, **kwargs)
            output, aux = with_aux(output, f) if has_aux else (output, None)
            leaves, structure = flatten(output)
            outputs = [asarray(z)._alias() for z in leaves]
            inputs = [x for tree in lifted for x in tree.inputs]
            if not holomorphic and any(is_complex(x.dtype) for x in inputs):
                raise TypeError(
                    f"the Jacobian of {name_of(f)} is with respect to complex numbers: pass "
                    f"holomorphic=True if the function is holomorphic, or differentiate with respect to "
                    f"the real and imaginary parts"
                )
            if holomorphic and not all(is_complex(v.dtype) for v in (*inputs, *outputs)):
                raise TypeError(
                    f"{name_of(f)} takes or returns real numbers, but holomorphic=True is only for "
                    f"complex ones"
                )
            found, aux = released((_blocks(outputs, inputs, holomorphic), aux), inputs)
        rows = []
        for row in found:
            blocks = iter(row)
            of_args = tuple(tree.like([next(blocks) for _ in tree.inputs]) for tree in lifted)
            rows.append(of_args[0] if single else of_args)
        result = unflatten(structure, rows)
        return (result, aux) if has_aux else result

    return jacobian_function


def _blocks(outputs: list[Tensor], inputs: list[Tensor], holomorphic: bool) -> list[list[Tensor]]:
    """The derivative of each output with respect to each input."""
    rows, columns = sum(z.size for z in outputs if is_floating(z.dtype)), sum(x.size for x in inputs)
    # a complex output of a non-holomorphic f is not determined by its gradient alone
    if columns < rows or (not holomorphic and any(is_complex(z.dtype) for z in outputs)):
        return _by_columns(outputs, inputs)
    return _by_rows(outputs, inputs)


def _by_columns(outputs: list[Tensor], inputs: list[Tensor]) -> list[list[Tensor]]:
    """Forward mode, one sweep for each element of the inputs."""
    swept = [push_forward(outputs, inputs, units)[0] for units in _units(inputs)]

    def block(k: int, z: Tensor, x: Tensor, span: slice) -> Tensor:
        return _assembled([s[k] for s in swept[span]], (*x.shape, *z.shape), x.ndim, z)

    spans = _spans(inputs)
    return [
        [block(k, z, x, span) for x, span in zip(inputs, spans, strict=True)] for k, z in enumerate(outputs)
    ]


def _by_rows(outputs: list[Tensor], inputs: list[Tensor]) -> list[list[Tensor]]:
    """Reverse mode, one sweep for each element of the outputs; zeros for outputs without a derivative."""
    moving = [z for z in outputs if is_floating(z.dtype)]
    swept = [pull_back(moving, dz, inputs, free=False) for dz in _units(moving)]
    spans = iter(_spans(moving))

    def block(i: int, x: Tensor, z: Tensor, span: slice | None) -> Tensor:
        whole = _assembled([] if span is None else [s[i] for s in swept[span]], (*z.shape, *x.shape), 0, x)
        return conj(whole) if is_complex(whole.dtype) else whole

    with_spans = [(z, next(spans) if is_floating(z.dtype) else None) for z in outputs]
    return [[block(i, x, z, span) for i, x in enumerate(inputs)] for z, span in with_spans]


def _spans(tensors: list[Tensor]) -> list[slice]:
    """For each Tensor, the slice of its elements in the concatenation of all."""
    stops = list(accumulate(x.size for x in tensors))
    return [slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]


def _units(tensors: list[Tensor]) -> Any:
    """Yield the unit vectors: for each element of all Tensors, a direction along that element alone."""
    zero = [zeros(x.shape, dtype=x.dtype, device=x.device) for x in tensors]
    for i, x in enumerate(tensors):
        flat = zeros((x.size,), dtype=x.dtype, device=x.device)
        for k in range(x.size):
            unit = flat._alias()
            unit[k] = 1
            yield [*zero[:i], reshape(unit, x.shape), *zero[i + 1 :]]


def _assembled(parts: list[Tensor], shape: tuple[int, ...], leading: int, like: Tensor) -> Tensor:
    """Stack the results of sweeps into `shape`, then move the `leading` first axes behind the others."""
    whole = reshape(stack(parts), shape) if parts else zeros(shape, dtype=like.dtype, device=like.device)
    order = (*range(leading, len(shape)), *range(leading))
    return whole if leading in (0, len(shape)) else whole.transpose(order)


def hessian(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """A function that returns the Hessian of `f(*args)`: the Jacobian of its Jacobian.

    The arguments are those of `jacobian`. For a scalar `f` this is forward mode over reverse mode, with one
    sweep for each element of the argument.

    >>> import xgrad as xg
    >>> xg.hessian(lambda x: x[0] ** 2 * x[1])(xg.asarray([2.0, 3.0]))
    tensor([[6., 4.],
            [4., 0.]])
    """
    return jacobian(jacobian(f, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Hessian-vector product of the scalar `f(*primals)`: the derivative of its gradient along `tangents`.

    It uses forward mode over reverse mode, without forming the matrix: a small constant times the cost of the
    gradient.

    Args:
        f: as for `grad`.
        primals: a tuple or list of its arguments, arrays or nested containers of them.
        tangents: a direction for each primal, of the same structure and shapes.

    Returns:
        The product alone, in the structure of the first argument, as the gradient is with respect to that.

    Raises as `grad` and `jvp` do.

    >>> import xgrad as xg
    >>> xg.hvp(lambda x: xg.sum(x**3), (xg.asarray([1.0, 2.0]),), (xg.asarray([1.0, 0.5]),))
    tensor([6., 6.])
    """
    return jvp(grad(f), primals, tangents)[1]


def elementwise_grad(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns the elementwise derivative of `f(*args)` with respect to an argument.

    `f` must be elementwise: it must not mix elements. The result is the gradient of the sum of its output,
    from one reverse sweep; for a complex function, the complex derivative.

    Returns: the derivatives in the structure and shape of the argument. Raises TypeError where it holds
    integers, ShapeError where the output has another shape than the argument.

    >>> import xgrad as xg
    >>> xg.elementwise_grad(xg.tanh)(xg.asarray([0.0, 100.0]))
    tensor([1., 0.])
    """

    refuse_no_function(f, "differentiated")
    if not is_integer(argnums):
        raise TypeError(
            f"elementwise_grad: argnums must be one position, not {argnums!r}; call it once for each argument"
        )

    @wraps(f)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        (i,) = positions(argnums, len(args), f)
        z, pull = vjp(lambda x: f(*args[:i], x, *args[i + 1 :], **kwargs), args[i])
        leaves, structure = flatten(z)
        given, _ = flatten(args[i])
        if [v.shape for v in leaves] != [asarray(v).shape for v in given]:
            shapes = [v.shape for v in leaves], [asarray(v).shape for v in given]
            raise ShapeError(
                f"{name_of(f)} is not elementwise: its output has the shapes {shapes[0]}, but its "
                f"argument has {shapes[1]}"
            )
        (found,) = pull(unflatten(structure, [ones_like(leaf) for leaf in leaves]))
        return tree_map(lambda g: conj(g) if is_complex(g.dtype) else g, found)

    return derivative


def stop_gradient(x: Any) -> Any:
    """Return the same values as constants, through which no gradient flows.

    `x` may be a nested container of arrays.

    >>> import xgrad as xg
    >>> xg.grad(lambda x: x * xg.stop_gradient(x))(3.0)
    tensor(3.)
    """
    leaves, structure = flatten(x)
    return unflatten(structure, [asarray(leaf).detach() for leaf in leaves])
