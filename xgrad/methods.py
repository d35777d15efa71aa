"""The methods that NumPy's arrays have, on Tensors, with NumPy's arguments, but never `out=`.

Their derivatives are those of the functions of the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from .applying import Value, apply
from .errors import ShapeError
from .modes import MODE
from .ops import functions, ordering, reductions, shaping
from .ops.reductions import Axis

if TYPE_CHECKING:
    from .tensors import Tensor


class Methods(Value):
    """What a Tensor has of an array."""

    __slots__ = ()
    xp: ClassVar[Any]  # the namespace of functions on Tensors, which sets it

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.data.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.data.size)

    @property
    def dtype(self) -> Any:
        """The dtype, a NumPy dtype on every device."""
        return self.device.backend.dtype_of(self.data)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return int(self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> Tensor:
        """The axes in reverse."""
        return apply(shaping.TRANSPOSE, (self,), {"axes": None})

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        if self.ndim < 2:
            raise ShapeError(f"a matrix has two axes at least; this Tensor has shape {self.shape}")
        axes = range(self.ndim)
        return apply(shaping.TRANSPOSE, (self,), {"axes": (*axes[:-2], self.ndim - 1, self.ndim - 2)})

    @property
    def real(self) -> Tensor:
        """Real part."""
        return apply(functions.REAL, (self,))

    @property
    def imag(self) -> Tensor:
        """Imaginary part."""
        return apply(functions.IMAG, (self,))

    # To Python

    def item(self, *args: Any) -> Any:
        """The value of a single element as a Python number: the only one, or that at an index."""
        chosen: Any = self if not args else self.xp.reshape(self, (-1,))[args[0]] if len(args) == 1 and isinstance(args[0], int) else None
        if chosen is None:
            chosen = self.xp.asarray(self)[_unpacked(args)]
        if chosen.size != 1 and not MODE.get().trace:
            raise ShapeError(f"only a single element is a number; this Tensor has shape {chosen.shape}")
        return chosen.numpy().item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.xp.asarray(self).numpy().tolist()

    # Reductions

    def sum(self, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
        """Sum over axes."""
        if dtype is initial is None and where is True:
            return apply(reductions.SUM, (self,), {"axis": axis, "keepdims": keepdims})
        return self._reductions.sum_(self, axis, dtype, keepdims, initial, where)

    def mean(self, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, where: Any = True) -> Tensor:
        """Arithmetic mean."""
        if dtype is None and where is True:
            return apply(reductions.MEAN, (self,), {"axis": axis, "keepdims": keepdims})
        return self._reductions.mean(self, axis, dtype, keepdims, where=where)

    def max(self, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
        """Maximum. The gradient goes to exactly one element: on a tie the first."""
        if initial is None and where is True:
            return apply(reductions.MAX, (self,), {"axis": axis, "keepdims": keepdims})
        return self._reductions.max_(self, axis, keepdims, initial, where)

    def min(self, axis: Axis = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
        """Minimum. The gradient goes to exactly one element: on a tie the first."""
        if initial is None and where is True:
            return apply(reductions.MIN, (self,), {"axis": axis, "keepdims": keepdims})
        return self._reductions.min_(self, axis, keepdims, initial, where)

    def prod(self, axis: Axis = None, dtype: Any = None, *, keepdims: bool = False, initial: Any = None, where: Any = True) -> Tensor:
        """Product over axes."""
        return self._reductions.prod_(self, axis, dtype, keepdims, initial, where)

    def var(self, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True) -> Tensor:
        """Variance, the sum of squares divided by their number less `ddof`."""
        return self._reductions.var(self, axis, dtype, ddof, keepdims, where=where)

    def std(self, axis: Axis = None, dtype: Any = None, *, ddof: float = 0, keepdims: bool = False, where: Any = True) -> Tensor:
        """Standard deviation."""
        return self._reductions.std(self, axis, dtype, ddof, keepdims, where=where)

    def all(self, axis: Axis = None, *, keepdims: bool = False, where: Any = True) -> Tensor:
        """Whether all elements are true."""
        return self._reductions.all_(self, axis, keepdims, where=where)

    def any(self, axis: Axis = None, *, keepdims: bool = False, where: Any = True) -> Tensor:
        """Whether one element at least is true."""
        return self._reductions.any_(self, axis, keepdims, where=where)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """Index of the maximum."""
        return apply(ordering.ARGMAX, (self,), {"axis": axis, "keepdims": keepdims})

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """Index of the minimum."""
        return apply(ordering.ARGMIN, (self,), {"axis": axis, "keepdims": keepdims})

    def cumsum(self, axis: int | None = None, dtype: Any = None) -> Tensor:
        """Sums on the way along an axis, or along all elements."""
        return self._reductions.cumsum(self, axis, dtype)

    def cumprod(self, axis: int | None = None, dtype: Any = None) -> Tensor:
        """Products on the way along an axis, or along all elements."""
        return self._reductions.cumprod(self, axis, dtype)

    # Shapes

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Tensor:
        """The elements in another shape, given as one tuple or as its numbers; one may be -1."""
        if order != "C":
            self._shapes.c_order(order, "reshape")
        return apply(shaping.RESHAPE, (self,), {"shape": _unpacked(shape)})

    def ravel(self, order: str = "C") -> Tensor:
        """The elements along one axis."""
        return self._shapes.ravel(self, order)

    def flatten(self, order: str = "C") -> Tensor:
        """The elements along one axis."""
        return self._shapes.ravel(self, order)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in the order given, in reverse where none is."""
        return apply(shaping.TRANSPOSE, (self,), {"axes": None if axes in ((), (None,)) else _unpacked(axes)})

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        return self._shapes.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> Tensor:
        """Without axes of length 1: without those given, or all."""
        return self._shapes.squeeze(self, axis)

    def repeat(self, repeats: Any, axis: int | None = None) -> Tensor:
        """Each element, or each slice along an axis, so many times."""
        return self.xp.repeat(self, repeats, axis=axis)

    # Elements

    def take(self, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Tensor:
        """The elements at `indices`, of an axis or of all."""
        return self.xp.numpy_functions.ordering.take(self, indices, axis, mode)

    def nonzero(self) -> tuple[Tensor, ...]:
        """Where elements are not zero: their indices along each axis."""
        return self.xp.nonzero(self)

    def argsort(self, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Tensor:
        """The indices that sort along an axis."""
        return self.xp.numpy_functions.ordering.argsort(self, axis, kind, stable=stable)

    def sort(self, axis: int = -1, kind: str | None = None, *, stable: bool | None = None) -> NoReturn:
        """NumPy's method sorts in place, which a Tensor is not: refused, so that nobody drops the result."""
        raise TypeError("the method sort works in place, on NumPy's arrays: write t = xg.sort(t, axis=...)")

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """The elements whose indices along two axes are equal, or `offset` apart."""
        return self.xp.numpy_functions.linear.diagonal(self, offset, axis1, axis2)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Tensor:
        """The sum of a diagonal."""
        return self.xp.numpy_functions.linear.trace(self, offset, axis1, axis2, dtype)

    def dot(self, b: Any) -> Tensor:
        """The product over the last axis and the last but one of `b`."""
        return self.xp.numpy_functions.linear.dot(self, b)

    def astype(self, dtype: Any, *, copy: bool = True) -> Tensor:
        """In another dtype; a gradient passes between floating dtypes."""
        return self.xp.astype(self, dtype, copy=copy)

    def copy(self, order: str = "C") -> Tensor:
        """The same values in memory of their own; the gradient flows back through it."""
        return self.xp.asarray(self, copy=True)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """`min` where an element is less, `max` where it is more."""
        return self.xp.numpy_functions.elementwise.clip(self, min, max)

    def round(self, decimals: int = 0) -> Tensor:
        """The nearest number of so many decimals; no gradient flows back."""
        return self.xp.numpy_functions.elementwise.around(self, decimals)

    def conj(self) -> Tensor:
        """Complex conjugate."""
        return apply(functions.CONJ, (self,))

    def conjugate(self) -> Tensor:
        """Complex conjugate."""
        return apply(functions.CONJ, (self,))

    @property
    def _reductions(self) -> Any:
        return self.xp.numpy_functions.reductions

    @property
    def _shapes(self) -> Any:
        return self.xp.numpy_functions.shapes


def _unpacked(numbers: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], tuple | list) else tuple(numbers)
