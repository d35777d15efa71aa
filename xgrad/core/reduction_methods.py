"""The reductions of NumPy's arrays, as methods of Tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backends.types import ArrayLike, DTypeLike
from ..ops import ordering, reductions
from ..ops.axes import Axis
from ..ops.reductions import existing
from . import above
from .attributes import Attributes
from .dispatch import apply

if TYPE_CHECKING:
    from .tensor import Tensor


def no_out(name: str, out: object) -> None:
    """Raise TypeError if a method is given an array to write to."""
    if out is not None:
        raise TypeError(f"np.{name} on a Tensor takes no out=: a Tensor is never written to")


class Reductions(Attributes):
    """The methods that reduce, cumulatively or not, along axes."""

    __slots__ = ()

    def sum(
        self,
        axis: Axis = None,
        dtype: DTypeLike | None = None,
        out: None = None,
        keepdims: bool = False,
        initial: ArrayLike | None = None,
        where: ArrayLike = True,
    ) -> Tensor:
        """Sum over axes."""
        no_out("sum", out)
        if dtype is None and initial is None and where is True:
            return apply(reductions.SUM, (self,), {"axis": axis, "keepdims": keepdims})
        return above.numpy_api.reductions.sum_(self, axis, dtype, keepdims, initial, where)

    def mean(
        self,
        axis: Axis = None,
        dtype: DTypeLike | None = None,
        out: None = None,
        keepdims: bool = False,
        *,
        where: ArrayLike = True,
    ) -> Tensor:
        """Arithmetic mean."""
        no_out("mean", out)
        if dtype is None and where is True:
            return apply(reductions.MEAN, (self,), {"axis": axis, "keepdims": keepdims})
        return above.numpy_api.reductions.mean(self, axis, dtype, keepdims, where=where)

    def max(
        self,
        axis: Axis = None,
        out: None = None,
        keepdims: bool = False,
        initial: ArrayLike | None = None,
        where: ArrayLike = True,
    ) -> Tensor:
        """Maximum. The gradient goes to exactly one element: on a tie the first."""
        no_out("max", out)
        if initial is None and where is True:
            return apply(reductions.MAX, (self,), {"axis": axis, "keepdims": keepdims})
        return above.numpy_api.reductions.max_(self, axis, keepdims, initial, where)

    def min(
        self,
        axis: Axis = None,
        out: None = None,
        keepdims: bool = False,
        initial: ArrayLike | None = None,
        where: ArrayLike = True,
    ) -> Tensor:
        """Minimum. The gradient goes to exactly one element: on a tie the first."""
        no_out("min", out)
        if initial is None and where is True:
            return apply(reductions.MIN, (self,), {"axis": axis, "keepdims": keepdims})
        return above.numpy_api.reductions.min_(self, axis, keepdims, initial, where)

    def prod(
        self,
        axis: Axis = None,
        dtype: DTypeLike | None = None,
        out: None = None,
        keepdims: bool = False,
        initial: ArrayLike | None = None,
        where: ArrayLike = True,
    ) -> Tensor:
        """Product over axes."""
        no_out("prod", out)
        return above.numpy_api.reductions.prod_(
            self, existing(axis, self.shape), dtype, keepdims, initial, where
        )

    def var(
        self,
        axis: Axis = None,
        dtype: DTypeLike | None = None,
        out: None = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        where: ArrayLike = True,
    ) -> Tensor:
        """Variance: the mean squared deviation, with the divisor n - `ddof`."""
        no_out("var", out)
        return above.numpy_api.reductions.var(
            self, existing(axis, self.shape), dtype, ddof, keepdims, where=where
        )

    def std(
        self,
        axis: Axis = None,
        dtype: DTypeLike | None = None,
        out: None = None,
        ddof: float = 0,
        keepdims: bool = False,
        *,
        where: ArrayLike = True,
    ) -> Tensor:
        """Standard deviation."""
        no_out("std", out)
        return above.numpy_api.reductions.std(
            self, existing(axis, self.shape), dtype, ddof, keepdims, where=where
        )

    def all(
        self, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: ArrayLike = True
    ) -> Tensor:
        """Whether all elements are true."""
        no_out("all", out)
        return above.numpy_api.reductions.all_(self, existing(axis, self.shape), keepdims, where=where)

    def any(
        self, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: ArrayLike = True
    ) -> Tensor:
        """Whether at least one element is true."""
        no_out("any", out)
        return above.numpy_api.reductions.any_(self, existing(axis, self.shape), keepdims, where=where)

    def argmax(self, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Tensor:
        """Index of the maximum."""
        no_out("argmax", out)
        return apply(ordering.ARGMAX, (self,), {"axis": axis, "keepdims": keepdims})

    def argmin(self, axis: int | None = None, out: None = None, *, keepdims: bool = False) -> Tensor:
        """Index of the minimum."""
        no_out("argmin", out)
        return apply(ordering.ARGMIN, (self,), {"axis": axis, "keepdims": keepdims})

    def cumsum(self, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None) -> Tensor:
        """Cumulative sum along an axis, or over all elements."""
        no_out("cumsum", out)
        return above.numpy_api.cumulative.cumsum(self, axis, dtype)

    def cumprod(self, axis: int | None = None, dtype: DTypeLike | None = None, out: None = None) -> Tensor:
        """Cumulative product along an axis, or over all elements."""
        no_out("cumprod", out)
        return above.numpy_api.cumulative.cumprod(self, axis, dtype)
