"""Functions that are traced once, optimised, and run fast."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import update_wrapper
from typing import Any

from ..backends import DeviceError, current_device, current_matmul_precision, device_of
from ..compiler.caches import Cache, Once
from ..compiler.executors import Executable
from ..compiler.ir import Body, Program
from ..compiler.keys import is_array, state
from ..compiler.scan import apply_scan
from ..compiler.trace import Spec, trace_to_ir
from ..core.context import MODE, no_grad
from ..core.graph import Input, Leaf
from ..core.memory import out_of_memory
from ..core.pytree import flatten, unflatten
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import asarray
from .lifting import returned

#: How many signatures a compiled function remembers.
SIGNATURES = 64


def compile(f: Callable[..., Any]) -> Compiled:
    """`f`, traced once for each signature of shapes and dtypes, optimised as a whole, and run with its memory
    laid out beforehand.

    Args:
        f: a function of arrays, Tensors, or nested containers of them, that returns Tensors in nested
            containers. It may use `grad`, `value_and_grad`, `vjp` and `scan`. Python numbers, strings and
            other objects among its arguments belong to the signature, with their attributes as they are at
            the call, and so do numbers and arrays that modules hold beside their Tensors. Tensors that it
            uses from outside are read at each call, and Tensors among its arguments may be changed in place;
            its other side effects happen once.

    Returns:
        A function with the same results, up to rounding, in memory of their own. `.program(*args)` is what
        was traced, `.explain(*args)` what was made of it and what a run costs.

    Raises:
        TraceError: `f` branches on a value, takes one out, draws random numbers, or changes a Tensor from
            outside, or an array, in place.
        GraphError: an argument that is changed in place is given twice, or used from outside as well.
        TypeError: an argument of which it cannot be told whether it has changed since, as an iterator.

    >>> import xgrad as xg
    >>> slope = xg.compile(xg.grad(lambda x: xg.sum(x**3)))
    >>> slope(xg.asarray([1.0, 2.0]))
    tensor([ 3., 12.])
    """
    return Compiled(f)


class Compiled:
    """What `compile` returns."""

    def __init__(self, f: Callable[..., Any]) -> None:
        update_wrapper(self, f)
        self._f = f
        self._traced = Cache(SIGNATURES)
        self._traces = 0

    def __call__(self, *args: Any) -> Any:
        leaves, structure = flatten(args, now=True)
        mode = MODE.get()
        if mode.hooks is not None:  # who wants to see every op
            return self._f(*unflatten(structure, [asarray(v) if is_array(v) else v for v in leaves]))
        traced = self._find(leaves, structure)
        arrays = [leaves[i] for i in traced.read]
        if mode.check is None:
            return unflatten(traced.structure, traced.run(arrays))
        before = [asarray(v)._alias() if i in traced.read else v for i, v in enumerate(leaves)]
        result = unflatten(traced.structure, traced.run(arrays))
        self._check(traced, before, structure, result)
        return result

    def _check(self, traced: _Traced, values: list[Any], structure: Any, result: Any) -> None:
        """Have the result compared with what the function gives op by op."""

        def again() -> Any:
            return self._f(
                *unflatten(structure, [v._alias() if isinstance(v, Tensor) else v for v in values])
            )

        operands = [*(values[i] for i in traced.read), *traced.outside]
        MODE.get().check.function(
            f"the compiled function {getattr(self._f, '__name__', '')!r}", traced, result, operands, again
        )

    def program(self, *args: Any) -> Program:
        """What was traced for arguments like these."""
        return self._find(*flatten(args, now=True)).body.program

    def executable(self, *args: Any) -> Executable:
        """What runs for arguments like these."""
        return self._find(*flatten(args, now=True)).executable

    def explain(self, *args: Any) -> str:
        """What each pass did for arguments like these, and what one run costs."""
        return _explain(self.executable(*args))

    def _find(self, leaves: list[Any], structure: Any) -> _Traced:
        mode = MODE.get()
        key = (
            structure,
            tuple([_signature(v) for v in leaves]),
            current_device(),
            current_matmul_precision(),
            mode.grad,
            mode.check is not None,
        )
        traced: _Traced = self._traced.get(key, lambda: self._trace(leaves, structure))
        needs = traced.outside_needs()
        return (
            traced
            if needs == traced.needs
            else self._traced.get((*key, needs), lambda: self._trace(leaves, structure))
        )

    def _trace(self, leaves: list[Any], structure: Any) -> _Traced:
        self._traces += 1
        if self._traces == SIGNATURES + 1:
            name = getattr(self._f, "__name__", "the function")
            warnings.warn(
                f"compile has traced {name} for {SIGNATURES} signatures and now discards old ones: its "
                f"arguments keep changing in shape, dtype or Python numbers. Pad arrays to a few shapes, "
                f"pass numbers as arrays, or call the function uncompiled",
                stacklevel=4,
            )
        return _Traced(self._f, leaves, structure)


def _explain(program: Program | Executable) -> str:
    """What each pass did to a program, and what one run costs, as text."""
    from ..compiler.printing.explain import explain  # with the passes, for which `import xgrad` does not wait

    return explain(program)


Program.explain = _explain


def _signature(v: Any) -> Any:
    if isinstance(v, Tensor):
        node = v.node
        return (
            v.data.shape,
            v.dtype,
            v.device,
            node is not None and node.needs and (2 if isinstance(node, Leaf) else 1),
        )
    if is_array(v):
        return (type(v), v.shape, v.dtype)
    try:
        return state(v)
    except (TypeError, RecursionError) as error:
        raise TypeError(
            f"compile cannot take a {type(v).__name__} as an argument: {error}. It takes Tensors, arrays, "
            f"numbers, strings, and objects whose attributes are of these types, in nested lists, tuples, "
            f"dicts and modules"
        ) from None


def _spec(leaf: Any) -> Spec:
    """A variable in the place of an argument."""
    x, node = asarray(leaf), None
    if x.requires_grad:
        # a transform takes a leaf as its value, and stays connected to others
        kind = Leaf if isinstance(x.node, Leaf) else Input
        node = kind(x.device, x.shape, x.dtype)
    return Spec(x.shape, x.dtype, x.device, fixed=not isinstance(leaf, Tensor), node=node)


class _Traced:
    """One signature of a function: its program, and what it reads from outside."""

    def __init__(self, f: Callable[..., Any], leaves: list[Any], structure: Any) -> None:
        self.read = [i for i, v in enumerate(leaves) if isinstance(v, Tensor) or is_array(v)]

        def flat(*x: Tensor) -> list[Tensor]:
            moved, variables = dict(zip(self.read, x, strict=True)), [v.data for v in x]
            result = f(*unflatten(structure, [moved.get(i, v) for i, v in enumerate(leaves)]))
            found, self.structure = flatten(result)
            self.changed = [k for k, (v, before) in enumerate(zip(x, variables)) if v.data is not before]
            found = returned(found, "a compiled function") + [asarray(x[k]) for k in self.changed]
            self.connected = any(z.requires_grad for z in found)
            return found

        mode = MODE.get()
        traced = trace_to_ir(
            flat,
            [_spec(leaves[i]) for i in self.read],
            grad=mode.grad,
            remember=mode.check is not None,
            user=f,
        )
        self.outside = traced.outside
        self.needs = self.outside_needs()
        devices = list(
            dict.fromkeys(v.device for v in (*leaves, *self.outside) if isinstance(v, Tensor))
        ) or [current_device()]
        if len(devices) > 1:
            places = " and ".join(map(str, devices))
            raise DeviceError(
                f"a compiled function runs on one device, but got Tensors on {places}; move one with "
                f".to(device)"
            )
        self.device = devices.pop()
        self.body = Body(traced.program(), 0, 0, whole=True)
        self._foreign = any(
            not isinstance(leaves[i], Tensor) and device_of(leaves[i]) is not self.device for i in self.read
        )
        traced.close()
        self._run: Executable | None = None  # where it is found at once
        program, device = self.body.program, self.device
        self._executable = Once(lambda: Executable(program, device, whole=True))

    def outside_needs(self) -> tuple[bool, ...]:
        """Which of the Tensors from outside need a gradient now."""
        return tuple([v.requires_grad for v in self.outside])

    @property
    def executable(self) -> Executable:
        """What runs it."""
        return self._executable()  # type: ignore[no-any-return]

    def _prepare(self) -> Executable:
        self._run = found = self.executable
        return found

    def run(self, arrays: list[Any]) -> list[Tensor]:
        """The outputs for arrays in the places of the inputs."""
        operands = [*arrays, *self.outside]
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
            # as it must have been where the function changed it
            with no_grad() if arrays[k].is_leaf else nullcontext():
                arrays[k][...] = z
        return found[: -len(self.changed)]

    def _computed(self, operands: list[Any]) -> list[Tensor]:
        """All outputs, and after them the new values of the arguments that are `changed` in place."""
        if MODE.get().trace is not None or (
            self.connected
            and MODE.get().grad
            and any(isinstance(v, Tensor) and v.requires_grad for v in operands)
        ):
            z = apply_scan([asarray(v) for v in operands], body=self.body, length=1, reverse=False)
            return [v[0] for v in z]
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
