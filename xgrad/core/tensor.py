"""The Tensor: a handle to a value, with the operators of NumPy's arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

from ..backends import Device, DeviceError
from ..backends.dtypes import kind_of
from ..backends.types import ArrayLike, DTypeLike, HostArray, Index, NestedArrayLike
from ..errors import GraphError, ShapeError, TraceError
from ..ops import arithmetic, indexing, shaping
from . import above
from .backward import backward
from .context import MODE
from .dispatch import LEAKED, NUMBERS, adopt, apply, index_operands
from .graph import Leaf, Node
from .operators import Operators
from .recording import called_of_math, is_plotted, source_line, warn
from .updates import At

#: The edition of the array standard that the namespace follows.
API_VERSION = "2024.12"


class Tensor(Operators):
    """An array on a device and, if it needs a gradient, the graph node that computed it.

    Made by `tensor`, `asarray` and the functions of this namespace. A recorded value never changes:
    `x[i] = v` and `x += y` give this handle a new value.
    """

    __slots__ = ()

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        if api_version not in (None, "2021.12", "2022.12", "2023.12", API_VERSION):
            raise ValueError(
                f"xgrad follows version {API_VERSION} of the array standard, not {api_version!r}"
            )
        return sys.modules[__package__.partition(".")[0]]

    def __repr__(self) -> str:
        return above.namespace.show(self)

    def __len__(self) -> int:
        if not self.data.shape:
            raise TypeError("a Tensor of shape () has no length")
        return int(self.data.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self.data.shape:
            raise TypeError("a Tensor of shape () cannot be iterated over")
        return iter(apply(shaping.UNSTACK, (self,), {"axis": 0}))

    # Gradients

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient flows to this Tensor: it is a leaf that needs one, or was computed from one."""
        return self.node is not None and self.node.needs

    @property
    def is_leaf(self) -> bool:
        """Whether `backward` stores a gradient here."""
        return isinstance(self.node, Leaf) and self.node.needs

    @property
    def name(self) -> str | None:
        """The name shown in graphs and errors, or None."""
        return getattr(self.node, "name", None)

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients from `backward` since this was last set to None; only leaves have one."""
        return self.node.grad if isinstance(self.node, Leaf) else None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if not isinstance(self.node, Leaf) or not self.node.needs:
            raise GraphError("only a leaf stores a gradient: a Tensor made with requires_grad=True")
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"a gradient must be a Tensor or None, not {type(value).__name__}; use xg.asarray"
            )
        if value is not None and (value.shape != self.shape or value.dtype != self.dtype):
            raise ShapeError(
                f"a gradient of {value.shape} {value.dtype} does not fit a Tensor of {self.shape} "
                f"{self.dtype}"
            )
        if value is not None and value.device is not self.device:
            raise DeviceError(
                f"the gradient is on {value.device}, but the Tensor is on {self.device}; move it with "
                f".to({str(self.device)!r})"
            )
        self.node.grad = value

    def backward(
        self, dz: NestedArrayLike | None = None, *, create_graph: bool = False, retain_graph: bool = False
    ) -> None:
        """Add the gradient of this Tensor to `.grad` of every leaf it was computed from.

        Args:
            dz: gradient of the final scalar with respect to this Tensor; 1 by default for a scalar.
            create_graph: record the sweep itself, so that the gradients can be differentiated again.
            retain_graph: keep the arrays that the graph saved, so that backward may be called again.

        Raises:
            GraphError: nothing here needs a gradient; no `dz` for a non-scalar; the graph was freed by an
            earlier call.
            ShapeError: `dz` has another shape.

        >>> import xgrad as xg
        >>> x = xg.tensor([1.0, 2.0], requires_grad=True)
        >>> xg.sum(x * x).backward()
        >>> x.grad
        tensor([2., 4.])
        """
        backward(self, dz, create_graph=create_graph, retain_graph=retain_graph or create_graph)

    def _alias(self) -> Tensor:
        """Another handle to the same value and node; changing one in place does not change the other."""
        other, trace = Tensor(self.data, self.device, self.node), MODE.get().trace
        if trace is not None:
            trace.made(other, self)
        return other

    def _with_node(self, node: Node | None) -> Tensor:
        """Another handle to the same value, with this node."""
        other = self._alias()
        other.node = node
        return other

    def detach(self) -> Tensor:
        """The same value, to which no gradient flows."""
        hooks = MODE.get().hooks
        if hooks is not None and self.requires_grad:
            hooks.on_cut(self)
        return (
            Tensor(self.data, self.device)
            if MODE.get().trace is None
            else apply(arithmetic.STOP_GRADIENT, (self,))
        )

    def _unrecorded(self) -> Tensor:
        """The same value without its graph.

        A trace still knows how it was computed, so the traced program can be differentiated.
        """
        return self._with_node(None)

    def _taken(self, how: str) -> Tensor:
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
        return self

    # Conversion and export

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

    def to(self, device: str | Device) -> Tensor:
        """Copy this Tensor to another device; the gradient flows back."""
        return above.namespace.to_device(self, device)

    def to_device(self, device: str | Device, /, *, stream: None = None) -> Tensor:
        """As `to`, under the array standard's name. `stream` must be None."""
        if stream is not None:
            raise ValueError(
                "to_device(stream=) is not supported: work goes to the current stream of the device"
            )
        return self.to(device)

    def _exportable(self, to: str) -> Tensor:
        """This Tensor, to be given to another library.

        Raises GraphError if a gradient flows to it, as the other library would cut the gradient.
        """
        if self.requires_grad:
            raise GraphError(f"{to} would cut the gradient of this Tensor; use t.detach() if you want that")
        return self

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

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> HostArray:
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
        host = self._on_host()
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

    def __bool__(self) -> bool:
        if self.size != 1 and not MODE.get().trace:
            raise ValueError(
                f"the truth value of a Tensor of shape {self.shape} is ambiguous; use xg.where, or a "
                f"single element"
            )
        hooks = MODE.get().hooks
        if hooks is not None and self.requires_grad:
            hooks.on_cut(self)
        return bool(self._only())

    def __copy__(self) -> Tensor:
        return self.__deepcopy__({}) if self.is_leaf else self._alias()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        self._must_be_free("copied deeply")
        with self.device.guard or nullcontext():  # else the copy would be made on the current device
            copy = self._with_node(self._own_leaf())
            copy.data = self.data.copy() if hasattr(self.data, "copy") else self.data
        memo[id(self)] = copy
        return copy

    def __reduce__(self) -> Any:
        self._must_be_free("pickled")
        return _unpickled, (
            self.device.backend.to_host(self.data),
            str(self.device),
            self.requires_grad,
            self.name,
        )

    def _own_leaf(self) -> Leaf | None:
        return (
            type(self.node)(self.device, self.node.shape, self.node.dtype, self.name)
            if isinstance(self.node, Leaf)
            else None
        )

    def _must_be_free(self, done: str) -> None:
        if self.requires_grad and not self.is_leaf:
            raise GraphError(
                f"a Tensor that was computed from others cannot be {done} with its graph; use t.detach()"
            )

    # Elements

    def __getitem__(self, key: Index) -> Tensor:
        pattern, arrays = index_operands(self, key)
        return apply(indexing.GETITEM, (self, *arrays), {"key": pattern})

    def __setitem__(self, key: Index, value: ArrayLike) -> None:
        pattern, arrays = index_operands(self, key)
        value = above.namespace.astype(self._assignable(value), self.dtype, copy=False)
        self._become(apply(indexing.SETITEM, (self, value, *arrays), {"key": pattern}))

    def _assignable(self, value: ArrayLike) -> Tensor:
        """A value to be put into this Tensor, as a Tensor of a dtype that can be cast to this one."""
        if type(value) in NUMBERS:  # make it in this dtype, if that can hold it
            fits = _KINDS[type(value)] <= "biufc".index(kind_of(self.dtype))
            # `full` copies nothing to the device
            make = (
                above.namespace.asarray if MODE.get().trace is not None else partial(above.namespace.full, ())
            )
            value = make(value, dtype=self.dtype if fits else None, device=self.device)
        return self._castable(adopt(value, self, indexing.SETITEM))

    @property
    def at(self) -> At:
        """Updated copies: `x.at[key].add(v)` and `x.at[key].set(v)`, as in JAX; x stays as it is.

        `add` adds at an index as often as it occurs, where `x[key] += v` adds once.

        >>> import xgrad as xg
        >>> x = xg.zeros(3)
        >>> x.at[xg.asarray([0, 2, 2])].add(1.0)
        tensor([1., 0., 2.])
        """
        return At(self)


#: For each type of Python number, the place in "biufc" of the first dtype kind that can hold it. As in NumPy,
#: an integer assigned to a boolean array becomes whether it is nonzero.
_KINDS = {bool: 0, int: 0, float: 3, complex: 4}


def _unpickled(host: HostArray, device: str, requires_grad: bool, name: str | None) -> Tensor:
    return above.namespace.tensor(host, requires_grad=requires_grad, device=device, name=name)
