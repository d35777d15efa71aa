"""Programs run on expressions instead of numbers.

Each array element is the hash of the expression that computes it: of an input and its index, or of an op and
its operands. Ops that move elements move hashes; products and sums add them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import copysign
from types import ModuleType
from typing import Any

from ..ops import OPS
from ..ops.axes import normal_axes
from .ir import Item, Loop, Operand, Program, Stage, Value, is_basic
from .lowering.plan import FOLDS, OF_TRUTHS

Array = Any

_MASK = 2**64 - 1
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))  # the finaliser of splitmix64


def _mixed(x: Array) -> Array:
    for shift, factor in _MIX:
        x = (x ^ (x >> x.dtype.type(shift))) * x.dtype.type(factor)
    return x


def _seed(*parts: Any) -> int:
    """Hash names and numbers to a number that is the same in every process."""
    seed = 0
    for byte in repr(parts).encode():
        seed = (seed * 0x100000001B3 ^ byte) & _MASK
    return seed


def literal(number: Any) -> int:
    """Return the hash of a number: 0 for 0, so that zero-filled memory holds the hash of zero."""
    number = complex(number)
    if number == 0 and copysign(1, number.real) == copysign(1, number.imag) == 1:
        return 0
    return _seed(number)


def combined(np: ModuleType, op: str, dtype: str, operands: Sequence[Any]) -> Array:
    """Return the hash of an elementwise op on hashes and numbers."""
    if op == "none":
        (x,) = operands
        return np.asarray(x, dtype=np.uint64)
    total: Any = np.asarray(_seed(op, dtype), dtype=np.uint64)
    for i, x in enumerate(operands):
        total = total + _mixed(np.asarray(x, dtype=np.uint64) + np.asarray(_seed(i), dtype=np.uint64))
    return _mixed(total)


def product(np: ModuleType, a: Array, b: Array) -> Array:
    return np.matmul(
        _mixed(a + np.asarray(_seed("a"), dtype=np.uint64)),
        _mixed(b + np.asarray(_seed("b"), dtype=np.uint64)),
    )


def folded(np: ModuleType, kind: str, x: Array, axes: tuple[int, ...]) -> Array:
    if kind == "sum":
        return np.sum(x, axis=axes, dtype=np.uint64)
    return np.max(combined(np, kind, "", [x]), axis=axes, initial=0)


def computed(
    np: ModuleType,
    name: str,
    params: Mapping[str, Any],
    operands: Sequence[Array],
    dtypes: Sequence[str | None],
    outs: Sequence[Value],
) -> tuple[Array, ...]:
    """Compute an op on hashes, for operands of these dtypes (None for numbers) and outputs of these forms."""
    op, out = OPS[name], outs[0]
    if name == "new" and (filling := Stage("new", (), (out,), params).filling) is not None:
        return (np.full(out.shape, literal(filling), dtype=np.uint64),)
    if op.kernel.moves and is_basic(params.get("key")):
        operands = [
            x if d in (None, out.dtype) else combined(np, "astype", out.dtype, [x])
            for x, d in zip(operands, dtypes)
        ]
        return (np.asarray(op.forward(np, *operands, **params)),)
    if name in ("@", "@+"):
        *base, a, b = operands
        z = product(np, a, b)
        return (combined(np, "+", out.dtype, [*base, z]) if base else z,)
    if name in FOLDS:
        (x,), (dtype,) = operands, dtypes
        if name in OF_TRUTHS and dtype != "bool":
            x = combined(np, "astype", "bool", [x])
        return (folded(np, FOLDS[name], x, normal_axes(params["axis"], x.ndim)),)
    if op.kernel.pointwise:
        return (np.broadcast_to(combined(np, name, out.dtype, operands), out.shape),)
    # any other op: each output element depends on all elements of the operands
    whole = np.asarray(_seed(name, params), dtype=np.uint64)
    for x in operands:
        whole = _mixed(whole + np.sum(_mixed(of_input(np, 0, np.size(x)) + np.ravel(x)), dtype=np.uint64))
    return tuple(
        _mixed(of_input(np, number, v.size).reshape(v.shape) + whole) for number, v in enumerate(outs)
    )


class Expressions:
    """Runs a program on expressions.

    `known` maps each hash to the name of its value and the time steps at which it was computed.
    """

    def __init__(self, np: ModuleType, known: dict[int, str] | None = None) -> None:
        self.np, self.known = np, known
        self.values: dict[Value, Array] = {}

    def run(self, program: Program) -> list[Array]:
        """Return the outputs."""
        for number, v in enumerate(program.inputs):
            self.give(v, of_input(self.np, number, v.size).reshape(v.shape), "")
        self.stages(program.stages, "")
        return [self.at(v) for v in program.outputs]

    def give(self, v: Value, x: Array, when: str) -> None:
        """Set the value of `v` to `x`."""
        self.values[v] = x
        if self.known is not None:
            for element in self.np.unique(x):
                self.known.setdefault(int(element), f"{v.name}{when}")

    def at(self, v: Operand, shape: tuple[int, ...] = ()) -> Array:
        """Return the value of an operand; a number in this shape."""
        if type(v) is Value:
            return self.values[v]
        return self.np.full(shape, literal(v), dtype=self.np.uint64)

    def stages(self, stages: Iterable[Item], when: str) -> None:
        """Run stages in order."""
        for item in stages:
            if isinstance(item, Loop):
                self.loop(item, when)
            else:
                for v, x in zip(item.outputs, self.stage(item), strict=True):
                    self.give(v, x.reshape(v.shape), when)

    def stage(self, stage: Stage) -> tuple[Array, ...]:
        """Compute a stage's outputs."""
        if stage.op == "after":
            return (self.at(stage.operands[0]),)
        operands = [self.at(v) for v in stage.operands]
        dtypes = [v.dtype if type(v) is Value else None for v in stage.operands]
        return computed(self.np, stage.op, stage.params, operands, dtypes, stage.outputs)

    def loop(self, loop: Loop, when: str) -> None:
        """Run all steps of a loop."""
        np = self.np
        state = {c: self.at(c.init, c.inner.shape) for c in loop.carry}
        written = {y: np.zeros(y.outer.shape, dtype=np.uint64) for y in loop.ys}
        for t in reversed(range(loop.length)) if loop.reverse else range(loop.length):
            step = f"{when} at step {t}" if not when else f"{when}, {t}"
            for c, x in state.items():
                self.give(c.inner, x, step)
            for pair in loop.xs:
                self.give(pair.inner, self.values[pair.outer][t, ...], step)
            self.stages(loop.stages, step)
            for y, series in written.items():
                series[t, ...] = self.at(y.inner, y.outer.shape[1:])
            state = {c: self.at(c.next, c.inner.shape) for c in loop.carry}
        for c, x in state.items():
            if c.final is not None:
                self.give(c.final, x, when)
        for y, series in written.items():
            self.give(y.outer, series, when)


def of_input(np: ModuleType, number: int, size: int) -> Array:
    """Return the elements of an input, each with a hash of its own."""
    apart, start = (
        np.asarray(seed, dtype=np.uint64) for seed in (_seed("element") | 1, _seed("input", number))
    )
    return _mixed(np.arange(size, dtype=np.uint64) * apart + start)
