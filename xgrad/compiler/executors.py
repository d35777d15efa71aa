"""Executors, and the choice between them: compiled code where it pays, else the array library.

Compiled code is CUDA kernels or native code. The choice depends only on the program and the machine, never on
what ran before or on a clock: executors round differently, and the same computation must give the same bits
each time.

The passes and the executors are imported with the first program, so that `import xgrad` stays fast.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backends import Array, Device, current_device, current_matmul_precision, device_of
from ..backends.dtypes import canonical
from ..core.context import MODE, mode
from ..core.dispatch import NUMBERS
from .caches import Cache, Once
from .calls import Watch, calls, host_calls
from .interpreter import evaluate, interpret
from .ir import Body, Item, Loop, Program, Stage, Value
from .keys import exact
from .lengths import Octave, Place, Planned, depends_on_length_alone, places
from .lowering.plan import Unsupported

if TYPE_CHECKING:
    from .codegen.llvm.plan import Written
    from .lowering.lower import Lowered

#: A scan is compiled if its stages are repeated at least this often, on average. Larger arrays count for
#: more: compiled code saves passes over memory, and the array library's call overhead, which costs as much as
#: a pass over CALL elements.
REPEATS = 8
CALL = 2000
#: How many lengths of a scan are cached whatever their memory, and the bytes that further lengths may hold
#: together.
LENGTHS = 16
ROOM = 2**28
#: Bytes that a prepared scan holds besides its scratch memory.
FIXED = 2**16


class Ready(NamedTuple):
    """A prepared program: its compiled code, if any, and where each output is among the flat results.

    `kind` names the executor, and `why` says why the program was not compiled.
    """

    run: Callable[[Sequence[Array]], list[Any]] | None
    outputs: tuple[tuple[int, int, int, tuple[int, ...]], ...]
    kind: str
    why: str | None
    lowered: Lowered | None
    engine: Any
    seconds: float
    bytes: int = FIXED

    def results(self, inputs: Sequence[Array]) -> list[Array]:
        """Run the compiled code and return the outputs."""
        assert self.run is not None
        found = self.run(inputs)
        return [found[i][start:stop].reshape(shape) for i, start, stop, shape in self.outputs]


class Executable:
    """A program prepared for one device: optimised and compiled when it first runs.

    Several threads may run it at once.

    If it can be compiled, it is compiled where `wanted`, where that pays off (see `repays`), or where
    XGRAD_NATIVE=1 is set. The scans of a `whole` program that cannot be compiled may still be compiled, one
    by one.
    """

    def __init__(
        self,
        program: Program,
        device: Device,
        *,
        whole: bool,
        wanted: bool = True,
        ready: Ready | None = None,
    ) -> None:
        self.program = program
        self.device = device
        self._whole, self._wanted = whole, wanted
        self._optimise = 0.0
        self._optimised: Program | None = None
        self._ready = Once(self._compiled if ready is None else lambda: ready)
        self._plain: Program | None = None
        self._run: tuple[Any, Any] | None = None  # copied from the prepared program, for a fast lookup

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        """Run on arrays like the program's inputs; return the outputs in memory of their own."""
        check = MODE.get().check
        if check is not None and check.is_new(self):
            return check.run(self, inputs)  # type: ignore[no-any-return]
        run, places = self._run or self.prepare()
        if run is not None:
            found = run(inputs)
            return [found[i][start:stop].reshape(shape) for i, start, stop, shape in places]
        outputs = (
            interpret(self.program, self.device, inputs, run_scan)
            if self._whole
            else interpret(self._interpreted, self.device, inputs)
        )
        return self._unshared(outputs, inputs)

    @property
    def _interpreted(self) -> Program:
        """The program for the array library.

        It keeps complex numbers, which the library supports: split into parts they would take more stages.
        """
        from .passes import optimise
        from .passes.split_complex import has_complex

        if self._plain is None:
            split = has_complex(self.program)
            self._plain = optimise(self.program, complex_parts=False) if split else self.optimised
        return self._plain

    def prepare(self) -> tuple[Any, Any]:
        """Compile now rather than at the first call. Returns the runner and where its outputs are."""
        ready: Ready = self._ready()
        self._run = found = (ready.run, ready.outputs)
        return found

    @property
    def optimised(self) -> Program:
        """The program after all passes."""
        if self._optimised is None:
            from .passes import optimise

            start = time.perf_counter()
            self._optimised = optimise(self.program)
            self._optimise = time.perf_counter() - start
        return self._optimised

    @property
    def kind(self) -> str:
        """The executor, in words."""
        return INTERPRETED if not self._ready.done else self._ready().kind

    @property
    def why(self) -> str | None:
        """Why it was not compiled, or None."""
        return None if not self._ready.done else self._ready().why

    @property
    def lowered(self) -> Lowered | None:
        """Its plan, if it has been compiled."""
        return None if not self._ready.done else self._ready().lowered

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds spent optimising and compiling it."""
        return {"optimise": self._optimise, "compile": self._ready().seconds if self._ready.done else 0.0}

    @property
    def loops(self) -> Sequence[Any]:
        """How each loop is run, where there was a choice: length, method, seconds and reason."""
        return getattr(self._ready().engine, "loops", ()) if self._ready.done else ()

    @property
    def bytes(self) -> int:
        """The approximate memory that it holds."""
        return self._ready().bytes if self._ready.done else FIXED

    def _compiled(self) -> Ready:
        if not self._wanted and os.environ.get("XGRAD_NATIVE") != "1" and not repays(self.optimised.stages):
            return Ready(None, (), INTERPRETED, "its loops are too short to repay compiling", None, None, 0.0)
        ready = compiled(self.optimised, self.device)
        # nobody inspects a scan's plan, and there may be one for each of many lengths
        if not self._whole and ready.why is None:
            self._optimised = None
            return ready._replace(lowered=None)
        return ready

    def _unshared(self, outputs: list[Array], inputs: Sequence[Array]) -> list[Array]:
        """Copy outputs that appear twice, or that are inputs or views of inputs."""
        is_view = self.device.backend.is_view
        seen = {id(x) for x in inputs}
        found = []
        for z in outputs:
            found.append(self.device.xp.asarray(z, copy=True) if id(z) in seen or is_view(z, inputs) else z)
            seen.add(id(z))
        return found


def compiled(program: Program, device: Device) -> Ready:
    """Compile an optimised program: to CUDA kernels or native code if available, else to NumPy calls."""
    from .passes.complex_pairs import complex_pairs

    start = time.perf_counter()
    pairs = complex_pairs(program)
    try:
        engine, lowered, kind = _made(pairs, device, watch := Watch())
    except Unsupported as error:
        return Ready(None, (), INTERPRETED, str(error), None, None, time.perf_counter() - start)
    run = _with_constants(engine.run, lowered.constants, device)
    if any(calls(lowered.plan.body)):
        run = _with_calls(run, device, watch)
    outputs = places(lowered)
    if pairs != program:
        run, outputs = _with_pairs(run, program, pairs, outputs, device)
    held = FIXED + _scratch(lowered.plan.buffers)
    return Ready(run, outputs, kind, None, lowered, engine, time.perf_counter() - start, held)


def _scratch(buffers: Iterable[Any]) -> int:
    """Return the bytes of a plan's scratch memory."""
    return sum(b.size * canonical(b.dtype).itemsize for b in buffers if b.kind == "scratch")


