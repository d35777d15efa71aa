"""Cache keys for numbers, parameters and programs: equal only if they give the same computation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from ..backends import device_of
from ..core.tensor import Tensor
from .draws import is_generator, state_of
from .ir import Body, Program, Stage, Value


def is_array(v: Any) -> bool:
    """Whether a value is an array of a backend's library, and not a Tensor."""
    return device_of(v) is not None and hasattr(v, "dtype")


class Same:
    """An object in a key, compared by identity and kept alive so that its address is not reused."""

    __slots__ = ("of",)

    def __init__(self, of: Any) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.of is self.of

    def __hash__(self) -> int:
        return id(self.of)


#: Types whose == makes all the distinctions needed. A bool or a float never equals an int here, because each
#: value is stored with its type.
_PLAIN = frozenset((int, str, bytes, type(None), type(Ellipsis)))


def exact(v: Any) -> Any:
    """Return `v` as part of a key, compared exactly.

    Values that are == but could give different results differ: 1, True and 1.0, the two zeros, a list and a
    tuple. NaN equals itself, and arrays are equal if their elements are. An object that cannot be compared by
    its parts equals only itself.
    """
    kind = type(v)
    if kind in _PLAIN:
        return v
    if kind is tuple and _PLAIN.issuperset(map(type, v)):  # as in shapes and axes
        return v
    if isinstance(v, int | float | complex):
        return kind, repr(v)  # keeps every bit, except those of a NaN
    if kind is tuple or kind is list:
        return kind, *map(exact, v)
    if kind is dict:
        return dict, *[
            (key if type(key) is str else exact(key), value if type(value) in _PLAIN else exact(value))
            for key, value in v.items()
        ]
    if kind is Body:  # the same program is always the same object
        return Same(v)
    if kind is slice:
        return slice, exact(v.start), exact(v.stop), exact(v.step)
    if kind is Program:
        return Program, v.inputs, tuple(map(exact, v.stages)), tuple(map(exact, v.outputs))
    if isinstance(v, Value):
        return v
    if kind is Stage:
        return v.op, tuple(map(exact, v.operands)), v.outputs, exact(v.params)
    if isinstance(v, Mapping):
        return kind, *[(exact(key), exact(value)) for key, value in v.items()]
    device = device_of(v) if hasattr(v, "dtype") else None
    if device is not None:
        host = device.backend.to_host(v)
        return (
            kind,
            str(device),
            host.shape,
            str(host.dtype),
            exact(host.tolist()) if host.dtype.kind == "O" else host.tobytes(),
        )
    try:
        hash(v)
    except (TypeError, ValueError):
        return Same(v)
    return kind, v


def state(v: Any, around: tuple[Any, ...] = ()) -> Any:
    """Return an object with its present state, as a key that is equal later only if nothing has changed.

    This covers the elements of containers and the attributes of objects, recursively. Tensors are compared by
    identity: their values may change. Raises TypeError for an object whose state cannot be determined.
    """
    kind = type(v)
    if kind in _PLAIN or (kind is tuple and _PLAIN.issuperset(map(type, v))):
        return v
    if kind is slice or isinstance(v, int | float | complex) or is_array(v):
        return exact(v)
    if isinstance(v, Iterator):
        raise TypeError(f"the remaining elements of a {kind.__name__} are unknown")
    if isinstance(v, Tensor | type | FunctionType | BuiltinFunctionType | ModuleType) or any(
        v is w for w in around
    ):
        return Same(v)
    around = (*around, v)
    if is_generator(v):
        with suppress(AttributeError, TypeError):  # it has only the methods of one
            return Same(v), state_of(v)
    if kind is MethodType:
        return kind, Same(v.__func__), state(v.__self__, around)
    if kind is partial:
        return kind, *[state(w, around) for w in (v.func, v.args, v.keywords)]
    if isinstance(v, list | tuple | deque):
        return kind, *[state(w, around) for w in v]
    if isinstance(v, set | frozenset):
        return kind, frozenset(state(w, around) for w in v)
    if isinstance(v, Mapping):
        return kind, *[(state(key, around), state(value, around)) for key, value in v.items()]
    attributes = {name: state(value, around) for name, value in _attributes(v)}
    by_identity: Any = object.__hash__
    if kind.__hash__ is by_identity:  # compared by identity
        return Same(v), *attributes.items()
    try:
        hash(v)
    except (TypeError, ValueError):  # ValueError: a writable memoryview
        if not attributes:
            raise TypeError(f"changes of a {kind.__name__} cannot be detected") from None
        return kind, *attributes.items()
    return kind, v, *attributes.items()


def _attributes(v: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(v, "__dict__", {}).items()
    for kind in type(v).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(v, name):
                yield name, getattr(v, name)


class Static:
    """Attributes by name, as part of a key. Arrays, and 1 and True, are compared as in `exact`.

    With `now`, the state at the time of creation is compared: a list or an array may change.
    """

    __slots__ = ("_pairs", "_state")

    def __init__(self, pairs: tuple[tuple[str, Any], ...], now: bool) -> None:
        self._pairs = pairs
        self._state = (
            tuple([(name, type(v), v if type(v) in _PLAIN else state(v)) for name, v in pairs])
            if now
            else None
        )

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._pairs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Static) or len(self._pairs) != len(other._pairs):
            return False
        if self._state is not None or other._state is not None:
            return bool(self._state == other._state)
        return all(
            a == b and (v is w or exact(v) == exact(w)) for (a, v), (b, w) in zip(self._pairs, other._pairs)
        )

    def __hash__(self) -> int:
        return hash((len(self._pairs), self._state))

    def __repr__(self) -> str:
        return repr(dict(self._pairs))
