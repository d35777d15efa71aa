"""What no later step needs leaves the loop at its end: computed for all steps at once after it.

The mirror of hoisting. Sums over time, as gradients of weights are, become one product of the rows of all steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...ops.reductions import normal_axes
from ..stages import Carry, Item, Loop, Names, Operand, Pair, Program, Stage, Value, rewritten, substitute
from .batching import batched
from .hoist import HEAVY, invariant
from .simplify import live

_CHEAP_TO_STACK = frozenset(("reshape", "transpose", "getitem", "broadcast_to", "neg"))


def defer(program: Program) -> Program:
    """Move stages behind loops, the innermost loops first."""
    names = Names(program)

    def change(item: Item) -> list[Item]:
        if not isinstance(item, Loop):
            return [item]
        same, loop = invariant(item)
        return [*same, *_Deferral(loop, names).run()]

    return replace(program, stages=tuple(rewritten(program.stages, change)))


class _Deferral:
    """One loop, whose stages move behind it."""

    def __init__(self, loop: Loop, names: Names) -> None:
        self.loop, self.names = loop, names
        self.made = {v: s for s in loop.stages if isinstance(s, Stage) for v in s.outputs}
        self.bound = {*loop.inner, *(v for s in loop.stages for v in s.outputs)}
        self.stacks = {x.inner: x.outer for x in loop.xs}
        self.new_ys: list[Pair] = []
        for y in loop.ys:
            if type(y.inner) is Value and y.inner in self.bound:
                self.stacks.setdefault(y.inner, y.outer)
        self.after: list[Stage] = []

    def run(self) -> list[Item]:
        """The loop, and what comes after it."""
        sums = self._sums()
        loop = replace(self.loop, carry=tuple(c for c in self.loop.carry if c not in sums))
        self.loop = replace(loop, stages=tuple(live(loop.stages, [*loop.results, *(y.inner for y in self.new_ys)])))
        self._ys()
        loop = replace(
            self.loop,
            ys=tuple(y for y in self.loop.ys if y.outer not in {v for s in self.after for v in s.outputs}) + tuple(self.new_ys),
        )
        return [replace(loop, stages=tuple(live(loop.stages, loop.results))), *self.after]

    # Stacked values

    def _stacked(self, v: Value) -> Value:
        """All the values of `v`, in the order of time."""
        if v not in self.stacks:
            self.stacks[v] = self.names.new((self.loop.length, *v.shape), v.dtype)
            self.new_ys.append(Pair(v, self.stacks[v]))
        return self.stacks[v]

    def _outside(self, v: Operand) -> tuple[Operand, bool]:
        """`v` after the loop: views are taken again of what they are views of."""
        if type(v) is not Value or v not in self.bound:
            return v, False
        stage = self.made.get(v)
        if v not in self.stacks and stage is not None and stage.op in _CHEAP_TO_STACK and len(stage.operands) == 1:
            found = batched(stage, self.loop.length, self._outside, self.names)
            if found is not None:
                self.after += found
                self.stacks[v] = found[-1].output
        return self._stacked(v), True

    # Outputs that no carry needs

    def _ys(self) -> None:
        needed = {c.next for c in self.loop.carry}
        for item in reversed(self.loop.stages):
            if not needed.isdisjoint(item.outputs):
                needed.update(item.values)
        free = [s for s in self.loop.stages if isinstance(s, Stage) and needed.isdisjoint(s.outputs)]
        targets = {y.inner: y.outer for y in self.loop.ys}
        sunk: list[Stage] = []
        outputs: set[Value] = set()
        for s in free:
            if s.op in HEAVY or not outputs.isdisjoint(s.values):
                sunk.append(s)
                outputs.update(s.outputs)
        others = [s for s in self.loop.stages if s not in sunk]
        if any(not outputs.isdisjoint(s.values) for s in others):
            return
        for v in outputs:
            self.stacks.pop(v, None)
        mark = len(self.after), len(self.new_ys), dict(self.stacks)
        for s in sunk:
            found = batched(s, self.loop.length, self._outside, self.names)
            if found is None:
                del self.after[mark[0] :], self.new_ys[mark[1] :]
                self.stacks = mark[2]
                return
            self.after += found
            self.stacks[s.output] = found[-1].output
        for inner, outer in targets.items():
            if inner in outputs:
                self._rename(self.stacks[inner], outer)
        for y in self.loop.ys:
            if y.inner in outputs and y.outer != targets[y.inner]:
                self.after.append(Stage("none", (targets[y.inner],), (y.outer,)))

    def _rename(self, old: Value, new: Value) -> None:
        """Let the stage that computes `old` compute `new`."""
        self.after = [substitute(replace(s, outputs=tuple(new if v == old else v for v in s.outputs)), {old: new}) for s in self.after]  # type: ignore[misc]
        self.stacks = {k: new if v == old else v for k, v in self.stacks.items()}

    # Sums over time

    def _sums(self) -> set[Carry]:
        """Take out the carries that only add something up, where their sums are better found from all steps at once."""
        uses: dict[Any, int] = {}
        for s in self.loop.stages:
            for v in s.values:
                uses[v] = uses.get(v, 0) + 1
        for result in self.loop.results:
            uses[result] = uses.get(result, 0) + 1
        done: set[Carry] = set()
        for c in self.loop.carry:
            stage = self.made.get(c.next) if type(c.next) is Value else None
            if stage is None or stage.op != "+" or uses.get(c.inner) != 1 or uses.get(c.next) != 1 or c.inner not in stage.operands:
                continue
            term = stage.operands[1 - stage.operands.index(c.inner)]
            if type(term) is not Value or term.shape != c.inner.shape or term not in self.bound or c.final is None or not self._pays(term):
                continue
            total = self._total(term)
            self._give(c, total)
            done.add(c)
        return done

    def _give(self, c: Carry, total: Value) -> None:
        assert c.final is not None
        if type(c.init) is not Value and c.init == 0:
            self.after.append(Stage("none", (total,), (c.final,)))
        else:
            self.after.append(Stage("+", (c.init, total), (c.final,)))

    def _pays(self, v: Value) -> bool:
        """Whether the sum of `v` over time is better found after the loop: from a product, or from what is kept anyway."""
        stage = self.made.get(v)
        if v in self.stacks:
            return True
        if stage is None or len(stage.outputs) != 1:
            return False
        if stage.op == "@":
            return all(type(u) is Value and u in self.bound and len(u.shape) == 2 for u in stage.operands)
        if stage.op == "+":
            return all(type(u) is Value and u.shape == v.shape and u in self.bound and self._pays(u) for u in stage.operands)
        if stage.op in ("sum", "scatter", *_CHEAP_TO_STACK) and len(stage.operands) == 1:
            (u,) = stage.operands
            return type(u) is Value and u in self.bound and (self._pays(u) or stage.op == "sum")
        return False

    def _total(self, v: Value) -> Value:
        """The sum of `v` over time."""
        stage = self.made.get(v)
        if stage is None or v in self.stacks or not self._is_linear(stage):
            return self._emit("sum", (self._stacked(v),), v, axis=(0,), keepdims=False)
        if stage.op == "@" and all(u in self.bound for u in stage.values):
            return self._product(stage)
        if stage.op == "sum":
            (x,) = stage.operands
            assert type(x) is Value
            if x in self.made and x not in self.stacks and self.made[x].op in ("@", "+"):
                return self._emit("sum", (self._total(x),), v, **stage.params)
            axes = (0, *(a + 1 for a in normal_axes(stage.params["axis"], len(x.shape))))
            keepdims = stage.params["keepdims"]
            total = self.names.new((1, *v.shape) if keepdims else v.shape, v.dtype)
            self.after.append(Stage("sum", (self._outside(x)[0],), (total,), {"axis": axes, "keepdims": keepdims}))
            return self._emit("reshape", (total,), v, shape=v.shape) if keepdims else total
        return self._emit(stage.op, tuple(self._total(u) if u in self.bound else u for u in stage.values), v, **stage.params)

    def _is_linear(self, stage: Stage) -> bool:
        """Whether the sum over time of what it gives is what it gives for sums over time."""
        if stage.op == "@":
            return all(len(u.shape) == 2 for u in stage.values)
        if stage.op == "+":
            return all(type(u) is Value and u.shape == stage.output.shape and u in self.bound for u in stage.operands)
        return stage.op in ("sum", "scatter", *_CHEAP_TO_STACK) and len(stage.operands) == 1

    def _product(self, stage: Stage) -> Value:
        """The sum over t of a_t @ b_t: the columns of all a beside each other, times the rows of all b."""
        a, b = stage.operands
        assert type(a) is Value
        assert type(b) is Value
        length, inner = self.loop.length, self.loop.length * a.shape[1]
        maker = self.made.get(a)
        if maker is not None and maker.op == "transpose" and a not in self.stacks:
            (x,) = maker.operands
            rows = self._emit("reshape", (self._outside(x)[0],), Value("", (inner, a.shape[0]), a.dtype), shape=(inner, a.shape[0]))
            left = self._emit("transpose", (rows,), Value("", (a.shape[0], inner), a.dtype), axes=None)
        else:
            moved = Value("", (a.shape[0], length, a.shape[1]), a.dtype)
            left = self._emit("transpose", (self._outside(a)[0],), moved, axes=(1, 0, 2))
            left = self._emit("reshape", (left,), Value("", (a.shape[0], inner), a.dtype), shape=(a.shape[0], inner))
        right = self._emit("reshape", (self._outside(b)[0],), Value("", (inner, b.shape[1]), b.dtype), shape=(inner, b.shape[1]))
        return self._emit("@", (left, right), stage.output)

    def _emit(self, op: str, operands: tuple[Operand, ...], like: Value, **params: Any) -> Value:
        out = self.names.new(like.shape, like.dtype)
        self.after.append(Stage(op, operands, (out,), params))
        return out
