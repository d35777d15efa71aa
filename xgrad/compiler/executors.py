"""Executors: compiled code where it pays, else the array library.

The choice depends only on the program and the machine, never on what ran before or on a clock: executors
round differently, and the same computation must give the same bits each time.

The passes are imported with the first program, so that `import xgrad` stays fast.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..backends import Array, Device
from ..core.context import MODE
from ..ops.programs import SCAN
from .caches import Once
from .generate import FIXED, INTERPRETED, Ready, compiled, compiles_natively, native_code, ready_to_run
from .interpreter import interpret
from .ir import Item, Loop, Program
from .lowering.plan import Unsupported
from .sizes import Code, Planned

if TYPE_CHECKING:
    from .lowering.lower import Lowered

#: A scan is compiled if its stages are repeated at least this often, on average. Larger arrays count for
#: more: compiled code saves passes over memory, and the array library's call overhead, which costs as much as
#: a pass over CALL elements.
REPEATS = 8
CALL = 2000


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
        if not self._ready.done:
            return None
        ready: Ready = self._ready()
        if ready.lowered is None and ready.why is None:  # its code was planned for other sizes
            return native_code(self.optimised, self.device)[1]
        return ready.lowered

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
                return ready_to_run(code, self.device, None, start)
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
