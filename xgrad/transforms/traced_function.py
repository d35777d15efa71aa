"""One trace of a function that is compiled: its program, and what that reads besides the arguments."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from ..backends import Device, DeviceError, current_device, device_of
from ..compiler.caches import Once
from ..compiler.executors import Executable
from ..compiler.families import Families
from ..compiler.ir import Body
from ..compiler.keys import exact, is_array
from ..compiler.scan import apply_scan
from ..compiler.trace import trace_to_ir
from ..compiler.variables import Spec
from ..compiler.weak import Numbers, varies
from ..core.context import MODE, no_grad
from ..core.graph import Input, Leaf
from ..core.memory import out_of_memory
from ..core.pytree import Structure, flatten, sorted_by_key, unflatten
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import asarray
from .arguments import unchanged
from .lifting import returned


def _spec(leaf: Any) -> Spec:
    """The specification of the variable that replaces an argument in the trace."""
    x, node = asarray(leaf), None
    if x.requires_grad:
        # a transform takes a leaf as its value, and stays connected to others
        kind = Leaf if isinstance(x.node, Leaf) else Input
        node = kind(x.device, x.shape, x.dtype)
    return Spec(x.shape, x.dtype, x.device, fixed=not isinstance(leaf, Tensor), node=node)


def _device(leaves: list[Any], outside: list[Tensor]) -> Device:
    """The device of all Tensors that a function reads."""
    devices = list(dict.fromkeys(v.device for v in (*leaves, *outside) if isinstance(v, Tensor)))
    if len(devices) > 1:
        places = " and ".join(map(str, devices))
        raise DeviceError(
            f"a compiled function runs on one device, but got Tensors on {places}; move one with .to(device)"
        )
    return devices[0] if devices else current_device()


def _executable(body: Body, device: Device) -> Executable:
    shared = partial(body.families.code, body.program, device)
    return Executable(body.program, device, whole=True, shared=shared)


class TracedFunction:
    """One trace of a function: its program, and its inputs from outside.

    Its code may be that of other traces, of the same `families` of programs.
    """

    def __init__(
        self,
        f: Callable[[Any], Any],
        user: Callable[..., Any],
        leaves: list[Any],
        structure: Structure,
        values: tuple[int, ...],
        families: Families,
    ) -> None:
        places = sorted_by_key(structure, leaves)
        self.read = [i for i in places if isinstance(leaves[i], Tensor) or is_array(leaves[i])]
        weak = {i: v for i, v in enumerate(leaves) if varies(v) and i not in values}
        self._numbers = Numbers(weak)

        mode = MODE.get()
        traced = trace_to_ir(
            lambda *x: self._outputs(f, leaves, structure, x),
            [_spec(leaves[i]) for i in self.read],
            grad=mode.grad,
            remember=mode.check is not None,
            user=user,
        )
        #: `deciding`: places of numbers whose values the trace depends on; `wanted`: those that are constants
        self.wanted = values
        self.deciding = self._numbers.deciding.union(values)
        self.outside = traced.outside
        self._seen = traced.seen
        then = tuple([v.requires_grad for v in self.outside])
        self.outside_then = (then, *[value for _, value in self._seen]) if self._seen else then
        self._inputs = self._numbers.read(self.outside)
        self.device = _device(leaves, self.outside)
        self.body = Body(traced.program(), 0, 0, families)
        self._foreign = any(
            not isinstance(leaves[i], Tensor) and device_of(leaves[i]) is not self.device for i in self.read
        )
        traced.close()
        self._numbers.close()
        self._run: Executable | None = None  # the executable, cached for fast calls
        self._executable = Once(partial(_executable, self.body, self.device))

    def _outputs(
        self, f: Callable[[Any], Any], leaves: list[Any], structure: Structure, x: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """The outputs of the function on variables, followed by the arguments that it changed in place."""
        variables = [v.data for v in x]
        given = {**dict(zip(self.read, x, strict=True)), **self._numbers.traced}
        arguments = unflatten(structure, [given.get(i, v) for i, v in enumerate(leaves)])
        with unchanged(arguments):
            result = f(arguments)
        found, self.structure = flatten(result)
        self.changed = [k for k, (v, before) in enumerate(zip(x, variables)) if v.data is not before]
        found = returned(found, "a compiled function")
        after = [asarray(x[k]) for k in self.changed]
        #: whether gradients flow through each output; a leaf is only changed under no_grad
        self.connected = [z.requires_grad for z in found] + [
            z.requires_grad and not isinstance(leaves[self.read[k]].node, Leaf)
            for k, z in zip(self.changed, after)
        ]
        return found + after

    def outside_now(self) -> tuple[Any, ...]:
        """The outside state that the trace depends on, now.

        It is which Tensors need a gradient, and the values of those that Python code has looked at.
        """
        needs = tuple([v.requires_grad for v in self.outside])
        return (needs, *[exact(v.data) for v, _ in self._seen]) if self._seen else needs

    def read_outside(self, leaves: list[Any]) -> list[Tensor] | None:
        """The inputs besides the argument arrays: outside Tensors and numbers.

        None if the numbers do not fit the trace.
        """
        numbers = self._numbers.values(leaves)
        if numbers is None:
            return None
        found = list(self.outside)
        try:
            for k, source in self._inputs.items():
                found[k] = Tensor(source.array(numbers[source.position]), source.device)
        except (ArithmeticError, TypeError, ValueError, Warning):
            return None
        return found

    @property
    def executable(self) -> Executable:
        """The executable of the program."""
        return self._executable()  # type: ignore[no-any-return]

    @property
    def bytes(self) -> int:
        """The approximate memory that it holds."""
        return self._run.bytes if self._run else 0

    def _prepare(self) -> Executable:
        self._run = found = self.executable
        return found

    def run(self, arrays: list[Any], outside: list[Tensor]) -> list[Tensor]:
        """Run the program and return its outputs; update the arguments that are changed in place."""
        operands = [*arrays, *outside]
        trace = MODE.get().trace
        if trace is not None:
            for v, _ in self._seen:
                trace.looked_at(v)
        if not self.changed:
            return self._computed(operands)
        for k in self.changed:
            if sum(v is arrays[k] for v in operands) > 1:
                raise GraphError(
                    "a compiled function changes an argument in place that was passed twice, or that it "
                    "also uses from outside: pass a copy, +t"
                )
        found = self._computed(operands)
        for k, z in zip(self.changed, found[-len(self.changed) :], strict=True):
            # a leaf can only be changed under no_grad, so the function did that too
            with no_grad() if arrays[k].is_leaf else nullcontext():
                arrays[k][...] = z
        return found[: -len(self.changed)]

    def _computed(self, operands: list[Any]) -> list[Tensor]:
        """All outputs, followed by the new values of the arguments in `changed`."""
        if MODE.get().trace is not None or (
            True in self.connected
            and MODE.get().grad
            and any(isinstance(v, Tensor) and v.requires_grad for v in operands)
        ):
            z = apply_scan([asarray(v) for v in operands], body=self.body, length=1, reverse=False)
            if MODE.get().trace is not None:
                return [v[0] for v in z]
            return [v[0] if flows else v[0].detach() for v, flows in zip(z, self.connected, strict=True)]
        device = self.device
        if self._foreign:
            operands = [asarray(v) for v in operands]
        try:
            run = self._run or self._prepare()
            found = run([v.data if isinstance(v, Tensor) else v for v in operands])
        except MemoryError as error:
            shapes = ", ".join(str(v.shape) for v in operands)
            raise out_of_memory(
                error,
                f"{self.executable.kind} compiled for arguments of shape {shapes or '()'}",
                device,
                (),
            ) from error
        return [Tensor(z, device) for z in found]
