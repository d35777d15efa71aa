"""Which executor runs what: CUDA kernels or native code where they pay, else the array library stage by stage.

The passes and the executors are imported with the first program, so that `import xgrad` does not wait for them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from ..applying import NUMBERS
from ..backends import Array, Device, current_device, current_matmul_precision, device_of
from .caches import Cache
from .interpreting import interpret
from .plans import Unsupported
from .stages import Body, Program, Stage, Value

if TYPE_CHECKING:
    from .lowering import Lowered

#: Seconds that a program runs through the array library before it is worth compiling.
PATIENCE = 0.1
#: How many lengths of a scan are kept ready, each with its memory.
LENGTHS = 16


class Executable:
    """A program made ready for one device.

    A `whole` program is compiled at once, a single scan once it has run for a while. `kind` says what runs it, `seconds` what
    it took to optimise and to compile it, and `why` why it was not compiled, if so.
    """

    def __init__(self, program: Program, device: Device, *, whole: bool) -> None:
        from .passes import optimise

        start = time.perf_counter()
        self.program = program
        self.device = device
        self._whole = whole
        self.optimised = optimise(program)
        self.lowered: Lowered | None = None
        self.seconds = {"optimise": time.perf_counter() - start, "compile": 0.0}
        self.why: str | None = None
        self.kind = "the array library, stage by stage"
        self._ready: Any = None
        self._left = 0.0 if whole or os.environ.get("XGRAD_NATIVE") == "1" else PATIENCE

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs, in memory of their own, for arrays like the program's inputs."""
        if self._ready is None and self.why is None and self._left <= 0:
            self._compile()
        if self._ready is not None:
            found = self._ready.run(inputs)
            return [found[i][start:stop].reshape(shape) for i, start, stop, shape in self._outputs]
        start = time.perf_counter()
        # a whole program's scans may still be compiled one by one
        outputs = interpret(self.program, self.device, inputs, run_scan) if self._whole else interpret(self.optimised, self.device, inputs)
        self._left -= time.perf_counter() - start
        return self._unshared(outputs, inputs)

    @property
    def loops(self) -> Sequence[Any]:
        """How each loop is run, where that was chosen: length, way, seconds and why."""
        return getattr(self._ready, "loops", ())

    def _compile(self) -> None:
        """Make code of it: CUDA kernels or native code where they are at hand, else Python that calls NumPy."""
        start = time.perf_counter()
        try:
            self._ready, self.kind = self._made()
        except Unsupported as error:
            self.why = str(error)
        else:
            assert self.lowered is not None
            places = [i for i, b in enumerate(self.lowered.plan.buffers) if b.kind == "output"]
            self._outputs = [(places.index(r.buffer), r.offset, r.offset + prod(r.shape), r.shape) for r in self.lowered.outputs]
        self.seconds["compile"] = time.perf_counter() - start

    def _made(self) -> tuple[Any, str]:
        """What runs it, and what that is called."""
        from .lowering import lower

        backend, refusal = self.device.backend, _refusal(self.device)
        launcher = backend.launcher(self.device.index)
        if refusal is None and launcher is not None:
            from .cuda.chips import Chip
            from .cuda.expressions import CUDA
            from .cuda.loading import loaded
            from .cuda.schedule import schedule

            self.lowered = lower(self.optimised, target=CUDA)
            planned = schedule(self.lowered.plan, Chip(*launcher.chip()), current_matmul_precision())
            return loaded(planned, launcher), "CUDA kernels"
        if refusal is None:
            from . import llvm

            self.lowered = lower(self.optimised)
            text, numbers = llvm.write(self.lowered.plan, vector_bytes=backend.native.vector_bytes(), long_blas=backend.native.find_blas().long)
            return backend.native.Native(self.lowered.plan.buffers, text, numbers), "native code"
        if backend.laid is None:
            raise Unsupported(refusal)
        from . import numpy_text
        from .passes.pack import pack

        self.lowered = lower(pack(self.optimised), recompute=False)
        return backend.laid(self.lowered.plan.buffers, numpy_text.write(self.lowered.plan)), "NumPy"

    def _unshared(self, outputs: list[Array], inputs: Sequence[Array]) -> list[Array]:
        """Outputs that are inputs, or appear twice, as copies."""
        seen = {id(x) for x in inputs}
        found = []
        for z in outputs:
            found.append(self.device.xp.asarray(z, copy=True) if id(z) in seen else z)
            seen.add(id(z))
        return found


def _refusal(device: Device) -> str | None:
    """Why nothing is compiled on this device, None where it can be."""
    compiler = device.backend.launcher(device.index) or device.backend.native
    if compiler is None:
        return f"there is no native code for {device}"
    if os.environ.get("XGRAD_NATIVE") == "0":
        return "XGRAD_NATIVE=0 is set"
    return compiler.missing()  # type: ignore[no-any-return]


def run_scan(body: Body, length: int, reverse: bool, operands: Sequence[Any]) -> tuple[Array, ...]:
    """A scan on arrays and numbers."""
    device = next((d for d in map(device_of, operands) if d is not None), None) or current_device()
    numbers = tuple([(i, v) for i, v in enumerate(operands) if type(v) in NUMBERS])
    runs: Cache = body.once("runs", lambda: Cache(LENGTHS))
    key = (device, current_matmul_precision(), length, reverse, numbers)
    ready = runs.get(key, lambda: Executable(_alone(body, length, reverse, numbers), device, whole=False))
    return tuple(ready([v for v in operands if type(v) not in NUMBERS] if numbers else operands))


def _alone(body: Body, length: int, reverse: bool, numbers: tuple[tuple[int, Any], ...]) -> Program:
    """A program that is one scan."""
    fixed = dict(numbers)
    operands: list[Any] = []
    for i, v in enumerate(body.program.inputs):
        shape = (length, *v.shape) if body.carries <= i < body.carries + body.xs else v.shape
        operands.append(fixed.get(i, Value(f"x{i}", shape, v.dtype)))
    outputs = tuple(Value(f"y{i}", shape, dtype) for i, (shape, dtype) in enumerate(body.forms(length)))
    stage = Stage("scan", tuple(operands), outputs, {"body": body, "length": length, "reverse": reverse})
    return Program(tuple(v for v in operands if type(v) is Value), (stage,), outputs)
