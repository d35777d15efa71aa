"""Values of a random program while it is written: how they are classified and chosen."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Var(NamedTuple):
    """A name in the text, an example of its value, the seed for choosing it, and its weight."""

    name: str
    value: Any
    key: str
    weight: float

    @property
    def form(self) -> tuple[tuple[int, ...], str]:
        return self.value.shape, self.value.dtype.name


def is_float(v: Any) -> bool:
    return v.dtype.kind == "f"


TESTS: dict[str, Callable[[Any], bool]] = {
    "f": is_float,
    "m": lambda v: is_float(v) and v.ndim >= 1,
    "M": lambda v: is_float(v) and v.ndim >= 2,
    "v": lambda v: is_float(v) and v.ndim == 1,
    "Q": lambda v: is_float(v) and v.ndim == 2 and v.shape[0] == v.shape[1],
    "R": lambda v: is_float(v) and v.ndim == 2,
    "i": lambda v: v.dtype.kind == "i",
    "i1": lambda v: v.dtype.kind == "i" and v.ndim >= 1,
    "n": lambda v: v.dtype.kind == "i" and v.ndim == 0,
    "b": lambda v: v.dtype.kind == "b",
    "b1": lambda v: v.dtype.kind == "b" and v.ndim >= 1,
    "c": lambda v: v.dtype.kind == "c",
    "c1": lambda v: v.dtype.kind == "c" and v.ndim >= 1,
    "C": lambda v: v.dtype.kind == "c" and v.ndim == 2,
    "T": lambda v: is_float(v) and v.ndim == 3,
}


def broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b)))


RELATED: dict[str, Callable[[Any, Any], bool]] = {
    "g": lambda v, a: is_float(v) and broadcasts(v.shape, a.shape),
    "s": lambda v, a: v.shape == a.shape and v.dtype == a.dtype,
    "w": lambda v, a: is_float(v) and v.ndim >= 1 and v.shape[max(v.ndim - 2, 0)] == a.shape[-1],
    "wt": lambda v, a: is_float(v) and v.ndim == 2 and v.shape[1] == a.shape[-1],
    "f_row": lambda v, a: (
        is_float(v) and v.ndim < a.ndim and broadcasts(v.shape, a.shape[:-1]) and v.ndim <= a.ndim - 1
    ),
}


#: Maximal number of elements of a value.
MOST = 4000


class Unfit(Exception):
    """No operand fits an instruction, or it does something that programs should not do."""


def bid(vars: list[Var], key: str) -> Var:
    """Choose one of some values: those with larger weights, and later ones, are more likely."""
    bids = [_unit(f"{key}.{v.key}") ** (1 / (v.weight * 0.9**age)) for age, v in enumerate(reversed(vars))]
    return vars[-1 - bids.index(max(bids))]


def _unit(text: str) -> float:
    return (zlib.crc32(text.encode()) * 2654435761 % 2**32 + 0.5) / 2**32


def check(value: Any, empty: bool) -> None:
    """Check that a value suits programs: small, finite, and with few axes."""
    if value.size > MOST or value.ndim > 4 or value.dtype.kind not in "fibc":
        raise Unfit
    if value.size == 0 and not empty:
        raise Unfit
    if value.dtype.kind in "fc" and not (np.isfinite(value).all() and (np.abs(value) < 30).all()):
        raise Unfit
