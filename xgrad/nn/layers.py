"""Layers without state."""

from __future__ import annotations

from ..backends import Device
from ..backends.dtypes import is_floating
from ..backends.types import ArrayLike, DTypeLike
from ..core.context import MODE
from ..core.tensor import Tensor
from ..namespace import asarray, float32, logical_and, take, where
from ..random import Generator
from .modules import Module, checked_input, sizes, uniform_parameter


class Linear(Module):
    """x @ weightᵀ + bias, for x of shape (..., n_in).

    `weight` has shape (n_out, n_in). Both are drawn uniformly from ±1/√n_in, as in torch.

    >>> import xgrad as xg
    >>> xg.nn.Linear(3, 2)(xg.ones((5, 3), dtype=xg.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = float32,
        rng: Generator | None = None,
        device: str | Device | None = None,
    ) -> None:
        sizes("Linear", n_in=n_in, n_out=n_out)
        limit = n_in**-0.5
        self.weight = uniform_parameter((n_out, n_in), limit, dtype, rng, device)
        self.bias = uniform_parameter((n_out,), limit, dtype, rng, device) if bias else None

    def __call__(self, x: ArrayLike) -> Tensor:
        y = checked_input(x, self.weight, self) @ self.weight.T
        return y if self.bias is None else y + self.bias


class Embedding(Module):
    """Lookup table: maps the integer i to row i of `weight`, of shape (count, size).

    >>> import xgrad as xg
    >>> xg.nn.Embedding(10, 4)(xg.asarray([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        count: int,
        size: int,
        *,
        dtype: DTypeLike = float32,
        rng: Generator | None = None,
        device: str | Device | None = None,
    ) -> None:
        sizes("Embedding", count=count, size=size)
        self.weight = uniform_parameter((count, size), 1.0, dtype, rng, device)

    def __call__(self, indices: ArrayLike) -> Tensor:
        """Look up the rows at `indices`, integers of any shape.

        Raises TypeError for other dtypes, IndexError for an index out of range.
        """
        indices = asarray(indices, device=None if isinstance(indices, Tensor) else self.weight.device)
        if indices.dtype.kind not in "iu":
            raise TypeError(
                f"Embedding takes integer indices, not {indices.dtype}; use indices.astype(xg.int64)"
            )
        rows = take(self.weight, in_range(indices, len(self.weight), "Embedding"), axis=0)
        return nan_outside(rows, indices[..., None], len(self.weight))


def in_range(indices: Tensor, count: int, who: str) -> Tensor:
    """Check that all indices are from 0 to `count` - 1; negative ones are not allowed.

    Raises IndexError if the values are available on the host.

    In a trace, and on devices where a check would have to wait, a negative index becomes `count`, which is
    also out of range.
    """
    if indices.dtype.kind == "u":
        return indices
    if MODE.get().trace is not None or not indices.device.backend.on_host:
        return where(indices < 0, count, indices)
    if indices.size and (low := int(indices.min())) < 0:
        raise IndexError(f"{who}: index {low} is out of range; indices must be from 0 to {count - 1}")
    return indices


def nan_outside(z: Tensor, indices: Tensor, count: int) -> Tensor:
    """`z`, but NaN where an index is not from 0 to `count` - 1.

    For devices whose library silently reads another element.
    """
    if indices.device.backend.on_host:
        return z
    return where(logical_and(indices >= 0, indices < count), z, float("nan"))


def dropout(x: ArrayLike, p: float, rng: Generator) -> Tensor:
    """Set each element of `x` to 0 with probability `p`, and divide the others by 1 - p.

    So the expected value stays (N. Srivastava et al., 2014). In training only: for p = 0, and after training,
    use `x` itself.

    Args:
        p: from 0 to below 1.
        rng: where the draws come from; in compiled functions and loops, a generator of `xg.random.philox`.

    Raises ValueError for other p, TypeError for an `x` that is not floating-point, or for no generator.

    >>> import xgrad as xg
    >>> xg.nn.dropout(xg.ones(6), 0.5, xg.random.philox(0))
    tensor([0., 2., 2., 2., 2., 0.])
    """
    x = asarray(x)
    if not isinstance(rng, Generator):
        raise TypeError(f"dropout: rng must be a generator, as xg.random.philox(0), not {type(rng).__name__}")
    if not is_floating(x.dtype):
        raise TypeError(f"dropout takes floating-point numbers, not {x.dtype}; use x.astype(xg.float32)")
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be at least 0 and less than 1, not {p}")
    if p == 0:
        return x
    keep = rng.random(x.shape, dtype=float32) >= p
    return where(keep, x / (1 - p), 0)
