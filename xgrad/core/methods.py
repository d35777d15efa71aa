"""The methods of NumPy's arrays on Tensors, with NumPy's arguments except `out=`.

Their derivatives are those of the functions of the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ..backends.types import ArrayLike, DTypeLike, NestedArrayLike
from ..errors import ShapeError
from ..ops import functions, shaping
from . import above
from .context import MODE
from .dispatch import apply
from .reduction_methods import Reductions, no_out

if TYPE_CHECKING:
    from .tensor import Tensor


def _in_place(name: str, instead: str) -> Callable[..., NoReturn]:
    """Make a method that raises TypeError and says what to write instead."""

    def method(self: Methods, *args: object, **kwargs: object) -> NoReturn:
        """Refused: this method works in place."""
        raise TypeError(
            f"the method {name} works in place, which only NumPy's arrays support: write {instead}"
        )

    return method


class Methods(Reductions):
    """The methods that a Tensor shares with NumPy's arrays."""

    __slots__ = ()

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        """Show the values in Treescope, as it shows arrays."""
        return subtree_renderer(self.device.backend.to_host(self.data), path)

    def __treescope_ndarray_adapter__(self) -> Any:
        """Let Treescope draw the values as a heat map."""
        from .treescope_arrays import tensor_adapter

        return tensor_adapter()

    # To Python

    def item(self, *args: int | tuple[int, ...]) -> Any:
        """A single element as a Python number: the only one, or the one at an index."""
        index = _unpacked(args)
        chosen: Any = (
            self
            if not args
            else above.namespace.reshape(self, (-1,))[index[0]]
            if len(index) == 1
            else above.namespace.asarray(self)[index]
        )
        return chosen._taken("item()")._only()

    def _only(self) -> Any:
        """As `item`, without a warning: for code that displays or inspects the value."""
        if self.size != 1 and not MODE.get().trace:
            raise ShapeError(
                f"only a Tensor with a single element converts to a number; this Tensor has shape "
                f"{self.shape}"
            )
        return above.namespace.asarray(self)._on_host().item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return above.namespace.asarray(self)._taken("tolist()")._on_host().tolist()

    def tobytes(self, order: Literal["C", "F", "A", "K"] = "C") -> bytes:
        """The values as raw bytes. Raises GraphError if a gradient flows to them."""
        return above.namespace.asarray(self)._exportable("tobytes")._on_host().tobytes(order)

    # Shapes

    def reshape(self, *shape: int | Sequence[int], order: str = "C", copy: bool | None = None) -> Tensor:
        """Reshape, to one tuple or separate integers; one length may be -1."""
        if order != "C" or copy is not None:
            return above.numpy_api.shapes.reshape(self, _unpacked(shape), order, copy=copy)
        return apply(shaping.RESHAPE, (self,), {"shape": _unpacked(shape)})

    def ravel(self, order: str = "C") -> Tensor:
        """Flatten to one axis."""
        return above.numpy_api.shapes.ravel(self, order)

    def flatten(self, order: str = "C") -> Tensor:
        """Flatten to one axis."""
        return above.numpy_api.shapes.ravel(self, order)

    def transpose(self, *axes: int | Sequence[int] | None) -> Tensor:
        """Permute the axes; without arguments, reverse them."""
        return apply(shaping.TRANSPOSE, (self,), {"axes": None if axes in ((), (None,)) else _unpacked(axes)})

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Swap two axes."""
        return above.numpy_api.shapes.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> Tensor:
        """Remove axes of length 1: those given, or all."""
        return above.numpy_api.shapes.squeeze(self, axis)

    def repeat(self, repeats: ArrayLike, axis: int | None = None) -> Tensor:
        """Repeat each element, or each slice along an axis."""
        return above.namespace.repeat(self, repeats, axis=axis)

    # Elements

    def take(
        self, indices: NestedArrayLike, axis: int | None = None, out: None = None, mode: str = "raise"
    ) -> Tensor:
        """Take the elements at `indices`, along an axis or of the flattened array."""
        no_out("take", out)
        return above.numpy_api.ordering.take(self, indices, axis, mode)

    def nonzero(self) -> tuple[Tensor, ...]:
        """The indices of nonzero elements, along each axis."""
        return above.namespace.nonzero(self)

    def argsort(
        self, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None
    ) -> Tensor:
        """The indices that sort along an axis."""
        return above.numpy_api.ordering.argsort(self, axis, kind, stable=stable)

    def searchsorted(self, v: NestedArrayLike, side: str = "left", sorter: ArrayLike | None = None) -> Tensor:
        """The positions at which to insert the elements of `v` into this sorted array."""
        return above.numpy_api.ordering.searchsorted(self, v, side, sorter)

    def argpartition(
        self, kth: int | Sequence[int], axis: int | None = -1, kind: str = "introselect"
    ) -> Tensor:
        """The indices that partition an axis: the elements at `kth` are where sorting puts them."""
        return above.numpy_api.ordering.argpartition(self, kth, axis, kind)

    def compress(self, condition: NestedArrayLike, axis: int | None = None, out: None = None) -> Tensor:
        """Select the slices along an axis, or the elements, where `condition` is true."""
        no_out("compress", out)
        return above.numpy_api.ordering.compress(condition, self, axis)

    def choose(self, choices: Sequence[NestedArrayLike], out: None = None, mode: str = "raise") -> Tensor:
        """Select elements from `choices`; each element of this array is the index of a choice."""
        no_out("choose", out)
        return above.numpy_api.ordering.choose(self, choices, mode)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """The diagonal over two axes, or the one at `offset` from it."""
        return above.numpy_api.linear.diagonal(self, offset, axis1, axis2)

    def trace(
        self,
        offset: int = 0,
        axis1: int = 0,
        axis2: int = 1,
        dtype: DTypeLike | None = None,
        out: None = None,
    ) -> Tensor:
        """The sum of a diagonal."""
        no_out("trace", out)
        return above.numpy_api.linear.trace(self, offset, axis1, axis2, dtype)

    def dot(self, b: NestedArrayLike, out: None = None) -> Tensor:
        """Dot product over the last axis and the second-to-last of `b`."""
        no_out("dot", out)
        return above.numpy_api.linear.dot(self, b)

    def astype(
        self,
        dtype: DTypeLike,
        order: str = "K",
        casting: str = "unsafe",
        subok: bool = True,
        copy: bool = True,
    ) -> Tensor:
        """Convert to another dtype; a gradient passes between floating dtypes.

        `order` has no effect: the memory layout of a Tensor is hidden.
        """
        if casting != "unsafe":
            raise TypeError(f"astype on a Tensor supports only casting='unsafe', not {casting!r}")
        return above.namespace.astype(self, dtype, copy=copy)

    def copy(self, order: str = "C") -> Tensor:
        """Copy the values to new memory; the gradient flows back through the copy."""
        return above.namespace.asarray(self, copy=True)

    def clip(self, min: ArrayLike | None = None, max: ArrayLike | None = None, out: None = None) -> Tensor:
        """Clip the values to the interval from `min` to `max`."""
        no_out("clip", out)
        return above.numpy_api.elementwise.clip(self, min, max)

    def round(self, decimals: int = 0, out: None = None) -> Tensor:
        """Round to `decimals` decimals; no gradient flows back."""
        no_out("round", out)
        return above.numpy_api.elementwise.around(self, decimals)

    def conj(self) -> Tensor:
        """Complex conjugate; booleans, unlike in NumPy's function, stay as they are."""
        return (
            apply(functions.CONJ, (self,))
            if self.dtype.kind != "b"
            else above.namespace.asarray(self, copy=True)
        )

    conjugate = conj

    # Refused: methods that work in place or on memory; their results would be dropped silently

    sort = _in_place("sort", "t = xg.sort(t, axis=...)")
    partition = _in_place("partition", "t = np.partition(t, kth)")
    fill = _in_place("fill", "t[...] = value")
    resize = _in_place("resize", "t = np.resize(t, shape)")
    put = _in_place("put", "t[indices] = values")

    def view(self, *args: object) -> NoReturn:
        """Refused: the memory of a Tensor cannot be reinterpreted."""
        raise TypeError("a Tensor has no view: use t.reshape(shape), or t.astype(dtype)")

    @property
    def flat(self) -> NoReturn:
        """Refused: assigning to NumPy's `flat` writes to the array."""
        raise AttributeError("a Tensor has no .flat: use t.ravel()")

    @property
    def flags(self) -> NoReturn:
        """Refused: the memory layout of a Tensor is hidden."""
        raise AttributeError("a Tensor has no .flags, which np.isfortran needs: its memory layout is hidden")

    @property
    def _data(self) -> NoReturn:
        """Refused: masked arrays read this before they take the values, and would lose the gradient."""
        raise TypeError(
            "a Tensor has no mask: fill the masked array first, with array.filled(value), and use "
            "xg.where(mask, 0.0, z) afterwards"
        )


def _unpacked(numbers: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], tuple | list) else tuple(numbers)
