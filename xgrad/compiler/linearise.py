"""The derivative of a scan: the loop of cotangents and the loop of tangents, derived from its body."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..backends import Device, current_device
from ..backends.dtypes import canonical, is_floating
from ..core.backward import pull_back
from ..core.context import MODE
from ..core.dispatch import apply
from ..core.forward import push_forward
from ..core.graph import Input
from ..core.tensor import Tensor
from ..ops.arithmetic import ADD
from .ir import Body, Program, Value
from .residuals import Joint, residuals
from .trace import trace_to_ir
from .variables import Spec, Var

#: Runs a program on Tensors.
Replay = Callable[[Program, Sequence[Tensor]], list[Any]]


class Linear(NamedTuple):
    """A loop that is linear in cotangents or tangents.

    Attributes:
        body: one step of it.
        operands: the source of each: ("dz" | "t" | "z" | "x" | "outside", position in these), or
            ("number", 0) for zero.
        outside: the Tensors from outside that custom rules use.
        results: pairs of the operand whose gradient, or the output whose tangent, it is, and the position of
            that among the loop's outputs.
    """

    body: Body
    operands: list[tuple[str, int]]
    outside: list[Tensor]
    results: list[tuple[int, int]]


class Derivative:
    """How to differentiate a scan.

    `forward` is its body with the residuals as further outputs; `back` gives the loop of cotangents, which
    runs backward in time, and `along` the loop of tangents, which runs forward.
    """

    def __init__(
        self, body: Body, wanted: tuple[bool, ...], given: tuple[bool, ...] | None, replay: Replay
    ) -> None:
        self.origin, self.wanted = body, wanted
        self.visible = len(body.program.outputs)
        self._replay = replay
        self._backs: dict[tuple[bool, ...], Linear | None] = {}
        self._alongs: dict[tuple[bool, ...], Linear] = {}
        self._active = [
            i
            for i, v in enumerate(body.program.inputs)
            if is_floating(v.dtype) and (i < body.carries or wanted[i])
        ]
        joint = self._joint(given or (True,) * self.visible)
        inputs, outputs = joint.traced.inputs, list(joint.outputs)
        # by index of a kept Var: where the other loops find it
        self._places: dict[int, tuple[str, int]] = {}
        for var in residuals(joint, body.carries, body.xs):
            place = next((i for i, v in enumerate(outputs) if i >= body.carries and v is var), None)
            if place is None:
                place = len(outputs)
                outputs.append(var)
            self._places[var.index] = ("z", place)
        for i, var in enumerate(inputs):
            if i >= body.carries:
                self._places[var.index] = ("x", i)
        program = joint.traced.tracer.program(outputs, inputs)
        self.forward = Body(program, body.carries, body.xs, body.families)
        joint.traced.close()

    def back(self, given: tuple[bool, ...]) -> Linear | None:
        """Return the loop of cotangents; `given` says which outputs have one.

        None if it needs a value that was not kept.
        """
        if given not in self._backs:
            self._backs[given] = self._back(given)
        return self._backs[given]

    def along(self, given: tuple[bool, ...]) -> Linear:
        """Return the loop of tangents; `given` says which operands have one."""
        if given not in self._alongs:
            self._alongs[given] = self._along(given)
        return self._alongs[given]

    def _joint(self, given: tuple[bool, ...], *, reverse: bool = True) -> Joint:
        """Trace the body and a sweep through it.

        The sweep is reverse from the outputs with a cotangent, or forward from the inputs with a tangent.

        A carry has a gradient from later steps, and a tangent from earlier ones, given or not.
        """
        body, program, device = self.origin, self.origin.program, current_device()
        about: dict[str, Any] = {}

        def spec(i: int, v: Value) -> Spec:
            dtype = canonical(v.dtype)
            node = Input(device, v.shape, dtype) if i in self._active else None
            return Spec(v.shape, dtype, device, given_name(v), node=node)

        def both(*x: Tensor) -> list[Tensor]:
            tracer: Any = MODE.get().trace
            outputs = self._replay(program, [v._alias() for v in x])
            last = tracer.count
            tracer.reuse_heavy()
            inputs = {i: x[i] for i in self._active}
            floating = {i: z for i, z in enumerate(outputs) if is_floating(z.dtype)}
            starts, ends = (floating, inputs) if reverse else (inputs, floating)
            starts = {i: v for i, v in starts.items() if given[i] or i < body.carries}
            begin = {i: tracer.variable(v.shape, v.dtype) for i, v in starts.items()}
            moves = [Tensor(v, device) for v in begin.values()]
            if reverse:
                found = pull_back(list(starts.values()), moves, list(ends.values()))
            else:
                found, _ = push_forward(list(ends.values()), list(starts.values()), moves)
            tracer.attribute(last)
            ended = {i: tracer.output(v) for i, v in zip(ends, found, strict=True)}
            sums = {i: _added(v, device) for i, v in ended.items() if reverse and i >= body.carries + body.xs}
            about.update(last=last, outputs=[z.data for z in outputs], given=begin, found=ended, sums=sums)
            return found

        traced = trace_to_ir(both, [spec(i, v) for i, v in enumerate(program.inputs)], grad=True)
        return Joint(traced, **about)

    def _back(self, given: tuple[bool, ...]) -> Linear | None:
        body, joint = self.origin, self._joint(given)
        if self._missing(joint, joint.found.values()):
            return None
        carried = [i for i in self._active if i < body.carries]
        read = [i for i in self._active if body.carries <= i < body.carries + body.xs and self.wanted[i]]
        before, after = [v for v, _ in joint.sums.values()], [v for _, v in joint.sums.values()]
        starts: list[tuple[str, int]] = [("dz", i) if given[i] else ("number", 0) for i in carried]
        order = [*carried, *joint.sums, *read]
        return self._linear(
            joint,
            outputs=[*(joint.found[i] for i in carried), *after, *(joint.found[i] for i in read)],
            carries=[*(joint.given[i] for i in carried), *before],
            starts=starts + [("number", 0)] * len(before),
            slices={("dz", i): v for i, v in joint.given.items() if i >= body.carries},
            results=[(i, k) for k, i in enumerate(order) if self.wanted[i]],
        )

    def _along(self, given: tuple[bool, ...]) -> Linear:
        body, joint = self.origin, self._joint(given, reverse=False)
        carried = [i for i in joint.given if i < body.carries]
        read = [i for i in joint.given if body.carries <= i < body.carries + body.xs]
        fixed = [i for i in joint.given if i >= body.carries + body.xs]
        ys = [i for i in joint.found if i >= body.carries]
        beside = self._unkept(joint)
        starts: list[tuple[str, int]] = [("t", i) if given[i] else ("number", 0) for i in carried]
        order = [*carried, *(None for _ in beside), *ys]
        return self._linear(
            joint,
            outputs=[
                *(joint.found[i] for i in carried),
                *(joint.outputs[i] for i in beside),
                *(joint.found[i] for i in ys),
            ],
            carries=[*(joint.given[i] for i in carried), *(joint.traced.inputs[i] for i in beside)],
            starts=starts + [("x", i) for i in beside],
            slices={("t", i): joint.given[i] for i in read},
            fixed={("t", i): joint.given[i] for i in fixed},
            results=[(i, k) for k, i in enumerate(order) if i is not None],
        )

    def _unkept(self, joint: Joint) -> list[int]:
        """Return the carries that a sweep needs and the forward loop does not keep.

        They are carried beside their tangents.
        """
        outputs, found = list(joint.found.values()), set[int]()
        while more := self._missing(joint, outputs) - found:
            found |= more
            outputs += [joint.outputs[i] for i in more]
        return sorted(found)

    def _missing(self, joint: Joint, outputs: Iterable[Any]) -> set[int]:
        """Return the unkept carries that `outputs` depend on."""
        places, tracer = self._places, joint.traced.tracer
        kept = {out for _, _, _, results, _ in tracer.written for out in results if out.index in places}
        needed = tracer.ancestors(outputs, kept)
        starts = enumerate(joint.traced.inputs[: self.origin.carries])
        return {i for i, v in starts if v in needed and v.index not in places}

    def _linear(
        self,
        joint: Joint,
        *,
        outputs: list[Any],
        carries: list[Var],
        starts: list[tuple[str, int]],
        slices: dict[tuple[str, int], Var],
        fixed: dict[tuple[str, int], Var] | None = None,
        results: list[tuple[int, int]],
    ) -> Linear:
        """Build the loop from `carries`, `slices`, `fixed` and the residuals to `outputs`."""
        fixed = fixed or {}
        tracer, outside = joint.traced.tracer, list(joint.traced.tracer.captured.values())
        used = {v: self._places[v.index] for v in tracer.reads(outputs, self._places)}
        stacked = {v: place for v, place in used.items() if self._is_stacked(place)}
        constant = {v: place for v, place in used.items() if v not in stacked}
        inputs = [*carries, *slices.values(), *stacked, *fixed.values(), *constant]
        operands = [*starts, *slices, *stacked.values(), *fixed, *constant.values()]
        operands += [("outside", k) for k in range(len(outside))]
        program = tracer.program(outputs, [*inputs, *(var for var, _ in outside)])
        joint.traced.close()
        body = Body(program, len(carries), len(slices) + len(stacked), self.origin.families)
        return Linear(body, operands, [v for _, v in outside], results)

    def _is_stacked(self, place: tuple[str, int]) -> bool:
        """Whether it has one slice for each step."""
        kind, i = place
        return kind == "z" or i < self.origin.carries + self.origin.xs


def _added(v: Var, device: Device) -> tuple[Var, Var]:
    """Return an accumulator over the steps, and that plus `v`."""
    before = v.tracer.variable(v.shape, v.dtype)
    return before, apply(ADD, (Tensor(before, device), Tensor(v, device))).data


_NUMBERED = re.compile(r"[xz]\d+(_\d+)?")


def given_name(v: Value) -> str | None:
    """Return the name that the user gave to a value, or None."""
    return None if _NUMBERED.fullmatch(v.name) else v.name
