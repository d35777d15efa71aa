"""Translation validation: checks that a plan computes what its program says.

Both run on expressions instead of numbers (`symbolic.py`). A value stored in the wrong place, or read after
it was overwritten, gives a different expression, whatever the numbers would have been. This takes as long as
running the program by hand, so it is for tests, and for users who set XGRAD_VERIFY=1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from types import ModuleType
from typing import Any, NamedTuple

from ..backends import find_device
from . import symbolic
from .ir import Program, Value
from .lowering.plan import Call, Gemm, Loop, Map, Pack, Plan, Ref, Rows, Step
from .lowering.views import product_can_read, product_can_write, with_refs

Array = Any


class PlanError(AssertionError):
    """A plan that does not compute what its program does.

    The message names the item, the time step and what it reads.
    """


def verify_plan(
    program: Program, plan: Plan, outputs: Sequence[Ref], constants: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Check that `plan` leaves the outputs of `program` at `outputs`, for any values of its inputs.

    Raises PlanError at the first item that reads or writes out of bounds, reads memory that was never
    written, has refs that overlap where they must not, or computes a value that no stage of the program
    computes.
    """
    np: ModuleType = find_device("cpu").xp  # type: ignore[assignment]  # NumPy itself
    with np.errstate(over="ignore"):
        expressions = symbolic.Expressions(np)
        expected = expressions.run(program)
        machine = _Machine(np, plan, program, constants)
        machine.items(plan.body, [])
        for number, (want, ref) in enumerate(zip(expected, outputs, strict=True)):
            if not np.array_equal(machine.read(ref, [], f"output {number}"), want):
                known = symbolic.Expressions(np, known={})
                known.run(program)
                _Machine(np, plan, program, constants, known.known).items(plan.body, [])
                raise PlanError(
                    f"output {number} is not where the plan says, buffer {ref.buffer} from {ref.offset} on"
                )


class _Memory(NamedTuple):
    """The elements of a buffer, and which of them have been written."""

    elements: Array
    defined: Array


