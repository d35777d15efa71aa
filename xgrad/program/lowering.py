"""From an optimised program to a plan: every value gets a place in memory, elementwise stages are fused into maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

from ..ops import OPS
from ..ops.reductions import normal_axes
from . import plans
from .memory import shared_memory
from .places import contiguous, disjoint, is_contiguous, refs, renamed, reshaped, sliced, transposed
from .plans import Buffer, Gemm, Map, Ref, Step
from .stages import Carry, Item, Loop, Operand, Program, Stage, Value
from .vector_ops import SUPPORTED

DTYPES = frozenset(("float32", "float64", "bool", "int32", "int64"))
CHEAP = frozenset("+ - * neg < <= > >= == != where abs none maximum minimum astype new".split())
VIEWS = frozenset(("transpose", "reshape", "getitem", "broadcast_to", "after"))
REDUCTIONS = frozenset(("sum", "max", "min"))


class Unsupported(Exception):
    """A stage that this executor has no kernel for."""


class Lowered(NamedTuple):
    """A plan, and where the program's outputs are in it."""

    plan: plans.Plan
    outputs: tuple[Ref, ...]


def lower(program: Program, *, recompute: bool = True) -> Lowered:
    """The plan of a program. With `recompute`, cheap values are computed again in each map that needs them.

    Raises Unsupported, naming the stage, where there is no kernel for it.
    """
    return _Lowering(program, recompute).run()


