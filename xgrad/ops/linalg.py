"""The matrix product."""

from __future__ import annotations

from math import prod

from ..backends.types import Array, Namespace
from .table import op


def rows(xp: Namespace, x: Array) -> Array:
    """Reshape `x` to a matrix by merging its leading axes."""
    return x if x.ndim == 2 else xp.reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


def _transposed(xp: Namespace, x: Array) -> Array:
    return x.T if x.ndim == 2 else xp.matrix_transpose(x)


def matmul(xp: Namespace, x: Array, y: Array) -> Array:
    """x @ y. A stack x times one matrix y is one product of all rows, not a stack of small products."""
    if y.ndim == 2 and x.ndim > 2 and x.shape[-1] == y.shape[0]:
        return xp.reshape(xp.matmul(rows(xp, x), y), (*x.shape[:-1], y.shape[1]))
    return xp.matmul(x, y)  # not `@`: a backend may compute matmul in another precision


def _dx(xp: Namespace, dz: Array, x_shape: tuple[int, ...], y: Array) -> Array:
    """dz @ yᵀ"""
    if y.ndim == 1:
        y, dz = xp.expand_dims(y, axis=1), xp.expand_dims(dz, axis=-1)
    if len(x_shape) == 1:
        dz = xp.expand_dims(dz, axis=-2)
    dx = matmul(xp, dz, _transposed(xp, y))
    return xp.sum(dx, axis=tuple(range(dx.ndim - 1))) if len(x_shape) == 1 else dx


def _dy(xp: Namespace, dz: Array, x: Array, y_shape: tuple[int, ...]) -> Array:
    """xᵀ @ dz"""
    if len(y_shape) == 1:
        dz = xp.expand_dims(dz, axis=-1)
    if x.ndim == 1:
        x, dz = xp.expand_dims(x, axis=0), xp.expand_dims(dz, axis=-2)
    if len(y_shape) <= 2:  # the products of all rows add up: one matmul does both
        dy = xp.matmul(rows(xp, x).T, rows(xp, dz))
        return xp.reshape(dy, y_shape)
    return xp.matmul(_transposed(xp, x), dz)


MATMUL = op(
    "@",
    matmul,
    dx=_dx,
    dy=_dy,
    function="matmul",
    promotion="matmul",
    analytic=True,
    linear="each",
    at_once=True,
)

# A product that is accumulated into its target as it is computed.
PRODUCT_ADDED = op("@+", lambda xp, base, a, b: base + a @ b, function="add_product", arity=3, internal=True)
