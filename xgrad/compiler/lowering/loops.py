"""Lowering of loops: where carries live between steps, and where slices are read and written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..ir import Carry, Item, Loop, Stage, Value
from . import plan
from .parallel_copy import Move, in_order, interfere
from .plan import Ref
from .views import index, may_overlap, renamed, slots, stepping

if TYPE_CHECKING:
    from .lower import Lowering


def lower_loop(at: Lowering, loop: Loop) -> None:
    """Add a loop to a plan."""
    _LoopLowering(at, loop).run()


class _LoopLowering:
    """Lowers one loop.

    A carry whose every value is kept has a `history` of T + 1 slots: each step reads one slot and writes the
    next. The stacked values before and after the steps are views of it. Any other carry has a `state` that
    each step overwrites.
    """

    def __init__(self, at: Lowering, loop: Loop) -> None:
        self.at, self.loop = at, loop
        self.histories: dict[Carry, Ref] = {}
        self.states: dict[Carry, Ref] = {}
        self.written: dict[Value, Value] = {}  # values inside, and the stacks they are computed into
        self.first = 0  # the first of the buffers that are live only within one step

    def run(self) -> None:
        at, loop = self.at, self.loop
        at.compute([v for v in loop.values if v not in at.done])
        self._outside()
        self.first = len(at.buffers)
        body = at.inside()
        self._inside(body)
        body.lower_stages(loop.stages, [v for v in loop.results if type(v) is Value])
        self._write(body)
        at.items.append(plan.Loop(loop.length, loop.reverse, tuple(body.items)))
        self._after()

    def _outside(self) -> None:
        """Allocate histories, states and stacks, and initialise the carries."""
        at, loop = self.at, self.loop
        for c in loop.carry:
            before = next((y for y in loop.ys if y.inner == c.inner), None)
            after = None
            if type(c.next) is Value and c.next != c.inner:
                after = next((y for y in loop.ys if y.inner == c.next and y.inner not in self.written), None)
            kept = [y for y in (before, after) if y is not None]
            if not kept or any(y.outer in at.place for y in kept):
                self.states[c] = at.buffer("scratch", c.inner)
                at.assign(c.init, self.states[c])
                continue
            history = self.histories[c] = at.buffer("scratch", c.inner, loop.length + 1)
            early, late = slots(history, 0, loop.length), slots(history, 1, loop.length + 1)
            for y in kept:
                at.place[y.outer] = early if (y is before) != loop.reverse else late
                at.done.add(y.outer)
                if type(y.inner) is Value:
                    self.written.setdefault(y.inner, y.outer)
            at.assign(c.init, index(history, 0, loop.length if loop.reverse else 0))
        for y in loop.ys:
            if y.outer not in at.done:
                at.home(y.outer)
                if y.inner not in self.written and self._is_computed(y.inner):
                    self.written[y.inner] = y.outer

    def _is_computed(self, v: object) -> bool:
        """Whether a stage computes `v`, so that its place can be chosen."""
        stage = self.at.made.get(v) if type(v) is Value else None
        return stage is not None and not stage.is_view

    def _slots(self, c: Carry) -> tuple[Ref, Ref]:
        """Return where a step reads a carry with a history, and where it writes the next value."""
        history = self.histories[c]
        low = stepping(slots(history, 0, self.loop.length))
        high = low._replace(offset=low.offset + history.strides[0])
        return (high, low) if self.loop.reverse else (low, high)

    def _inside(self, body: Lowering) -> None:
        """Set where a step finds its inputs and computes its results."""
        at, loop = self.at, self.loop
        for x in loop.xs:
            at.place[x.inner] = stepping(self._stack(x.outer))
            at.done.add(x.inner)
            if len(at.users.get(x.inner, [])) == 1 and self._is_last_reader(x.outer):
                body.spare.add(x.inner)
        for c in loop.carry:
            at.done.add(c.inner)
            if c in self.states:
                at.place[c.inner] = self.states[c]._replace(steps=(*self.states[c].steps, 0))
                continue
            at.place[c.inner], late = self._slots(c)
            if type(c.next) is Value and c.next not in at.place and self._is_computed(c.next):
                at.place[c.next] = late
        for inner, outer in self.written.items():
            if inner not in at.place:
                at.place[inner] = stepping(self._stack(outer))

    def _stack(self, v: Value) -> Ref:
        """Return the place of `v` outside the loop."""
        return self.at.ref(v)

    def _write(self, body: Lowering) -> None:
        """Copy the values that were not computed in place, and update the carries."""
        for y in self.loop.ys:
            target = stepping(self._stack(y.outer))
            body.copy(body.ref(y.inner) if type(y.inner) is Value else y.inner, target)
        for c in self.states:
            if self._may_overwrite(c, body):
                self._overwrite(c, body)
        moves = [self._move(c, body) for c in self.loop.carry]
        for source, place in in_order(
            moves, lambda r: body.buffer("scratch", Value("", r.shape, body.buffers[r.buffer].dtype))
        ):
            body.copy(source, place)

    def _move(self, c: Carry, body: Lowering) -> Move:
        """Return the move from a carry's next value to where the next step reads it."""
        source = body.ref(c.next) if isinstance(c.next, Value) else c.next
        return source, self._slots(c)[1] if c in self.histories else body.place[c.inner]

    def _may_overwrite(self, c: Carry, body: Lowering) -> bool:
        """Whether a step may compute a carry's next value in place of the old one."""
        at, (new, old) = body, self._move(c, body)
        if not isinstance(new, Ref) or new.buffer < self.first or new._replace(buffer=old.buffer) != old:
            return False
        if at.buffers[new.buffer] != at.buffers[old.buffer]:  # another dtype, or part of a larger buffer
            return False
        if any(
            isinstance(r, Ref) and r.buffer == old.buffer
            for r, _ in (self._move(other, body) for other in self.loop.carry)
        ):
            return False
        return not interfere(at.items, new, old)

    def _overwrite(self, c: Carry, body: Lowering) -> None:
        new, old = self._move(c, body)
        assert isinstance(new, Ref)
        body.items[:] = [renamed(item, new.buffer, old.buffer) for item in body.items]
        body.place.update(
            {v: r._replace(buffer=old.buffer) for v, r in body.place.items() if r.buffer == new.buffer}
        )

    def _after(self) -> None:
        """Set the places of the final carries."""
        at, loop = self.at, self.loop
        for c in loop.carry:
            if c.final is None:
                continue
            last = (
                index(self.histories[c], 0, 0 if loop.reverse else loop.length)
                if c in self.histories
                else self.states[c]
            )
            if c.final in at.place:
                at.copy(last, at.place[c.final])
            else:
                at.place[c.final] = last
            at.done.add(c.final)
        at.done.update(y.outer for y in loop.ys)

    def _is_last_reader(self, v: Value) -> bool:
        """Whether this loop is the only reader of the memory of `v`.

        It must read it once, in parts that do not overlap.
        """
        at, buffer = self.at, self.at.place[v].buffer
        if at.buffers[buffer].kind != "scratch" or at.depths[buffer] != at.depth:
            return False
        slices = {x.inner for x in self.loop.xs}
        for u, place in at.place.items():
            if (
                place.buffer == buffer
                and u not in slices
                and any(r is not self.loop for r in self._readers(u))
            ):
                return False
        parts = [at.place[x.outer] for x in self.loop.xs if at.place[x.outer].buffer == buffer]
        return not any(may_overlap(a, b) for i, a in enumerate(parts) for b in parts[:i])

    def _readers(self, v: Value) -> Iterator[Item | None]:
        """Yield the readers of the memory of `v`, also through views; None stands for a program output."""
        waiting = [v]
        while waiting:
            for user in self.at.users.get(waiting.pop(), []):
                if isinstance(user, Stage) and user.is_view:
                    waiting.append(user.output)
                else:
                    yield user
