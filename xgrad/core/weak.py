"""Python numbers that a traced function was given, whose values later calls may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Weak:
    """A stand-in for a Python number. It is weak, as the number is: it takes the dtype of the Tensor that it
    meets."""

    __slots__ = ()

    def number(self) -> Any:
        """The number itself; from now on what is traced holds for this value alone."""
        raise NotImplementedError

    def beside(self, op: Any, operands: Sequence[Any]) -> tuple[Any, ...]:
        """The operands of `op` with Tensors or numbers in the place of those that are weak."""
        raise NotImplementedError


def settled(v: Any) -> Any:
    """`v`, a parameter of an op, with numbers in the place of weak ones."""
    kind = type(v)
    if kind is tuple or kind is list:
        return kind(map(settled, v))
    if kind is dict:
        return {name: settled(part) for name, part in v.items()}
    if kind is slice:
        return slice(settled(v.start), settled(v.stop), settled(v.step))
    return v.number() if isinstance(v, Weak) else v
