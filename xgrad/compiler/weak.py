"""Python numbers as inputs of a traced function.

A number among the arguments is traced as a `WeakNumber`. What the function computes of such numbers in
Python, such as `1 - b1 ** t`, is recorded, and computed again in Python at each call. A number that meets a
Tensor becomes an input of the program, in the dtype that the number itself would take there. If the value of
a number is read, the trace specialises on the argument that it came from: the program holds for that value
alone.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from ..backends import Device, find_device
from ..backends.dtypes import canonical
from ..core.dispatch import NUMBERS, Value
from ..core.tensor import Tensor
from ..core.weak import Weak
from ..errors import GraphError
from ..ops import Op, arithmetic, comparisons

#: Types of numbers that may differ from call to call. A boolean is a choice, and has only two values.
KINDS = frozenset((float, int, complex))
#: Ops for which a number is the same as an array of shape () in the dtype that it takes: neither they nor
#: their derivatives compute with the number itself.
_ARITHMETIC = frozenset(
    (
        arithmetic.ADD,
        arithmetic.SUBTRACT,
        arithmetic.MULTIPLY,
        arithmetic.DIVIDE,
        arithmetic.MAXIMUM,
        arithmetic.MINIMUM,
        arithmetic.WHERE,
    )
)
#: Ops for which this holds only in floating point: an integer is compared by its value, whatever its dtype.
_COMPARISONS = frozenset(
    (
        comparisons.LESS,
        comparisons.LESS_EQUAL,
        comparisons.GREATER,
        comparisons.GREATER_EQUAL,
        comparisons.EQUAL,
        comparisons.NOT_EQUAL,
    )
)


#: The note on a number that was kept.
KEPT = (
    "a number that was an argument of a compiled function is used after the function was traced, when "
    "another call may have another one: keep float(x), or int(x)"
)


def varies(v: Any) -> bool:
    """Whether it is a number that may be an input of a program: integers of at most 64 bits only."""
    kind = type(v)
    return kind in KINDS and (kind is not int or -(2**63) <= v < 2**63)


class NumberWanted(BaseException):
    """Raised where an array library reads a weak number, which it would make a strong array.

    The function is traced again with the numbers at these places as plain numbers.
    """

    def __init__(self, places: frozenset[int]) -> None:
        self.places = places


class _Step(NamedTuple):
    """A computation in Python: a function, its operands (positions or numbers), and its result's type."""

    function: Callable[..., Any]
    operands: tuple[tuple[int | None, Any], ...]
    kind: type


class _Input(NamedTuple):
    """An input for a number, by the number's position: an array of that dtype on that device."""

    position: int
    dtype: Any
    device: Device

    def array(self, value: Any) -> Any:
        """Return the input's value, rounded as a number beside an array is."""
        _, dtype, device = self
        if not varies(value):
            raise OverflowError(f"{value} is no 64-bit integer")
        if device.guard is None:
            return device.xp.asarray(value, dtype=dtype, device=device.handle)
        with device.guard:
            return device.xp.asarray(value, dtype=dtype, device=device.handle)


