"""Tracing: `trace_to_ir` runs a function once on variables that have a shape and a dtype but no value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

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
from .variables import Spec, Var


class ChangedOutside(TraceError):
    """A traced function changes a Tensor from outside in place: `handle`."""

    def __init__(self, message: str, handle: Tensor) -> None:
        super().__init__(message)
        self.handle = handle


class Tracer:
    """Records ops instead of running them.

    Arrays created outside are `captured`: they become inputs, so that the program can run with other values
    of them. Handles from outside may not be changed in place, since the program would not repeat the change.
    Handles that are `made` in the function may be, and so may its arguments, for which a tracer hands out
    handles of its own, unless they are `fixed`.
    """

    def __init__(self, *, remember: bool = False) -> None:
        self._fixed: list[Tensor] = []
        # a handle made inside, and a handle from outside that has its value
        self._made: dict[int, tuple[Tensor, Tensor]] = {}
        self._arrays: dict[int, Tensor] = {}  # one handle for each plain array from outside
        self._outer: Tracer | None = MODE.get().trace
        #: Tensors from outside whose values Python code has read, and the values, as parts of a key.
        self.seen: dict[int, tuple[Tensor, Any]] = {}
        self.written: list[tuple[Op, list[Any], dict[str, Any], tuple[Var, ...], str]] = []
        self.captured: dict[int, tuple[Var, Tensor]] = {}
        self.inputs: list[Var] = []
        self.remember = remember
        self.lines = remember  # whether stages record the line being run
        self.source = ""  # the line of the program being replayed, in place of the line being run
        self.count = 0
        self._known: dict[Any, Var] = {}  # what `reuse_heavy` found, by op and operands
        self._open = True

    def variable(self, shape: tuple[int, ...], dtype: Any, name: str | None = None) -> Var:
        """Create a variable that no stage computes."""
        self.count += 1
        var = Var(self, self.count, shape, dtype)
        var.name = name
        return var

    def add_input(self, spec: Spec) -> Tensor:
        """Create an input, as a Tensor to trace with."""
        shape, dtype, device, name, fixed, node = spec
        self.inputs.append(self.variable(shape, dtype, name))
        handle = Tensor(self.inputs[-1], device, node)
        if fixed:
            self._fixed.append(handle)
        return handle

    def emit(
        self, op: Op, device: Device, operands: Sequence[Any], params: dict[str, Any]
    ) -> tuple[Any, list[Any]]:
        """Record `op(*operands)`.

        Returns its output, a Var or a tuple of them, and the operands as Vars and numbers.
        """
        if not self._open:
            raise GraphError(LEAKED)
        params = settled(params) if params else params
        refs = [v if type(v) in NUMBERS else self._own(v) for v in operands]
        if OPS.get(op.name) is not op and op is not ITEM:
            return self._custom(op, device, refs, params), refs
        if op is UNSTACK:
            return self._unstacked(refs[0], params["axis"]), refs
        if op.kernel.heavy and self._known and (known := self._known.get(_call(op, refs, params))):
            return known, refs
        form = form_of(op, refs, params)
        several = type(form) is tuple
        outputs = self._write(op, refs, params, *(form if several else (form,)))
        return (outputs if several else outputs[0]), refs

    def _write(self, op: Op, refs: list[Any], params: dict[str, Any], *forms: Any) -> tuple[Var, ...]:
        """Record an op with the variables that it computes.

        Under `no_grad`, also records `stop_gradient` of each floating one, and returns these.
        """
        outputs = tuple([self.variable(f.shape, f.dtype) for f in forms])
        self.written.append((op, refs, params, outputs, self.source or (source_line() if self.lines else "")))
        if not MODE.get().stop or op is STOP_GRADIENT:
            return outputs
        return tuple(
            [self._write(STOP_GRADIENT, [v], {}, v)[0] if is_floating(v.dtype) else v for v in outputs]
        )

    def _custom(self, op: Op, device: Device, refs: list[Any], params: dict[str, Any]) -> Any:
        """Record a custom gate as its function's ops, but keep its derivative."""
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
        """Return the input that stands for a Tensor from outside."""
        if self._made:
            v = self._made.get(id(v), (v, v))[1]
        # handles that share a value now may have different values when the program runs again
        key = id(v.data) if type(v.data) is Var else id(v)
        if key not in self.captured:
            if type(v.data) is Var and not v.data.tracer._open:
                raise GraphError(LEAKED)
            self.captured[key] = (self.variable(v.data.shape, v.dtype, v.name), v)
        return self.captured[key][0]

    def made(self, handle: Tensor, source: Tensor | None = None) -> None:
        """Record that a handle is made in the function, to the value of `source` or to a plain array."""
        if type(handle.data) is Var and handle.data.tracer is self:
            return
        if source is None:
            source = self._arrays.setdefault(id(handle.data), Tensor(handle.data, handle.device))
        self._made[id(handle)] = (handle, self._made.get(id(source), (source, source))[1])

    def looked_at(self, v: Tensor) -> None:
        """Record that the trace depends on the value of a Tensor from outside, for instance by `float(t)`."""
        if type(v.data) is Var:
            return
        v = self._made.get(id(v), (v, v))[1]
        self.seen.setdefault(id(v), (v, exact(v.data)))
        if self._outer is not None:
            self._outer.looked_at(v)

    def may_change(self, handle: Tensor) -> None:
        """Raise TraceError if `handle`, about to be changed in place, is from outside."""
        ours = (type(handle.data) is Var and handle.data.tracer is self) or id(handle) in self._made
        if not ours or any(handle is x for x in self._fixed):
            what = "an argument" if ours else "a Tensor from outside"
            message = (
                f"{source_line()}: {what} is changed in place in a traced function, which would happen "
                f"only once, not at later calls: return the new value, or change a copy, +t; a compiled "
                f"function may change a Tensor that is passed as an argument"
            )
            raise TraceError(message) if ours else ChangedOutside(message, handle)

    def output(self, x: Any) -> Any:
        """Return an output of the traced function as a Var of this tracer."""
        return self._own(x)

    def attribute(self, last: int) -> None:
        """Give stages without a line, such as a derivative's, the line of a variable that they read.

        Variables up to `last` are preferred.
        """
        lines: dict[Var, str] = {}
        for i, (op, refs, params, outputs, source) in enumerate(self.written):
            if not source:
                known = [v for v in refs if type(v) is Var and lines.get(v)]
                near = [v for v in known if v.index <= last] or known
                source = lines[near[-1]] if near else ""
                self.written[i] = (op, refs, params, outputs, source)
            lines.update((v, source) for v in outputs)

    def reuse_heavy(self) -> None:
        """From now on, give the variables recorded so far for the same heavy functions of the same operands.

        For a derivative, which then reads the cosine of a step instead of computing it again.
        """
        for op, refs, params, outputs, _ in self.written:
            if op.kernel.heavy:
                self._known.setdefault(_call(op, refs, params), outputs[0])

    def close(self) -> None:
        """Stop recording, and free the record."""
        self._open = False
        self.written, self.inputs, self.captured = [], [], {}
        self._fixed, self._made, self._arrays, self.seen, self._known = [], {}, {}, {}, {}
        self._outer = None

    def key(self, outputs: Iterable[Var]) -> tuple[Any, ...]:
        """Return a key equal for two traces of the same program: ops, operands, parameters, input forms."""
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
        """All inputs: the given ones, then the captured ones."""
        return [*self.inputs, *[var for var, _ in self.captured.values()]]

    def ancestors(self, outputs: Iterable[Any], stops: Collection[Var] = ()) -> set[Var]:
        """Return the variables that `outputs` depend on, themselves included, back to `stops`."""
        found = {v for v in outputs if type(v) is Var}
        for _, operands, _, results, _ in reversed(self.written):
            if any(out in found and out not in stops for out in results):
                found.update(v for v in operands if type(v) is Var)
        return found

    def reads(self, outputs: Iterable[Any], places: Mapping[int, Any]) -> list[Var]:
        """Return the variables indexed by `places` that `outputs` depend on, searching no further back."""
        found = {v for v in outputs if type(v) is Var}
        for _, operands, _, results, _ in reversed(self.written):
            if any(out in found and out.index not in places for out in results):
                found.update(v for v in operands if type(v) is Var)
        return sorted((v for v in found if v.index in places), key=lambda v: v.index)

    def program(self, outputs: Sequence[Any], inputs: Sequence[Var] | None = None) -> Program:
        """Return the program that computes `outputs` from `inputs`."""
        inputs = self.everything_read() if inputs is None else inputs
        given = set(inputs)
        useful = self.ancestors(outputs, given)
        entries = []
        for op, refs, params, outs, source in self.written:
            if any(out in useful and out not in given for out in outs):
                # an output that is also an input is read as that input; the stage gets an unused output
                # instead
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


