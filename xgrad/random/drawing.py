"""Base of all distributions: the source and its state, parameter checks, and shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any, Self

from ..backends import Device, DeviceError, current_device, find_device
from ..backends.dtypes import canonical, is_complex, kind_of
from ..backends.sources import Seed
from ..backends.types import DType, DTypeLike, NestedArrayLike
from ..core.context import MODE, mode
from ..core.tensor import Tensor
from ..errors import GraphError, ShapeError, TraceError
from ..namespace import any as any_of
from ..namespace import asarray, astype
from ..ops.axes import is_integer
from ..ops.shaping import broadcast_shapes

Size = int | Sequence[int] | None


class Drawing:
    """A source of random Tensors on one device, and its state."""

    def __init__(self, seed: Seed = None, device: str | Device | None = None, native: bool = False) -> None:
        self._home = current_device() if device is None else find_device(device)
        self._source = self._home.backend.generator(seed, self._home.index, native)

    @property
    def device(self) -> Device:
        """The device of its Tensors."""
        return self._home

    @property
    def state(self) -> dict[str, Any]:
        """The complete state of the generator, JSON-serialisable.

        Raises TypeError with `native=True`.
        """
        return self._source.state

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._source.state = value

    def spawn(self, n_children: int) -> list[Self]:
        """Make generators independent of this one and of each other; this one's state does not change.

        >>> import xgrad as xg
        >>> a, b = xg.random.default_rng(0).spawn(2)
        >>> a.random().item() == b.random().item()
        False
        """
        children = []
        for source in self._source.spawn(n_children):
            child = object.__new__(type(self))
            child._home, child._source = self._home, source
            children.append(child)
        return children

    def __getstate__(self) -> dict[str, Any]:
        return {"device": self._home.name, "source": self._source}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._home, self._source = find_device(state["device"]), state["source"]

    def __repr__(self) -> str:
        return f"Generator(device={self._home.name!r})"

    # Helpers for the distributions, in the order of use.

    def _dtype(self, method: str, dtype: DTypeLike | None, kinds: str, default: str = "float64") -> DType:
        """Check the dtype of the result, whose kind must be one of `kinds`; refuse to draw in a trace."""
        self._untraced()
        found = canonical(default if dtype is None else dtype)
        if kind_of(found) not in kinds:
            wanted = "real and floating-point" if kinds == "f" else "real"
            parts = "; draw the real and imaginary parts separately" if found.kind == "c" else ""
            raise TypeError(f"{method}: dtype must be {wanted}, not {found}{parts}")
        return found

    def _untraced(self) -> None:
        if MODE.get().trace is not None:
            raise TraceError(
                "random numbers drawn while a function is traced would be the same at every call and step. "
                "Draw them before, and pass them as arguments, or as xs to scan"
            )

    def _parameter(self, method: str, name: str, value: NestedArrayLike, dtype: DTypeLike) -> Tensor | float:
        """Convert a parameter to a real number, or a Tensor of `dtype` on this generator's device."""
        if type(value) is float or type(value) is int or type(value) is bool:
            self._refuse(method, f"{name} must not be NaN", lambda x: x != x, value)
            return value
        if isinstance(value, tuple):
            raise TypeError(
                f"{method}: {name} must be a number, an array or a Tensor, not the tuple {value}; if it is a "
                f"shape, write {method}(size={value})"
            )
        if isinstance(value, Tensor) and value.device is not self._home:
            raise DeviceError(
                f"{method}: {name} is on {value.device}, but the generator is for {self._home}; move {name} "
                f"with .to({self._home.name!r})"
            )
        t = asarray(value, device=None if isinstance(value, Tensor) else self._home)
        if is_complex(t.dtype):
            raise TypeError(f"{method}: {name} must be real, not {t.dtype}")
        self._refuse(method, f"{name} must not be NaN", lambda x: x != x, t)
        return t if t.dtype == dtype else astype(t, dtype)

    def _constant(
        self, method: str, name: str, value: NestedArrayLike, dtype: DTypeLike, instead: str
    ) -> Tensor | float:
        """Convert a parameter without a derivative.

        Raises GraphError if it needs a gradient, which would be lost.
        """
        found = self._parameter(method, name, value, dtype)
        if isinstance(found, Tensor) and found.requires_grad and MODE.get().grad:
            raise GraphError(
                f"{method} has no derivative with respect to {name}, which needs a gradient: {instead}, or "
                f"pass {name}.detach()"
            )
        return found

    def _scale(self, method: str, name: str, value: NestedArrayLike, dtype: DTypeLike) -> Tensor | float:
        """Check a non-negative parameter."""
        scale = self._parameter(method, name, value, dtype)
        self._refuse(method, f"{name} must be at least 0", lambda scale: scale < 0, scale)
        return scale

    def _refuse(self, method: str, what: str, bad: Callable[..., Any], *params: Tensor | float) -> None:
        """Raise ValueError if `bad` holds for any element of the parameters."""
        with mode(grad=False, record=False):
            found = bad(*(p.detach() if isinstance(p, Tensor) else p for p in params))
            if bool(any_of(found)) if isinstance(found, Tensor) else found:
                numbers = all(not isinstance(p, Tensor) and p == p for p in params)
                given = f"; got {', '.join(map(str, params))}" if numbers else ""
                raise ValueError(f"{method}: {what}{given}")

    def _size(self, method: str, size: Size, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the result: `size`, or the broadcast shape of the parameters if it is None.

        The parameters must broadcast to `size`.
        """
        if size is None:
            try:
                return broadcast_shapes(*shapes)
            except ShapeError as error:
                raise ShapeError(f"{method}: {error}") from None
        found = tuple(_length(method, n) for n in (size if isinstance(size, tuple | list) else (size,)))
        if min(found, default=0) < 0:
            raise ValueError(f"{method}: size must not be negative, but it is {size}")
        if any(
            len(s) > len(found)
            or any(n not in (1, m) for n, m in zip(reversed(s), reversed(found), strict=False))
            for s in shapes
        ):
            raise ShapeError(
                f"{method}: parameters of shapes {', '.join(map(str, shapes))} do not broadcast to "
                f"size={found}"
            )
        return found

    def _draw(self, name: str, size: tuple[int, ...], dtype: DTypeLike, *params: Tensor | float) -> Tensor:
        """Draw from the source; return a Tensor."""
        return asarray(self._source.draw(name, tuple(map(self._raw, params)), size, dtype), device=self._home)

    def _raw(self, value: Tensor | float | None) -> Any:
        """The array of a parameter, on the device of the source."""
        if not isinstance(value, Tensor):
            return value
        with mode(grad=False, record=False):
            return value.detach().to(self._source.place).data


def _length(method: str, n: object) -> int:
    """Convert a length in a shape to int; NumPy integers are allowed."""
    if isinstance(n, bool) or not is_integer(n):
        raise TypeError(f"{method}: size must be an integer or a tuple of integers; got {n!r}")
    return index(n)
