"""A program as Python that needs only NumPy or CuPy: a forward function and a backward one."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...backends import find_device
from ...backends.dtypes import is_floating
from ...core.backward import pull_back
from ...core.graph import Input
from ...core.tensor import Tensor
from ...errors import TraceError
from ...ops import find_op
from ...ops.shaping import NEW
from ..ir import Item, Loop, Operand, Program, Stage, Value
from ..lowering.plan import Unsupported
from ..names import Names
from ..scan import replay
from ..trace import Tracer, trace_to_ir
from ..variables import Var, spec_of
from .listing import Text, form, number, opened
from .numpy_calls import FORMULAS, HELPERS, dtype_name, helper, known, written
from .spelling import identifier, shown

#: The libraries, and their names in the text.
LIBRARIES = {"numpy": "np", "cupy": "cp"}


def source(program: Program, backend: str = "numpy", *, chip: str = "H100") -> str:
    """Write a module with `forward(*inputs)` and `backward(saved, *gradients of the outputs)`.

    It imports nothing but the library.

    Args:
        program: the result of `trace`. An optimised program has no `backward`.
        backend: "numpy" or "cupy"; or "cuda" for the text of the kernels that run the program on a `chip`,
            with the launches in order. Trace the gradient to get its kernels.

    `forward` returns the outputs, one or a tuple of them, and what `backward` needs. `backward` returns a
    tuple with the gradient of each floating input, given the gradients of the floating outputs.

    Raises:
        ValueError: the backend or chip is unknown, the program moves values between devices, or it has no
            kernels.
        TypeError: the program uses bfloat16, which NumPy lacks.

    >>> import xgrad as xg
    >>> text = source(xg.trace(lambda x: xg.sum(x * x), xg.zeros(3)))
    >>> module = {}
    >>> exec(text, module)
    >>> import numpy as np
    >>> z, saved = module["forward"](np.array([1.0, 2.0, 3.0]))
    >>> module["backward"](saved, np.ones(()))
    (array([2., 4., 6.]),)
    """
    if backend == "cuda":
        return _kernels(program, chip)
    if backend not in LIBRARIES:
        raise ValueError(f"source can be written for {', '.join(LIBRARIES)} or cuda, not {backend!r}")
    writer = _Writer(LIBRARIES[backend])
    for v in program.inputs:
        dtype_name(writer.xp, v.dtype)
    passes = _passes(program)
    text = "\n\n".join(
        [writer.forward(program, passes), *([writer.backward(program, passes)] if passes.back else [])]
    )
    helpers = "\n".join(
        helper(name).replace("np.", f"{writer.xp}.") + "\n" for name in sorted(writer.helpers)
    )
    return f"import {backend} as {writer.xp}\n\n{helpers}\n{text}".replace("\n\n\n\n", "\n\n\n")


def _kernels(program: Program, chip: str) -> str:
    """Return the CUDA kernels of a program."""
    from ..codegen.cuda.chips import CHIPS
    from ..codegen.cuda.schedule import listing, schedule
    from ..codegen.cuda.target import CUDA
    from ..lowering.lower import lower
    from ..passes import optimise

    if chip not in CHIPS:
        raise ValueError(f"kernels can be written for {', '.join(CHIPS)}, not {chip!r}")
    try:
        planned = schedule(lower(optimise(program), target=CUDA).plan, CHIPS[chip])
    except Unsupported as error:
        raise ValueError(
            f"there is no CUDA kernel for {error}: the program runs through CuPy, stage by stage"
        ) from None
    return f"{listing(planned)}\n{planned.source}"


class Written(Tracer):
    """A tracer for standalone text.

    Values that a rule or a gate captures from outside are written out, if they are small.
    """

    FEW = 64

    def capture(self, v: Tensor) -> Var:
        """Add a stage that creates an array equal to `v`, which is from outside."""
        if type(v.data) is Var or v.requires_grad:
            return super().capture(v)
        if v.size > self.FEW:
            raise TraceError(
                f"source: a gate or its derivative uses an array of shape {v.shape} from outside, which "
                f"cannot be written as code: pass it as an argument"
            )
        function, value = ("full", ((), v._only())) if v.shape == () else ("asarray", (v.tolist(),))
        made: Var = self.emit(
            NEW, v.device, (), {"function": function, "args": value, "dtype": v.dtype.name, "options": {}}
        )[0]
        return made


class _Passes(NamedTuple):
    """The two passes of a program.

    `program` has `saved` as further outputs. `back` takes `saved` and the gradients of the outputs `given`.
    """

    forward: Program
    saved: tuple[Value, ...]
    given: tuple[int, ...]
    back: Program | None


def _passes(program: Program) -> _Passes:
    """Return both passes, from one trace of the program and its reverse sweep."""
    active = [v for v in program.inputs if is_floating(v.dtype)]
    if not active or any(isinstance(s, Loop) for s in program.stages):
        return _Passes(program, (), (), None)
    device, count = find_device("cpu"), len(program.inputs)
    specs = [spec_of(v, device) for v in program.inputs]
    specs = [
        s._replace(node=Input(device, s.shape, s.dtype)) if v in active else s
        for v, s in zip(program.inputs, specs)
    ]
    specs += [spec_of(v._replace(name=f"d{v.name}"), device) for v in program.outputs if type(v) is Value]
    given: tuple[int, ...] = ()

    def both(*x: Tensor) -> list[Any]:
        nonlocal given
        values: dict[Operand, Tensor] = dict(zip(program.inputs, x))
        for s in program.stages:
            _replayed(s, values, program.inputs)
        outputs = [values[v]._alias() if type(v) is Value else v for v in program.outputs]
        given = tuple(i for i, z in enumerate(outputs) if isinstance(z, Tensor) and z.requires_grad)
        dz = dict(zip((i for i, v in enumerate(program.outputs) if type(v) is Value), x[count:]))
        found = (
            pull_back([outputs[i] for i in given], [dz[i] for i in given], [values[v] for v in active])
            if given
            else []
        )
        for v, g in zip(active, found):
            if g.data.name is None:
                g.data.name = f"d{v.name}"
        return [*outputs, *found]

    traced = trace_to_ir(both, specs, grad=True, kind=Written)
    moves = dict(zip((i for i, v in enumerate(program.outputs) if type(v) is Value), traced.inputs[count:]))
    whole = traced.program([*traced.inputs[:count], *(moves[i] for i in given)])
    traced.close()
    return _split(whole, count, len(program.outputs), given) if given else _Passes(program, (), (), None)


def _replayed(s: Item, values: dict[Operand, Tensor], inputs: Sequence[Value]) -> None:
    """Run one stage on Tensors; its outputs keep their names."""
    assert isinstance(s, Stage)
    read = tuple(dict.fromkeys(s.values)) or inputs[:1]
    for v, z in zip(
        s.outputs, replay(Program(tuple(read), (s,), s.outputs), [values[v] for v in read]), strict=True
    ):
        if z.data.name is None:
            z.data.name = v.name
        values[v] = z


def _split(whole: Program, inputs: int, outputs: int, given: tuple[int, ...]) -> _Passes:
    """Split into passes: forward, what the outputs need; backward, the rest. Shared values are saved."""
    needed = set(whole.outputs[:outputs])
    early, late = [], []
    for s in reversed(whole.stages):
        if needed.isdisjoint(s.outputs):
            late.append(s)
        else:
            early.append(s)
            needed.update(s.values)
    early.reverse()
    late.reverse()
    gradients = whole.outputs[outputs:]
    before = {*whole.inputs[:inputs], *(v for s in early for v in s.outputs)}
    read = dict.fromkeys(
        v for v in (*(v for s in late for v in s.values), *gradients) if type(v) is Value and v in before
    )
    saved = tuple(read)
    forward = Program(whole.inputs[:inputs], tuple(early), (*whole.outputs[:outputs], *saved))
    return _Passes(forward, saved, given, Program((*saved, *whole.inputs[inputs:]), tuple(late), gradients))


def _parts(s: Stage) -> Program | None:
    """Return the program of a gate's forward function, if NumPy lacks the gate."""
    if s.op == "to_device":
        raise ValueError(
            f"{s.source}: the program moves values between devices, but its source can be written only "
            f"for one device"
        )
    if s.op in ("scan", "new") or known(s.op):
        return None
    if "program" in s.params:
        return s.params["program"]  # type: ignore[no-any-return]

    def gate(*x: Tensor) -> list[Any]:
        given = iter(x)
        return [
            find_op(s.op).forward(
                Tensor.xp, *(next(given) if type(v) is Value else v for v in s.operands), **s.params
            )
        ]

    try:
        traced = trace_to_ir(gate, [spec_of(v, find_device("cpu")) for v in s.values], kind=Written)
    except AttributeError as error:  # a function that only one backend has
        raise ValueError(f"{s.source}: how {s.op!r} is written in NumPy is not known") from error
    program = traced.program(traced.inputs)
    traced.close()
    if any(isinstance(inner, Stage) and inner.op == s.op for inner in program.stages):
        raise ValueError(f"{s.source}: how {s.op!r} is written in NumPy is not known")
    return program


