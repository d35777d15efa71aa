"""Executors, and the choice between them: compiled code where it pays, else the array library.

Compiled code is CUDA kernels or native code. The choice depends only on the program and the machine, never on
what ran before or on a clock: executors round differently, and the same computation must give the same bits
each time.

The passes and the executors are imported with the first program, so that `import xgrad` stays fast.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backends import Array, Device, current_matmul_precision
from ..backends.dtypes import canonical
from ..core.context import MODE, mode
from ..ops.programs import SCAN
from .caches import Once
from .calls import Watch, calls, host_calls
from .interpreter import evaluate, interpret
from .ir import Item, Loop, Program
from .lowering.plan import Unsupported
from .sizes import Code, Place, Planned

if TYPE_CHECKING:
    from .lowering.lower import Lowered

#: A scan is compiled if its stages are repeated at least this often, on average. Larger arrays count for
#: more: compiled code saves passes over memory, and the array library's call overhead, which costs as much as
#: a pass over CALL elements.
REPEATS = 8
CALL = 2000
#: Bytes that a prepared program holds besides its scratch memory.
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
    by one. `shared` returns code that was compiled for other sizes too, or None if there is none.
    """

    def __init__(
        self,
        program: Program,
        device: Device,
        *,
        whole: bool,
        wanted: bool = True,
        shared: Callable[[], Code | None] | None = None,
    ) -> None:
        self.program = program
        self.device = device
        self._whole, self._wanted, self._shared = whole, wanted, shared
        self._optimise = 0.0
        self._optimised: Program | None = None
        self._ready = Once(self._compiled)
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
            interpret(self.program, self.device, inputs, partial(SCAN.forward, self.device.xp))
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
        if self._shared is not None and compiles_natively(self.device):
            start = time.perf_counter()
            code = self._shared()
            self._shared = None
            if code is not None:
                return _ready(code, self.device, None, start)
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
    start = time.perf_counter()
    try:
        if compiles_natively(device):
            code, lowered = native_code(program, device)
            return _ready(code, device, lowered, start)
        return _other_code(program, device, start)
    except Unsupported as error:
        return Ready(None, (), INTERPRETED, str(error), None, None, time.perf_counter() - start)


def compiles_natively(device: Device) -> bool:
    """Whether programs are compiled to native code of this device's processor."""
    return _refusal(device) is None and device.backend.launcher(device.index) is None


def native_code(
    program: Program, device: Device, like: Mapping[int, int] | None = None
) -> tuple[Code, Lowered]:
    """Write an optimised program as native code, and return its plan too.

    `like` says which buffers the plan for other sizes has reused. Raises Unsupported for what has no native
    form.
    """
    from .codegen.llvm.plan import write
    from .lowering.lower import lower, verify
    from .lowering.rows import shared_by_rows
    from .passes.complex_pairs import complex_pairs

    pairs = complex_pairs(program)
    lowered = lower(pairs, final=False, like=like)
    native = device.backend.native
    size, blas, pool = native.vector_bytes(), native.find_blas(), native.pool()
    alone = pool is not None and pool.has_blas
    if pool is not None:
        lowered = lowered._replace(plan=shared_by_rows(lowered.plan, size, products=alone))
    verify(pairs, lowered)
    written = write(
        lowered.plan,
        vector_bytes=size,
        long_blas=blas.long,
        half=native.converts_half(),
        one_blas_thread=alone,
    )
    made, given = _as_pairs(program, pairs)
    called = tuple(calls(lowered.plan.body))
    code = Code(*written, lowered.plan.buffers, places(lowered), called, lowered.constants, given, made)
    return code, lowered


def plan_of(program: Program, device: Device, wanted: bool, like: Planned | None) -> Planned | None:
    """Optimise a program and write it as native code; None if it cannot be, or if that does not pay off."""
    from .passes import optimise

    optimised = optimise(program)
    if not (wanted or os.environ.get("XGRAD_NATIVE") == "1" or repays(optimised.stages)):
        return None
    try:
        code, lowered = native_code(optimised, device, None if like is None else like.reused)
    except Unsupported:
        return None
    return Planned(code, lowered.reused)


def _ready(code: Code, device: Device, lowered: Lowered | None, start: float) -> Ready:
    """Compile native code, and prepare it to run."""
    watch = Watch()
    called = host_calls(code.calls, device, watch)
    engine = device.backend.native.Native(code.buffers, code.text, code.numbers, code.kernels, called)
    run = _wrapped(engine.run, code.constants, bool(called), device, watch)
    outputs = code.outputs
    if any(code.read_as_pairs) or any(code.made_as_pairs):
        run, outputs = _with_pairs(run, code.read_as_pairs, code.made_as_pairs, outputs, device)
    held = FIXED + _scratch(code.buffers)
    return Ready(run, outputs, "native code", None, lowered, engine, time.perf_counter() - start, held)


