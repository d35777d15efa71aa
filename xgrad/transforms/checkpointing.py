"""Checkpointing: recompute intermediate values in the backward pass instead of storing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

from ..backends import Array, current_device, device_of
from ..backends.dtypes import is_floating
from ..backends.types import Namespace
from ..compiler.caches import Cache
from ..compiler.interpreter import interpret
from ..compiler.ir import Program
from ..compiler.scan import replay
from ..compiler.trace import ChangedOutside, Traced, trace_to_ir
from ..compiler.variables import Spec
from ..core.context import MODE, mode
from ..core.dispatch import apply
from ..core.pytree import flatten, tree_map, unflatten
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import asarray, concat, reshape
from ..ops.axes import integer
from ..ops.programs import AFTER, CHECKPOINT
from .arguments import unchanged
from .boxing import boxed
from .changes import apply_change, with_change
from .forward_mode import jvp
from .lifting import returned
from .reverse_mode import vjp


def _forward(xp: Namespace, *x: Array, program: Program) -> tuple[Array, ...]:
    return tuple(interpret(program, device_of(x[0]) or current_device(), x))


def _dx(dz: list[Any], x: tuple[Any, ...], *, program: Program) -> tuple[Any, ...]:
    """Run the program again, then sweep back through it."""
    raw = not any(isinstance(v, Tensor) for v in (*dz, *x))
    given = [i for i, d in enumerate(dz) if d is not None]
    cotangents = [boxed(dz[i]) for i in given]
    operands = [apply(AFTER, (boxed(v), cotangents[0])) for v in x]
    chosen = [i for i, v in enumerate(operands) if is_floating(v.dtype)]

    def again(*values: Tensor) -> list[Any]:
        moved = dict(zip(chosen, values, strict=True))
        outputs = replay(program, [moved.get(i, v) for i, v in enumerate(operands)])
        return [outputs[i] for i in given]

    with mode(record=False):
        _, pull = vjp(again, *(operands[i] for i in chosen))
        found = dict(zip(chosen, pull(cotangents), strict=True))
    return tuple(None if g is None else g.data if raw else g for g in [found.get(i) for i in range(len(x))])


def _jvp(t: tuple[Any, ...], x: tuple[Any, ...], *, program: Program) -> tuple[Any, ...]:
    """Run the program again, and push the tangents through it."""
    raw = not any(isinstance(v, Tensor) for v in (*t, *x))
    operands = [boxed(v) for v in x]
    tangents = {i: boxed(d) for i, d in enumerate(t) if d is not None and is_floating(d.dtype)}

    def again(*values: Tensor) -> list[Any]:
        moved = dict(zip(tangents, values, strict=True))
        return replay(program, [moved.get(i, v) for i, v in enumerate(operands)])

    with mode(record=False):
        _, found = jvp(again, [operands[i] for i in tangents], list(tangents.values()))
    return tuple(None if not is_floating(v.dtype) else v.data if raw else v for v in found)


CHECKPOINT.implement(
    _forward, dx=_dx, jvp=_jvp, forms=lambda params: [(v.shape, v.dtype) for v in params["program"].outputs]
)
PROGRAMS = Cache(1024)


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Make `f` keep only its arguments for the backward pass, and run again there.

    Its inputs are the Tensors and arrays among its arguments, also in nested containers; numbers and other
    objects are constants. It is traced on variables without values, like the body of `scan`. Tensors that it
    uses from outside get their gradients, and may be changed in place, as its arguments may.

    Raises TraceError where `f` looks at the value of a Tensor, or draws random numbers from a generator not
    made by `xg.random.philox`, whose draws are the same when `f` runs again.

    >>> import xgrad as xg
    >>> xg.grad(xg.checkpoint(lambda x: xg.exp(xg.sin(x))))(0.0)
    tensor(1.)
    """

    @wraps(f)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        now = MODE.get()
        if now.record or (now.trace is None and not now.grad):
            return f(*args, **kwargs)
        call = _Call(f, args, kwargs)
        try:
            traced = trace_to_ir(call, call.specs(), user=f)
        except ChangedOutside as error:
            change = error
        else:
            return call.run(traced)
        again = checkpoint(with_change(f, change.handle))
        result, value = again(change.handle._alias(), *args, **kwargs)
        apply_change(change, value)
        return result

    return checkpointed


