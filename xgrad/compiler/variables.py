"""Variables: a shape and a dtype in place of an array, while a function is traced."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ..backends import Device
from ..backends.dtypes import canonical
from ..core.dispatch import LEAKED
from ..core.recording import source_line
from ..errors import GraphError, TraceError
from .ir import Value

if TYPE_CHECKING:
    from .trace import Tracer


class Var:
    """A variable in place of an array during tracing: a shape and a dtype."""

    __slots__ = ("dtype", "index", "name", "shape", "tracer")

    def __init__(self, tracer: Tracer, index: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.tracer = tracer
        self.index = index
        self.shape = shape
        self.dtype = dtype
        self.name: str | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        if not self.tracer._open:
            raise GraphError(LEAKED)
        raise TraceError(
            f"{source_line()}: the code needs the value of a Tensor of shape {self.shape}, which has no "
            f"value while the function is traced. Use xg.where instead of a branch, or run the function "
            f"eagerly: without trace and compile, and with scan(..., compiled=False). To index a plain "
            f"array with a Tensor, use xg.asarray(array)[i]"
        )


class Spec(NamedTuple):
    """A placeholder for an array in a trace: a shape, a dtype, and a name for the program.

    If `fixed`, it may not be changed in place. With a `node`, it needs a gradient.
    """

    shape: tuple[int, ...]
    dtype: Any
    device: Device
    name: str | None = None
    fixed: bool = False
    node: Any = None


def spec_of(v: Value, device: Device) -> Spec:
    """Return a Spec for a value of a program."""
    return Spec(v.shape, canonical(v.dtype), device, v.name)