class Numbers:
    """The numbers among the arguments of one trace, and what the function computes from them.

    `deciding` holds the positions of the arguments whose values the trace depends on.
    """

    def __init__(self, given: dict[int, Any]) -> None:
        self.places = tuple(given)
        self.deciding: set[int] = set()
        self._steps: list[_Step] = []
        self._inputs: dict[_Input, Tensor] = {}
        self._open = True
        self.traced = {
            place: WeakNumber(self, i, v, frozenset((place,))) for i, (place, v) in enumerate(given.items())
        }

    def decide(self, places: frozenset[int]) -> None:
        """Record that the trace depends on the values of the arguments at these positions."""
        if not self._open:
            raise GraphError(KEPT)
        self.deciding |= places

    def step(self, function: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
        """Compute `function(*operands)`, now and at each call."""
        if not self._open:
            raise GraphError(KEPT)
        weak = [type(v) is WeakNumber for v in operands]
        value = function(*[v._value if w else v for v, w in zip(operands, weak)])
        places = frozenset().union(*[v._places for v, w in zip(operands, weak) if w])
        if type(value) not in KINDS:
            self.decide(places)
            return value
        named = tuple([(v._position, None) if w else (None, v) for v, w in zip(operands, weak)])
        self._steps.append(_Step(function, named, type(value)))
        return WeakNumber(self, len(self.places) + len(self._steps) - 1, value, places)

    def input(self, position: int, value: Any, like: Tensor, dtype: Any) -> Tensor:
        """Return the Tensor that stands for a number beside `like`: an input of the program."""
        if not self._open:
            raise GraphError(KEPT)
        key = _Input(position, dtype, like.device)
        if key not in self._inputs:
            self._inputs[key] = Tensor(key.array(value), like.device)
        return self._inputs[key]

    def read(self, outside: Sequence[Tensor]) -> dict[int, _Input]:
        """Return which of the Tensors from outside stand for numbers."""
        inputs = {id(x): key for key, x in self._inputs.items()}
        return {k: inputs[id(x)] for k, x in enumerate(outside) if id(x) in inputs}

    def values(self, leaves: Sequence[Any]) -> list[Any] | None:
        """Compute all numbers for these arguments, by position.

        None if their types differ from those in the trace, or if an operation fails.
        """
        found = [leaves[i] for i in self.places]
        try:
            for function, operands, kind in self._steps:
                value = function(*[v if i is None else found[i] for i, v in operands])
                if type(value) is not kind:
                    return None
                found.append(value)
        except Exception:  # the function raises it itself, when traced for these numbers
            return None
        return found

    def close(self) -> None:
        """Close the trace: a number that the function has kept is no longer usable."""
        self._open = False
        self._inputs, self.traced = {}, {}


def _arithmetic(function: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return an operator and its reflection: weak between numbers, else applied to the plain number."""

    def forward(x: WeakNumber, y: Any) -> Any:
        return x._combined(function, x, y, y)

    def reflected(y: WeakNumber, x: Any) -> Any:
        return y._combined(function, x, y, x)

    return forward, reflected


def _compared(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def compare(x: WeakNumber, y: Any) -> Any:
        if isinstance(y, Value):
            return NotImplemented
        return function(x.number(), y.number() if isinstance(y, Weak) else y)

    return compare


def _asked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a Python protocol that reads the value."""

    def ask(x: WeakNumber, *args: Any) -> Any:
        return function(x.number(), *[y.number() if isinstance(y, Weak) else y for y in args])

    return ask


def _unary(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x: x._numbers.step(function, (x,))


class WeakNumber(Weak):
    """A Python number whose value may change in later calls, with all of a number's operations."""

    __slots__ = ("_numbers", "_places", "_position", "_value")

    def __init__(self, numbers: Numbers, position: int, value: Any, places: frozenset[int]) -> None:
        self._numbers = numbers
        self._position = position
        self._value = value
        self._places = places

    def number(self) -> Any:
        self._numbers.decide(self._places)
        return self._value

    def beside(self, op: Op, operands: Sequence[Any]) -> tuple[Any, ...]:
        first = 1 if op is arithmetic.WHERE else 0  # the condition does not decide the number's dtype
        others = [v for v in operands[first:] if type(v) not in NUMBERS and type(v) is not WeakNumber]
        like = others[0] if len(others) == 1 and isinstance(others[0], Tensor) else None
        found = list(operands)
        for i, v in enumerate(operands):
            if type(v) is WeakNumber:
                strong = None if like is None or i < first else v._strong(op, like)
                found[i] = v.number() if strong is None else strong
        return tuple(found)

    def _strong(self, op: Op, like: Tensor) -> Tensor | None:
        """Return an array in the number's dtype beside `like`; None if the result could differ."""
        if op not in _ARITHMETIC and op not in _COMPARISONS:
            return None
        if not varies(self._value):
            return None
        known = canonical(like.dtype)
        if known.kind not in "biufc" or (known.kind not in "f" and op in _COMPARISONS):
            return None
        dtype = find_device("cpu").xp.result_type(known, self._value)
        return self._numbers.input(self._position, self._value, like, dtype)

    def _combined(self, function: Callable[[Any, Any], Any], x: Any, y: Any, other: Any) -> Any:
        if isinstance(other, Value):
            return NotImplemented
        if type(other) is WeakNumber and other._numbers is not self._numbers:
            other.number()
            other = other._value
            x, y = (self, other) if x is self else (other, self)
        if type(other) in NUMBERS or type(other) is WeakNumber:
            return self._numbers.step(function, (x, y))
        return function(*[v.number() if v is self else v for v in (x, y)])

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # the class of its value, which is part of the signature
        return type(self._value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{type(self._value).__name__!r} object has no attribute {name!r}")
        return getattr(self.number(), name)

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        self.number()
        raise NumberWanted(self._places)

    def __array_ufunc__(self, *args: object, **kwargs: object) -> NoReturn:
        self.number()
        raise NumberWanted(self._places)

    def __pow__(self, y: Any, modulus: Any = None) -> Any:
        if modulus is None:
            return self._combined(operator.pow, self, y, y)
        return pow(*[v.number() if isinstance(v, Weak) else v for v in (self, y, modulus)])

    def __rpow__(self, x: Any) -> Any:
        return self._combined(operator.pow, x, self, x)

    __add__, __radd__ = _arithmetic(operator.add)
    __sub__, __rsub__ = _arithmetic(operator.sub)
    __mul__, __rmul__ = _arithmetic(operator.mul)
    __truediv__, __rtruediv__ = _arithmetic(operator.truediv)
    __floordiv__, __rfloordiv__ = _arithmetic(operator.floordiv)
    __mod__, __rmod__ = _arithmetic(operator.mod)
    __and__, __rand__ = _arithmetic(operator.and_)
    __or__, __ror__ = _arithmetic(operator.or_)
    __xor__, __rxor__ = _arithmetic(operator.xor)
    __lshift__, __rlshift__ = _arithmetic(operator.lshift)
    __rshift__, __rrshift__ = _arithmetic(operator.rshift)
    __matmul__, __rmatmul__ = _arithmetic(operator.matmul)
    __divmod__, __rdivmod__ = _arithmetic(divmod)
    __neg__ = _unary(operator.neg)
    __pos__ = _unary(operator.pos)
    __abs__ = _unary(abs)
    __invert__ = _unary(operator.invert)
    __lt__ = _compared(operator.lt)
    __le__ = _compared(operator.le)
    __gt__ = _compared(operator.gt)
    __ge__ = _compared(operator.ge)
    __eq__ = _compared(operator.eq)
    __ne__ = _compared(operator.ne)
    __hash__ = _asked(hash)
    __bool__ = _asked(bool)
    __int__ = _asked(int)
    __float__ = _asked(float)
    __complex__ = _asked(complex)
    __index__ = _asked(operator.index)
    __round__ = _asked(round)
    __str__ = _asked(str)
    __repr__ = _asked(repr)
    __format__ = _asked(format)
    __reduce_ex__ = _asked(lambda v, protocol: (type(v), (v,)))
