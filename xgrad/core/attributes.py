"""The attributes of NumPy's arrays on Tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backends.types import DType
from ..errors import ShapeError
from ..ops import functions, shaping
from .dispatch import Value, apply

if TYPE_CHECKING:
    from .tensor import Tensor


class Attributes(Value):
    """The attributes that a Tensor shares with NumPy's arrays."""

    __slots__ = ()

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
    def dtype(self) -> DType:
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
        """Transpose: the axes in reverse order."""
        return apply(shaping.TRANSPOSE, (self,), {"axes": None})

    @property
    def mT(self) -> Tensor:
        """Matrix transpose: the last two axes swapped."""
        if self.ndim < 2:
            raise ShapeError(f"a matrix has at least two axes; this Tensor has shape {self.shape}")
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
