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
from ..compiler.trace import trace_to_ir
from ..compiler.variables import Spec
from ..core.context import MODE, mode
from ..core.dispatch import apply
from ..core.pytree import flatten, tree_map, unflatten
from ..core.tensor import Tensor
from ..namespace import asarray, concat, reshape
from ..ops.axes import integer
from ..ops.programs import AFTER, CHECKPOINT
from .arguments import unchanged
from .boxing import boxed
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
    uses from outside get their gradients.

    Raises TraceError where `f` looks at the value of a Tensor, draws random numbers, or changes an argument
    or a Tensor from outside in place.

    >>> import xgrad as xg
    >>> xg.grad(xg.checkpoint(lambda x: xg.exp(xg.sin(x))))(0.0)
    tensor(1.)
    """

    @wraps(f)
    def checkpointed(*given_args: Any, **given_kwargs: Any) -> Any:
        outside = MODE.get()
        if outside.record or (outside.trace is None and not outside.grad):
            return f(*given_args, **given_kwargs)
        leaves, structure = flatten((given_args, given_kwargs))
        places = [i for i, v in enumerate(leaves) if isinstance(v, Tensor) or device_of(v) is not None]
        given = [asarray(leaves[i]) for i in places]
        z_structure = None

        def flat(*x: Tensor) -> list[Tensor]:
            nonlocal z_structure
            moved = dict(zip(places, x, strict=True))
            arguments = unflatten(structure, [moved.get(i, v) for i, v in enumerate(leaves)])
            args, kwargs = arguments
            with unchanged(arguments, "a checkpointed function"):
                z, z_structure = flatten(f(*args, **kwargs))
            return returned(z, "a checkpointed function")

        traced = trace_to_ir(flat, [Spec(x.shape, x.dtype, x.device, fixed=True) for x in given], user=f)
        operands = (*given, *traced.outside)
        if not operands or not traced.outputs:  # nothing to recompute
            traced.close()
            return f(*given_args, **given_kwargs)
        program = PROGRAMS.get(traced.key(), traced.program)
        traced.close()
        parts: Any = apply(CHECKPOINT, operands, {"program": program})
        return unflatten(z_structure, list(parts))

    return checkpointed


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
        return checkpoint(lambda carry, xs: scan(f, carry, xs, steps, reverse))(carry, xs)  # type: ignore[no-any-return]

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