class _Lowering:
    def __init__(self, program: Program, recompute: bool) -> None:
        self.program, self.recompute = program, recompute
        self.buffers: list[Buffer] = []
        self.place: dict[Value, Ref] = {}  # of what is in memory, or will be when it is computed
        self.done: set[Value] = set()  # what has been computed into its place
        self.depth = 0
        self.body: list[Any] = []
        self.made: dict[Value, Stage] = {}
        self.users: dict[Value, list[Item | None]] = {}
        for v in program.inputs:
            _check(v)
            self.place[v] = self._buffer("input", v)
            self.done.add(v)
        self._note(program.stages, program.outputs)

    def run(self) -> Lowered:
        outputs = [v for v in dict.fromkeys(self.program.outputs) if type(v) is Value]
        for stage in self.program.stages:
            if isinstance(stage, Stage) and stage.output in outputs and stage.op not in VIEWS:
                self.place[stage.output] = self._buffer("output", stage.output)
        self.wanted = set(outputs)
        self._stages(self.program.stages, outputs)
        found = []
        taken: set[int] = set()
        for v in self.program.outputs:
            value = v if type(v) is Value else Value("", (), "float64")
            ref = self.place.get(value)
            if ref is None or self.buffers[ref.buffer].kind == "input" or not is_contiguous(ref) or ref.buffer in taken & {r.buffer for r in found if r == ref}:
                copy = self._buffer("output", value)
                self._copy(v if type(v) is not Value else ref, copy)  # type: ignore[arg-type]
                ref = copy
            elif self.buffers[ref.buffer].kind == "scratch":
                self.buffers[ref.buffer] = self.buffers[ref.buffer]._replace(kind="output")
            taken.add(ref.buffer)
            found.append(ref)
        return Lowered(shared_memory(plans.Plan(tuple(self.buffers), tuple(self.body))), tuple(found))

    # What is used where

    def _note(self, stages: Iterable[Item], results: Iterable[Operand]) -> None:
        for item in stages:
            for v in item.values if isinstance(item, Stage) else [*(c.init for c in item.carry), *(x.outer for x in item.xs)]:
                if type(v) is Value:
                    self.users.setdefault(v, []).append(item)
            if isinstance(item, Stage):
                for out in item.outputs:
                    _check(out)
                self.made.update((out, item) for out in item.outputs)
            else:
                self._note(item.stages, item.results)
        for r in results:
            if type(r) is Value:
                self.users.setdefault(r, []).append(None)

    # Memory

    def _buffer(self, kind: str, v: Value, slots: int = 0) -> Ref:
        shape = (slots, *v.shape) if slots else v.shape
        self.buffers.append(Buffer(kind, prod(shape), v.dtype))
        return contiguous(len(self.buffers) - 1, shape, self.depth)

    def _ref(self, v: Value) -> Ref:
        """Where `v` is, seen from here."""
        ref = self.place[v]
        return ref._replace(steps=(*ref.steps, *(0,) * (self.depth - len(ref.steps))))

    def _home(self, v: Value) -> Ref:
        """The place that `v` is to be computed into."""
        if v not in self.place:
            self.place[v] = self._buffer("scratch", v)
        return self._ref(v)

    # Stages

    def _stages(self, stages: Sequence[Item], results: Sequence[Value]) -> None:
        self._join(stages)
        local = {out for s in stages for out in s.outputs}
        for item in stages:
            if isinstance(item, Loop):
                self._loop(item)
            elif not _elementwise(item) and item.op not in VIEWS:
                self._anchor(item)
        self._compute([v for v in results if v in local])

    def _join(self, stages: Sequence[Item]) -> None:
        """Let the parts of a concat be computed where they belong in it."""
        local = {out: s for s in stages if isinstance(s, Stage) for out in s.outputs}
        for item in reversed(stages):
            if not isinstance(item, Stage) or item.op != "concat":
                continue
            whole, at = self._home(item.output), 0
            axis = item.params["axis"] % len(item.output.shape)
            for v in item.operands:
                assert type(v) is Value
                stage = local.get(v)
                if v not in self.place and stage is not None and stage.op not in VIEWS and v.dtype == item.output.dtype and item.operands.count(v) == 1:
                    self.place[v] = sliced(whole, [(at, at + v.shape[axis]) if a == axis else (0, n) for a, n in enumerate(v.shape)])
                at += v.shape[axis]

    def _anchor(self, stage: Stage) -> None:
        out = stage.output
        if stage.op in ("@", "@+"):
            self._product(stage)
        elif stage.op in REDUCTIONS:
            self._reduction(stage)
        elif stage.op == "concat":
            whole, at = self._home(out), 0
            axis = stage.params["axis"] % len(out.shape)
            self._compute([v for v in stage.operands if type(v) is Value])
            for v in stage.operands:
                assert type(v) is Value
                part = sliced(whole, [(at, at + v.shape[axis]) if a == axis else (0, n) for a, n in enumerate(v.shape)])
                if self._ref(v) != part:
                    self._copy(self._ref(v), part)
                at += v.shape[axis]
        elif stage.op == "stack":
            whole, axis = self._home(out), stage.params["axis"] % len(out.shape)
            for i, v in enumerate(stage.operands):
                self._assign(v, _index(whole, axis, i))
        elif stage.op in ("setitem", "scatter"):
            self._assignment(stage)
        else:
            raise Unsupported(f"{stage.op!r} of {', '.join(str(v.shape) for v in stage.values)}")
        self.done.add(out)

    def _assign(self, v: Operand, ref: Ref) -> None:
        if type(v) is Value:
            self._compute([v])
            self._copy(self._ref(v), ref)
        else:
            self._copy(v, ref)

    def _assignment(self, stage: Stage) -> None:
        whole = self._home(stage.output)
        target = _viewed(whole, stage.params["key"])
        if target is None or len(stage.operands) != (2 if stage.op == "setitem" else 1):
            raise Unsupported(f"{stage.op!r} at {stage.params['key']}")
        x, v = stage.operands if stage.op == "setitem" else (0.0, stage.operands[0])
        self._assign(x, whole)
        if type(v) is Value:
            self._compute([v])
            ref = self._ref(v)
            if prod(ref.shape) != prod(target.shape):
                missing = len(target.shape) - len(ref.shape)
                if missing < 0:
                    raise Unsupported("an assignment of more axes")
                ref = _broadcast(ref, target.shape)
            elif ref.shape != target.shape:
                again = reshaped(ref, target.shape)
                if again is None:
                    raise Unsupported("an assignment of another shape")
                ref = again
            self._copy(ref, target)
        else:
            self._copy(v, target)

    def _copy(self, source: Ref | Any, target: Ref) -> None:
        dtype = self.buffers[target.buffer].dtype
        if isinstance(source, Ref):
            if source == target:
                return
            source = _broadcast(source, target.shape)
            steps = (Step(1, "astype", (0,), (False,), dtype),) if self.buffers[source.buffer].dtype != dtype else ()
            self.body.append(Map(target.shape, ((0, source),), steps, ((len(steps), target),)))
        else:
            self.body.append(Map(target.shape, (), (Step(0, "none", (source,), (True,), dtype),), ((0, target),)))

    # Products

    def _product(self, stage: Stage) -> None:
        *base, a, b = stage.operands
        assert type(a) is Value
        assert type(b) is Value
        if not stage.output.dtype.startswith("float") or a.dtype != b.dtype:
            raise Unsupported(f"'@' of {a.dtype} and {b.dtype}")
        out = stage.output
        if base:
            self._base(base[0], out)
        self._compute([a, b])
        x, y, z = self._matrix(a), self._matrix(b), self._home(out)
        if len(a.shape) == 1:
            x, z = _with_axis(x, 0), _with_axis(z, len(z.shape) - (len(b.shape) > 1))
        if len(b.shape) == 1:
            y, z = _with_axis(y, 1), _with_axis(z, len(z.shape))
        if len(y.shape) == 2 and len(x.shape) > 2:
            flat_x, flat_z = reshaped(x, (prod(x.shape[:-1]), x.shape[-1])), reshaped(z, (prod(z.shape[:-1]), z.shape[-1]))
            if flat_x is not None and flat_z is not None:
                x, z = flat_x, flat_z
        if len(z.shape) > 3:
            raise Unsupported("a product of stacks of stacks")
        if len(z.shape) == 3:
            x, y = (_broadcast(r, (z.shape[0], *r.shape[-2:])) for r in (x, y))
        self.body.append(Gemm(z, x, y, bool(base)))

    def _matrix(self, v: Value) -> Ref:
        """Where `v` is, copied where a product could not read it there."""
        ref = self._ref(v)
        if _product_can_read(ref):
            return ref
        self.depth, depth = len(ref.steps), self.depth
        copy = self._buffer("scratch", v)
        self.depth = depth
        copy = copy._replace(steps=(0,) * self.depth)
        self._copy(ref, copy)
        return copy

    def _base(self, base: Operand, out: Value) -> None:
        """Put `base` where the product will be added to it."""
        if type(base) is Value and base not in self.done and base in self.made and self.users[base] == [self.made[out]] and base not in self.place:
            if _elementwise(self.made[base]):
                self.place[base] = self._home(out)
                self._compute([base])
                return
        if type(base) is Value and out not in self.place and base in self.spare:
            self.place[out] = self._ref(base)
            return
        self._assign(base, self._home(out))

    @property
    def spare(self) -> set[Value]:
        """Values whose places may be overwritten by the only stage that reads them."""
        return self._spare

    _spare: set[Value] = set()  # noqa: RUF012 - replaced, never changed

    # Maps

    def _compute(self, values: Iterable[Value]) -> None:
        """See to it that `values` are in memory."""
        missing: dict[tuple[int, ...], list[Value]] = {}
        for v in dict.fromkeys(values):
            if v in self.done:
                continue
            stage = self.made[v]
            if stage.op in VIEWS:
                self._view(stage)
            elif _elementwise(stage):
                missing.setdefault(v.shape, []).append(v)
            else:
                raise Unsupported(f"{stage.op!r} out of order")
        for shape, found in missing.items():
            found = [v for v in found if v not in self.done]
            if found:
                self._map(shape, found)

    def _map(self, shape: tuple[int, ...], values: Sequence[Value], reductions: Sequence[tuple[Value, str, Ref]] = ()) -> None:
        """One map that computes `values`, with what they need and nobody has computed yet."""
        order: dict[Value, int] = {}
        loads: list[tuple[int, Ref]] = []
        steps: list[Step] = []
        included: list[Value] = []

        def visit(v: Value) -> int:
            if v in order:
                return order[v]
            stage = self.made.get(v)
            if v in self.done or stage is None or not _elementwise(stage) or v.shape != shape:
                self._compute([v])
                order[v] = len(order)
                loads.append((order[v], _broadcast(self._ref(v), shape)))
                return order[v]
            operands = stage.operands
            if stage.op == "new":
                args: tuple[Any, ...] = (_filling(stage),)
            else:
                args = tuple(visit(u) if type(u) is Value else u for u in operands)
            literal = tuple(type(u) is not Value for u in operands) if stage.op != "new" else (True,)
            order[v] = len(order)
            steps.append(Step(order[v], "none" if stage.op == "new" else "astype" if stage.op == "round_to" else stage.op, args, literal, v.dtype))
            included.append(v)
            return order[v]

        for v in values:
            visit(v)
        for v, _, _ in reductions:
            visit(v)
        stored = [v for v in included if v in values or self._worth_storing(v, included)]
        stores = tuple((order[v], self._home(v)) for v in stored)
        folds = tuple(plans.Reduction(order[v], kind, ref) for v, kind, ref in reductions)
        self.body.append(Map(shape, tuple(loads), tuple(steps), stores, folds))
        self.done.update(stored)

    def _worth_storing(self, v: Value, included: list[Value]) -> bool:
        """Whether `v`, which is at hand now, is read by something that cannot or should not compute it again."""
        if v in self.place:
            return True
        inside = {id(self.made[u]) for u in included}
        later = [u for u in self.users.get(v, []) if id(u) not in inside]
        if not later:
            return False
        stage = self.made[v]
        if stage.op not in CHEAP or not self.recompute:
            return True
        return any(u is None or isinstance(u, Loop) or not _elementwise(u) or u.output.shape != v.shape for u in later)

    def _view(self, stage: Stage) -> None:
        x, out = stage.operands[0], stage.output
        if type(x) is not Value or (len(stage.operands) > 1 and stage.op != "after"):
            raise Unsupported(f"{stage.op!r} by an array")
        self._compute([x])
        ref = self._ref(x)
        view: Ref | None
        if stage.op == "after":
            view = ref
        elif stage.op == "transpose":
            axes = stage.params.get("axes")
            view = transposed(ref, tuple(reversed(range(len(x.shape)))) if axes is None else normal_axes(tuple(axes), len(x.shape)))
        elif stage.op == "reshape":
            view = reshaped(ref, out.shape)
        elif stage.op == "broadcast_to":
            view = _broadcast(ref, out.shape)
        else:
            view = _viewed(ref, stage.params["key"])
            if view is None:
                raise Unsupported(f"'getitem' by {stage.params['key']}")
        if view is None:  # a reshape that has to move elements
            copy = self._buffer("scratch", x)
            self._copy(ref, copy)
            view = reshaped(copy, out.shape)
            assert view is not None
        if out in self.place and self.place[out] != view:
            self._copy(view, self._ref(out))
        else:
            self.place[out] = view
        self.done.add(out)

    def _reduction(self, stage: Stage) -> None:
        x, out = stage.operands[0], stage.output
        if type(x) is not Value or (stage.op == "sum" and x.dtype == "bool") or not out.dtype.startswith("float"):
            raise Unsupported(f"{stage.op!r} of {x}")
        axes = normal_axes(stage.params["axis"], len(x.shape))
        target = self._home(out)
        strides, kept = [], iter(target.strides)
        for a in range(len(x.shape)):
            if a in axes:
                strides.append(0)
                if stage.params["keepdims"]:
                    next(kept)
            else:
                strides.append(next(kept))
        self._map(x.shape, (), [(x, stage.op, target._replace(shape=x.shape, strides=tuple(strides)))])

    # Loops

    def _loop(self, loop: Loop) -> None:
        if any(c.next != c.inner and type(c.next) is not Value for c in loop.carry):
            raise Unsupported("a carry that becomes a number")
        T = loop.length
        self._compute([x.outer for x in loop.xs] + [c.init for c in loop.carry if type(c.init) is Value] + [v for v in loop.values if v not in self.done])
        histories: dict[Carry, Ref] = {}
        written: dict[Value, Value] = {}  # inner -> the outer it is written to first
        for c in loop.carry:
            before = next((y for y in loop.ys if y.inner == c.inner), None)
            after = next((y for y in loop.ys if y.inner == c.next and c.next != c.inner and y.inner not in written), None)
            if (before is None and after is None) or any(y is not None and y.outer in self.place for y in (before, after) if y is not None and self._fixed(y.outer)):
                continue
            history = self._buffer("scratch", c.inner, T + 1)
            histories[c] = history
            early, late = _slots(history, 0, T), _slots(history, 1, T + 1)
            if loop.reverse:
                early, late = late, early
            for y, place in ((before, early), (after, late)):
                if y is not None and type(y.inner) is Value:
                    self.place[y.outer] = place
                    self.done.add(y.outer)
                    written.setdefault(y.inner, y.outer)
        for y in loop.ys:
            if y.outer not in self.done:
                self._home(y.outer)
                if type(y.inner) is Value and y.inner not in written and y.inner in self.made and self.made[y.inner].op not in VIEWS:
                    written[y.inner] = y.outer
        states: dict[Carry, Ref] = {}
        for c in loop.carry:
            if c in histories:
                self._assign(c.init, _index(histories[c], 0, T if loop.reverse else 0))
            else:
                states[c] = self._buffer("scratch", c.inner)
                self._assign(c.init, states[c])
        body, self.body = self.body, []
        self.depth += 1
        spare, self._spare = self._spare, set()
        for x in loop.xs:
            self.place[x.inner] = _stepping(self._ref_outside(x.outer))
            self.done.add(x.inner)
            if len(self.users.get(x.inner, [])) == 1 and self._is_last_reader(loop, x.outer):
                self._spare.add(x.inner)
        results = []
        for c in loop.carry:
            if c in histories:
                stride = histories[c].strides[0]
                slot = _stepping(_slots(histories[c], 0, T))
                ahead = slot._replace(offset=slot.offset + stride)
                early, late = (ahead, slot) if loop.reverse else (slot, ahead)
            else:
                early, late = states[c]._replace(steps=(*states[c].steps, 0)), None  # type: ignore[assignment]
            self.place[c.inner] = early
            self.done.add(c.inner)
            if late is not None and type(c.next) is Value and c.next in self.made and c.next not in self.place and self.made[c.next].op not in VIEWS:
                self.place[c.next] = late
        for y in loop.ys:
            if type(y.inner) is Value and written.get(y.inner) == y.outer and y.inner not in self.place:
                self.place[y.inner] = _stepping(self._ref_outside(y.outer))
        results = [v for v in loop.results if type(v) is Value]
        self._stages(loop.stages, results)
        self._compute([v for v in results if v not in self.done])
        for y in loop.ys:
            target = _stepping(self._ref_outside(y.outer))
            if type(y.inner) is not Value:
                self._copy(y.inner, target)
            elif self._ref(y.inner) != target:
                self._copy(self._ref(y.inner), target)
        moves: list[tuple[Ref, Ref]] = []
        for c in loop.carry:
            assert type(c.next) is Value
            if c in histories:
                stride = histories[c].strides[0]
                slot = _stepping(_slots(histories[c], 0, T))
                target = slot if loop.reverse else slot._replace(offset=slot.offset + stride)
            else:
                target = self.place[c.inner]
            source = self._ref(c.next)
            if source != target and not (c not in histories and self._overwrite(source, target)):
                moves.append((source, target))
        self._move(moves)
        self.depth -= 1
        inner, self.body = tuple(self.body), body
        self._spare = spare
        self.body.append(plans.Loop(T, loop.reverse, inner))
        for c in loop.carry:
            if c.final is not None:
                last = _index(histories[c], 0, 0 if loop.reverse else T) if c in histories else states[c]
                if c.final in self.place:
                    self._copy(last, self.place[c.final])
                else:
                    self.place[c.final] = last
                self.done.add(c.final)
        self.done.update(y.outer for y in loop.ys)

    def _is_last_reader(self, loop: Loop, v: Value) -> bool:
        """Whether nobody but `loop` reads the memory of `v`, and that in parts that do not overlap."""
        ref = self.place[v]
        if self.buffers[ref.buffer].kind != "scratch":
            return False
        slices = {x.inner for x in loop.xs}
        for u, place in self.place.items():
            if place.buffer == ref.buffer and u not in slices:
                users = self.users.get(u, [])
                if not all(s is loop or (isinstance(s, Stage) and s.op in VIEWS) for s in users) or u in self.wanted:
                    return False
        parts = [self.place[x.outer] for x in loop.xs if self.place[x.outer].buffer == ref.buffer]
        return all(disjoint(a, b) for i, a in enumerate(parts) for b in parts[:i])

    def _overwrite(self, new: Ref, old: Ref) -> bool:
        """Let a step write a carry's next value over the old one, if nothing reads the old one after that."""
        if self.buffers[new.buffer].kind != "scratch" or new._replace(buffer=old.buffer) != old or any(new.steps):
            return False
        written = False
        for item in self.body:
            reads, writes = refs(item)
            if (isinstance(item, plans.Loop) and {new.buffer, old.buffer} & {r.buffer for r in (*reads, *writes)}) or any(w.buffer == old.buffer for w in writes):
                return False
            if written and any(r.buffer == old.buffer for r in reads):
                return False
            if any(w.buffer == new.buffer for w in writes):
                written = True
                if any(r.buffer == old.buffer and (r != old or isinstance(item, Gemm)) for r in reads):
                    return False
        if not written:
            return False
        self.body = [renamed(item, new.buffer, old.buffer) for item in self.body]
        self.place = {v: r._replace(buffer=old.buffer) if r.buffer == new.buffer else r for v, r in self.place.items()}
        return True

    def _fixed(self, v: Value) -> bool:
        return v in self.place

    def _ref_outside(self, v: Value) -> Ref:
        """Where `v` is, seen from outside of the loop that is being written."""
        ref = self.place[v]
        return ref._replace(steps=(*ref.steps, *(0,) * (self.depth - 1 - len(ref.steps))))

    def _move(self, moves: list[tuple[Ref, Ref]]) -> None:
        """Give the carries their next values, all at once."""
        targets = {t.buffer for _, t in moves}
        safe = []
        for source, target in moves:
            if source.buffer in targets and source.buffer != target.buffer:  # carries that change places
                copy = self._buffer("scratch", Value("", source.shape, self.buffers[source.buffer].dtype))
                self._copy(source, copy)
                source = copy
            safe.append((source, target))
        for source, target in safe:
            self._copy(source, target)


