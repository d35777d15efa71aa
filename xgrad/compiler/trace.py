"""Tracing: from a function to a program: `trace_to_ir` runs it once on variables that have a shape and a
dtype but no value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple, NoReturn

from ..backends import Device
from ..backends.dtypes import canonical, is_floating
from ..core.context import MODE, mode
from ..core.dispatch import LEAKED, NUMBERS
from ..core.recording import source_line
from ..core.tensor import Tensor
from ..core.weak import settled
from ..errors import GraphError, TraceError
from ..ops import OPS, Op
from ..ops.arithmetic import STOP_GRADIENT
from ..ops.indexing import GETITEM
from ..ops.programs import CUSTOM
from ..ops.shaping import ITEM, UNSTACK
from . import custom_gates  # noqa: F401 - which says what CUSTOM does
from .abstract_eval import form_of
from .draws import refuse_draws, states
from .ir import Program, Stage, Value
from .keys import exact
from .names import Names


class Var:
    """What stands for an array while a function is traced: a shape and a dtype."""

    __slots__ = ("dtype", "index", "name", "shape", "tracer")

    def __init__(self, tracer: Tracer, index: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.tracer = tracer
        self.index = index
        self.shape = shape
        self.dtype = dtype
        self.name: str | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        if not self.tracer._open:
            raise GraphError(LEAKED)
        raise TraceError(
            f"{source_line()}: the code needs the value of a Tensor of shape {self.shape}, which has no "
            f"value while the function is traced. Use xg.where instead of a branch, or run the function "
            f"eagerly: without trace and compile, and with scan(..., compiled=False). To index a plain "
            f"array with a Tensor, use xg.asarray(array)[i]"
        )


class Spec(NamedTuple):
    """What a function is traced with in the place of an array: a shape and a dtype, and a name for the
    program.

    One that is `fixed` may not be changed in place. One with a `node` needs a gradient.
    """

    shape: tuple[int, ...]
    dtype: Any
    device: Device
    name: str | None = None
    fixed: bool = False
    node: Any = None


class Tracer:
    """Writes down ops instead of running them.

    Arrays that were made outside are `captured`: they become inputs, so that a program can be run with other
    values of them. Handles from outside may not be changed in place, since the program would not do it again:
    only those that are `made` in the function, and its arguments, for which a tracer hands out handles of its
    own, unless they are `fixed`.
    """

    def __init__(self, *, remember: bool = False) -> None:
        self._fixed: list[Tensor] = []
        # a handle from inside, and one from outside with its value
        self._made: dict[int, tuple[Tensor, Tensor]] = {}
        self._arrays: dict[int, Tensor] = {}  # a handle for each plain array from outside
        self._outer: Tracer | None = MODE.get().trace
        #: Tensors from outside whose values Python code has seen, and the values, as parts of a key.
        self.seen: dict[int, tuple[Tensor, Any]] = {}
        self.written: list[tuple[Op, list[Any], dict[str, Any], tuple[Var, ...], str]] = []
        self.captured: dict[int, tuple[Var, Tensor]] = {}
        self.inputs: list[Var] = []
        self.remember = remember
        self.lines = remember  # whether stages know the line that is being run
        self.source = ""  # the line of what is replayed, which is not that of the code that runs
        self.count = 0
        self._open = True

    def variable(self, shape: tuple[int, ...], dtype: Any, name: str | None = None) -> Var:
        """Another variable, computed by nothing."""
        self.count += 1
        var = Var(self, self.count, shape, dtype)
        var.name = name
        return var

    def add_input(self, spec: Spec) -> Tensor:
        """A Tensor to trace with."""
        shape, dtype, device, name, fixed, node = spec
        self.inputs.append(self.variable(shape, dtype, name))
        handle = Tensor(self.inputs[-1], device, node)
        if fixed:
            self._fixed.append(handle)
        return handle

    def emit(
        self, op: Op, device: Device, operands: Sequence[Any], params: dict[str, Any]
    ) -> tuple[Any, list[Any]]:
        """Write down `op(*operands)`.

        Gives its output, a Var or a tuple of them, and the operands as Vars and numbers.
        """
        if not self._open:
            raise GraphError(LEAKED)
        params = settled(params) if params else params
        refs = [v if type(v) in NUMBERS else self._own(v) for v in operands]
        if OPS.get(op.name) is not op and op is not ITEM:
            return self._custom(op, device, refs, params), refs
        if op is UNSTACK:
            return self._unstacked(refs[0], params["axis"]), refs
        form = form_of(op, refs, params)
        several = type(form) is tuple
        outputs = self._write(op, refs, params, *(form if several else (form,)))
        return (outputs if several else outputs[0]), refs

    def _write(self, op: Op, refs: list[Any], params: dict[str, Any], *forms: Any) -> tuple[Var, ...]:
        """Another line, with the variables that it computes; under `no_grad`, with as many more, that no
        gradient flows through."""
        outputs = tuple([self.variable(f.shape, f.dtype) for f in forms])
        self.written.append((op, refs, params, outputs, self.source or (source_line() if self.lines else "")))
        if not MODE.get().stop or op is STOP_GRADIENT:
            return outputs
        return tuple(
            [self._write(STOP_GRADIENT, [v], {}, v)[0] if is_floating(v.dtype) else v for v in outputs]
        )

    def _custom(self, op: Op, device: Device, refs: list[Any], params: dict[str, Any]) -> Any:
        """A gate of the user's own is what its function does, but keeps its derivative."""
        several = False

        def gate(*x: Tensor) -> Sequence[Any]:
            nonlocal several
            given = iter(x)
            z = op.forward(Tensor.xp, *(v if type(v) in NUMBERS else next(given) for v in refs), **params)
            several = isinstance(z, tuple)
            return z if several else (z,)

        specs = [Spec(v.shape, v.dtype, device, v.name) for v in refs if type(v) not in NUMBERS]
        inner = trace_to_ir(gate, specs, remember=self.remember, lines=self.lines)
        captured = inner.outside
        if any(type(v.data) is Var and is_floating(v.dtype) for v in captured):
            raise GraphError(
                f"the gate {op.name!r} uses a Tensor of the function that is being traced, which is not "
                f"an operand; pass it as an operand"
            )
        refs_and_captured = [*refs, *map(self._own, captured)]
        about = {
            "program": inner.program(),
            "entry": op,
            "options": tuple(params.items()),
            "count": len(refs),
        }
        inner.close()
        found = self._write(CUSTOM, refs_and_captured, about, *inner.outputs)
        return found if several else found[0]

    def _unstacked(self, x: Var, axis: int) -> tuple[Var, ...]:
        before = (slice(None),) * (axis % x.ndim)
        keys = [(*before, i, ...) for i in range(x.shape[axis])]
        return tuple(
            [self._write(GETITEM, [x], {"key": key}, form_of(GETITEM, (x,), {"key": key}))[0] for key in keys]
        )

    def _own(self, v: Any) -> Var:
        data = v.data
        if type(data) is Var and data.tracer is self:
            return data
        return self.capture(v)

    def capture(self, v: Tensor) -> Var:
        """The input that stands for a Tensor from outside."""
        if self._made:
            v = self._made.get(id(v), (v, v))[1]
        # handles that share a value now may have different ones when the program is run again
        key = id(v.data) if type(v.data) is Var else id(v)
        if key not in self.captured:
            if type(v.data) is Var and not v.data.tracer._open:
                raise GraphError(LEAKED)
            self.captured[key] = (self.variable(v.data.shape, v.dtype, v.name), v)
        return self.captured[key][0]

    def made(self, handle: Tensor, source: Tensor | None = None) -> None:
        """Take note of a handle that is made in the function: to the value of `source`, or to a plain
        array."""
        if type(handle.data) is Var and handle.data.tracer is self:
            return
        if source is None:
            source = self._arrays.setdefault(id(handle.data), Tensor(handle.data, handle.device))
        self._made[id(handle)] = (handle, self._made.get(id(source), (source, source))[1])

    def looked_at(self, v: Tensor) -> None:
        """Take note that the trace depends on the value of a Tensor from outside, as of `float(t)`."""
        if type(v.data) is Var:
            return
        v = self._made.get(id(v), (v, v))[1]
        self.seen.setdefault(id(v), (v, exact(v.data)))
        if self._outer is not None:
            self._outer.looked_at(v)

    def may_change(self, handle: Tensor) -> None:
        """Raise TraceError where `handle`, which is about to be changed in place, is from outside."""
        ours = (type(handle.data) is Var and handle.data.tracer is self) or id(handle) in self._made
        if not ours or any(handle is x for x in self._fixed):
            what = "an argument" if ours else "a Tensor from outside"
            raise TraceError(
                f"{source_line()}: {what} is changed in place in a traced function, which would happen "
                f"only once, not at later calls or steps: return the new value (in a loop, as part of the "
                f"carry), or change a copy, +t"
            )

    def output(self, x: Any) -> Any:
        """What a traced function returned, as a Var of this tracer."""
        return self._own(x)

    def attribute(self, last: int) -> None:
        """Give stages without a line, as those of a derivative are, the line of what they read: of the
        variables up to `last`, or of others."""
        lines: dict[Var, str] = {}
        for i, (op, refs, params, outputs, source) in enumerate(self.written):
            if not source:
                known = [v for v in refs if type(v) is Var and lines.get(v)]
                near = [v for v in known if v.index <= last] or known
                source = lines[near[-1]] if near else ""
                self.written[i] = (op, refs, params, outputs, source)
            lines.update((v, source) for v in outputs)

    def close(self) -> None:
        """No more ops; what was written down is let go."""
        self._open = False
        self.written, self.inputs, self.captured = [], [], {}
        self._fixed, self._made, self._arrays, self.seen = [], {}, {}, {}
        self._outer = None

    def key(self, outputs: Iterable[Var]) -> tuple[Any, ...]:
        """What two traces have in common that are the same program: ops, operands, parameters, and forms of
        the inputs."""
        return (
            tuple([(v.index, v.shape, v.dtype) for v in self.everything_read()]),
            tuple([(entry[4], *[out.name for out in entry[3]]) for entry in self.written])
            if self.remember
            else None,
            tuple(
                [
                    (
                        op,
                        tuple([r.index if type(r) is Var else exact(r) for r in refs]),
                        exact(params) if params else None,
                    )
                    for op, refs, params, _, _ in self.written
                ]
            ),
            tuple([v.index for v in outputs]),
            len(self.inputs),
        )

    def everything_read(self) -> list[Var]:
        """The inputs: those that were given, and after them those that were captured."""
        return [*self.inputs, *[var for var, _ in self.captured.values()]]

    def ancestors(self, outputs: Iterable[Any], stops: Collection[Var] = ()) -> set[Var]:
        """The variables that `outputs` are computed from, themselves included, back to `stops`."""
        found = {v for v in outputs if type(v) is Var}
        for _, operands, _, results, _ in reversed(self.written):
            if any(out in found and out not in stops for out in results):
                found.update(v for v in operands if type(v) is Var)
        return found

    def reads(self, outputs: Iterable[Any], places: Mapping[int, Any]) -> list[Var]:
        """Those of the variables whose indices are in `places` from which `outputs` are computed, going no
        further back."""
        found = {v for v in outputs if type(v) is Var}
        for _, operands, _, results, _ in reversed(self.written):
            if any(out in found and out.index not in places for out in results):
                found.update(v for v in operands if type(v) is Var)
        return sorted((v for v in found if v.index in places), key=lambda v: v.index)

    def program(self, outputs: Sequence[Any], inputs: Sequence[Var] | None = None) -> Program:
        """What `outputs` are computed by, from `inputs`, as data."""
        inputs = self.everything_read() if inputs is None else inputs
        given = set(inputs)
        useful = self.ancestors(outputs, given)
        entries = []
        for op, refs, params, outs, source in self.written:
            if any(out in useful and out not in given for out in outs):
                # an output that is an input as well is read there, and computed beside the others for nothing
                outs = tuple(self.variable(out.shape, out.dtype) if out in given else out for out in outs)
                entries.append((op, refs, params, outs, source))
        values = _named(inputs, [out for e in entries for out in e[3]])
        stages = tuple(
            Stage(
                op.name,
                tuple(values[r] if type(r) is Var else r for r in refs),
                tuple(values[out] for out in outs),
                _data(op, params),
                source,
            )
            for op, refs, params, outs, source in entries
        )
        return Program(
            tuple(values[v] for v in inputs),
            stages,
            tuple(values[v] if type(v) is Var else v for v in outputs),
        )


