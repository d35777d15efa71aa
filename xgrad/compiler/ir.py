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
        """The number of elements."""
        return prod(self.shape)


Operand = Value | Number

#: The dtype of the real and of the imaginary part of complex numbers.
PARTS = {"complex64": "float32", "complex128": "float64"}


def is_complex(v: Operand) -> bool:
    """Whether a value or a number is complex."""
    return v.dtype in PARTS if isinstance(v, Value) else isinstance(v, complex)


@dataclass(frozen=True, slots=True, repr=False)
class Stage:
    """`outputs = op(*operands, **params)`: one gate of the table, and the line where the user wrote it.

    Few ops have several outputs.
    """

    op: str
    operands: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    @property
    def output(self) -> Value:
        """The output of a stage that has exactly one."""
        (value,) = self.outputs
        return value

    @property
    def values(self) -> tuple[Value, ...]:
        """The operands that are not numbers."""
        return tuple(v for v in self.operands if type(v) is Value)

    @property
    def entry(self) -> Op | None:
        """The table's entry for its op, or None."""
        return OPS.get(self.op)

    @property
    def is_view(self) -> bool:
        """Whether its output is a view of its first operand, which indexing by arrays does not give."""
        if self.op not in OPS or not OPS[self.op].kernel.view or type(self.operands[0]) is not Value:
            return False
        return self.op == "after" or (len(self.operands) == 1 and is_basic(self.params.get("key")))

    @property
    def is_cheap(self) -> bool:
        """Whether computing its output again costs no more than storing it."""
        return self.filling is not None or (self.entry is not None and self.entry.kernel.cheap)

    @property
    def filling(self) -> Number | None:
        """The number that fills the new array that this stage creates, as a number of the array's kind.

        None for any other stage.
        """
        if self.op != "new":
            return None
        function, args, dtype = self.params["function"], self.params["args"], self.output.dtype
        given: Any = {"zeros": 0.0, "ones": 1.0, "full": args[-1]}.get(function)
        # a NumPy scalar is not weak
        number: Number | None = given.item() if hasattr(given, "item") else given
        if number is None or isinstance(number, complex) or not dtype.startswith(("int", "uint", "bool")):
            return number
        # beside integers, a weak number of another kind would promote them to floating point
        return (bool(number) if dtype == "bool" else int(number)) if isfinite(number) else None

    def __hash__(self) -> int:
        return hash((self.op, self.operands, self.outputs))

    def __repr__(self) -> str:
        operands = ", ".join(v.name[:40] if type(v) is Value else repr(v) for v in self.operands)
        return f"<Stage {', '.join(v.name[:40] for v in self.outputs)} = {self.op}({operands})>"


class Carry(NamedTuple):
    """A value carried from step to step.

    `inner` is its value at the start of a step: first `init`, then the previous step's `next`. `final` is the
    last `next`, if it is used.
    """

    inner: Value
    init: Operand
    next: Operand
    final: Value | None


class Pair(NamedTuple):
    """`inner` at step t is the slice [t] of `outer`."""

    inner: Value
    outer: Value


@dataclass(frozen=True, repr=False)
class Loop:
    """Stages that are repeated `length` times. They may use any value computed before the loop.

    Each step reads one slice of each of `xs`, and writes one slice of each of `ys`.
    """

    length: int
    reverse: bool
    carry: tuple[Carry, ...]
    xs: tuple[Pair, ...]
    ys: tuple[Pair, ...]
    stages: tuple[Stage | Loop, ...]

    @property
    def outputs(self) -> tuple[Value, ...]:
        """The values it defines outside: final carries and stacked ys."""
        return tuple(c.final for c in self.carry if c.final is not None) + tuple(y.outer for y in self.ys)

    @property
    def inner(self) -> tuple[Value, ...]:
        """The inputs of a step: carries and slices."""
        return tuple(c.inner for c in self.carry) + tuple(x.inner for x in self.xs)

    @property
    def results(self) -> tuple[Operand, ...]:
        """The results of a step: the next carries and the slices of ys."""
        return tuple(c.next for c in self.carry) + tuple(y.inner for y in self.ys)

    @property
    def values(self) -> tuple[Value, ...]:
        """The values it reads from outside, each once."""
        bound = {*self.inner, *(v for s in self.stages for v in s.outputs)}
        used: list[Operand] = [c.init for c in self.carry] + [x.outer for x in self.xs]
        used += [v for v in (*self.results, *(v for s in self.stages for v in s.values)) if v not in bound]
        return tuple(dict.fromkeys(v for v in used if type(v) is Value))

    @cached_property
    def dead(self) -> tuple[tuple[Value, ...], ...]:
        """For each stage, the values made in the step that are dead after it.

        Values from outside stay alive for the next step.
        """
        return _dead(self.stages, self.inner, self.results)

    def __getstate__(self) -> dict[str, Any]:
        return _fields(self)

    def __repr__(self) -> str:
        outputs = ", ".join(v.name[:40] for v in self.outputs)
        return f"<Loop {outputs} = {len(self.stages)} stages, {self.length} times>"