def _check(v: Value) -> None:
    if v.dtype not in DTYPES:
        raise Unsupported(f"dtype {v.dtype}")


def _elementwise(stage: Item) -> bool:
    if isinstance(stage, Loop):
        return False
    if stage.op == "new":
        return stage.params["function"] in ("zeros", "ones", "full")
    op = OPS.get(stage.op)
    known = stage.op in SUPPORTED or stage.op == "round_to"
    if op is None or not known:
        if op is not None and op.elementwise:
            raise Unsupported(f"{stage.op!r}")
        return False
    return op.elementwise or stage.op in ("where", "astype", "round_to", "none")


def _filling(stage: Stage) -> Any:
    return {"zeros": 0, "ones": 1}.get(stage.params["function"]) if stage.params["function"] != "full" else stage.params["args"][1]


def _product_can_read(ref: Ref) -> bool:
    if len(ref.shape) < 2:
        return not ref.shape or ref.strides[-1] == 1 or ref.shape[-1] == 1
    rows, columns = ref.strides[-2:]
    m, n = ref.shape[-2:]
    if columns == 1 or n == 1:
        return (rows >= n or m == 1) and (len(ref.shape) < 3 or reshaped(ref, (-1, n)) is not None or len(ref.shape) == 3)
    return (rows == 1 or m == 1) and columns >= m and len(ref.shape) <= 3