def _call(op: Op, refs: Sequence[Any], params: dict[str, Any]) -> tuple[Any, ...]:
    """Return a key equal for two uses of an op that compute the same."""
    return op, tuple([r.index if type(r) is Var else exact(r) for r in refs]), exact(params)


def _data(op: Op, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that are data, without the derivative of a recorded scan."""
    return {k: v for k, v in params.items() if op.name != "scan" or k != "derivative"}


def _named(inputs: Sequence[Var], computed: list[Var]) -> dict[Var, Value]:
    """Name each Var: as the user did, else x1, x2, ... for inputs and z1, z2, ... by position."""
    names = Names()
    places = {v: f"x{i}" for i, v in enumerate(inputs, 1)} | {v: f"z{i}" for i, v in enumerate(computed, 1)}
    called = {v: names.unique(v.name) for v in places if v.name}
    called.update((v, names.unique(place)) for v, place in places.items() if not v.name)
    return {v: Value(called[v], v.shape, canonical(v.dtype).name) for v in places}


class Traced(NamedTuple):
    """A traced function: the variables it returned, and the tracer that recorded them, until closed."""

    tracer: Tracer
    outputs: list[Any]

    @property
    def inputs(self) -> list[Var]:
        """The variable of each Spec."""
        return self.tracer.inputs

    @property
    def outside(self) -> list[Tensor]:
        """The captured Tensors, which are the program's inputs after the given ones."""
        return [handle for _, handle in self.tracer.captured.values()]

    @property
    def seen(self) -> list[tuple[Tensor, Any]]:
        """The Tensors from outside whose values Python code has read, and the values."""
        return list(self.tracer.seen.values())

    def key(self) -> tuple[Any, ...]:
        """A key that is equal for another trace of the same program."""
        return self.tracer.key(self.outputs)

    def program(self, inputs: Sequence[Var] | None = None) -> Program:
        """Return the program, of all inputs or of these."""
        return self.tracer.program(self.outputs, inputs)

    def close(self) -> None:
        """Free the record."""
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
        grad: record ops on Tensors that need a gradient, so that `f` can differentiate.
        remember: programs written on different lines, or with other names, are different.
        user: the user's function that `f` calls. Random numbers drawn during the trace are refused.
        lines: stages record the user's line, as they do if `user` is given.
        kind: the class of tracer to use.
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
