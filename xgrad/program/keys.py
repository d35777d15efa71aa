"""Numbers, parameters and programs as parts of keys: equal only where what is computed from them is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backends import device_of
from .stages import Body, Program, Stage, Value


class Same:
    """An object as part of a key: equal to itself alone, and kept, so that no other takes its address."""

    __slots__ = ("of",)

    def __init__(self, of: Any) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and other.of is self.of

    def __hash__(self) -> int:
        return id(self.of)


#: Kinds whose == tells apart all that is to be told apart; a bool or a float is never equal to an int here, as it stands beside its type.
_PLAIN = frozenset((int, str, bytes, type(None), type(Ellipsis)))


def exact(v: Any) -> Any:
    """`v` as part of a key.

    What == takes for equal is told apart where results could differ: 1, True and 1.0, the two zeros, a list and a tuple. NaN is
    equal to itself, and arrays are equal where their elements are. What cannot be compared by its parts is equal to itself alone.
    """
    kind = type(v)
    if kind in _PLAIN:
        return v
    if kind is tuple and _PLAIN.issuperset(map(type, v)):  # as shapes and axes are
        return v
    if isinstance(v, int | float | complex):
        return kind, repr(v)  # which has every bit, but those of a NaN
    if kind is tuple or kind is list:
        return kind, *map(exact, v)
    if kind is dict:
        return dict, *[(exact(key), exact(value)) for key, value in v.items()]
    if kind is slice:
        return slice, exact(v.start), exact(v.stop), exact(v.step)
    if isinstance(v, Mapping):
        return kind, *[(exact(key), exact(value)) for key, value in v.items()]
    if kind is Program:
        return Program, v.inputs, tuple(map(exact, v.stages)), tuple(map(exact, v.outputs))
    if isinstance(v, Value):
        return v
    if kind is Stage:
        return v.op, tuple(map(exact, v.operands)), v.outputs, exact(v.params)
    if kind is Body:  # the same object for the same program
        return Same(v)
    device = device_of(v)
    if device is not None:
        host = device.backend.to_host(v)
        return kind, str(device), host.shape, str(host.dtype), host.tobytes() if host.dtype.kind != "O" else repr(host.tolist())
    try:
        hash(v)
    except TypeError:
        return Same(v)
    return kind, v
