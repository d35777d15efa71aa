"""The intermediate representation: programs, stages and loops.

Plain data: printable, comparable, picklable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from math import isfinite, prod
from typing import Any, ClassVar, NamedTuple

from ..ops import OPS, Op

Number = int | float | complex


class Value(NamedTuple):
    """The result of a stage, or an input. Names are unique in a program, its loops' bodies included."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """How many elements it has."""
        return prod(self.shape)


Operand = Value | Number

#: The dtype of the real and of the imaginary part of complex numbers.
PARTS = {"complex64": "float32", "complex128": "float64"}


def is_complex(v: Operand) -> bool:
    """Whether a value or a number is complex."""
    return v.dtype in PARTS if isinstance(v, Value) else isinstance(v, complex)


@dataclass(frozen=True, slots=True)
class Stage:
    """`outputs = op(*operands, **params)`: one gate of the table, and where the user wrote it.

    Few have several outputs.
    """

    op: str
    operands: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    @property
    def output(self) -> Value:
        """The output of a stage that has one."""
        (value,) = self.outputs
        return value

    @property
    def values(self) -> tuple[Value, ...]:
        """The operands that are not numbers."""
        return tuple(v for v in self.operands if type(v) is Value)

    @property
    def entry(self) -> Op | None:
        """What is known of its op, None where that is not in the table."""
        return OPS.get(self.op)

    @property
    def is_view(self) -> bool:
        """Whether its output is its first operand seen otherwise: not where an array says which elements."""
        if self.op not in OPS or not OPS[self.op].kernel.view or type(self.operands[0]) is not Value:
            return False
        return self.op == "after" or (len(self.operands) == 1 and is_basic(self.params.get("key")))

    @property
    def filling(self) -> Number | None:
        """The number that fills the new array that this stage makes, of its kind; None for any other
        stage."""
        if self.op != "new":
            return None
        function, args, dtype = self.params["function"], self.params["args"], self.output.dtype
        given: Any = {"zeros": 0.0, "ones": 1.0, "full": args[-1]}.get(function)
        # one of NumPy's is not weak
        number: Number | None = given.item() if hasattr(given, "item") else given
        if number is None or isinstance(number, complex) or not dtype.startswith(("int", "uint", "bool")):
            return number
        # a weak number of another kind beside integers would make floating numbers of them
        return (bool(number) if dtype == "bool" else int(number)) if isfinite(number) else None

    def __hash__(self) -> int:
        return hash((self.op, self.operands, self.outputs))


class Carry(NamedTuple):
    """A value that goes from step to step: `inner` is what a step begins with, first `init`, then the `next`
    of the step before.

    `final` is the last `next`, where somebody asks for it.
    """

    inner: Value
    init: Operand
    next: Operand
    final: Value | None


class Pair(NamedTuple):
    """`inner` at step t is the slice [t] of `outer`."""

    inner: Value
    outer: Value


@dataclass(frozen=True)
class Loop:
    """Stages that are repeated `length` times. They may use any value computed before the loop.

    `xs` are read, one slice a step; `ys` are written, one slice a step.
    """

    length: int
    reverse: bool
    carry: tuple[Carry, ...]
    xs: tuple[Pair, ...]
    ys: tuple[Pair, ...]
    stages: tuple[Stage | Loop, ...]

    @property
    def outputs(self) -> tuple[Value, ...]:
        """What it defines outside: the last carries and the stacked ys."""
        return tuple(c.final for c in self.carry if c.final is not None) + tuple(y.outer for y in self.ys)

    @property
    def inner(self) -> tuple[Value, ...]:
        """What a step is given: carries and slices."""
        return tuple(c.inner for c in self.carry) + tuple(x.inner for x in self.xs)

    @property
    def results(self) -> tuple[Operand, ...]:
        """What a step gives: the next carries and the slices of ys."""
        return tuple(c.next for c in self.carry) + tuple(y.inner for y in self.ys)

    @property
    def values(self) -> tuple[Value, ...]:
        """What it reads from outside, each once."""
        bound = {*self.inner, *(v for s in self.stages for v in s.outputs)}
        used: list[Operand] = [c.init for c in self.carry] + [x.outer for x in self.xs]
        used += [v for v in (*self.results, *(v for s in self.stages for v in s.values)) if v not in bound]
        return tuple(dict.fromkeys(v for v in used if type(v) is Value))

    @cached_property
    def dead(self) -> tuple[tuple[Value, ...], ...]:
        """For each stage, what nothing in a step reads after it: of what is made in the step, as the rest is
        there for the next."""
        return _dead(self.stages, self.inner, self.results)

    def __getstate__(self) -> dict[str, Any]:
        return _fields(self)