Run = Callable[[Sequence[Array]], list[Any]]


def _with_pairs(
    run: Run, program: Program, pairs: Program, places: Sequence[Place], device: Device
) -> tuple[Run, tuple[Place, ...]]:
    """Adapt `run`, which takes and returns some complex arrays as pairs of reals, to complex arrays.

    Returns it with the place of each output, each in a flat result of its own.
    """
    as_pairs, as_complex = device.backend.as_pairs, device.backend.as_complex
    given = [a != b for a, b in zip(program.inputs, pairs.inputs, strict=True)]
    made = [a != b for a, b in zip(program.outputs, pairs.outputs, strict=True)]

    def flat(inputs: Sequence[Array]) -> list[Any]:
        found = run([as_pairs(x) if paired else x for x, paired in zip(inputs, given, strict=True)])
        parts = [found[i][start:stop] for i, start, stop, _ in places]
        return [as_complex(z.reshape(-1, 2)) if paired else z for z, paired in zip(parts, made)]

    shapes = [shape[:-1] if paired else shape for (_, _, _, shape), paired in zip(places, made)]
    return flat, tuple((i, 0, prod(shape), shape) for i, shape in enumerate(shapes))


def _with_constants(run: Run, constants: Sequence[Any], device: Device) -> Run:
    """Wrap `run` to pass the program's constants too."""
    if not constants:
        return run
    with device.guard or nullcontext():
        made = [evaluate("new", (), params, device) for params in constants]
    return lambda inputs: run([*inputs, *made])


