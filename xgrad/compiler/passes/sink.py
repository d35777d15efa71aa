"""Sinking: stages that no later step needs move after the loop, and run for all steps at once.

The mirror image of hoisting. Sums over time, such as gradients of weights, become one product of the rows of
all steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...backends.dtypes import is_floating
from ...ops.axes import normal_axes
from ..ir import Carry, Item, Loop, Operand, Pair, Program, Stage, Value, rewritten
from ..names import Names
from .hoist import invariant, is_at_once
from .simplify import live
from .vectorise import batched


def sink(program: Program) -> Program:
    """Move stages after their loops, innermost loops first."""
    names = Names.beside(program)

    def change(item: Item) -> list[Item]:
        if not isinstance(item, Loop):
            return [item]
        same, loop = invariant(item)
        return [*same, *_Sinking(loop, names).run()]

    return replace(program, stages=tuple(rewritten(program.stages, change)))


def _is_cheap_to_stack(stage: Stage) -> bool:
    """Whether a stage is a view of one array, or a cheap linear function of it, such as negation.

    Ops that do nothing, such as the one that names a total, do not count.
    """
    op = stage.entry
    if len(stage.operands) != 1 or op is None:
        return False
    kernel = op.kernel
    return kernel.view or (
        op.elementwise and op.calculus.linear == "jointly" and kernel.cheap and kernel.cost != 0
    )


class _Sinking:
    """One loop, whose stages move after it.

    First it decides what moves: carries that only accumulate, and heavy stages that no other carry needs,
    with everything that depends on them. Then it writes these stages in the loop's order, so that nothing is
    read before it is computed. `stacks` maps a value to the stack of all its steps, `totals` to their sum.
    """

    def __init__(self, loop: Loop, names: Names) -> None:
        self.loop, self.names = loop, names
        self.made = {v: s for s in loop.stages if isinstance(s, Stage) for v in s.outputs}
        self.bound = {*loop.inner, *(v for s in loop.stages for v in s.outputs)}
        self.stacks = {x.inner: x.outer for x in loop.xs}
        self.ys: dict[Value, Value] = {}
        for y in loop.ys:
            if type(y.inner) is Value and y.inner in self.bound:
                self.ys.setdefault(y.inner, y.outer)
        self.kept = {*self.stacks, *self.ys}  # values that are stacked anyway
        self.totals: dict[Value, Value] = {}
        self.new_ys: list[Pair] = []
        self.after: list[Item] = []

    def run(self) -> list[Item]:
        """Return the loop, and the stages after it."""
        sums = self._sums()
        carry = tuple(c for c in self.loop.carry if c not in sums)
        sunk = self._sinkable({c.next for c in carry})
        self.stacks.update((inner, outer) for inner, outer in self.ys.items() if inner not in sunk)
        self._sink(sunk)
        self._add_up(sums)
        results = [*(c.final for c in sums), *(y.outer for y in self.loop.ys)]
        after = live(self.after, [v for v in results if v is not None])
        read = {v for s in after for v in s.values}
        ys = tuple(y for y in self.loop.ys if y.inner not in sunk) + tuple(
            y for y in self.new_ys if y.outer in read
        )
        loop = replace(self.loop, carry=carry, ys=ys)
        return [replace(loop, stages=tuple(live(loop.stages, loop.results))), *after]

    # Stacked values

    def _stacked(self, v: Value) -> Value:
        """Return the stack of all values of `v`, in order of time."""
        if v not in self.stacks:
            self.stacks[v] = self.names.new((self.loop.length, *v.shape), v.dtype)
            self.new_ys.append(Pair(v, self.stacks[v]))
        return self.stacks[v]

    def _outside(self, v: Operand) -> tuple[Operand, bool]:
        """Return `v` as seen after the loop; views are rebuilt from their source."""
        if type(v) is not Value or v not in self.bound:
            return v, False
        views: list[Stage] = []
        source = v
        while (
            source not in self.stacks
            and (stage := self.made.get(source)) is not None
            and self._is_view(stage)
        ):
            views.append(stage)
            (source,) = stage.values
        for stage in reversed(views):
            self._move(stage)
        return self._stacked(v), True

    def _is_view(self, stage: Stage) -> bool:
        return _is_cheap_to_stack(stage) and self._can_move(stage)

    def _can_move(self, item: Item) -> bool:
        """Whether all steps of the item can be computed at once."""
        probe = lambda v: (
            (Value("", (self.loop.length, *v.shape), v.dtype), True) if v in self.bound else (v, False)
        )
        return isinstance(item, Stage) and batched(item, self.loop.length, probe, self.names) is not None

    def _move(self, stage: Stage) -> None:
        """Compute all steps of a stage after the loop."""
        found = batched(stage, self.loop.length, self._outside, self.names)
        assert found is not None
        *before, last = found
        if stage.output in self.ys:
            last = replace(last, outputs=(self.ys[stage.output],))
        self.after += [*before, last]
        self.stacks[stage.output] = last.output

    # Outputs that no carry needs

    def _sinkable(self, staying: set[Operand]) -> set[Value]:
        """Return the heavy stages' values that `staying` does not need, and the values computed from them."""
        while True:
            for item in reversed(self.loop.stages):
                if not staying.isdisjoint(item.outputs):
                    staying.update(item.values)
            sunk: set[Value] = set()
            stuck: set[Value] = set()
            for item in self.loop.stages:
                heavy = isinstance(item, Stage) and is_at_once(item)
                if staying.isdisjoint(item.outputs) and (heavy or not sunk.isdisjoint(item.values)):
                    sunk.update(item.outputs)
                    if not self._can_move(item):
                        stuck.update(item.outputs)
            if not stuck:
                return sunk
            staying |= stuck  # including everything that it depends on

    def _sink(self, sunk: set[Value]) -> None:
        """Compute `sunk` after the loop."""
        for item in self.loop.stages:
            if not sunk.isdisjoint(item.outputs):
                assert isinstance(item, Stage)
                self._move(item)
        for y in self.loop.ys:
            if y.inner in sunk and y.outer != self.ys[y.inner]:
                self.after.append(Stage("none", (self.ys[y.inner],), (y.outer,)))

    # Sums over time

    def _sums(self) -> dict[Carry, Value]:
        """Return the carries that are better accumulated for all steps at once, and their addends.

        Only floating point: a sum of integers would be wider than the carry, which may overflow, and saves
        little.
        """
        uses: dict[Any, int] = {}
        for s in self.loop.stages:
            for v in s.values:
                uses[v] = uses.get(v, 0) + 1
        for result in self.loop.results:
            uses[result] = uses.get(result, 0) + 1
        pays = self._worth_summing()
        found: dict[Carry, Value] = {}
        for c in self.loop.carry:
            stage = self.made.get(c.next) if type(c.next) is Value else None
            if (
                stage is None
                or stage.op not in ("+", "-")
                or uses.get(c.inner) != 1
                or uses.get(c.next) != 1
                or c.inner not in (stage.operands if stage.op == "+" else stage.operands[:1])
            ):
                continue
            term = stage.operands[1 - stage.operands.index(c.inner)]
            if (
                type(term) is Value
                and term[1:] == c.inner[1:]
                and term in pays
                and c.final is not None
                and is_floating(c.inner.dtype)
            ):
                found[c] = term
        return found

    def _worth_summing(self) -> set[Value]:
        """Return the values that are better summed after the loop: products, and values stacked anyway."""
        found = set(self.kept)
        for s in self.loop.stages:
            if not isinstance(s, Stage) or len(s.outputs) != 1:
                continue
            if s.op == "@":
                pays = self._is_linear(s) and self.bound.issuperset(s.values)
            elif s.op == "untake":
                pays = self._adds_rows(s)
            else:
                pays = self._is_linear(s) and (s.op == "sum" or found.issuperset(s.values))
            if pays:
                found.add(s.output)
        return found

    def _add_up(self, sums: dict[Carry, Value]) -> None:
        """Compute the sums after the loop, each from the sums of its parts."""
        wanted = set(sums.values())
        for s in reversed(self.loop.stages):
            if isinstance(s, Stage) and not wanted.isdisjoint(s.outputs):
                wanted.update(self._parts(s))
        for v in [*self.loop.inner, *(v for s in self.loop.stages for v in s.outputs)]:
            if v in wanted:
                self.totals[v] = self._total(v)
        for c, term in sums.items():
            assert c.final is not None
            stage = self.made[c.next]  # type: ignore[index]  # of a sum it is a value
            zero = type(c.init) is not Value and c.init == 0 and stage.op == "+"
            operands = (self.totals[term],) if zero else (c.init, self.totals[term])
            self.after.append(Stage("none" if zero else stage.op, operands, (c.final,)))

    def _parts(self, stage: Stage) -> tuple[Value, ...]:
        """Return the values whose sums over time suffice to compute the sum of the stage's output."""
        if any(v in self.kept for v in stage.outputs) or not self._is_linear(stage):
            return ()
        if stage.op == "@":
            inside = tuple(u for u in stage.values if u in self.bound)
            return inside if len(inside) == 1 else ()
        if stage.op == "sum":
            (x,) = stage.values
            return (x,) if x not in self.kept and x in self.made and self.made[x].op in ("@", "+") else ()
        return stage.values

    def _is_linear(self, stage: Stage) -> bool:
        """Whether the sum over time of its output is its output for the sums over time."""
        if stage.op == "@":
            return all(len(u.shape) == 2 and u.dtype == stage.output.dtype for u in stage.values)
        if stage.op in ("+", "-"):
            return all(
                type(u) is Value and u[1:] == stage.output[1:] and u in self.bound for u in stage.operands
            )
        return (
            (stage.op in ("sum", "scatter") or _is_cheap_to_stack(stage))
            and len(stage.operands) == 1
            and stage.values[0] in self.bound
        )

    def _adds_rows(self, stage: Stage) -> bool:
        """Whether a stage adds rows at indices of the step, as the gradient of an embedding does."""
        return stage.op == "untake" and stage.params["axis"] == 0 and self.bound.issuperset(stage.operands)

    def _total(self, v: Value) -> Value:
        """Return the sum of `v` over time."""
        stage = self.made.get(v)
        if stage is not None and v not in self.kept and self._adds_rows(stage):
            return self._rows_added(stage)
        if stage is None or v in self.kept or not self._is_linear(stage):
            return self._emit("sum", (self._outside(v)[0],), v, axis=(0,), keepdims=False)
        if self._parts(stage):
            return self._emit(stage.op, tuple(self.totals.get(u, u) for u in stage.values), v, **stage.params)
        if stage.op == "@":
            return self._product(stage)
        (x,) = stage.values
        axes = (0, *(a + 1 for a in normal_axes(stage.params["axis"], len(x.shape))))
        keepdims = stage.params["keepdims"]
        total = Value("", (1, *v.shape) if keepdims else v.shape, v.dtype)
        total = self._emit("sum", (self._outside(x)[0],), total, axis=axes, keepdims=keepdims)
        return self._emit("reshape", (total,), v, shape=v.shape) if keepdims else total

    def _rows_added(self, stage: Stage) -> Value:
        """Return the sum of what adds rows at indices: the rows of all steps, added at once."""
        rows, indices = stage.values
        count, rest = self.loop.length * indices.size, rows.shape[len(indices.shape) :]
        flat = [
            self._emit("reshape", (self._outside(v)[0],), Value("", shape, v.dtype), shape=shape)
            for v, shape in ((rows, (count, *rest)), (indices, (count,)))
        ]
        return self._emit("untake", tuple(flat), stage.output, **stage.params)

    def _product(self, stage: Stage) -> Value:
        """Return the sum over t of a_t @ b_t: all a side by side, times all b stacked as rows."""
        a, b = stage.values
        length, inner = self.loop.length, self.loop.length * a.shape[1]
        maker = self.made.get(a)
        if maker is not None and maker.op == "transpose" and a not in self.stacks:
            (x,) = maker.operands
            rows = self._emit(
                "reshape",
                (self._outside(x)[0],),
                Value("", (inner, a.shape[0]), a.dtype),
                shape=(inner, a.shape[0]),
            )
            left = self._emit("transpose", (rows,), Value("", (a.shape[0], inner), a.dtype), axes=None)
        else:
            moved = Value("", (a.shape[0], length, a.shape[1]), a.dtype)
            left = self._emit("transpose", (self._outside(a)[0],), moved, axes=(1, 0, 2))
            left = self._emit(
                "reshape", (left,), Value("", (a.shape[0], inner), a.dtype), shape=(a.shape[0], inner)
            )
        right = self._emit(
            "reshape",
            (self._outside(b)[0],),
            Value("", (inner, b.shape[1]), b.dtype),
            shape=(inner, b.shape[1]),
        )
        return self._emit("@", (left, right), stage.output)

    def _emit(self, op: str, operands: tuple[Operand, ...], like: Value, **params: Any) -> Value:
        out = self.names.new(like.shape, like.dtype)
        self.after.append(Stage(op, operands, (out,), params))
        return out
