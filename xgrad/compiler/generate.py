"""Code generation: a program as native code, CUDA kernels or NumPy calls, ready to run on arrays.

The code generators are imported with the first program, so that `import xgrad` stays fast.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backends import Array, Device, current_matmul_precision
from ..backends.dtypes import canonical
from .calls import Watch, calls, host_calls, outside_graph
from .interpreter import evaluate
from .ir import Program
from .lowering.plan import Unsupported
from .sizes import Code, Place

if TYPE_CHECKING:
    from .lowering.lower import Lowered

#: Bytes that a prepared program holds besides its scratch memory.
FIXED = 2**16
#: The name of the executor that compiles nothing.
INTERPRETED = "the array library, stage by stage"


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


def compiled(program: Program, device: Device) -> Ready:
    """Compile an optimised program: to CUDA kernels or native code if available, else to NumPy calls."""
    start = time.perf_counter()
    try:
        if compiles_natively(device):
            code, lowered = native_code(program, device)
            return ready_to_run(code, device, lowered, start)
        return _other_code(program, device, start)
    except Unsupported as error:
        return Ready(None, (), INTERPRETED, str(error), None, None, time.perf_counter() - start)


def compiles_natively(device: Device) -> bool:
    """Whether programs are compiled to native code of this device's processor."""
    return refusal(device) is None and device.backend.launcher(device.index) is None


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
    from .passes.indices import as_reductions

    made, given = _as_pairs(program, complex_pairs(program))
    simpler = as_reductions(complex_pairs(program))
    lowered = lower(simpler, final=False, like=like)
    native = device.backend.native
    size, blas, pool = native.vector_bytes(), native.find_blas(), native.pool()
    alone = pool is not None and pool.has_blas
    if pool is not None:
        lowered = lowered._replace(plan=shared_by_rows(lowered.plan, size, products=alone))
    verify(simpler, lowered)
    written = write(
        lowered.plan,
        vector_bytes=size,
        long_blas=blas.long,
        half=native.converts_half(),
        one_blas_thread=alone,
    )
    called = tuple(calls(lowered.plan.body))
    code = Code(*written, lowered.plan.buffers, places(lowered), called, lowered.constants, given, made)
    return code, lowered


def ready_to_run(code: Code, device: Device, lowered: Lowered | None, start: float) -> Ready:
    """Compile native code, and prepare it to run."""
    watch = Watch()
    called = host_calls(code.calls, device, watch)
    engine = device.backend.native.Native(code.buffers, code.text, code.numbers, code.kernels, called)
    calling = any(not call.kernel for call, _ in code.calls)
    run = _wrapped(engine.run, code.constants, calling, device, watch)
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
        with outside_graph(device):
            return watch.first(inner, inputs) if watch.watching else inner(inputs)

    return running


def _made(program: Program, device: Device, watch: Watch) -> tuple[Any, Lowered, str]:
    """Return the runner, the plan that it runs, and its name."""
    from .lowering.lower import lower

    backend, why = device.backend, refusal(device)
    launcher = backend.launcher(device.index)
    if why is None:
        from .codegen.cuda.chips import Chip
        from .codegen.cuda.loading import loaded
        from .codegen.cuda.schedule import schedule
        from .codegen.cuda.target import CUDA

        lowered = lower(program, target=CUDA)
        planned = schedule(lowered.plan, Chip(*launcher.chip()), current_matmul_precision())
        called = host_calls(calls(lowered.plan.body), device, watch)
        return loaded(planned, launcher, called), lowered, "CUDA kernels"
    if backend.laid is None:
        raise Unsupported(why)
    from .codegen.numpy.plan import NUMPY
    from .codegen.numpy.plan import write as numpy_text
    from .passes.contiguous import contiguous
    from .passes.pack import pack

    lowered = lower(contiguous(pack(program)), recompute=False, target=NUMPY)
    called = host_calls(calls(lowered.plan.body), device, watch)
    return backend.laid(lowered.plan.buffers, numpy_text(lowered.plan), called), lowered, "NumPy"


def refusal(device: Device) -> str | None:
    """Why nothing can be compiled on this device, or None."""
    compiler = device.backend.launcher(device.index) or device.backend.native
    if compiler is None:
        return f"there is no native code for {device}"
    if os.environ.get("XGRAD_NATIVE") == "0":
        return "XGRAD_NATIVE=0 is set"
    return compiler.missing()  # type: ignore[no-any-return]
