"""What a scan's body computes from values that are the same at every step, moved before the scan.

The optimiser moves such stages out of loops too, but only after differentiation: the gradient of `W[:, :n]`
or of `exp(A)` in the body would go back through the slice or the exponential at every step. Moved before the
scan, they are differentiated once, with the sum of the gradients of all steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .ir import Body, Item, Program, Stage, Value


class Split(NamedTuple):
    """A body without its invariant stages.

    `before` computes them from the values that are the same at every step. The inputs of `body` are the
    carries and slices, then those of these values that are in `kept`, then the results of `before`.
    """

    before: Program
    body: Body
    kept: tuple[int, ...]

    def operands(self, operands: Sequence[Any], results: Sequence[Any]) -> list[Any]:
        """Return the operands of the body, from those of the whole body and the results of `before`."""
        first = self.body.carries + self.body.xs
        return [*operands[:first], *(operands[first + i] for i in self.kept), *results]


def split_invariants(body: Body) -> Split | None:
    """Split a body; None if it has no invariant stage.

    A stage whose result is larger than its operands stays: its gradient would have to be kept in that size.
    """
    program, first = body.program, body.carries + body.xs
    same = set(program.inputs[first:])
    before: list[Item] = []
    inside: list[Item] = []
    for s in program.stages:
        if isinstance(s, Stage) and s.values and same.issuperset(s.values) and _is_moved(s):
            before.append(s)
            same.update(s.outputs)
        else:
            inside.append(s)
    if not before:
        return None
    read = {v for s in inside for v in s.values} | {v for v in program.outputs if type(v) is Value}
    results = tuple(v for s in before for v in s.outputs if v in read)
    kept = tuple(i for i, v in enumerate(program.inputs[first:]) if v in read)
    inputs = (*program.inputs[:first], *(program.inputs[first + i] for i in kept), *results)
    rest = Body(Program(inputs, tuple(inside), program.outputs), body.carries, body.xs)
    return Split(Program(program.inputs[first:], tuple(before), results), rest, kept)


def _is_moved(s: Stage) -> bool:
    if s.entry is None or "body" in s.params or "program" in s.params:  # scans and custom gates
        return False
    return sum(v.size for v in s.outputs) <= sum(v.size for v in s.values)
