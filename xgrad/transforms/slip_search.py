"""The search for the slip behind a wrong gradient: make slips one by one, and compare what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any, NamedTuple

from ..core.backward import pull_back
from ..core.forward import push_forward
from ..core.tensor import Tensor
from ..namespace import conj, cos, real, sum
from .backward_stages import BackwardStage, Contribution, is_part
from .graph_view import GraphNode
from .lost_terms import lost_terms, miscounted_terms
from .repeated_lines import Slip, beside, equations, following, in_every_run, sibling
from .slips import elsewhere, variants
from .variants import KINDS, Variant, gradient_of, name_of, with_dz

#: How many slips are tried at most, and how many rules are called to make slips in every run of a line.
SLIPS, RULES = 10_000, 10_000
#: How many causes are looked for at most.
ENOUGH = 100
#: How many stages before and after a stage are tried in place of its operands.
NEAR = 40


class Cause(NamedTuple):
    """A slip that gives exactly the wrong numbers: its kind, what it says, and the step it is made in."""

    kind: str
    text: str
    step: BackwardStage

    def __str__(self) -> str:
        return self.text


class _Found(NamedTuple):
    """A cause that fits, how many of the given gradients it explains, and how far from the wrong one."""

    explains: int
    distance: int
    cause: Cause

    @property
    def order(self) -> tuple[int, int, int]:
        return -self.explains, KINDS.index(self.cause.kind), self.distance


#: What the gradient of a stage would be after each of some slips.
Trials = Callable[[GraphNode], Iterator[tuple[BackwardStage, Variant]]]
#: Whether a value agrees with the gradient of a stage that was given.
Close = Callable[[Any, Any, GraphNode], bool]


class SlipSearch:
    """The stages and steps of a backward pass, and the gradients that were derived by hand.

    `given` are these by stage; `close` compares two values of the gradient of a stage.
    """

    def __init__(
        self,
        stages: Sequence[GraphNode],
        steps: Sequence[BackwardStage],
        given: Mapping[GraphNode, Any],
        close: Close,
    ) -> None:
        self.stages, self.steps, self.given, self.close = stages, steps, given, close
        self.place = {stage: i for i, stage in enumerate(stages)}
        self.arriving: dict[GraphNode, list[tuple[BackwardStage, Contribution]]] = {}
        for step in steps:
            for c in step.contributions:
                # taking a part of a tuple is no step: what arrives there goes on
                self.arriving.setdefault(c.stage, []).append((step, c))
        self.parts: dict[Any, list[GraphNode]] = {}
        for stage in stages:
            if is_part(stage):
                self.parts.setdefault(stage.operands[0], []).append(stage)

    def causes(self, wrong: GraphNode, right: set[GraphNode]) -> tuple[Cause, ...]:
        """The slips that give the gradient of `wrong`, where those of `right` are right.

        Those that explain the most of the given gradients come first, then the usual kinds, then the nearest.
        """
        found = [*self.in_shape(wrong), *self.single(wrong, right)]
        if max((f.explains for f in found), default=0) < len(self.given):
            found += [*self.in_loops(wrong, right), *self.exchanged(wrong), *self.mistaken(wrong)]
        best: dict[str, Cause] = {}
        for f in sorted(found, key=lambda f: f.order):
            best.setdefault(f.cause.text, f.cause)
        return tuple(best.values()) or self.multiple(wrong)

    # A slip in one step

    def single(self, wrong: GraphNode, right: set[GraphNode]) -> list[_Found]:
        """The slips in one step, of those that lead to `wrong` and come after the stages of `right`."""
        upstream = list(self.upstream(wrong, right))
        found: list[_Found] = []
        for trials in (self.usual, self.elsewhere):
            found += islice(self.tried(trials, upstream, wrong), ENOUGH)
            if any(f.explains == len(self.given) for f in found):
                break
        return found

    def tried(self, trials: Trials, upstream: Sequence[GraphNode], wrong: GraphNode) -> Iterator[_Found]:
        """The slips that give the gradient of `wrong`, of those tried at each stage of `upstream`."""
        # a change at a stage changes the gradient of `wrong` by its transposed Jacobian, and
        # <u, Jᵀ change> = <J u, change>: one u, pushed forward, tests the changes at all stages
        u = cos(count_like(wrong.grad) + 1.0)
        tangents = push_forward(list(map(_tensor, upstream)), [_tensor(wrong)], [u])[0]
        count = 0
        for distance, (at, tangent) in enumerate(zip(upstream, tangents)):
            for step, variant in trials(at):
                count += 1
                if count > SLIPS:
                    return
                value = variant.attempt()
                if value is not None and self.may_explain(at, value, tangent, wrong, u):
                    explains = self.explained_by(at, value, wrong)
                    if explains:
                        yield _Found(explains, distance, Cause(variant.kind, variant.text, step))

    def may_explain(self, at: GraphNode, value: Any, tangent: Any, wrong: GraphNode, u: Any) -> bool:
        """Whether the wrong gradient may follow from `value` as the gradient of `at`."""
        given = self.given[wrong]
        if at is wrong:
            return self.close(value, given, wrong)
        if value.shape != at.shape or given.shape != wrong.shape:
            return False
        here, there = _product(tangent, value - at.grad), _product(u, given - wrong.grad)
        return here != 0 and abs(here - there) <= 1e-2 * (abs(here) + abs(there))

    def upstream(self, wrong: GraphNode, right: set[GraphNode]) -> Iterator[GraphNode]:
        """`wrong` and the stages that its gradient comes from, the nearest first, up to those of `right`."""
        seen, queue = {wrong}, [wrong]
        for at in queue:
            yield at
            for step, _ in self.arriving.get(at, ()):
                for source in self.outputs(step):
                    if source not in seen and source not in right and source in self.arriving:
                        seen.add(source)
                        queue.append(source)

    def outputs(self, step: BackwardStage) -> list[GraphNode]:
        """The stages whose gradients go into a step: its own, or its parts if it has several outputs."""
        return self.parts.get(step.stage, [step.stage])

    def usual(self, at: GraphNode) -> Iterator[tuple[BackwardStage, Variant]]:
        """What the gradient of `at` would be after each usual slip."""
        arriving, name = self.arriving.get(at, []), gradient_of(at)
        whole: Any = at.grad
        yield from lost_terms(arriving, whole)
        for step, c in arriving:
            for variant in variants(step, c):
                yield step, self.instead(at, c, variant)
        if len(arriving) > 1:
            yield arriving[-1][0], Variant("sign", f"{name} has the wrong sign", lambda: -whole)
            yield arriving[-1][0], Variant("transpose", f"{name} is transposed", lambda: whole.mT)
        yield from miscounted_terms(arriving)

    def elsewhere(self, at: GraphNode) -> Iterator[tuple[BackwardStage, Variant]]:
        """What the gradient of `at` would be if the value or the gradient of another stage were used."""
        for step, c in self.arriving.get(at, []):
            i = self.place[step.stage]
            for variant in elsewhere(step, c, self.stages[max(0, i - NEAR) : i + NEAR]):
                yield step, self.instead(at, c, variant)

    def instead(self, at: GraphNode, c: Contribution, variant: Variant) -> Variant:
        """The gradient of `at` with a variant instead of the contribution `c`."""
        if len(self.arriving[at]) == 1:
            return variant
        return variant._replace(value=lambda: _grad(at) - c.value + variant.value())

    def explained_by(self, at: GraphNode, value: Any, wrong: GraphNode) -> int:
        """How many of the given gradients follow from `value` as the gradient of `at`; 0 if not `wrong`."""
        if value.shape != at.shape:
            return 1
        others = [stage for stage in self.given if stage is not at]
        changes = pull_back(
            [_tensor(at)], [value - at.grad], [_tensor(stage) for stage in others], free=False
        )
        after = {at: value} | {stage: stage.grad + d for stage, d in zip(others, changes)}
        return self.explained(after, wrong)

    def explained(self, after: Mapping[GraphNode, Any], wrong: GraphNode) -> int:
        """How many of the given gradients those `after` a slip agree with; 0 if that of `wrong` does not."""
        fits = [v for v in self.given if self.close(after.get(v, v.grad), self.given[v], v)]
        return len(fits) if wrong in fits else 0

    # Slips in several places at once

    def in_loops(self, wrong: GraphNode, right: set[GraphNode]) -> Iterator[_Found]:
        """Slips made in every run of a line that ran several times, as in a loop through time."""
        upstream = set(self.upstream(wrong, right))
        by_stage = {step.stage: step for step in self.steps}
        repeated = equations(self.stages)
        next_run, calls = following(repeated), 0
        neighbours = [next_run, {y: x for x, y in next_run.items()}]
        for equation in repeated:
            runs = [by_stage[stage] for stage in equation if stage in by_stage]
            for c in runs[-1].contributions if len(runs) > 1 else ():
                if c.stage not in upstream:
                    continue
                others = beside(runs, c, repeated) if c.stage is wrong else []
                for kind, text, slip in in_every_run(runs, c, [*neighbours, *others]):
                    if calls > RULES:
                        return
                    after, count = self.rerun({step.stage: {c.operand: slip} for step in runs})
                    calls += count
                    if after and (explains := self.explained(after, wrong)):
                        text = f"{text}, in each of the {len(runs)} runs of this line"
                        yield _Found(explains, 0, Cause(kind, text, runs[-1]))

    def exchanged(self, wrong: GraphNode) -> Iterator[_Found]:
        """The gradients of both operands exchanged, in one step or in every run of a line."""
        by_stage, calls = {step.stage: step for step in self.steps}, 0
        for equation in [*equations(self.stages), *([stage] for stage in by_stage)]:
            runs = [by_stage[stage] for stage in equation if stage in by_stage]
            if calls > RULES or not runs or len({c.stage for c in runs[-1].contributions}) != 2:
                continue
            names = [gradient_of(c.stage) for c in runs[-1].contributions]
            after, count = self.rerun({step.stage: {0: sibling, 1: sibling} for step in runs})
            calls += count
            if after and (explains := self.explained(after, wrong)):
                where = f", in each of the {len(runs)} runs of this line" if len(runs) > 1 else ""
                text = f"{' and '.join(names)} are exchanged{where}"
                yield _Found(explains, 0, Cause("operand", text, runs[-1]))

    def rerun(self, slips: Mapping[GraphNode, Mapping[int, Slip]]) -> tuple[dict[GraphNode, Any], int]:
        """The gradients that change if slips are made for some operands of steps, and the rules called.

        Empty where the values after a slip do not fit.
        """
        after: dict[GraphNode, Any] = {}
        calls = 0
        try:
            for step in self.steps:
                if step.stage not in after and step.stage not in slips:
                    continue
                calls += 1
                here = with_dz(step, after[step.stage]) if step.stage in after else step
                made = slips.get(step.stage, {})
                for old, c in zip(step.contributions, here.contributions):
                    value = made[c.operand](here, c) if c.operand in made else c.value
                    if value.shape != old.value.shape:
                        return {}, calls
                    after[c.stage] = after.get(c.stage, _grad(c.stage)) + (value - old.value)
        except (ValueError, TypeError, IndexError):
            return {}, calls
        return after, calls

    # What is no slip in a rule

    def mistaken(self, wrong: GraphNode) -> Iterator[_Found]:
        """The gradient of another input, under the wrong name."""
        given, inputs = self.given[wrong], [v for v in self.stages if v.op == "input" and v.grad is not None]
        for other in inputs if wrong in inputs and wrong in self.arriving else ():
            if other.shape == wrong.shape and self.close(given, other.grad, wrong):
                text = f"{gradient_of(wrong)} has the numbers of {gradient_of(other)}"
                cause = Cause("name", text, self.arriving[wrong][-1][0])
                yield _Found(self.explained({wrong: given}, wrong), 0, cause)

    def in_shape(self, wrong: GraphNode) -> Iterator[_Found]:
        """The right numbers, transposed or in another shape."""
        given, right = self.given[wrong], _grad(wrong)
        if given.shape == right.shape:
            return
        step = self.arriving[wrong][-1][0] if wrong in self.arriving else self.steps[0]
        if self.transposed(wrong):
            text = f"the numbers are right, but the rows and columns of {gradient_of(wrong)} are exchanged"
            more = len([v for v in self.given if v is not wrong and self.transposed(v)])
            text += f", as in {more} more of your gradients" if more else ""
            yield _Found(1 + more, 0, Cause("transpose", text, step))
        elif given.size == right.size and self.close(given.reshape(right.shape), right, wrong):
            text = f"the numbers are right, but {name_of(wrong)} has shape {right.shape}"
            yield _Found(1, 0, Cause("shape", text, step))

    def transposed(self, stage: GraphNode) -> bool:
        """Whether the gradient that was given for a stage is right but transposed."""
        given = self.given[stage]
        return given.ndim == 2 and self.close(given.T, stage.grad, stage)

    def multiple(self, wrong: GraphNode) -> tuple[Cause, ...]:
        """The cause of a gradient that is a multiple of the right one, if it is."""
        given, right = self.given[wrong], _grad(wrong)
        if given.shape != right.shape or given.size < 2 or not self.arriving.get(wrong):
            return ()
        square = _product(right, right)
        ratio = _product(given, right) / square if square else 0.0
        if ratio == 0 or not isfinite(ratio) or not self.close(right * ratio, given, wrong):
            return ()
        text = f"{gradient_of(wrong)} is {ratio:.6g} times what it must be: a factor is wrong"
        return (Cause("factor", text, self.arriving[wrong][-1][0]),)


def _grad(stage: GraphNode) -> Any:
    """The gradient of a stage, which has one."""
    return stage.grad


def _tensor(stage: GraphNode) -> Tensor:
    """The value of a stage, with its place in the graph."""
    value: Any = stage.value
    return Tensor(value.data, value.device, stage.node)


def count_like(x: Any) -> Any:
    """0, 1, 2, ... in the shape and dtype of `x`."""
    return x.xp.astype(x.xp.arange(x.size, device=x.device), x.dtype).reshape(x.shape)


def _product(x: Any, y: Any) -> float:
    """The inner product of two arrays; its real part."""
    return float(real(sum(conj(x) * y)))
