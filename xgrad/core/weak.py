"""Weak numbers: Python numbers among a traced function's arguments, whose values may change later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

_PLAIN = frozenset((bool, complex, float, int, str, type(None)))


class Weak(ABC):
    """A stand-in for a Python number, weakly typed like it: it takes the dtype of the other operand."""

    __slots__ = ()

    @abstractmethod
    def number(self) -> Any:
        """The number itself; the trace is then valid for this value alone."""

    @abstractmethod
    def beside(self, op: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
        """The operands of `op`, with weak numbers replaced by Tensors or numbers."""


def settled(v: Any) -> Any:
    """`v`, a parameter of an op, with weak numbers replaced by plain ones."""
    kind = type(v)
    if kind in _PLAIN:
        return v
    if kind is tuple or kind is list:
        return kind(map(settled, v))
    if kind is dict:
        return {name: settled(part) for name, part in v.items()}
    if kind is slice:
        return slice(settled(v.start), settled(v.stop), settled(v.step))
    return v.number() if isinstance(v, Weak) else v