def _with_calls(run: Run, device: Device, watch: Watch) -> Run:
    """Wrap `run` in the mode in which the array library's calls are computed."""

    def running(inputs: Sequence[Array]) -> list[Any]:
        with device.guard or nullcontext(), mode(grad=False, record=False, trace=None):
            return watch.first(run, inputs) if watch.watching else run(inputs)

    return running


def _made(program: Program, device: Device, watch: Watch) -> tuple[Any, Lowered, str]:
    """Return the runner, the plan that it runs, and its name."""
    from .lowering.lower import lower

    backend, refusal = device.backend, _refusal(device)
    launcher = backend.launcher(device.index)
    if refusal is None and launcher is not None:
        from .codegen.cuda.chips import Chip
        from .codegen.cuda.loading import loaded
        from .codegen.cuda.schedule import schedule
        from .codegen.cuda.target import CUDA

        lowered = lower(program, target=CUDA)
        planned = schedule(lowered.plan, Chip(*launcher.chip()), current_matmul_precision())
        return loaded(planned, launcher, host_calls(lowered.plan, device, watch)), lowered, "CUDA kernels"
    if refusal is None:
        from .passes.indices import as_reductions

        program = as_reductions(program)
        lowered, code = _native_code(program, lower(program, final=False), device)
        called = host_calls(lowered.plan, device, watch)
        return backend.native.Native(lowered.plan.buffers, *code, called), lowered, "native code"
    if backend.laid is None:
        raise Unsupported(refusal)
    from .codegen.numpy.plan import NUMPY
    from .codegen.numpy.plan import write as numpy_text
    from .passes.contiguous import contiguous
    from .passes.pack import pack

    lowered = lower(contiguous(pack(program)), recompute=False, target=NUMPY)
    called = host_calls(lowered.plan, device, watch)
    return backend.laid(lowered.plan.buffers, numpy_text(lowered.plan), called), lowered, "NumPy"


def _native_code(program: Program, lowered: Lowered, device: Device) -> tuple[Lowered, Written]:
    """Return a program's plan, with what threads share, and its code."""
    from .codegen.llvm.plan import write
    from .lowering.lower import verify
    from .lowering.rows import shared_by_rows

    native = device.backend.native
    size, blas, pool = native.vector_bytes(), native.find_blas(), native.pool()
    alone = pool is not None and pool.has_blas
    if pool is not None:
        lowered = lowered._replace(plan=shared_by_rows(lowered.plan, size, products=alone))
    verify(program, lowered)
    return lowered, write(
        lowered.plan,
        vector_bytes=size,
        long_blas=blas.long,
        half=native.converts_half(),
        one_blas_thread=alone,
    )


#: The name of the executor that compiles nothing.
INTERPRETED = "the array library, stage by stage"


def repays(stages: Sequence[Item]) -> bool:
    """Whether compiling a program pays off in the long run.

    That depends on how often its stages are repeated, and on how many elements.
    """
    return _work(stages) >= REPEATS * CALL * _count(stages)


def _work(stages: Iterable[Item]) -> int:
    """Estimate one run's work in the array library, in elements."""
    total = 0
    for stage in stages:
        if isinstance(stage, Loop):
            total += stage.length * _work(stage.stages)
        elif stage.op == "scan":
            total += stage.params["length"] * _work(stage.params["body"].program.stages)
        else:
            total += CALL + sum(v.size for v in stage.outputs)
    return total