def _data(op: Op, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as far as they are data: not how a scan that was recorded is differentiated."""
    return {k: v for k, v in params.items() if op.name != "scan" or k != "derivative"}


def _named(inputs: Sequence[Var], computed: list[Var]) -> dict[Var, Value]:
    """A Value for each Var: under the name that the user gave it, else x1, x2, ... for inputs and z1, z2, ...
    by place."""
    names = Names()
    places = {v: f"x{i}" for i, v in enumerate(inputs, 1)} | {v: f"z{i}" for i, v in enumerate(computed, 1)}
    called = {v: names.unique(v.name) for v in places if v.name}
    called.update((v, names.unique(place)) for v, place in places.items() if not v.name)
    return {v: Value(called[v], v.shape, canonical(v.dtype).name) for v in places}


class Traced(NamedTuple):
    """A function that was traced: the variables of what it returned, and the tracer that knows how they are
    computed, until it is closed."""

    tracer: Tracer
    outputs: list[Any]

    @property
    def inputs(self) -> list[Var]:
        """A variable for each Spec."""
        return self.tracer.inputs

    @property
    def outside(self) -> list[Tensor]:
        """The Tensors from outside that are read, which are inputs of the program behind those that were
        given."""
        return [handle for _, handle in self.tracer.captured.values()]

    @property
    def seen(self) -> list[tuple[Tensor, Any]]:
        """The Tensors from outside whose values Python code has seen, and the values."""
        return list(self.tracer.seen.values())

    def key(self) -> tuple[Any, ...]:
        """What it has in common with another trace of the same program."""
        return self.tracer.key(self.outputs)

    def program(self, inputs: Sequence[Var] | None = None) -> Program:
        """The program, of all inputs or of these."""
        return self.tracer.program(self.outputs, inputs)

    def close(self) -> None:
        """Let go of what was written down."""
        self.tracer.close()


def trace_to_ir(
    f: Callable[..., Iterable[Any]],
    specs: Iterable[Spec],
    *,
    grad: bool = False,
    remember: bool = False,
    user: Any = None,
    lines: bool = False,
    kind: type[Tracer] = Tracer,
) -> Traced:
    """Run `f` once, on a Tensor without a value for each of `specs`; it returns Tensors, and numbers.

    Args:
        grad: ops on Tensors that need a gradient are recorded, so that `f` can differentiate.
        remember: programs that were written in different lines, or with other names, are different.
        user: the user's function that `f` calls: random numbers that it draws meanwhile are refused.
        lines: stages know the user's line that wrote them, as they do where there is a `user`.
        kind: another kind of tracer.
    """
    tracer = kind(remember=remember)
    tracer.lines = remember or lines or user is not None
    before = states(user) if user is not None else []
    try:
        with mode(trace=tracer, grad=grad, record=False, stop=False, hooks=None):
            outputs = [
                z if type(z) in NUMBERS else tracer.output(z) for z in f(*map(tracer.add_input, specs))
            ]
    except BaseException:
        tracer.close()
        raise
    if before:
        refuse_draws(before)
    return Traced(tracer, outputs)


def spec_of(v: Value, device: Device) -> Spec:
    """A variable in the place of a value of a program."""
    return Spec(v.shape, canonical(v.dtype), device, v.name)
