"""The operators of a Tensor: each applies the op of its symbol.

They return NotImplemented for an operand of an unknown type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.types import ArrayLike
from ..errors import GraphError, ShapeError
from ..ops import arithmetic, comparisons, functions, linalg
from . import above
from .context import MODE, where_in_time
from .dispatch import apply
from .graph import Leaf
from .methods import Methods

if TYPE_CHECKING:
    from .tensor import Tensor


class Operators(Methods):
    """The operators `+`, `@`, `<`, `+=` and so on."""

    __slots__ = ()

    def __pos__(self: Any) -> Tensor:
        return (
            apply(arithmetic.NONE, (self,))
            if isinstance(self.node, Leaf) and self.node.needs
            else self._alias()
        )

    def __neg__(self) -> Tensor:
        return apply(arithmetic.NEGATIVE, (self,))

    def __abs__(self) -> Tensor:
        return apply(functions.ABS, (self,))

    def __invert__(self) -> Tensor:
        return apply(comparisons.INVERT, (self,))

    def __add__(self, y: ArrayLike) -> Tensor:
        return apply(arithmetic.ADD, (self, y))

    def __sub__(self, y: ArrayLike) -> Tensor:
        return apply(arithmetic.SUBTRACT, (self, y))

    def __mul__(self, y: ArrayLike) -> Tensor:
        return apply(arithmetic.MULTIPLY, (self, y))

    def __truediv__(self, y: ArrayLike) -> Tensor:
        return apply(arithmetic.DIVIDE, (self, y))

    def __floordiv__(self, y: ArrayLike) -> Tensor:
        return apply(arithmetic.FLOOR_DIVIDE, (self, y))

    def __mod__(self, y: ArrayLike) -> Tensor:
        return apply(arithmetic.REMAINDER, (self, y))

    def __divmod__(self, y: ArrayLike) -> tuple[Tensor, Tensor]:
        return self // y, self % y

    def __pow__(self, y: ArrayLike) -> Tensor:
        return apply(arithmetic.POWER, (self, y))

    def __matmul__(self, y: ArrayLike) -> Tensor:
        return apply(linalg.MATMUL, (self, y))

    def __and__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.AND, (self, y))

    def __or__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.OR, (self, y))

    def __xor__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.XOR, (self, y))

    def __lshift__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.LEFT_SHIFT, (self, y))

    def __rshift__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.RIGHT_SHIFT, (self, y))

    def __radd__(self, x: ArrayLike) -> Tensor:
        return apply(arithmetic.ADD, (x, self))

    def __rsub__(self, x: ArrayLike) -> Tensor:
        return apply(arithmetic.SUBTRACT, (x, self))

    def __rmul__(self, x: ArrayLike) -> Tensor:
        return apply(arithmetic.MULTIPLY, (x, self))

    def __rtruediv__(self, x: ArrayLike) -> Tensor:
        return apply(arithmetic.DIVIDE, (x, self))

    def __rfloordiv__(self, x: ArrayLike) -> Tensor:
        return apply(arithmetic.FLOOR_DIVIDE, (x, self))

    def __rmod__(self, x: ArrayLike) -> Tensor:
        return apply(arithmetic.REMAINDER, (x, self))

    def __rdivmod__(self, x: ArrayLike) -> tuple[Tensor, Tensor]:
        return x // self, x % self

    def __rpow__(self, x: ArrayLike) -> Tensor:
        return apply(arithmetic.POWER, (x, self))

    def __rmatmul__(self, x: ArrayLike) -> Tensor:
        return apply(linalg.MATMUL, (x, self))

    def __rand__(self, x: ArrayLike) -> Tensor:
        return apply(comparisons.AND, (x, self))

    def __ror__(self, x: ArrayLike) -> Tensor:
        return apply(comparisons.OR, (x, self))

    def __rxor__(self, x: ArrayLike) -> Tensor:
        return apply(comparisons.XOR, (x, self))

    def __rlshift__(self, x: ArrayLike) -> Tensor:
        return apply(comparisons.LEFT_SHIFT, (x, self))

    def __rrshift__(self, x: ArrayLike) -> Tensor:
        return apply(comparisons.RIGHT_SHIFT, (x, self))

    def __lt__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.LESS, (self, y))

    def __le__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.LESS_EQUAL, (self, y))

    def __gt__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.GREATER, (self, y))

    def __ge__(self, y: ArrayLike) -> Tensor:
        return apply(comparisons.GREATER_EQUAL, (self, y))

    def __eq__(self, y: object) -> Tensor:  # type: ignore[override]  # not a bool
        return apply(comparisons.EQUAL, (self, y))

    def __ne__(self, y: object) -> Tensor:  # type: ignore[override]
        return apply(comparisons.NOT_EQUAL, (self, y))

    def __iadd__(self, y: ArrayLike) -> Tensor:
        return self._become(self + y)

    def __isub__(self, y: ArrayLike) -> Tensor:
        return self._become(self - y)

    def __imul__(self, y: ArrayLike) -> Tensor:
        return self._become(self * y)

    def __itruediv__(self, y: ArrayLike) -> Tensor:
        return self._become(self / y)

    def __ifloordiv__(self, y: ArrayLike) -> Tensor:
        return self._become(self // y)

    def __imod__(self, y: ArrayLike) -> Tensor:
        return self._become(self % y)

    def __ipow__(self, y: ArrayLike) -> Tensor:
        return self._become(self**y)

    def __imatmul__(self, y: ArrayLike) -> Tensor:
        return self._become(self @ y)

    def __iand__(self, y: ArrayLike) -> Tensor:
        return self._become(self & y)

    def __ior__(self, y: ArrayLike) -> Tensor:
        return self._become(self | y)

    def __ixor__(self, y: ArrayLike) -> Tensor:
        return self._become(self ^ y)

    def __ilshift__(self, y: ArrayLike) -> Tensor:
        return self._become(self << y)

    def __irshift__(self, y: ArrayLike) -> Tensor:
        return self._become(self >> y)

    __hash__ = object.__hash__  # by identity, as == compares elements

    def _become(self: Any, new: Tensor) -> Tensor:
        """Give this handle the value of `new`; shape and dtype stay, as in NumPy's in-place operators."""
        leaf, mode = self.requires_grad and self.is_leaf, MODE.get()
        if leaf and mode.grad:
            raise GraphError(
                f"{called(self)} needs a gradient, so it cannot be changed in place; use xg.no_grad(), or "
                f"give the result a new name"
            )
        if mode.trace is not None:
            mode.trace.may_change(self)
        if new.shape != self.shape:
            raise ShapeError(
                f"a Tensor of shape {self.shape} cannot take a value of shape {new.shape} in "
                f"place{where_in_time()}"
            )
        new = self._castable(new)
        if new.dtype != self.dtype:
            new = above.namespace.astype(new, self.dtype)
        self.data = new.data
        if not leaf:
            self.node = new.node
        return self  # type: ignore[no-any-return]

    def _castable(self, new: Tensor) -> Tensor:
        """Return `new`; raise TypeError if its dtype cannot be cast to this one."""
        if not self.device.backend.can_cast(new.dtype, self.dtype):
            raise TypeError(
                f"a Tensor of dtype {self.dtype} cannot take a value of dtype {new.dtype} in place; use t "
                f"= t.astype(...)"
            )
        return new


def called(x: Tensor) -> str:
    """The name of a leaf for messages."""
    return f"the leaf {x.name!r}" if x.name else f"a leaf of shape {x.shape}"
