"""The check that `validate` makes of each program at its first run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

from ..backends import Device, find_device
from ..backends.dtypes import is_floating
from ..backends.types import Array, HostArray
from ..compiler.interpreter import interpret
from ..compiler.ir import Program, Value
from ..core.backward import pull_back
from ..core.context import MODE, mode
from ..core.pytree import flatten
from ..core.tensor import Tensor
from ..errors import ValidationError
from ..namespace import asarray
from ..transforms.debugging import written_at
from .comparing import copied, described, largest, wrong
from .exposing import First, Place, exposed, first_wrong, origin, written

if TYPE_CHECKING:
    from ..compiler.executors import Executable

WAY_OUT = "To avoid the wrong code, use scan(..., compiled=False), and call the function without xg.compile"


class Check:
    """Compares each program, once, with simpler computations of the same values."""

    def __init__(self, rtol: float | None) -> None:
        self.rtol = rtol
        self._seen: WeakSet[Any] = WeakSet()
        self._functions: set[Any] = set()

    # A program against its interpretation

    def is_new(self, executable: Executable) -> bool:
        """Whether this is the first run of a program inside the block."""
        if executable in self._seen:
            return False
        self._seen.add(executable)
        return True

    def run(self, executable: Executable, inputs: Sequence[Array]) -> list[Array]:
        """Run an executable and compare its outputs. Raises ValidationError."""
        device: Device = executable.device
        with device.guard or nullcontext():
            given = [copied(v, device) for v in inputs]
        outputs: list[Array] = executable(inputs)
        with mode(check=None, hooks=None):
            expected = interpret(executable.program, device, given)
            scale = largest(given)
            for i, (v, before) in enumerate(zip(inputs, given)):
                bad = wrong(v, before, 0.0)
                if bad.any():
                    name = executable.program.inputs[i].name
                    raise ValidationError(
                        f"{executable.kind} changed its input {name!r}: {described(v, before, bad)}",
                        culprit=executable.kind,
                    )
            bads = self._wrong(outputs, expected, scale)
            for i in [i for i, bad in enumerate(bads) if bad.any()][:1]:
                what = (
                    f"output {i + 1} of {len(outputs)} {outputs[i].shape}: "
                    f"{described(outputs[i], expected[i], bads[i])}"
                )
                self._explain(executable, given, expected, i, what, scale)
        return outputs

    def _wrong(self, found: Sequence[Array], expected: Sequence[Array], scale: float) -> list[HostArray]:
        return [wrong(f, e, self.rtol, scale) for f, e in zip(found, expected, strict=True)]

    def _differs(self, found: Sequence[Array], expected: Sequence[Array], scale: float) -> bool:
        return any(bad.any() for bad in self._wrong(found, expected, scale))

    def _explain(
        self,
        executable: Executable,
        given: list[Array],
        expected: list[Array],
        i: int,
        what: str,
        scale: float,
    ) -> NoReturn:
        """Raise an error that names the pass or executor responsible, and the stage."""
        from ..compiler.passes import PASSES  # imports the compiler, so not at `import xgrad`

        device, before = executable.device, executable.program
        for number, (name, apply) in enumerate(PASSES, 1):
            after = apply(before)
            if self._differs(interpret(after, device, given), expected, scale):
                culprit = f"the pass {name!r} ({number} of {len(PASSES)})"
                self._raise(what, culprit, after, i, self._first_by_name(before, after, device, given, scale))
            before = after
        self._raise(
            what, executable.kind, before, i, self._first_by_executor(before, device, given, expected, scale)
        )

    def _raise(self, what: str, culprit: str, program: Program, i: int, first: First | None) -> NoReturn:
        """Raise ValidationError for output `i` of a program, which is wrong from `first` on."""
        lines = [
            f"{culprit} gives other values than interpreting the same program stage by stage",
            what,
        ]
        text, steps = None, first.steps if first is not None else ()
        if first is None:
            z = program.outputs[i]
            source = origin(program, [z]) if isinstance(z, Value) else ""
            lines.append(
                f"each stage on its own is right, so the error is in how they are combined. This output is "
                f"computed{_by(source)}"
            )
        else:
            stage = first.place.stage
            text = written(stage)
            source, near = stage.source or origin(program, stage.values), not stage.source
            when = f" at step t={', '.join(map(str, steps))}" if steps else ""
            where = "" if not source else f", {'from a value ' if near else ''}computed{_by(source)}"
            lines.append(f"the first wrong stage is `{text}`{when}{where}")
        raise ValidationError(
            "\n  ".join([*lines, WAY_OUT]), culprit=culprit, stage=text, steps=steps, source=source
        )

    def _first_by_name(
        self, before: Program, after: Program, device: Device, given: list[Array], scale: float
    ) -> First | None:
        """Where values of the same name first differ between a pass's input and output."""
        (a, a_places), (b, b_places) = exposed(before), exposed(after)
        known = {
            (p.value, len(p.loops)): v
            for p, v in zip(a_places, interpret(a, device, given)[len(before.outputs) :], strict=True)
        }
        values = interpret(b, device, given)[len(after.outputs) :]
        expected = [known.get((p.value, len(p.loops))) for p in b_places]
        masks = [
            None if e is None or e.shape != v.shape else wrong(v, e, self.rtol, scale)
            for v, e in zip(values, expected, strict=True)
        ]
        return first_wrong(b_places, masks)

    def _first_by_executor(
        self,
        program: Program,
        device: Device,
        given: list[Array],
        expected: list[Array],
        scale: float,
    ) -> First | None:
        """Where compiled code first computes a wrong value.

        All values become outputs; if they are right in that form, one at a time.
        """

        def found(only: Callable[[Place], bool]) -> tuple[First | None, bool]:
            from ..compiler.generate import compiled

            shown, places = exposed(program, only)
            ready = compiled(shown, device)
            if ready.run is None:
                return None, False
            count = len(program.outputs)
            values, right = ready.results(given), interpret(shown, device, given)
            masks = self._wrong(values[count:], right[count:], scale)
            return first_wrong(places, masks), self._differs(values[:count], expected, scale)

        first, _ = found(lambda place: True)
        if first is not None:
            return first
        firsts = []
        for place in exposed(program)[1]:
            first, _ = found(lambda other, path=place.path: other.path == path)  # type: ignore[misc]
            if first is not None:
                firsts.append(first)
        return min(firsts, key=lambda first: first.key, default=None)

    # A function against the engine

    def function(
        self, what: str, key: Any, result: Any, operands: Sequence[Tensor], again: Callable[[], Any]
    ) -> None:
        """Compare a scan or compiled function with its Python code, run op by op: values and gradients.

        The gradients are those of `operands`.
        """
        if MODE.get().trace is not None or key in self._functions:
            return
        self._functions.add(key)
        with mode(check=None, hooks=None, record=True):
            plain = again()
        with mode(check=None):
            found, expected = ([asarray(v) for v in flatten(tree)[0]] for tree in (result, plain))
            scale = largest([v.data for v in operands])
            self._compare(what, "output", found, expected, scale)
            inputs = [v for v in operands if v.requires_grad and is_floating(v.dtype)]
            if MODE.get().grad and inputs:
                with mode(check=self):
                    mine = _gradients(found, inputs)
                self._compare(what, "the gradient of operand", mine, _gradients(expected, inputs), scale)

    def _compare(
        self, what: str, kind: str, found: Sequence[Tensor], expected: Sequence[Tensor], scale: float
    ) -> None:
        for i, (f, e) in enumerate(zip(found, expected, strict=True), 1):
            if (f.shape, f.dtype) != (e.shape, e.dtype):
                how = (
                    f"{kind} {i} has shape {f.shape} and dtype {f.dtype}, but should have shape {e.shape} "
                    f"and dtype {e.dtype}"
                )
            else:
                bad = wrong(f.data, e.data, self.rtol, scale)
                if not bad.any():
                    continue
                how = f"{kind} {i} of {len(found)} {tuple(f.shape)}: {described(f.data, e.data, bad)}"
            message = f"{what} gives other values than its Python code, run op by op\n  {how}\n  {WAY_OUT}"
            raise ValidationError(message, culprit="the trace")


def _by(source: str) -> str:
    """` by stage 'h', in ...`, or ` in ...` for a line that assigns no name."""
    text = written_at(source) if source else ""
    return f" by {text}" if text.startswith("stage") else f" {text}" if text else ""


def _gradients(outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Gradients with respect to the inputs, for output gradients whose elements all differ."""
    xp: Any = find_device("cpu").xp
    chosen = [z for z in outputs if z.requires_grad]
    moves = []
    for z in chosen:
        host = xp.reshape(xp.cos(xp.arange(z.size, dtype="float64")), z.shape)
        moves.append(asarray(host, device=z.device).astype(z.dtype))
    with mode(grad=False):
        return pull_back(chosen, moves, inputs, free=False)
