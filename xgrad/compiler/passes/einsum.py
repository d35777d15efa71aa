"""Einstein sums as matrix products of two operands at a time, each as a stack of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from ...backends.dtypes import canonical
from ...ops.einsum import split_subscripts
from ..ir import Stage, Value
from ..names import Names


class _Term(NamedTuple):
    """An operand, and the index of each of its axes."""

    value: Value
    indices: str


def products(stage: Stage, names: Names) -> list[Stage] | None:
    """Return the stages that compute an einsum.

    None if an index repeats within an operand (a diagonal), or if dtypes differ.
    """
    inputs, output = split_subscripts(stage.params["subscripts"])
    dtype = stage.output.dtype
    if any(type(v) is not Value or v.dtype != dtype for v in stage.operands):
        return None
    if canonical(dtype).kind not in "fc" or any(len(set(i)) != len(i) for i in inputs):
        return None
    return _Contraction(stage, names, output).run(inputs)


class _Contraction:
    """An einsum being turned into stages."""

    def __init__(self, stage: Stage, names: Names, output: str) -> None:
        self.stage, self.names, self.output = stage, names, output
        self.stages: list[Stage] = []
        self.lengths: dict[str, int] = {}

    def run(self, inputs: Sequence[str]) -> list[Stage]:
        for v, indices in zip(self.stage.values, inputs, strict=True):
            for i, n in zip(indices, v.shape, strict=True):
                self.lengths[i] = n if self.lengths.get(i, 1) == 1 else self.lengths[i]
        terms = [self.spread(_Term(v, i)) for v, i in zip(self.stage.values, inputs)]
        for pair in self.path(terms):
            chosen = [terms[i] for i in sorted(pair)]
            terms = [t for i, t in enumerate(terms) if i not in pair]
            kept = {*self.output, *(i for t in terms for i in t.indices)}
            terms.append(self.product(chosen[0], chosen[1], kept) if len(chosen) == 2 else chosen[0])
        (last,) = terms
        last = self.ordered(self.summed(last, {*self.output}), self.output)
        self.add("reshape", (last.value,), self.stage.output.shape, {"shape": self.stage.output.shape}, True)
        return self.stages

    def path(self, terms: Sequence[_Term]) -> list[tuple[int, ...]]:
        """Return the order in which to multiply the terms."""
        if len(terms) <= 2:
            return [tuple(range(len(terms)))] if len(terms) == 2 else []
        from opt_einsum import contract_path

        subscripts = ",".join(t.indices for t in terms) + "->" + self.output
        found, _ = contract_path(subscripts, *(t.value.shape for t in terms), shapes=True)
        return [tuple(step) for step in found]

    def add(
        self,
        op: str,
        operands: Sequence[Any],
        shape: tuple[int, ...],
        params: dict[str, Any],
        last: bool = False,
    ) -> Value:
        out = self.stage.output if last else self.names.new(shape, self.stage.output.dtype)
        self.stages.append(Stage(op, tuple(operands), (out,), params, self.stage.source))
        return out

    def reshaped(self, v: Value, shape: tuple[int, ...]) -> Value:
        return v if v.shape == shape else self.add("reshape", (v,), shape, {"shape": shape})

    def size(self, indices: str) -> int:
        return prod(self.lengths[i] for i in indices)

    def spread(self, t: _Term) -> _Term:
        """Drop axes of length 1 that broadcast against longer ones."""
        kept = [(i, n) for i, n in zip(t.indices, t.value.shape) if n == self.lengths[i]]
        return _Term(self.reshaped(t.value, tuple(n for _, n in kept)), "".join(i for i, _ in kept))

    def summed(self, t: _Term, kept: set[str]) -> _Term:
        """Sum the term over the indices that are not kept."""
        axes = tuple(a for a, i in enumerate(t.indices) if i not in kept)
        if not axes:
            return t
        left = "".join(i for i in t.indices if i in kept)
        shape = tuple(self.lengths[i] for i in left)
        return _Term(self.add("sum", (t.value,), shape, {"axis": axes, "keepdims": False}), left)

    def ordered(self, t: _Term, indices: str) -> _Term:
        """Transpose the term's axes to this order."""
        if t.indices == indices:
            return t
        axes = tuple(t.indices.index(i) for i in indices)
        shape = tuple(self.lengths[i] for i in indices)
        return _Term(self.add("transpose", (t.value,), shape, {"axes": axes}), indices)

    def product(self, a: _Term, b: _Term, kept: set[str]) -> _Term:
        """Multiply two terms, summing over the shared indices that are not kept."""
        a, b = self.summed(a, kept | {*b.indices}), self.summed(b, kept | {*a.indices})
        both = [i for i in a.indices if i in b.indices]
        stack = "".join(i for i in both if i in kept)
        inner = "".join(i for i in both if i not in kept)
        rows = "".join(i for i in a.indices if i not in both)
        columns = "".join(i for i in b.indices if i not in both)
        sizes = tuple(self.lengths[i] for i in stack)
        m, n, k = self.size(rows), self.size(columns), self.size(inner)
        left = self.reshaped(self.ordered(a, stack + rows + inner).value, (*sizes, m, k))
        if not inner or (not rows and not columns):  # an elementwise product, or one of rows with rows
            right = self.reshaped(self.ordered(b, stack + columns + inner).value, (*sizes, n, k))
            if not inner:
                left, right = self.reshaped(left, (*sizes, m, 1)), self.reshaped(right, (*sizes, 1, n))
                z = self.add("*", (left, right), (*sizes, m, n), {})
            else:
                z = self.add("*", (left, right), (*sizes, 1, k), {})
                z = self.add("sum", (z,), (*sizes, 1), {"axis": (len(sizes) + 1,), "keepdims": False})
        else:
            right = self.reshaped(self.ordered(b, stack + inner + columns).value, (*sizes, k, n))
            z = self.add("@", (left, right), (*sizes, m, n), {})
        indices = stack + rows + columns
        return _Term(self.reshaped(z, tuple(self.lengths[i] for i in indices)), indices)