Item = Stage | Loop


@dataclass(frozen=True, repr=False)
class Program:
    """Stages in single assignment, from `inputs` to `outputs`. `name` is that of the function, for people."""

    inputs: tuple[Value, ...]
    stages: tuple[Item, ...]
    outputs: tuple[Operand, ...]
    name: str = field(default="", compare=False)

    # Defined in modules of a higher layer, which set these attributes.
    listing: ClassVar[Callable[[Program], str]]
    source: ClassVar[Callable[..., str]]
    explain: ClassVar[Callable[[Program], str]]
    shapes: ClassVar[Callable[[Program], Any]]
    _repr_html_: ClassVar[Callable[[Program], str]]

    @cached_property
    def dead(self) -> tuple[tuple[Value, ...], ...]:
        """For each stage, the values that are dead after it."""
        return _dead(self.stages, self.inputs, self.outputs)

    def __str__(self) -> str:
        return self.listing()

    def __repr__(self) -> str:
        inputs = [v.name[:40] for v in self.inputs[:8]] + ["..."] * (len(self.inputs) > 8)
        n, loops = len(self.stages), sum(isinstance(s, Loop) or s.op == "scan" for s in self.stages)
        inside = f", {loops} of them loops" if loops > 1 else ", one of them a loop" if loops else ""
        return f"<Program {self.name}({', '.join(inputs)}): {n} stage{'s' * (n != 1)}{inside}>"

    def __getstate__(self) -> dict[str, Any]:
        return _fields(self)

    def __hash__(self) -> int:
        return hash((self.inputs, len(self.stages), self.outputs))


def _dead(
    stages: Sequence[Item], given: Iterable[Value], kept: Iterable[Operand]
) -> tuple[tuple[Value, ...], ...]:
    """Liveness: for each stage, the values whose last use it is.

    Considers values that are given or computed here and not in `kept`.
    """
    mine = {*given, *(v for s in stages for v in s.outputs)}
    live = set(kept)
    found = []
    for stage in reversed(stages):
        touched = dict.fromkeys((*stage.values, *stage.outputs))
        found.append(tuple(v for v in touched if v in mine and v not in live))
        live.update(touched)
    return tuple(reversed(found))


def _fields(of: Loop | Program) -> dict[str, Any]:
    """Return the fields to pickle: not the cached results."""
    return {f.name: getattr(of, f.name) for f in fields(of)}


@dataclass(frozen=True)
class Body:
    """One time step, as a program.

    Its inputs are `carries` carries, then `xs` slices, then values that are the same at every step. Its
    outputs are the next carries, then the slices to stack. A body that is no loop step, but a whole function
    to compile, has `families`: the code that it shares with its bodies for other shapes.
    """

    program: Program
    carries: int
    xs: int
    families: Any = field(default=None, compare=False, repr=False)
    _made: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the result of `make`, computed once and kept with this body.

        If several threads compute it, the first result is kept.
        """
        found = self._made.get(key, self)
        return self._made.setdefault(key, make()) if found is self else found

    def __reduce__(self) -> Any:
        return Body, (self.program, self.carries, self.xs, self.families)

    def __hash__(self) -> int:
        return hash(self.program)

    def forms(self, length: int) -> tuple[tuple[tuple[int, ...], str], ...]:
        """The shapes and dtypes of a scan's outputs: final carries, then stacked slices."""
        forms = [(v.shape, v.dtype) if type(v) is Value else ((), "float64") for v in self.program.outputs]
        return tuple(
            (shape if i < self.carries else (length, *shape), dtype) for i, (shape, dtype) in enumerate(forms)
        )


def everything(stages: Iterable[Item]) -> Iterator[Item]:
    """Yield all stages, including those inside loops."""
    for stage in stages:
        yield stage
        if isinstance(stage, Loop):
            yield from everything(stage.stages)


def substitute(item: Item, new: Mapping[Value, Operand]) -> Item:
    """Return `item` with the values it reads replaced."""

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
    """Apply `change` to each stage in order; a loop's body is rewritten before the loop."""
    found: list[Item] = []
    for item in stages:
        found += change(
            replace(item, stages=tuple(rewritten(item.stages, change))) if isinstance(item, Loop) else item
        )
    return found


def is_basic(key: Any) -> bool:
    """Whether an index consists only of integers, slices, new axes and an ellipsis."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(
        k is None or k is Ellipsis or (isinstance(k, int | slice) and not isinstance(k, bool)) for k in parts
    )