def _count(stages: Iterable[Item]) -> int:
    """Count the stages to compile."""
    total = 0
    for stage in stages:
        if isinstance(stage, Loop):
            total += _count(stage.stages)
        else:
            total += _count(stage.params["body"].program.stages) if stage.op == "scan" else 1
    return total


def _refusal(device: Device) -> str | None:
    """Why nothing can be compiled on this device, or None."""
    compiler = device.backend.launcher(device.index) or device.backend.native
    if compiler is None:
        return f"there is no native code for {device}"
    if os.environ.get("XGRAD_NATIVE") == "0":
        return "XGRAD_NATIVE=0 is set"
    return compiler.missing()  # type: ignore[no-any-return]


def run_scan(body: Body, length: int, reverse: bool, operands: Sequence[Any]) -> tuple[Array, ...]:
    """Run a scan on arrays and numbers."""
    device = next((d for d in map(device_of, operands) if d is not None), None) or current_device()
    numbers = [(i, v) for i, v in enumerate(operands) if type(v) in NUMBERS]
    runs: Cache = body.once("runs", lambda: Cache(LENGTHS, weigh=lambda ready: ready.bytes, room=ROOM))
    key = (device, current_matmul_precision(), length, reverse, tuple([(i, exact(v)) for i, v in numbers]))
    ready = runs.get(key, lambda: _scan(body, length, reverse, numbers, device))
    return tuple(ready([v for v in operands if type(v) not in NUMBERS] if numbers else operands))


def _scan(
    body: Body, length: int, reverse: bool, numbers: Sequence[tuple[int, Any]], device: Device
) -> Executable:
    """Prepare a scan for one length, reusing the code for nearby lengths where possible."""

    def plan(length: int, like: Planned | None) -> Planned | None:
        return _planned(_alone(body, length, reverse, numbers), device, body.whole, like)

    program, ready = _alone(body, length, reverse, numbers), None
    if length > 1 and _refusal(device) is None and device.backend.launcher(device.index) is None:
        octave = Octave(length)
        key = ("octave", device, reverse, tuple([(i, exact(v)) for i, v in numbers]), octave.low)
        code = body.once(key, lambda: octave).at(length, plan)
        if code is not None:
            engine = device.backend.native.Native(code.buffers, code.text, code.numbers, code.kernels)
            held = FIXED + _scratch(code.buffers)
            ready = Ready(engine.run, code.outputs, "native code", None, None, engine, 0.0, held)
    return Executable(program, device, whole=False, wanted=body.whole, ready=ready)


def _planned(program: Program, device: Device, wanted: bool, like: Planned | None) -> Planned | None:
    """Return the native code of a program that is one scan; None if anything else is needed beside it."""
    from .lowering.lower import lower
    from .passes import optimise
    from .passes.complex_pairs import complex_pairs
    from .passes.indices import as_reductions

    optimised = optimise(program)
    if not (wanted or os.environ.get("XGRAD_NATIVE") == "1" or repays(optimised.stages)):
        return None
    if complex_pairs(optimised) != optimised:
        return None
    optimised = as_reductions(optimised)
    try:
        lowered = lower(optimised, final=False, like=None if like is None else like.lowered)
        if not depends_on_length_alone(lowered):
            return None
        shared, code = _native_code(optimised, lowered, device)
        return Planned(*code, shared.plan.buffers, places(shared), lowered)
    except Unsupported:
        return None


def _alone(body: Body, length: int, reverse: bool, numbers: Sequence[tuple[int, Any]]) -> Program:
    """Build a program that consists of one scan."""
    fixed = dict(numbers)
    operands: list[Any] = []
    for i, v in enumerate(body.program.inputs):
        shape = (length, *v.shape) if body.carries <= i < body.carries + body.xs else v.shape
        operands.append(fixed.get(i, Value(f"x{i}", shape, v.dtype)))
    outputs = tuple(Value(f"y{i}", shape, dtype) for i, (shape, dtype) in enumerate(body.forms(length)))
    stage = Stage("scan", tuple(operands), outputs, {"body": body, "length": length, "reverse": reverse})
    return Program(tuple(v for v in operands if type(v) is Value), (stage,), outputs)
