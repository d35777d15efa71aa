"""Dispatch: `apply` runs every op on Tensors and, where a gradient will flow back, records it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from ..backends import Array, Device, DeviceError, device_of
from ..backends.dtypes import is_floating
from ..backends.promotion import promote
from ..backends.types import Index, Namespace
from ..errors import GraphError, ShapeError, TraceError, ValidationError, no_array
from ..ops import Op, arithmetic, shaping
from ..ops.indexing import GETITEM, split
from ..ops.linalg import MATMUL
from ..ops.rules import shape_of
from .context import MODE, where_in_time
from .graph import NOTHING, Node
from .memory import out_of_memory
from .recording import Recorded
from .weak import Weak

if TYPE_CHECKING:
    from .tensor import Tensor

NUMBERS = frozenset((float, int, bool, complex))
NO_PARAMS: dict[str, Any] = {}
#: The error message for a Tensor that escaped a trace, and has no value.
LEAKED = (
    "a Tensor from inside a traced function is used after tracing, when it has no value; return it from "
    "the function, or as y from the body of a scan"
)


class Value:
    """The part of a Tensor that `apply` uses: an array, its device, and the node that computed it, or None.

    The type of `data` is Any: an array of any library or, in a trace, a variable in place of one.
    """

    __slots__ = ("__weakref__", "data", "device", "node")
    xp: ClassVar[Namespace]  # the functions on Tensors, which `above.enter` sets

    def __init__(self, data: Any, device: Device, node: Node | None = None) -> None:
        self.data = data
        self.device = device
        self.node = node


def apply(op: Op, operands: tuple[Any, ...], params: dict[str, Any] = NO_PARAMS) -> Tensor:
    """Run `op` on operands: Tensors, plain arrays or numbers, with at least one Tensor.

    Returns a Tensor, or a tuple of them for an op with a tuple as output; NotImplemented, as Python's
    operators do, for an operand of an unknown type. Raises DeviceError for operands on several devices, and
    ShapeError for shapes that do not fit; the message names the op, the operands and the time step.
    """
    arrays: list[Any] = []
    parents: list[Node | None] = []
    kind: Any = None
    device: Any = None
    needs, bit = 0, 1
    for v in operands:
        if isinstance(v, Value):
            if v.device is not device:
                if device is not None:
                    _refuse_mixing(op, operands)
                device, kind = v.device, type(v)
            arrays.append(v.data)
            node = v.node
            if node is None or not node.needs:
                parents.append(None)
            else:
                parents.append(node)
                needs += bit
        elif type(v) in NUMBERS:
            if type(v) is complex and any(
                isinstance(w, Value) and isinstance(w.data, float) for w in operands
            ):
                return apply(op, tuple(map(_as_array, operands)), params)
            arrays.append(v)
            parents.append(None)
        else:
            adopted = _adopted(op, operands)
            return NotImplemented if adopted is None else apply(op, adopted, params)
        bit += bit
    mode = MODE.get()
    try:
        if mode.trace is not None:
            z, arrays = mode.trace.emit(op, device, operands, params)
        elif device.plain:
            z = op.forward(device.xp, *arrays, **params) if params else op.forward(device.xp, *arrays)
        else:
            z, arrays = _guarded(op, device, arrays, params)
    except Exception as error:
        raise _explained(op, operands, error)  # noqa: B904 - it has its cause
    if mode.record:
        if mode.hooks is not None:
            mode.hooks.on_op(op, operands, arrays, z, device, bool(needs))
        node = _recorded(op, device, operands, arrays, parents, params, z, needs if mode.grad else 0)
    elif not needs or not mode.grad or not op.rules:
        node = None
    else:
        save = op.saves[needs & 3]
        saved = NOTHING if save is None else save((None, z, *arrays))
        form = (
            (z.shape, z.dtype) if type(z) is not tuple else (shape_of(z), tuple([part.dtype for part in z]))
        )
        node = Node(op, device, tuple(parents), params, saved, *form)
    return kind(z, device, node) if type(z) is not tuple else _parts(kind, z, device, node)  # type: ignore[no-any-return]


def lift(kind: type[Value], node: Node, *, connected: bool = True) -> tuple[Any, Any, Any]:
    """The saved values of `node`, as Tensors; `connected` to the graph, so that the sweep can be recorded."""
    z, x, y = node.saved
    op, device, parents = node.op, node.device, node.parents if connected else (None,) * len(node.parents)
    assert op is not None

    def tensor(array: Any, parent: Node | None) -> Any:
        if type(array) is tuple:
            return _parts(kind, array, device, parent)
        return array if array is None or type(array) in NUMBERS else kind(array, device, parent)

    if op.variadic:
        x = x if x is None or op.shapes else tuple(map(tensor, x, parents))
        y = y if y is None else tuple(map(tensor, y, parents[1:]))
    else:
        x = tensor(x, parents[0])
        y = y if y is None else tensor(y, parents[1])
    return tensor(z, node if connected else None), x, y


def _parts(kind: type[Value], z: tuple[Array, ...], device: Device, node: Node | None) -> Any:
    """Split a tuple output into Tensors, each with an ITEM node that selects it from the tuple.

    No gradient flows to integers and booleans.
    """
    if node is None:
        return tuple([kind(part, device) for part in z])
    flows = {dtype: node.needs and is_floating(dtype) for dtype in set(node.dtype)}
    if isinstance(node, Recorded):
        whole = kind(z, device, node)
        given = [node if flows[part.dtype] else None for part in z]
        nodes: Any = [
            _recorded(shaping.ITEM, device, (whole,), [z], [parent], {"i": i}, part, int(parent is not None))
            for i, (part, parent) in enumerate(zip(z, given))
        ]
    else:
        nodes = [
            Node(shaping.ITEM, device, (node,), {"i": i}, NOTHING, part.shape, part.dtype)
            if flows[part.dtype]
            else None
            for i, part in enumerate(z)
        ]
    return tuple([kind(part, device, n) for part, n in zip(z, nodes, strict=True)])


def _recorded(
    op: Op,
    device: Device,
    operands: tuple[Any, ...],
    arrays: list[Any],
    parents: list[Node | None],
    params: dict[str, Any],
    z: Any,
    needs: int,
) -> Recorded:
    """Make a node that keeps its value and operands, whether or not a gradient flows through it."""
    save = op.saves[needs & 3] if needs else None
    saved = NOTHING if save is None else save((None, z, *arrays))
    dtype = tuple([part.dtype for part in z]) if type(z) is tuple else z.dtype
    node = Recorded(op, device, tuple(parents), params, saved, shape_of(z), dtype)
    node.remember(z, [_as_recorded(v) for v in operands], needs=bool(needs and op.rules))
    return node


def _as_recorded(v: Any) -> Any:
    """An operand as it is now: its recorded node, or a private handle to a Tensor that was not recorded."""
    if not isinstance(v, Value):
        return v
    return v.node if isinstance(v.node, Recorded) else type(v)(v.data, v.device, v.node)


def compute(op: Op, device: Device, arrays: Sequence[Any], params: dict[str, Any]) -> Any:
    """Run the forward function of `op` on arrays of `device`."""
    return (
        op.forward(device.xp, *arrays, **params)
        if device.plain
        else _guarded(op, device, list(arrays), params)[0]
    )


def _guarded(op: Op, device: Device, arrays: list[Any], params: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Run the forward function of `op` on a device that needs a guard, or explicit dtype promotion."""
    if device.guard is not None:
        with device.guard:
            return op.forward(device.xp, *arrays, **params), arrays
    if op.promotion:
        arrays = promote(device, op.promotion, arrays)
    return op.forward(device.xp, *arrays, **params), arrays