def _broadcast(ref: Ref, shape: tuple[int, ...]) -> Ref:
    missing = len(shape) - len(ref.shape)
    strides = (0,) * missing + tuple(0 if n == 1 else s for n, s in zip(ref.shape, ref.strides))
    return ref._replace(shape=shape, strides=strides)


def _with_axis(ref: Ref, axis: int) -> Ref:
    stride = 1 if axis == len(ref.shape) else ref.strides[axis] * ref.shape[axis]
    return ref._replace(shape=(*ref.shape[:axis], 1, *ref.shape[axis:]), strides=(*ref.strides[:axis], max(stride, 1), *ref.strides[axis:]))


def _index(ref: Ref, axis: int, i: int) -> Ref:
    return ref._replace(offset=ref.offset + i * ref.strides[axis], shape=(*ref.shape[:axis], *ref.shape[axis + 1 :]), strides=(*ref.strides[:axis], *ref.strides[axis + 1 :]))


def _slots(ref: Ref, start: int, stop: int) -> Ref:
    return ref._replace(offset=ref.offset + start * ref.strides[0], shape=(stop - start, *ref.shape[1:]))


def _stepping(ref: Ref) -> Ref:
    """The slice of `ref` at the step of one more loop."""
    return ref._replace(shape=ref.shape[1:], strides=ref.strides[1:], steps=(*ref.steps, ref.strides[0]))


def _viewed(ref: Ref, key: Any) -> Ref | None:
    """`ref[key]` for a key of numbers, slices, new axes."""
    key = key if isinstance(key, tuple) else (key,)
    if not all(k is None or k is Ellipsis or isinstance(k, int | slice) for k in key) or any(isinstance(k, bool) for k in key):
        return None
    used = sum(k is not None and k is not Ellipsis for k in key)
    at = key.index(Ellipsis) if Ellipsis in key else len(key)
    key = (*key[:at], *(slice(None),) * (len(ref.shape) - used), *key[at + 1 :])
    offset, shape, strides, axis = ref.offset, [], [], 0
    for k in key:
        if k is None:
            shape.append(1)
            strides.append(0)
            continue
        n, s = ref.shape[axis], ref.strides[axis]
        if isinstance(k, int):
            offset += (k % n) * s
        else:
            start, stop, step = k.indices(n)
            count = len(range(start, stop, step))
            offset += start * s if count else 0
            shape.append(count)
            strides.append(s * step)
        axis += 1
    return ref._replace(offset=offset, shape=tuple(shape), strides=tuple(strides))

