"""Lowering from an optimised program to a plan.

Every value gets a place in memory, and elementwise stages are fused into maps.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from math import prod
from typing import Any, NamedTuple

from ...ops.axes import normal_axes
from ..codegen.llvm.target import CPU
from ..ir import Item, Loop, Operand, Program, Stage, Value
from ..stacking import stacked
from . import plan as plans
from .anchors import join, lower_anchor
from .buffer_reuse import shared_memory
from .loops import lower_loop
from .plan import Buffer, Map, Ref, Step, Target, Unsupported
from .views import broadcast, contiguous, is_contiguous, reshaped, transposed, viewed


class Lowered(NamedTuple):
    """A plan, and the places of the program's outputs in it.

    The last of the plan's inputs are `constants`: arrays that the program creates itself, the same at every
    run, described by the parameters of their stages. `reused` are the buffers that were replaced by others.
    """

    plan: plans.Plan
    outputs: tuple[Ref, ...]
    constants: tuple[Mapping[str, Any], ...] = ()
    reused: Mapping[int, int] = {}


def lower(
    program: Program,
    *,
    recompute: bool = True,
    target: Target = CPU,
    final: bool = True,
    like: Mapping[int, int] | None = None,
) -> Lowered:
    """Lower a program for an executor.

    With `recompute`, cheap values are recomputed in each map that needs them. If the plan is `final`, it is
    verified where XGRAD_VERIFY=1 is set. `like` says which buffers the plan for other sizes has reused, as
    this one is to do. Raises Unsupported, naming the stage, if there is no kernel for it.
    """
    lowered = Lowering(program, recompute, target).run(like)
    if final:
        verify(program, lowered)
    return lowered


def verify(program: Program, lowered: Lowered) -> None:
    """Check a plan against its program where XGRAD_VERIFY=1 is set."""
    if os.environ.get("XGRAD_VERIFY") == "1":
        from ..plan_verifier import verify_plan

        verify_plan(program, lowered.plan, lowered.outputs, lowered.constants)


class Lowering:
    """A program being lowered to a plan.

    Elementwise stages are deferred until something needs them; then one map computes them with the deferred
    stages that they depend on. The others ("anchors": products, reductions, ops that move elements; see
    `anchors.py`) are lowered in order. Views are places, and cost nothing.
    """

    def __init__(self, program: Program, recompute: bool, target: Target) -> None:
        self.program, self.recompute, self.target = program, recompute, target
        self.buffers: list[Buffer] = []
        self.depths: list[int] = []  # the loop depth at which each buffer was created
        self.place: dict[Value, Ref] = {}  # of values that are in memory, or will be when computed
        self.done: set[Value] = set()  # the values computed into their place so far
        self.depth = 0
        self.spare: set[Value] = set()  # the values that their only reader may overwrite
        self.wanted: set[Value] = set()  # the program's outputs
        self.constants: list[Mapping[str, Any]] = []
        self.items: list[Any] = []
        self.made: dict[Value, Stage] = {}
        self.position: dict[Value, int] = {}  # the positions in the program of the stages that make values
        self.users: dict[Value, list[Item | None]] = {}
        for v in program.inputs:
            self._check(v)
            self.place[v] = self.buffer("input", v)
            self.done.add(v)
        self._note(program.stages, program.outputs)

    def inside(self) -> Lowering:
        """Return the lowering of a loop's body, one loop deeper, with its own items but shared memory."""
        inner = copy(self)
        inner.depth, inner.items, inner.spare = self.depth + 1, [], set()
        return inner

    def _check(self, v: Value) -> None:
        if v.dtype not in self.target.dtypes | self.target.held:
            raise Unsupported(f"arrays of dtype {v.dtype}")

    def is_elementwise(self, stage: Item) -> bool:
        """Whether a map can compute the stage."""
        if isinstance(stage, Loop):
            return False
        if stage.op == "new":
            return stage.filling is not None and stage.output.dtype in self.target.dtypes
        op = stage.entry
        if op is None or not op.kernel.pointwise:
            return False
        args = tuple(v.dtype if type(v) is Value else v for v in stage.operands)
        return self.target.computes(stage.op, args, stage.output.dtype)

    def run(self, like: Mapping[int, int] | None) -> Lowered:
        outputs = [v for v in dict.fromkeys(self.program.outputs) if type(v) is Value]
        for stage in self.program.stages:
            if isinstance(stage, Stage) and not stage.is_view:
                self.place.update((v, self.buffer("output", v)) for v in stage.outputs if v in outputs)
        self.wanted = set(outputs)
        self.lower_stages(self.program.stages, outputs)
        found = []
        for v in self.program.outputs:
            value = v if type(v) is Value else Value("", (), "float64")
            ref = self.place.get(value)
            if (
                ref is None
                or ref in found
                or self.buffers[ref.buffer].kind == "input"
                or not is_contiguous(ref)
            ):
                copy = self.buffer("output", value)
                self.copy(v if type(v) is not Value else ref, copy)
                ref = copy
            elif self.buffers[ref.buffer].kind == "scratch":
                self.buffers[ref.buffer] = self.buffers[ref.buffer]._replace(kind="output")
            found.append(ref)
        plan, places = stacked(plans.Plan(tuple(self.buffers), tuple(self.items)), found)
        plan, reused = shared_memory(plan, like)
        return Lowered(plan, places, tuple(self.constants), reused)

    # Uses

    def _note(self, stages: Iterable[Item], results: Iterable[Operand]) -> None:
        for item in stages:
            for v in (
                item.values
                if isinstance(item, Stage)
                else [*(c.init for c in item.carry), *(x.outer for x in item.xs)]
            ):
                if type(v) is Value:
                    self.users.setdefault(v, []).append(item)
            if isinstance(item, Stage):
                for v in item.outputs:
                    self._check(v)
                    self.made[v] = item
                    self.position[v] = len(self.position)
            else:
                for v in (*item.inner, *item.outputs):
                    self._check(v)
                self._note(item.stages, item.results)
        for r in results:
            if type(r) is Value:
                self.users.setdefault(r, []).append(None)

    # Memory

    def buffer(self, kind: str, v: Value, slots: int = 0, depth: int | None = None) -> Ref:
        """Allocate a buffer for `v`, or for `slots` of them, at the current or the given loop `depth`."""
        depth = self.depth if depth is None else depth
        shape = (slots, *v.shape) if slots else v.shape
        self.buffers.append(Buffer(kind, prod(shape), v.dtype))
        self.depths.append(depth)
        return contiguous(len(self.buffers) - 1, shape, depth)

    def ref(self, v: Value) -> Ref:
        """Return the place of `v`, as seen from this depth."""
        ref = self.place[v]
        return ref._replace(steps=(*ref.steps, *(0,) * (self.depth - len(ref.steps))))

    def home(self, v: Value) -> Ref:
        """Return the place to compute `v` into."""
        if v not in self.place:
            self.place[v] = self.buffer("scratch", v)
        return self.ref(v)

    # Stages

    def lower_stages(self, stages: Sequence[Item], results: Sequence[Value]) -> None:
        """Add stages to the plan, and make sure that `results` are computed."""
        join(self, stages)
        local = {out for s in stages for out in s.outputs}
        for item in stages:
            if isinstance(item, Loop):
                lower_loop(self, item)
            elif not self.is_elementwise(item) and not item.is_view:
                lower_anchor(self, item)
        self.compute([v for v in results if v in local])

    def assign(self, v: Operand, ref: Ref) -> None:
        """Store the value of an operand at `ref`."""
        if type(v) is Value:
            self.compute([v])
            self.copy(self.ref(v), ref)
        else:
            self.copy(v, ref)

    def copy(self, source: Ref | Any, target: Ref) -> None:
        """Copy from `source`, which may be a number, to `target`."""
        dtype = self.buffers[target.buffer].dtype
        if source == target:
            return
        dtypes = {dtype, self.buffers[source.buffer].dtype} if isinstance(source, Ref) else {dtype}
        if not dtypes <= self.target.dtypes:
            self.items.append(plans.Call("none", {}, (source,), (target,)))
        elif isinstance(source, Ref):
            source = broadcast(source, target.shape)
            steps = (
                (Step(1, "astype", (0,), (False,), dtype),)
                if self.buffers[source.buffer].dtype != dtype
                else ()
            )
            self.items.append(Map(target.shape, ((0, source),), steps, ((len(steps), target),)))
        else:
            self.items.append(
                Map(target.shape, (), (Step(0, "none", (source,), (True,), dtype),), ((0, target),))
            )

    def convert(self, source: Ref, target: Ref) -> None:
        """Convert from `source` to the dtype of `target`: the same value, with no cast in the program."""
        step = Step(1, "none", (0,), (False,), self.buffers[target.buffer].dtype)
        self.items.append(Map(target.shape, ((0, source),), (step,), ((1, target),)))

    # Maps

    def compute(self, values: Iterable[Value]) -> None:
        """Make sure that `values` are in memory."""
        values = tuple(dict.fromkeys(values))
        for v in self._first(values):
            self._compute([v])
        self._compute(values)

    def _first(self, values: Sequence[Value]) -> list[Value]:
        """Return what must be in memory before `values` can be computed, in order of dependence."""
        found: dict[Value, None] = {}
        seen: set[Value] = set()
        waiting = [v for v in values if v not in self.done]
        while waiting:
            v = waiting.pop()
            stage = self.made.get(v)
            if v in seen or stage is None or not (stage.is_view or self.is_elementwise(stage)):
                continue
            seen.add(v)
            for u in stage.values:
                if u not in self.done:
                    waiting.append(u)
                    if stage.is_view or u.shape != v.shape:
                        found[u] = None
        return sorted((v for v in found if v not in values), key=self.position.__getitem__)

    def _compute(self, values: Iterable[Value]) -> None:
        missing: dict[tuple[int, ...], list[Value]] = {}
        for v in values:
            if v in self.done:
                continue
            stage = self.made[v]
            if stage.is_view:
                self._view(stage)
            elif self.is_elementwise(stage):
                missing.setdefault(v.shape, []).append(v)
            else:
                raise Unsupported(f"{stage.op!r} out of order")
        for shape, found in missing.items():
            found = [v for v in found if v not in self.done]
            if found:
                self.fuse(shape, found)

    def fuse(
        self,
        shape: tuple[int, ...],
        values: Sequence[Value],
        reductions: Sequence[tuple[Value, Stage, Ref]] = (),
    ) -> None:
        """Add one map that computes `values` and the deferred values that they need."""
        order: dict[Value, int] = {}
        loads: list[tuple[int, Ref]] = []
        steps: list[Step] = []
        included: list[Value] = []
        waiting = [*(v for v, _, _ in reversed(reductions)), *reversed(values)]
        while waiting:  # operands first; not recursive, as chains may be long
            v = waiting[-1]
            stage = self.made.get(v)
            if v in order:
                waiting.pop()
            elif v in self.done or stage is None or not self.is_elementwise(stage) or v.shape != shape:
                self.compute([v])
                order[v] = len(order)
                loads.append((order[v], broadcast(self.ref(v), shape)))
            elif missing := [u for u in stage.values if u not in order and stage.filling is None]:
                waiting += reversed(missing)
            else:
                operands = stage.operands if stage.filling is None else (stage.filling,)
                args: tuple[Any, ...] = tuple(order[u] if type(u) is Value else u for u in operands)
                order[v] = len(order)
                name = stage.op if stage.filling is None else "none"
                steps.append(
                    Step(order[v], name, args, tuple(type(u) is not Value for u in operands), v.dtype)
                )
                included.append(v)
        inside = {id(self.made[v]) for v in included} | {id(stage) for _, stage, _ in reductions}
        stored: list[Value] = []
        costly: set[Value] = set()  # neither stored nor cheap to recompute, with all that it takes
        for v in included:
            is_costly = not self.made[v].is_cheap or not costly.isdisjoint(self.made[v].values)
            if v not in self.done and (v in values or self._worth_storing(v, inside, is_costly)):
                stored.append(v)
            elif is_costly:
                costly.add(v)
        stores = tuple((order[v], self.home(v)) for v in stored)
        folds: list[plans.Reduction] = []
        for v, stage, ref in reductions:
            folded = order[v]
            if stage.op in plans.OF_TRUTHS and v.dtype != "bool":
                folded = len(order) + len(folds)
                steps.append(Step(folded, "astype", (order[v],), (False,), "bool"))
            folds.append(plans.Reduction(folded, plans.FOLDS[stage.op], ref))
        self.items.append(Map(shape, tuple(loads), tuple(steps), stores, tuple(folds)))
        self.done.update(stored)

    def _worth_storing(self, v: Value, inside: set[int], is_costly: bool) -> bool:
        """Whether a later reader of `v` cannot, or should not, recompute it."""
        if v in self.place:
            return True
        later = [u for u in self.users.get(v, []) if id(u) not in inside]
        if later and (is_costly or not self.recompute):
            return True
        return any(
            u is None or isinstance(u, Loop) or not self.is_elementwise(u) or u.output.shape != v.shape
            for u in later
        )

    def _view(self, stage: Stage) -> None:
        x, out = stage.operands[0], stage.output
        assert type(x) is Value
        self.compute([x])
        ref = self.ref(x)
        view: Ref | None
        if stage.op == "after":
            view = ref
        elif stage.op == "transpose":
            axes = stage.params.get("axes")
            view = transposed(
                ref,
                tuple(reversed(range(len(x.shape))))
                if axes is None
                else normal_axes(tuple(axes), len(x.shape)),
            )
        elif stage.op == "reshape":
            view = reshaped(ref, out.shape)
        elif stage.op == "broadcast_to":
            view = broadcast(ref, out.shape)
        else:
            view = viewed(ref, stage.params["key"])
        if view is None:  # a reshape that has to copy elements
            copy = self.buffer("scratch", x)
            self.copy(ref, copy)
            view = reshaped(copy, out.shape)
            assert view is not None
        if out in self.place and self.place[out] != view:
            self.copy(view, self.ref(out))
        else:
            self.place[out] = view
        self.done.add(out)