def _as_array(v: Any) -> Any:
    """Replace a NumPy scalar in a Tensor by an array.

    np.float64 is a subclass of float, so with a Python complex it would not promote as an array does.
    """
    return type(v)(v.device.xp.asarray(v.data), v.device, v.node) if isinstance(v, Value) else v


def adopt(value: Any, like: Value, op: Op) -> Any:
    """Wrap a plain array as a Tensor on the device of `like`; return Tensors and Python numbers unchanged.

    The array must be on that device. It is copied where a gradient flows to `like`: the graph may keep it,
    and its owner may change it.
    """
    if isinstance(value, Value) or type(value) in NUMBERS:
        return value
    home, device = device_of(value), like.device
    if home is None:
        raise TypeError(f"{op.function} takes Tensors, arrays and numbers, not {no_array(value)}")
    mode = MODE.get()
    if home is not device:
        if value.shape:
            given = "" if op is arithmetic.NONE else f"{op.name!r} was given "
            raise DeviceError(
                f"{given}an array on {home} beside a Tensor on {device}; use xg.asarray(array, "
                f"device={str(device)!r})"
            )
        # a NumPy scalar is a number: move it to the device
        value = device.backend.from_host(home.backend.to_host(value), device.index)
    elif value.shape and mode.grad and mode.trace is None and _needs(like):
        value = device.xp.asarray(device.backend.checked(value), copy=True)
    adopted = type(like)(device.backend.checked(value), device)
    if mode.trace is not None:
        mode.trace.made(adopted)
    return adopted


def _needs(v: object) -> bool:
    return isinstance(v, Value) and v.node is not None and v.node.needs