class _Call:
    """A call of a checkpointed function, as a function of the arrays among the arguments.

    It returns the results, and then the arguments that it changed in place.
    """

    def __init__(self, f: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.f = f
        self.leaves, self.structure = flatten((args, kwargs))
        self.places = [
            i for i, v in enumerate(self.leaves) if isinstance(v, Tensor) or device_of(v) is not None
        ]
        self.given = [asarray(self.leaves[i]) for i in self.places]
        self.changed: list[int] = []
        self.results: Any = None  # the structure of the results

    def specs(self) -> list[Spec]:
        """The specifications of the variables to trace with; arrays may not be changed in place."""
        return [
            Spec(v.shape, v.dtype, v.device, fixed=v is not self.leaves[i])
            for i, v in zip(self.places, self.given, strict=True)
        ]

    def __call__(self, *x: Tensor) -> list[Tensor]:
        moved = dict(zip(self.places, x, strict=True))
        arguments = unflatten(self.structure, [moved.get(i, v) for i, v in enumerate(self.leaves)])
        args, kwargs = arguments
        before = [v.data for v in x]
        with unchanged(arguments, "a checkpointed function"):
            z, self.results = flatten(self.f(*args, **kwargs))
        self.changed = [k for k, (v, data) in enumerate(zip(x, before, strict=True)) if v.data is not data]
        return [*returned(z, "a checkpointed function"), *[x[k] for k in self.changed]]

    def run(self, traced: Traced) -> Any:
        """Run the traced program as one op, and make the changes."""
        operands = (*self.given, *traced.outside)
        if not operands or not traced.outputs:  # nothing to recompute
            traced.close()
            args, kwargs = unflatten(self.structure, self.leaves)
            return self.f(*args, **kwargs)
        for k in self.changed:
            if sum(v is self.given[k] for v in operands) > 1:
                raise GraphError(
                    "a checkpointed function changes an argument in place that was passed twice, or that it "
                    "also uses from outside: pass a copy, +t"
                )
        program = PROGRAMS.get(traced.key(), traced.program)
        traced.close()
        parts: Any = apply(CHECKPOINT, operands, {"program": program})
        count = len(parts) - len(self.changed)
        for k, value in zip(self.changed, parts[count:], strict=True):
            self.given[k]._become(value)
        return unflatten(self.results, list(parts[:count]))


class Segments(NamedTuple):
    """The number of steps, their direction, and the number of steps in a segment."""

    length: int
    reverse: bool
    every: int

    @property
    def done(self) -> int:
        """The number of steps in whole segments."""
        return self.length // self.every * self.every

    @property
    def first(self) -> slice:
        """The steps that run first, in whole segments."""
        return slice(self.length - self.done, None) if self.reverse else slice(0, self.done)

    @property
    def rest(self) -> slice:
        """The remaining steps: a shorter segment, which runs last."""
        return slice(0, self.length - self.done) if self.reverse else slice(self.done, None)


def scan_in_segments(
    scan: Callable[..., tuple[Any, Any]],
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any,
    segments: Segments,
) -> tuple[Any, Any]:
    """Run `scan` in checkpointed segments of `every` steps, so that memory is O(T/every + every).

    It keeps the carry between segments and recomputes the steps within. `init` and the leaves of `xs` are
    Tensors; those of `xs` have `length` steps.
    """
    every = integer("scan: checkpoint_every", segments.every)
    if every < 1:
        raise ValueError(f"scan: checkpoint_every={every} is not positive")
    segments = segments._replace(every=every)
    length, reverse, done = segments.length, segments.reverse, segments.done
    whole = done // every
    if MODE.get().record:  # every value is kept, and pictures and messages name time steps, not segments
        return scan(f, init, xs, length, reverse)

    def segment(carry: Any, xs: Any, steps: int) -> tuple[Any, Any]:
        found: tuple[Any, Any] = checkpoint(lambda *trees: scan(f, *trees, steps, reverse))(carry, xs)
        return found

    def cut(x: Tensor) -> Tensor:
        return reshape(x[segments.first], (whole, every, *x.shape[1:]))

    carry, ys = scan(lambda carry, xs: segment(carry, xs, every), init, tree_map(cut, xs), whole, reverse)
    ys = tree_map(lambda y: reshape(y, (done, *y.shape[2:])), ys)
    if done == length:
        return carry, ys
    carry, last = segment(carry, tree_map(lambda x: x[segments.rest], xs), length - done)
    return carry, tree_map(lambda a, b: concat(_in_order(a, b, reverse)), ys, last)


def _in_order(ys: Tensor, last: Tensor, reverse: bool) -> Sequence[Tensor]:
    return (last, ys) if reverse else (ys, last)