Item = Stage | Loop


@dataclass(frozen=True)
class Program:
    """Stages in single assignment, from `inputs` to `outputs`."""

    inputs: tuple[Value, ...]
    stages: tuple[Item, ...]
    outputs: tuple[Operand, ...]

    # What can be made of a program lies above it, and is set by the modules of these names.
    listing: ClassVar[Callable[[Program], str]]
    source: ClassVar[Callable[..., str]]
    explain: ClassVar[Callable[[Program], str]]

    @cached_property
    def dead(self) -> tuple[tuple[Value, ...], ...]:
        """For each stage, what nothing reads after it."""
        return _dead(self.stages, self.inputs, self.outputs)

    def __str__(self) -> str:
        return self.listing()

    def __getstate__(self) -> dict[str, Any]:
        return _fields(self)

    def __hash__(self) -> int:
        return hash((self.inputs, len(self.stages), self.outputs))


def _dead(
    stages: Sequence[Item], given: Iterable[Value], kept: Iterable[Operand]
) -> tuple[tuple[Value, ...], ...]:
    """Liveness: for each stage the values that nothing reads after it, of those that are given or computed
    here and not kept."""
    mine = {*given, *(v for s in stages for v in s.outputs)}
    live = set(kept)
    found = []
    for stage in reversed(stages):
        touched = dict.fromkeys((*stage.values, *stage.outputs))
        found.append(tuple(v for v in touched if v in mine and v not in live))
        live.update(touched)
    return tuple(reversed(found))


def _fields(of: Loop | Program) -> dict[str, Any]:
    """What is pickled: not what was found out about it meanwhile."""
    return {f.name: getattr(of, f.name) for f in fields(of)}


@dataclass(frozen=True)
class Body:
    """One time step, as a program.

    Its inputs are `carries` values that go from step to step, `xs` slices of what is read, and what is the
    same at every step. Its outputs are the next carries, and slices of what is written. `whole` says that it
    is no step of a loop but all that a function does, which somebody wants compiled.
    """

    program: Program
    carries: int
    xs: int
    whole: bool = False
    _made: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What is made of this body once, and kept with it.

        Where several threads make it, the first one's is kept.
        """
        found = self._made.get(key, self)
        return self._made.setdefault(key, make()) if found is self else found

    def __reduce__(self) -> Any:
        return Body, (self.program, self.carries, self.xs, self.whole)

    def __hash__(self) -> int:
        return hash(self.program)

    def forms(self, length: int) -> tuple[tuple[tuple[int, ...], str], ...]:
        """Shape and dtype of what a scan gives: the last carries, and the stacked slices."""
        forms = [(v.shape, v.dtype) if type(v) is Value else ((), "float64") for v in self.program.outputs]
        return tuple(
            (shape if i < self.carries else (length, *shape), dtype) for i, (shape, dtype) in enumerate(forms)
        )


def everything(stages: Iterable[Item]) -> Iterator[Item]:
    """All stages, those inside loops too."""
    for stage in stages:
        yield stage
        if isinstance(stage, Loop):
            yield from everything(stage.stages)


def substitute(item: Item, new: Mapping[Value, Operand]) -> Item:
    """`item` with the values it reads replaced."""

    def of(v: Any) -> Any:
        return new.get(v, v) if type(v) is Value else v

    if isinstance(item, Stage):
        return (
            replace(item, operands=tuple(map(of, item.operands)))
            if any(v in new for v in item.values)
            else item
        )
    return replace(
        item,
        carry=tuple(c._replace(init=of(c.init), next=of(c.next)) for c in item.carry),
        xs=tuple(Pair(x.inner, of(x.outer)) for x in item.xs),
        ys=tuple(Pair(of(y.inner), y.outer) for y in item.ys),
        stages=tuple(substitute(s, new) for s in item.stages),
    )


def rewritten(stages: Iterable[Item], change: Callable[[Item], Iterable[Item]]) -> list[Item]:
    """What `change` gives for each stage, in their order; the body of a loop is rewritten before the loop."""
    found: list[Item] = []
    for item in stages:
        found += change(
            replace(item, stages=tuple(rewritten(item.stages, change))) if isinstance(item, Loop) else item
        )
    return found


def is_basic(key: Any) -> bool:
    """Whether an index is made of integers, slices, new axes and an ellipsis alone."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        k is None or k is Ellipsis or (isinstance(k, int | slice) and not isinstance(k, bool)) for k in parts
    )
