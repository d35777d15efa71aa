"""Values of Tensors in Python and in other libraries: numbers, NumPy's arrays, DLPack.

A value that is taken out keeps no gradient. It is warned of, or refused, where a gradient would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ..backends.types import DTypeLike, HostArray
from ..errors import GraphError, TraceError
from . import above
from .context import MODE
from .dispatch import LEAKED
from .operators import Operators
from .recording import called_of_math, is_plotted, source_line, warn

if TYPE_CHECKING:
    from .tensor import Tensor


class Exports(Operators):
    """The methods by which a value leaves xgrad."""

    __slots__ = ()

    def _taken(self: Any, how: str) -> Tensor:
        """This Tensor, after telling the hooks that `how` takes its value out of the graph.

        Warns inside a function that is being differentiated, and where a graph is recorded.
        """
        mode = MODE.get()
        watched = (mode.lifted or mode.hooks is not None) and mode.trace is None and self.requires_grad
        if watched and not is_plotted():
            told = mode.hooks is not None and mode.hooks.on_cut(self)
            if mode.lifted and mode.grad and not told:
                function = called_of_math() if how == "float()" else ""
                known = function if hasattr(above.namespace, function or "-") else ""
                instead = f"use xg.{known} for math.{known}" if known else "keep the Tensor"
                warn(
                    f"{how} takes a value out of the graph, and its gradient stops here: {instead}, or use "
                    f"t.detach() if you want that"
                )
        return self  # type: ignore[no-any-return]

    def numpy(self) -> HostArray:
        """The value as a NumPy array: a read-only view on the CPU, a copy from other devices."""
        return self._taken("numpy()")._on_host()

    def to_numpy(self) -> HostArray:
        """As `numpy`; matplotlib asks for a plotted array by this name."""
        return self._taken("to_numpy()")._on_host()

    def _on_host(self) -> HostArray:
        """As `numpy`, without a warning: for code that displays or inspects the value."""
        trace = MODE.get().trace
        if trace is not None:
            trace.looked_at(self)
        host = self.device.backend.to_host(self.data)
        view = host[...]  # do not change the flags of the handle's own array
        view.flags.writeable = False
        return view

    def _exportable(self: Any, to: str) -> Tensor:
        """This Tensor, to be given to another library.

        Raises GraphError if a gradient flows to it, as the other library would cut the gradient.
        """
        if self.requires_grad:
            raise GraphError(f"{to} would cut the gradient of this Tensor; use t.detach() if you want that")
        return self  # type: ignore[no-any-return]

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Export the memory of the value to another library's `from_dlpack`, without copying.

        Writing to it there changes the value here. On CUDA, `stream` is the number of the stream that will
        use it, as in the array standard: 1 (the default) is the legacy default stream, 2 the per-thread
        default stream, any other number a stream's own. That stream then waits, on the device, for the work
        already queued on the current stream. With -1 there is no synchronisation. On the CPU there are no
        streams, and `stream` must be None.
        """
        options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        # the value may be a scalar type of the library
        array: Any = self.device.xp.asarray(self._exportable("from_dlpack").data)
        # DLPack allows negative strides, but not all libraries accept them
        if any(s < 0 for s in getattr(array, "strides", ())):
            if copy is False:
                raise BufferError("a value with negative strides cannot be shared without a copy")
            array = self.device.xp.asarray(array, copy=True)
        with self.device.guard or nullcontext():  # select the device whose current stream is waited for
            return array.__dlpack__(**{name: v for name, v in options.items() if v is not None})

    def __dlpack_device__(self) -> tuple[Any, int]:
        array: Any = self.device.xp.asarray(self.data)
        device: tuple[Any, int] = array.__dlpack_device__()
        return device

    def __array__(self: Any, dtype: DTypeLike | None = None, copy: bool | None = None) -> HostArray:
        plotted = is_plotted()
        if getattr(dtype, "kind", "") == "O" and not plotted:
            raise TypeError(
                "a Tensor cannot become an array of Python objects, which np.vectorize needs: use "
                "functions on whole Tensors, or t.detach().numpy()"
            )
        if hasattr(self.data, "tracer"):
            if MODE.get().trace is None:
                raise GraphError(LEAKED)
            asked = (
                f"NumPy needs the value of a Tensor of shape {self.shape}, which has no value while the "
                f"function is traced"
            )
            raise TraceError(
                f"{source_line()}: {asked}: index with xg.asarray(array)[t], combine Tensors with "
                f"xg.stack, choose with xg.where"
            )
        if self.requires_grad and not plotted:
            raise GraphError(
                "np.asarray would cut the gradient of this Tensor; use t.detach() if you want that. To "
                "combine several Tensors, use xg.stack"
            )
        if copy is False and self.device.name != "cpu":
            raise ValueError(f"NumPy cannot view a Tensor on {self.device} without a copy")
        host: HostArray = self._on_host()
        other = dtype is not None and dtype != host.dtype
        if copy is False and other:
            raise ValueError(f"a Tensor of dtype {self.dtype} cannot be viewed as {dtype} without a copy")
        return host.astype(dtype or host.dtype) if copy or other else host

    def __array_ufunc__(self, ufunc: Callable[..., Any], method: str, *inputs: Any, **kwargs: Any) -> Any:
        return above.numpy_api.protocol.array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Collection[type],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        return above.numpy_api.protocol.array_function(function, args, kwargs)

    def __format__(self, spec: str) -> str:
        return format(self._only(), spec) if spec else str(self)

    def __float__(self) -> float:
        return float(self._number("float"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __index__(self) -> int:
        if hasattr(self.data, "tracer"):
            asked = (
                f"the code needs the value of a Tensor of shape {self.shape} as an index or a count, but "
                f"it has no value while the function is traced"
            )
            raise TraceError(
                f"{source_line()}: {asked}. A NumPy array or a list cannot take such an index; use "
                f"xg.asarray(array)[t]"
            )
        if self.shape != () or self.dtype.kind not in "iu":
            raise TypeError(
                f"an index must be an integer of shape (); this Tensor has shape {self.shape} and dtype "
                f"{self.dtype}"
            )
        return int(self._only())

    def __complex__(self) -> complex:
        return complex(self._number("complex"))

    def _number(self, kind: str) -> Any:
        """The value as a Python number.

        NumPy asks for one in `array[i] = t`.
        """
        return self._taken(f"{kind}()")._only()

    def __bool__(self: Any) -> bool:
        if self.size != 1 and not MODE.get().trace:
            raise ValueError(
                f"the truth value of a Tensor of shape {self.shape} is ambiguous; use xg.where, or a "
                f"single element"
            )
        hooks = MODE.get().hooks
        if hooks is not None and self.requires_grad:
            hooks.on_cut(self)
        return bool(self._only())