class _Machine:
    """Runs a plan on expressions. If `known` is given, everything written must be in it."""

    def __init__(
        self,
        np: ModuleType,
        plan: Plan,
        program: Program,
        constants: Sequence[Mapping[str, Any]],
        known: dict[int, str] | None = None,
    ) -> None:
        self.np, self.plan, self.known = np, plan, known
        self.memory: list[_Memory] = []
        self.packed: dict[int, Array] = {}
        given = iter((*range(len(program.inputs)), *constants))
        for buffer in plan.buffers:
            is_input = buffer.kind == "input"
            elements = self.given(next(given), buffer) if is_input else np.zeros(buffer.size, dtype=np.uint64)
            self.memory.append(_Memory(elements, np.full(buffer.size, is_input)))

    def given(self, which: Any, buffer: Any) -> Array:
        """Return the elements of an input, by number, or of a constant, by parameters."""
        if isinstance(which, int):
            return symbolic.of_input(self.np, which, buffer.size)
        out = Value("", (buffer.size,), buffer.dtype)
        return symbolic.computed(self.np, "new", which, (), (), (out,))[0]

    def items(self, items: Iterable[Any], turns: list[int]) -> None:
        """Run items in order, at these steps of the enclosing loops."""
        for number, item in enumerate(items):
            if isinstance(item, Loop):
                for t in reversed(range(item.length)) if item.reverse else range(item.length):
                    self.items(item.body, [*turns, t])
                continue
            if isinstance(item, Rows):
                for row in reversed(range(item.number)):
                    self.items([_of_row(i, row, item.columns) for i in item.body], turns)
                continue
            where = f"item {number}, {_described(item)}" + (
                f", at step {', '.join(map(str, turns))}" if turns else ""
            )
            if isinstance(item, Pack):
                self.packed[item.packed] = self.read(item.b, turns, where)
            elif isinstance(item, Gemm):
                self.run_gemm(item, turns, where)
            elif isinstance(item, Call):
                self.run_call(item, turns, where)
            else:
                self.run_map(item, turns, where)

    def addresses(self, ref: Ref, turns: Sequence[int], where: str) -> Array:
        """Return the offsets of a ref's elements in its buffer."""
        np = self.np
        found = np.asarray(ref.offset + sum(t * s for t, s in zip(turns, ref.steps)))
        for n, s in zip(ref.shape, ref.strides, strict=True):
            found = found[..., None] + np.arange(n) * s
        size = self.plan.buffers[ref.buffer].size
        if found.size and not 0 <= found.min() <= found.max() < size:
            raise PlanError(
                f"{where}: elements {found.min()} to {found.max()} of buffer {ref.buffer}, which has {size}"
            )
        return found

    def read(self, ref: Ref, turns: Sequence[int], where: str) -> Array:
        """Read a ref's elements."""
        at, memory = self.addresses(ref, turns, where), self.memory[ref.buffer]
        if not memory.defined[at].all():
            raise PlanError(f"{where}: reads what was never written, in buffer {ref.buffer}")
        return memory.elements[at]

    def write(self, ref: Ref, turns: Sequence[int], x: Array, where: str, read: Sequence[Array]) -> None:
        """Write `x` to a ref."""
        at, memory = self.addresses(ref, turns, where), self.memory[ref.buffer]
        if self.plan.buffers[ref.buffer].kind == "input":
            raise PlanError(f"{where}: writes to an input")
        if self.np.unique(at).size != at.size:
            raise PlanError(f"{where}: writes an element twice, in buffer {ref.buffer}")
        if self.known is not None and any(
            int(e) not in self.known and int(e) != 0 for e in self.np.unique(x)
        ):
            names = [
                ", ".join(sorted({self.known.get(int(e), "a number") for e in self.np.unique(r)})[:3])
                for r in read
            ]
            raise PlanError(
                f"{where}: writes to buffer {ref.buffer} what no stage computes, from "
                f"{'; '.join(names) or 'nothing'}"
            )
        memory.elements[at] = x
        memory.defined[at] = True

    def run_gemm(self, item: Gemm, turns: Sequence[int], where: str) -> None:
        """Run one product, checking that BLAS can take its views."""
        if not (product_can_write(item.out) and product_can_read(item.a) and product_can_read(item.b)):
            raise PlanError(
                f"{where}: a product reads or writes a view without rows of neighbouring elements"
            )
        a, b = (self.read(r, turns, where) for r in (item.a, item.b))
        if item.packed is not None and not self.np.array_equal(self.packed[item.packed], b):
            raise PlanError(f"{where}: multiplies by a matrix that has changed since it was packed")
        for operand in (item.a, item.b):
            self.apart(item.out, operand, turns, where, equal=False)
        x = symbolic.product(self.np, a, b)
        if item.accumulate:
            x = symbolic.combined(
                self.np, "+", self.plan.buffers[item.out.buffer].dtype, [self.read(item.out, turns, where), x]
            )
        self.write(item.out, turns, x, where, [a, b])

    def run_call(self, item: Call, turns: Sequence[int], where: str) -> None:
        """Run one call of the array library, then store its results."""
        np = self.np
        args = [
            self.read(r, turns, where)
            if isinstance(r, Ref)
            else np.asarray(symbolic.literal(r), dtype=np.uint64)
            for r in item.args
        ]
        outs = [Value("", r.shape, self.plan.buffers[r.buffer].dtype) for r in item.outs]
        if item.op == "none":
            found = (np.broadcast_to(args[0], outs[0].shape),)
        else:
            dtypes = [self.plan.buffers[r.buffer].dtype if isinstance(r, Ref) else None for r in item.args]
            found = symbolic.computed(np, item.op, item.params, args, dtypes, outs)
        for r, x in zip(item.outs, found, strict=True):
            self.write(r, turns, x.reshape(r.shape), where, args)

    def run_map(self, item: Map, turns: Sequence[int], where: str) -> None:
        """Run one map: all loads, then all stores, as its refs are equal or disjoint."""
        outs = [r for _, r in item.stores] + [r.out for r in item.reductions]
        for i, out in enumerate(outs):
            for ref in (*(r for _, r in item.loads), *outs[:i]):
                self.apart(out, ref, turns, where, equal=i < len(item.stores))
        values = {v: self.read(r, turns, where) for v, r in item.loads}
        read = list(values.values())
        for step in item.steps:
            values[step.value] = self.step(step, values)
        for v, ref in item.stores:
            self.write(ref, turns, self.np.broadcast_to(values[v], item.shape), where, read)
        for r in item.reductions:
            folded = tuple(a for a, s in enumerate(r.out.strides) if s == 0)
            kept = [a for a in range(len(item.shape)) if a not in folded]
            x = symbolic.folded(self.np, r.kind, self.np.broadcast_to(values[r.value], item.shape), folded)
            out = r.out._replace(
                shape=tuple(item.shape[a] for a in kept), strides=tuple(r.out.strides[a] for a in kept)
            )
            self.write(out, turns, x, where, read)

    def step(self, step: Step, values: dict[int, Array]) -> Array:
        """Compute one elementwise op."""
        args = [
            symbolic.literal(a) if literal else values[int(a)] for a, literal in zip(step.args, step.literal)
        ]
        return symbolic.combined(self.np, step.op, step.dtype, args)

    def apart(self, out: Ref, other: Ref, turns: Sequence[int], where: str, equal: bool) -> None:
        """Check that `out` and another ref of the same item do not overlap.

        With `equal`, they may also be the same.
        """
        if out.buffer != other.buffer or not prod(out.shape) or (equal and out == other):
            return
        if self.np.intersect1d(self.addresses(out, turns, where), self.addresses(other, turns, where)).size:
            raise PlanError(f"{where}: writes to buffer {out.buffer} where it also reads or writes otherwise")


def _of_row(item: Any, row: int, columns: bool) -> Any:
    """Return the item for one of the rows that threads share; for one column of a product, if `columns`."""
    if isinstance(item, Loop):
        return item._replace(body=tuple(_of_row(i, row, columns) for i in item.body))
    shape = item.shape if isinstance(item, Map) else item.out.shape
    axis = 1 if columns else next(a for a, n in enumerate(shape) if n != 1)

    def of(ref: Ref) -> Ref:
        lengths = (*ref.shape[:axis], 1, *ref.shape[axis + 1 :])
        return ref._replace(offset=ref.offset + row * ref.strides[axis], shape=lengths)

    if isinstance(item, Map):
        return with_refs(item._replace(shape=(*shape[:axis], 1, *shape[axis + 1 :])), of)
    stack = len(item.out.shape) > 2
    a, b = (r if whole and not stack else of(r) for r, whole in ((item.a, columns), (item.b, not columns)))
    return item._replace(out=of(item.out), a=a, b=b)


def _described(item: Map | Gemm | Call | Pack) -> str:
    if isinstance(item, Pack):
        return f"the packing of a matrix of {item.b.shape}"
    if isinstance(item, Call):
        return f"a call of {item.op}"
    if isinstance(item, Gemm):
        return f"a product of {item.a.shape} and {item.b.shape}"
    ops = [s.op for s in item.steps] + [r.kind for r in item.reductions]
    return f"a map over {item.shape} of {', '.join(ops)}" if ops else f"a copy of shape {item.shape}"