def _other_code(program: Program, device: Device, start: float) -> Ready:
    """Compile to CUDA kernels, or write as Python that calls NumPy."""
    from .passes.complex_pairs import complex_pairs

    pairs, watch = complex_pairs(program), Watch()
    engine, lowered, kind = _made(pairs, device, watch)
    run = _wrapped(engine.run, lowered.constants, any(calls(lowered.plan.body)), device, watch)
    outputs = places(lowered)
    if pairs != program:
        made, given = _as_pairs(program, pairs)
        run, outputs = _with_pairs(run, given, made, outputs, device)
    held = FIXED + _scratch(lowered.plan.buffers)
    return Ready(run, outputs, kind, None, lowered, engine, time.perf_counter() - start, held)


def _as_pairs(program: Program, pairs: Program) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Return which outputs, and which inputs, of a program are pairs of reals in another form of it."""
    return (
        tuple(a != b for a, b in zip(program.outputs, pairs.outputs, strict=True)),
        tuple(a != b for a, b in zip(program.inputs, pairs.inputs, strict=True)),
    )


def places(lowered: Lowered) -> tuple[Place, ...]:
    """Return the place of each output among the flat results."""
    flat = [i for i, b in enumerate(lowered.plan.buffers) if b.kind == "output"]
    return tuple((flat.index(r.buffer), r.offset, r.offset + prod(r.shape), r.shape) for r in lowered.outputs)


def _scratch(buffers: Iterable[Any]) -> int:
    """Return the bytes of a plan's scratch memory."""
    return sum(b.size * canonical(b.dtype).itemsize for b in buffers if b.kind == "scratch")


Run = Callable[[Sequence[Array]], list[Any]]


def _with_pairs(
    run: Run, given: Sequence[bool], made: Sequence[bool], places: Sequence[Place], device: Device
) -> tuple[Run, tuple[Place, ...]]:
    """Adapt `run`, which takes and returns some complex arrays as pairs of reals, to complex arrays.

    Returns it with the place of each output, each in a flat result of its own.
    """
    as_pairs, as_complex = device.backend.as_pairs, device.backend.as_complex

    def flat(inputs: Sequence[Array]) -> list[Any]:
        found = run([as_pairs(x) if paired else x for x, paired in zip(inputs, given, strict=True)])
        parts = [found[i][start:stop] for i, start, stop, _ in places]
        return [as_complex(z.reshape(-1, 2)) if paired else z for z, paired in zip(parts, made)]

    shapes = [shape[:-1] if paired else shape for (_, _, _, shape), paired in zip(places, made)]
    return flat, tuple((i, 0, prod(shape), shape) for i, shape in enumerate(shapes))


def _wrapped(run: Run, constants: Sequence[Any], calling: bool, device: Device, watch: Watch) -> Run:
    """Wrap `run` to pass the program's constants too, and to call the array library in a mode of its own."""
    if constants:
        with device.guard or nullcontext():
            made = [evaluate("new", (), params, device) for params in constants]
        alone = run
        run = lambda inputs: alone([*inputs, *made])
    if not calling:
        return run
    inner = run

    def running(inputs: Sequence[Array]) -> list[Any]:
        with device.guard or nullcontext(), mode(grad=False, record=False, trace=None):
            return watch.first(inner, inputs) if watch.watching else inner(inputs)

    return running


def _made(program: Program, device: Device, watch: Watch) -> tuple[Any, Lowered, str]:
    """Return the runner, the plan that it runs, and its name."""
    from .lowering.lower import lower

    backend, refusal = device.backend, _refusal(device)
    launcher = backend.launcher(device.index)
    if refusal is None:
        from .codegen.cuda.chips import Chip
        from .codegen.cuda.loading import loaded
        from .codegen.cuda.schedule import schedule
        from .codegen.cuda.target import CUDA

        lowered = lower(program, target=CUDA)
        planned = schedule(lowered.plan, Chip(*launcher.chip()), current_matmul_precision())
        called = host_calls(calls(lowered.plan.body), device, watch)
        return loaded(planned, launcher, called), lowered, "CUDA kernels"
    if backend.laid is None:
        raise Unsupported(refusal)
    from .codegen.numpy.plan import NUMPY
    from .codegen.numpy.plan import write as numpy_text
    from .passes.contiguous import contiguous
    from .passes.pack import pack

    lowered = lower(contiguous(pack(program)), recompute=False, target=NUMPY)
    called = host_calls(calls(lowered.plan.body), device, watch)
    return backend.laid(lowered.plan.buffers, numpy_text(lowered.plan), called), lowered, "NumPy"


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