def _adopted(op: Op, operands: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The operands with plain arrays and weak numbers replaced; None if one is of an unknown type.

    Raises TypeError for types whose own operator would give a wrong result: an integer repeats a list, a list
    equals no Tensor, and a sparse array would take the values and drop the gradient.
    """
    like = next((v for v in operands if _needs(v)), next(v for v in operands if isinstance(v, Value)))
    foreign = [
        v for v in operands if not (isinstance(v, Value) or type(v) in NUMBERS or device_of(v) is not None)
    ]
    for v in foreign:
        if isinstance(v, Weak):
            return v.beside(op, operands)
        repeats = (
            type(v).__module__ in ("builtins", "collections", "array")
            and hasattr(v, "__getitem__")
            and not isinstance(v, dict)
        )
        if hasattr(v, "toarray") or (
            repeats and not (isinstance(v, str | bytes) and op.name in ("==", "!="))
        ):
            raise TypeError(f"{op.function} takes Tensors, arrays and numbers, not {no_array(v)}")
    return None if foreign else tuple(adopt(v, like, op) for v in operands)


def _refuse_mixing(op: Op, operands: tuple[Any, ...]) -> NoReturn:
    devices = dict.fromkeys(str(v.device) for v in operands if isinstance(v, Value))
    raise DeviceError(
        f"{op.name!r} got Tensors on {' and '.join(devices)}{where_in_time()}; move one with .to(device)"
    )


def _explained(op: Op, operands: tuple[Any, ...], error: Exception) -> Exception:
    """The error that `_explain` raises, without that frame in its traceback.

    The frame would refer to the error, and the error to all arrays of the callers: a reference cycle.
    """
    seen = error.__traceback__
    try:
        _explain(op, operands, error)
    except Exception as found:
        return found.with_traceback(seen if found is error else None)


def _explain(op: Op, operands: tuple[Any, ...], error: Exception) -> NoReturn:
    """Raise an array library's error again, naming the op, the operands and the time step."""
    given = " and ".join(f"{shape_of(v.data)}" if isinstance(v, Value) else repr(v) for v in operands)
    message = f"{op.name!r} cannot take operands of shape {given}{where_in_time()}: {error}"
    if op is MATMUL and any(type(v) in NUMBERS for v in operands):
        raise ShapeError(
            f"'@' takes vectors and matrices; to multiply by a number, use '*': operands of shape "
            f"{given}{where_in_time()}"
        ) from error
    if isinstance(error, ShapeError | DeviceError | GraphError | TraceError | ValidationError):
        raise error
    if MODE.get().trace is None and any(isinstance(v, Value) and hasattr(v.data, "tracer") for v in operands):
        raise GraphError(LEAKED) from error
    if isinstance(error, MemoryError):
        tensors = [v for v in operands if isinstance(v, Value)]
        raise out_of_memory(
            error, f"{op.name!r} of operands of shape {given}", tensors[0].device, [v.node for v in tensors]
        ) from error
    if isinstance(error, IndexError | TypeError):
        try:
            told = type(error)(message)
        except TypeError:  # a subclass whose constructor takes other arguments
            told = TypeError(message)
        raise told from error
    if type(error) is ValueError:  # not a subclass such as LinAlgError
        raise ShapeError(message) from error
    error.add_note(message)
    raise error


def index_operands(x: Value, key: Index) -> tuple[Any, list[Any]]:
    """Split an index into a pattern with holes for its arrays, and the arrays, on the device of `x`."""
    kind, axes = type(key), len(x.data.shape)
    if kind is int or kind is slice:
        return (key if axes == 1 else (key, ...)), []
    parts = tuple(_plain(k, x.device) for k in (key if isinstance(key, tuple) else (key,)))
    alone = len(parts) == 1 and _is_mask(parts[0])
    if not alone and not any(k is ... for k in parts) and sum(map(_axes_of, parts)) < axes:
        parts = (*parts, ...)  # the array standard requires every axis to be indexed
    pattern, arrays = split(parts, lambda k: isinstance(k, Value) or device_of(k) is not None)
    return pattern, [adopt(a, x, GETITEM) for a in arrays]


def _axes_of(k: Any) -> int:
    """The number of axes that a part of an index consumes."""
    if k is None:
        return 0
    return len(k.shape) if _is_mask(k) else 1


def _is_mask(k: object) -> bool:
    return hasattr(k, "dtype") and "bool" in str(k.dtype)


def _plain(k: Any, device: Device) -> Any:
    """Normalise a part of an index: a list to an array, and an integer scalar to an int.

    The array standard supports ints in more places than scalar arrays. A scalar stays as it is where a
    program or a graph needs it as an operand.
    """
    if isinstance(k, list):
        return device.xp.asarray(k, dtype=None if k else device.xp.int64, device=device.handle)
    if getattr(k, "shape", None) != () or "int" not in str(k.dtype):
        return k
    mode = MODE.get()
    if isinstance(k, Value):
        if k.device is not device:
            raise DeviceError(
                f"an index on {k.device} into a Tensor on {device}; move it with "
                f".to({str(device)!r}), or use int(index)"
            )
        if mode.record or device.backend.indexes_by_scalars:
            return k
    return k if mode.trace is not None else operator.index(k)
