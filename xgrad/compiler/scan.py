"""`scan` as one gate: a body that is repeated, and as its derivative another body, repeated against time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import partial
from typing import Any, NamedTuple

from ..backends import Device, current_device
from ..backends.dtypes import canonical, is_floating
from ..core.backward import pull_back
from ..core.context import MODE
from ..core.dispatch import apply
from ..core.forward import push_forward
from ..core.graph import Input
from ..core.tensor import Tensor
from ..namespace.creation import new
from ..ops import OPS
from ..ops.arithmetic import ADD
from ..ops.programs import SCAN
from .executors import run_scan
from .ir import Body, Operand, Program, Stage, Value
from .trace import Tracer, Var, tracing


def _forward(
    xp: Any, *operands: Any, body: Body, length: int, reverse: bool, derivative: Any = None
) -> tuple[Any, ...]:
    return run_scan(body, length, reverse, operands)


def _dx(
    xp: Any,
    dz: list[Any],
    z: tuple[Any, ...],
    x: tuple[Any, ...],
    *,
    body: Body,
    length: int,
    reverse: bool,
    derivative: Any,
) -> tuple[Any, ...]:
    """The derivative of the body, from the last step to the first."""
    scan = _scanner(xp, (*dz, *x))
    if any(d is not None for d in dz[derivative.visible :]):
        derivative, z = _of_everything(derivative, body, z, partial(scan, x, length=length, reverse=reverse))
        dz = [*dz, *[None] * (len(z) - len(dz))]
    given = tuple(d is not None for d in dz[: derivative.visible])
    back = derivative.back(given)
    if back is None:  # a rule that reads other values where some of the outputs have no gradient
        derivative = derivative_of(derivative.origin, derivative.wanted, given)
        back, z = derivative.back(given), scan(x, body=derivative.forward, length=length, reverse=reverse)
    return _run(partial(scan, length=length, reverse=not reverse), back, {"dz": dz, "z": z, "x": x}, len(x))


def _jvp(
    xp: Any,
    t: tuple[Any, ...],
    z: tuple[Any, ...],
    x: tuple[Any, ...],
    needs: Sequence[bool],
    *,
    body: Body,
    length: int,
    reverse: bool,
    derivative: Any,
) -> tuple[Any, ...]:
    """The linearised body, from the first step to the last, along what the forward loop kept for its
    derivative."""
    scan = partial(_scanner(xp, (*t, *x)), length=length, reverse=reverse)
    if any(needs[derivative.visible :]):
        derivative, z = _of_everything(derivative, body, z, partial(scan, x))
    along = derivative.along(tuple(v is not None for v in t))
    return _run(scan, along, {"t": t, "z": z, "x": x}, len(needs))


def _scanner(xp: Any, values: Sequence[Any]) -> Any:
    """A scan of Tensors, where there are some, or of arrays."""
    return (
        apply_scan
        if any(isinstance(v, Tensor) for v in values)
        else lambda operands, **params: _forward(xp, *operands, **params)
    )


def _of_everything(derivative: Any, body: Body, z: Any, scan: Any) -> tuple[Any, Any]:
    """The derivative where what was kept for it is differentiated itself, and the outputs that it is to be
    found from."""
    derivative = derivative_of(body, derivative.wanted)
    return derivative, z if len(derivative.forward.program.outputs) == len(z) else scan(
        body=derivative.forward
    )


def _run(scan: Any, loop: Any, source: dict[str, Any], count: int) -> tuple[Any, ...]:
    """What a loop of the derivative gives, in the places that it says."""
    raw = not any(isinstance(v, Tensor) for values in source.values() for v in values)
    source["number"], source["outside"] = (0.0,), [v.data if raw else v for v in loop.outside]
    found = scan([source[kind][i] for kind, i in loop.operands], body=loop.body)
    results: list[Any] = [None] * count
    for i, k in loop.results:
        results[i] = found[k]
    return tuple(results)


_NUMBERED = re.compile(r"[xz]\d+(_\d+)?")


def _given_name(v: Value) -> str | None:
    """The name of a value, where somebody gave it one."""
    return None if _NUMBERED.fullmatch(v.name) else v.name


SCAN.implement(_forward, dx=_dx, jvp=_jvp)


def derivative_of(body: Body, wanted: tuple[bool, ...], given: tuple[bool, ...] | None = None) -> Any:
    """How to differentiate a scan of `body` with respect to the operands that are `wanted`.

    What the forward loop keeps is for gradients of all outputs, or of those that are `given`.
    """
    return body.once(("derivative", wanted, given), lambda: Derivative(body, wanted, given))


def apply_scan(operands: Sequence[Any], *, body: Body, length: int, reverse: bool) -> tuple[Any, ...]:
    """A scan on Tensors, recorded where a gradient will flow back.

    Numbers among the operands stand for arrays filled with them.
    """
    wanted = tuple([isinstance(v, Tensor) and v.requires_grad for v in operands])
    visible = len(body.program.outputs)
    derivative = derivative_of(body, wanted) if MODE.get().grad and any(wanted) else None
    params = {
        "body": derivative.forward if derivative else body,
        "length": length,
        "reverse": reverse,
        "derivative": derivative,
    }
    z: Any = apply(SCAN, tuple(operands), params)
    return z[:visible]  # type: ignore[no-any-return]


def replay(program: Program, inputs: Sequence[Tensor]) -> list[Any]:
    """The outputs of a program on Tensors, op by op through the engine: to trace it again, or to
    differentiate it."""
    values: dict[Operand, Any] = dict(zip(program.inputs, inputs, strict=True))
    tracer = MODE.get().trace
    for stage in program.stages:
        assert isinstance(stage, Stage)
        if tracer is not None:
            tracer.source = stage.source
        z = _applied(stage, [values[v] if type(v) is Value else v for v in stage.operands], inputs[0].device)
        for v, part in zip(stage.outputs, z if isinstance(z, tuple) else (z,), strict=True):
            values[v] = part
            if type(part.data) is Var and part.data.name is None:
                part.data.name = _given_name(v)
    if tracer is not None:
        tracer.source = ""
    return [values[v] if type(v) is Value else Tensor.xp.asarray(v) for v in program.outputs]


def _applied(stage: Stage, operands: list[Any], device: Device) -> Any:
    if stage.op == "scan":
        return apply_scan(operands, **stage.params)
    if not operands:
        return new(
            stage.params["function"],
            *stage.params["args"],
            dtype=stage.params["dtype"],
            device=device,
            **stage.params["options"],
        )
    return apply(OPS[stage.op], tuple(operands), dict(stage.params))


#: How many cheap ops in a row are computed again in the backward pass rather than kept, where their operands
#: are at hand.
LONGEST = 4


class Linear(NamedTuple):
    """A loop that is linear in gradients or tangents: its body, where its operands come from, and what its
    results are.

    `operands` are pairs: ("dz" | "t" | "z" | "x" | "outside", position in these) or ("number", 0) for zero;
    `outside` are the Tensors that rules of the user's own take from there. `results` are pairs: the operand
    whose gradient it is, or the output whose tangent, and its position among what the loop gives.
    """

    body: Body
    operands: list[tuple[str, int]]
    outside: list[Tensor]
    results: list[tuple[int, int]]


class Joint(NamedTuple):
    """One trace of a body and of a sweep through it: reverse, from outputs to inputs, or forward, the other
    way.

    `given` are the gradients or tangents that the sweep begins with, `found` those that it ends with, by
    position.
    """

    tracer: Tracer
    inputs: list[Var]
    xs: int
    forward: int  # the last variable of the forward pass
    outputs: list[Any]
    given: dict[int, Var]
    found: dict[int, Var]


class Derivative:
    """How to differentiate a scan.

    `forward` is its body with what the loops of the derivative need as further outputs; `back` gives the loop
    of gradients, against time, and `along` that of tangents, with time.
    """

    def __init__(self, body: Body, wanted: tuple[bool, ...], given: tuple[bool, ...] | None = None) -> None:
        self.wanted = wanted
        self._backs: dict[tuple[bool, ...], Linear | None] = {}
        self._alongs: dict[tuple[bool, ...], Linear] = {}
        self.visible = len(body.program.outputs)
        self.origin = body
        program = body.program
        self._active = [
            i
            for i, v in enumerate(program.inputs)
            if is_floating(v.dtype) and (i < body.carries or wanted[i])
        ]
        joint = self._joint(given or (True,) * self.visible)
        kept = _residuals(joint, body.carries)
        outputs: list[Any] = list(joint.outputs)
        # of a kept Var, by its index: where the other loops find it
        self._places: dict[int, tuple[str, int]] = {}
        for var in kept:
            place = next((i for i, v in enumerate(outputs) if i >= body.carries and v is var), None)
            if place is None:
                place = len(outputs)
                outputs.append(var)
            self._places[var.index] = ("z", place)
        for i, var in enumerate(joint.inputs):
            if i >= body.carries:
                self._places[var.index] = ("x", i)
        self.forward = Body(joint.tracer.program(outputs, joint.inputs), body.carries, body.xs, body.whole)
        joint.tracer.close()

    def _joint(self, given: tuple[bool, ...], *, reverse: bool = True) -> Joint:
        """Trace the body, then its reverse sweep from the outputs that are given a gradient, or its forward
        sweep from the inputs that move.

        A carry has a gradient from later steps, and a tangent from earlier ones, given or not.
        """
        program, device, tracer = self.origin.program, current_device(), Tracer()
        with tracing(tracer, grad=True):
            inputs = [tracer.variable(v.shape, canonical(v.dtype), _given_name(v)) for v in program.inputs]
            tensors = {i: Tensor(v, device) for i, v in enumerate(inputs)}
            for i in self._active:
                tensors[i].node = Input(device, inputs[i].shape, inputs[i].dtype)
            outputs = dict(enumerate(replay(program, [x._twin() for x in tensors.values()])))
            forward = tracer.count
            floating = {i: z for i, z in outputs.items() if is_floating(z.dtype)}
            starts, ends = (
                (floating, {i: tensors[i] for i in self._active})
                if reverse
                else ({i: tensors[i] for i in self._active}, floating)
            )
            starts = {i: v for i, v in starts.items() if given[i] or i < self.origin.carries}
            begin = {i: tracer.variable(v.shape, v.dtype) for i, v in starts.items()}
            moves = [Tensor(v, device) for v in begin.values()]
            if reverse:
                sweep = pull_back(list(starts.values()), moves, list(ends.values()))
            else:
                sweep, _ = push_forward(list(ends.values()), list(starts.values()), moves)
            found = {i: tracer.output(v) for i, v in zip(ends, sweep, strict=True)}
            tracer.attribute(forward)
        return Joint(
            tracer, inputs, self.origin.xs, forward, [z.data for z in outputs.values()], begin, found
        )

    def back(self, given: tuple[bool, ...]) -> Linear | None:
        """The loop of gradients, where `given` says which outputs have one; None where it needs what is not
        kept."""
        if given not in self._backs:
            self._backs[given] = self._back(given)
        return self._backs[given]

    def along(self, given: tuple[bool, ...]) -> Linear:
        """The loop of tangents, where `given` says which operands have one."""
        if given not in self._alongs:
            self._alongs[given] = self._along(given)
        return self._alongs[given]

    def _along(self, given: tuple[bool, ...]) -> Linear:
        body, joint = self.origin, self._joint(given, reverse=False)
        carried = [i for i in joint.given if i < body.carries]
        read = [i for i in joint.given if body.carries <= i < body.carries + body.xs]
        fixed = [i for i in joint.given if i >= body.carries + body.xs]
        ys = [i for i in joint.found if i >= body.carries]
        beside = self._unkept(joint)
        order = [*carried, *(None for _ in beside), *ys]
        own: list[Any] = [("t", i) if given[i] else ("number", 0) for i in carried]
        own += [("x", i) for i in beside]
        loop = self._loop(
            joint.tracer,
            [
                *(joint.found[i] for i in carried),
                *(joint.outputs[i] for i in beside),
                *(joint.found[i] for i in ys),
            ],
            [joint.given[i] for i in carried] + [joint.inputs[i] for i in beside],
            own,
            {("t", i): joint.given[i] for i in read},
            {("t", i): joint.given[i] for i in fixed},
        )
        return Linear(*loop, [(i, k) for k, i in enumerate(order) if i is not None])

    def _unkept(self, joint: Joint) -> list[int]:
        """The carries that a sweep needs and the forward loop does not keep: they go beside their
        tangents."""
        outputs, found = list(joint.found.values()), set[int]()
        while more := self._missing(joint, outputs) - found:
            found |= more
            outputs += [joint.outputs[i] for i in more]
        return sorted(found)

    def _missing(self, joint: Joint, outputs: Iterable[Any]) -> set[int]:
        """The carries that are not kept and that `outputs` are computed from."""
        places, tracer = self._places, joint.tracer
        kept = {out for _, _, _, results, _ in tracer.written for out in results if out.index in places}
        needed = tracer.ancestors(outputs, kept)
        starts = enumerate(joint.inputs[: self.origin.carries])
        return {i for i, v in starts if v in needed and v.index not in places}

    def _back(self, given: tuple[bool, ...]) -> Linear | None:
        body, joint = self.origin, self._joint(given)
        tracer = joint.tracer
        if self._missing(joint, joint.found.values()):
            return None
        carried = [i for i in self._active if i < body.carries]
        read = [i for i in self._active if body.carries <= i < body.carries + body.xs and self.wanted[i]]
        summed = [i for i in self._active if i >= body.carries + body.xs and self.wanted[i]]
        with tracing(tracer, grad=False):
            device = current_device()
            before = [tracer.variable(joint.found[i].shape, joint.found[i].dtype) for i in summed]
            after = [
                apply(ADD, (Tensor(v, device), Tensor(joint.found[i], device))).data
                for v, i in zip(before, summed, strict=True)
            ]
        own: list[Any] = [("dz", i) if given[i] else ("number", 0) for i in carried] + [("number", 0)] * len(
            before
        )
        loop = self._loop(
            tracer,
            [joint.found[i] for i in carried] + after + [joint.found[i] for i in read],
            [joint.given[i] for i in carried] + before,
            own,
            {("dz", i): v for i, v in joint.given.items() if i >= body.carries},
            {},
        )
        return Linear(*loop, [(i, k) for k, i in enumerate([*carried, *summed, *read]) if self.wanted[i]])

    def _loop(
        self,
        tracer: Tracer,
        outputs: list[Any],
        carries: list[Var],
        starts: list[Any],
        slices: dict[Any, Var],
        fixed: dict[Any, Var],
    ) -> tuple[Body, list[tuple[str, int]], list[Tensor]]:
        """The body that goes from `carries`, `slices` and `fixed`, and what was kept, to `outputs`; its
        operands; and what is from outside."""
        used = tracer.reads(outputs, self._places)
        stacked = [v for v in used if self._is_stacked(self._places[v.index])]
        constant = [v for v in used if v not in stacked]
        outside = list(tracer.captured.values())
        inputs = [
            *carries,
            *slices.values(),
            *stacked,
            *fixed.values(),
            *constant,
            *(var for var, _ in outside),
        ]
        operands = [
            *starts,
            *slices,
            *(self._places[v.index] for v in stacked),
            *fixed,
            *(self._places[v.index] for v in constant),
        ]
        operands += [("outside", k) for k in range(len(outside))]
        program = tracer.program(outputs, inputs)
        tracer.close()
        return (
            Body(program, len(carries), len(slices) + len(stacked), self.origin.whole),
            operands,
            [v for _, v in outside],
        )

    def _is_stacked(self, place: tuple[str, int]) -> bool:
        kind, i = place
        return kind == "z" or i < self.origin.carries + self.origin.xs


def _recomputed(
    v: Any, written: Mapping[Var, Any], at_hand: Set[Var], starts: Set[Var], depth: int = 0
) -> set[Var] | None:
    """The carries that `v` is computed from if it is computed again; None where it cannot be."""
    if type(v) is not Var or v in at_hand or v not in written:
        return {v} & starts
    op, operands = written[v]
    if not op.kernel.cheap or depth == LONGEST:
        return None
    parts = [_recomputed(u, written, at_hand, starts, depth + 1) for u in operands]
    return None if None in parts else set().union(*(p for p in parts if p))


def _residuals(joint: Joint, carries: int) -> list[Var]:
    """What the reverse sweep needs of the forward values, and cannot cheaply compute again from what is at
    hand.

    At hand are slices of what is read and what is the same at every step; a carry has to be kept like any
    other value.
    """
    written = {out: (op, operands) for op, operands, _, outputs, _ in joint.tracer.written for out in outputs}
    useful = joint.tracer.ancestors(joint.found.values())
    back = set(joint.given.values())
    for out, (_, operands) in written.items():
        if not back.isdisjoint(v for v in operands if type(v) is Var):
            back.add(out)
    needed: dict[Var, None] = {}
    for out, (_, operands) in reversed(written.items()):
        # what the sweep makes of forward values alone is made again there: needed is what it is made from
        if out in useful and (out in back or (out in needed and out.index > joint.forward)):
            needed.update((v, None) for v in operands if type(v) is Var and v not in back)
    needed = {v: None for v in sorted(needed, key=lambda v: v.index) if v.index <= joint.forward}
    starts = set(joint.inputs[:carries])
    steady = set(joint.inputs) - set(joint.inputs[: carries + joint.xs])
    for out, (_, operands) in written.items():
        if all(v in steady for v in operands if type(v) is Var):
            steady.add(out)
    kept = {v for v in needed if v in written and v not in steady and not written[v][0].kernel.cheap}
    at_hand = kept | steady
    for v in needed:
        found = _recomputed(v, written, at_hand, starts)
        at_hand |= {v} if found is None else found
        kept |= {v} if found is None else found
    kept |= starts & joint.tracer.ancestors(joint.found.values(), kept)
    return sorted(kept, key=lambda v: v.index)
