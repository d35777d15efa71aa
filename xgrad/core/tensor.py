"""The Tensor: a handle to a value, with the operators of NumPy's arrays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

from ..backends import Device, DeviceError
from ..backends.dtypes import kind_of
from ..backends.types import ArrayLike, HostArray, Index, NestedArrayLike
from ..errors import GraphError, ShapeError
from ..ops import arithmetic, indexing, shaping
from . import above
from .backward import backward
from .context import MODE
from .dispatch import NUMBERS, adopt, apply, index_operands
from .exports import Exports
from .graph import Leaf, Node
from .updates import At

#: The edition of the array standard that the namespace follows.
API_VERSION = "2024.12"


class Tensor(Exports):
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

    # Devices and copies

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