class _Writer:
    """Writes the functions of one module."""

    def __init__(self, xp: str) -> None:
        self.xp = xp
        self.helpers: set[str] = set()

    def forward(self, program: Program, passes: _Passes) -> str:
        body = _Body(self, passes.forward)
        outputs = [body.text(v) for v in body.program.outputs]
        count = len(program.outputs)
        result = outputs[0] if count == 1 else _tuple(outputs[:count])
        return body.function(
            "forward", body.names(passes.forward.inputs), f"{result}, {_tuple(outputs[count:])}"
        )

    def backward(self, program: Program, passes: _Passes) -> str:
        assert passes.back is not None
        body = _Body(self, passes.back)
        saved, given = body.names(passes.saved), body.names(passes.back.inputs[len(passes.saved) :])
        first = [f"{', '.join(saved)}{',' * (len(saved) == 1)} = saved"] if saved else []
        return body.function(
            "backward", ["saved", *given], _tuple([body.text(v) for v in body.program.outputs])[1:-1], first
        )


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


class _Body:
    """Writes the lines of one function."""

    def __init__(self, writer: _Writer, program: Program) -> None:
        self.xp, self.helpers = writer.xp, writer.helpers
        self.inputs = program.inputs
        self.program = opened(program, _parts)
        own = (self.xp, "complex", "float", "range", "reversed", "saved", "slice", "forward", "backward")
        self._unique = Names([*keyword.kwlist, *HELPERS, *FORMULAS, *own])
        self._names: dict[Value, str] = {}
        self._lines: list[tuple[str, str]] = []
        self.names(self.inputs)

    def names(self, values: Sequence[Value]) -> list[str]:
        """Return the values' names as identifiers."""
        for v in values:
            if v not in self._names:
                self._names[v] = self._unique.unique(identifier(v.name))
        return [self._names[v] for v in values]

    def text(self, v: Operand) -> str:
        """Write an output."""
        return self.names([v])[0] if type(v) is Value else f"{self.xp}.asarray({number(v).text})"

    def function(self, name: str, parameters: Sequence[str], result: str, first: Sequence[str] = ()) -> str:
        """Return the whole text."""
        about = [
            f"    # {self._names[v]}: {'' if self._names[v] == v.name else f'{shown(v.name)}, '}{form(v)}"
            for v in self.inputs
        ]
        self._read = {v for v in self.program.outputs if type(v) is Value}
        self._block(self.program.stages, 1, self._read)
        width = min(max((len(line) for line, beside in self._lines if beside), default=0), 70)
        lines = [f"{line:<{width}}  # {beside}" if beside else line for line, beside in self._lines]
        return "\n".join(
            [
                f"def {name}({', '.join(parameters)}):",
                *about,
                *(f"    {line}" for line in first),
                *lines,
                f"    return {result}\n",
            ]
        )

    def _block(self, items: Sequence[Item], depth: int, kept: set[Value]) -> None:
        """Write these items, freeing each value after its last use unless it is `kept`."""
        last: dict[Value, int] = {}
        for i, s in enumerate(items):
            last.update(dict.fromkeys(s.values, i))
        made: set[Value] = set()
        for i, s in enumerate(items):
            used = [v for v in s.outputs if v in last or v in kept]
            if isinstance(s, Loop):
                self._loop(s, depth, set(used))
            elif used:
                self._line(depth, ", ".join(self.names(s.outputs)), self._expression(s), form(*s.outputs))
            made.update(used)
            gone = [
                self._names[v]
                for v in dict.fromkeys(s.values)
                if last[v] == i and v in made and v not in kept and v.shape
            ]
            if gone:
                self._line(depth, "", f"del {', '.join(gone)}")

    def _line(self, depth: int, left: str, right: str, beside: str = "") -> None:
        self._lines.append((f"{'    ' * depth}{left}{' = ' if left else ''}{right}", beside))

    def _expression(self, s: Stage) -> str:
        args = [Text(self.names([v])[0]) if type(v) is Value else number(v) for v in s.operands]
        if s.op in ("reshape", "broadcast_to") and s.values[0].shape == s.output.shape:
            return args[0].text
        return written(self.xp, s.op, args, s.params, self.helpers).text

    def _array(self, v: Operand, like: Value) -> str:
        """Write a value, or an array like `like` filled with a number."""
        if type(v) is Value:
            return self.names([v])[0]
        return f"{self.xp}.full({like.shape}, {number(v).text}, {dtype_name(self.xp, like.dtype)})"

    def _loop(self, loop: Loop, depth: int, used: set[Value]) -> None:
        for c in loop.carry:
            self._line(depth, self.names([c.inner])[0], self._array(c.init, c.inner), form(c.inner))
        ys = [y for y in loop.ys if y.outer in used]
        for y in ys:
            self._line(
                depth,
                self.names([y.outer])[0],
                f"{self.xp}.empty({y.outer.shape}, {dtype_name(self.xp, y.outer.dtype)})",
                form(y.outer),
            )
        t = self._unique.unique("t")
        steps = f"range({loop.length})"
        self._line(depth, "", f"for {t} in {f'reversed({steps})' if loop.reverse else steps}:")
        for x in loop.xs:
            right = (
                f"{self.names([x.outer])[0]}[{t}]"
                if type(x.outer) is Value
                else self._array(x.outer, x.inner)
            )
            self._line(depth + 1, self.names([x.inner])[0], right, form(x.inner))
        results = {v for v in (*(c.next for c in loop.carry), *(y.inner for y in ys)) if type(v) is Value}
        self._block(loop.stages, depth + 1, results)
        for y in ys:
            self._line(
                depth + 1,
                f"{self._names[y.outer]}[{t}]",
                self.names([y.inner])[0] if type(y.inner) is Value else number(y.inner).text,
            )
        if loop.carry:
            after = [self._array(c.next, c.inner) for c in loop.carry]
            self._line(depth + 1, ", ".join(self.names([c.inner for c in loop.carry])), ", ".join(after))
        elif not ys:
            self._line(depth + 1, "", "pass")
        for c in loop.carry:
            if c.final is not None and c.final in used:
                self._line(depth, self.names([c.final])[0], self.names([c.inner])[0], form(c.final))


Program.source = source
