"""A plan as Python code: NumPy's own functions, each writing into memory allocated beforehand."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from ....ops import OPS
from ....ops.scalars import PRIMITIVES, substitute
from ...lowering.plan import SIZES, Call, Gemm, Loop, Map, Number, Plan, Ref, Step, Target, Unsupported, start
from ...lowering.views import is_contiguous
from ...printing.listing import Text, number
from ..element import COMPLEX, FLOATS, REAL
from ..element import FOLDS as KINDS
from .element import written_into

#: The deepest nesting of loops that Python accepts.
DEEPEST = 20
#: The longest loop whose slices of scratch memory are made once, rather than at each run.
SLICES = 1024
#: The largest temporary, in bytes, that is kept between runs.
KEPT = 2**16
#: The number of columns of a large matrix that are transposed together.
STRIP = 32

_CALL = re.compile(r"np\.([a-z_0-9]+)\(")


def write(plan: Plan) -> str:
    """Write `bind(np, view, empty, buffers, calls)`, which returns a function `run(buffers)`.

    The plan's buffers are flat arrays. `bind` is given those that are the same at every run: the scratch
    memory, and None for each other. `run` is given the inputs and outputs, at the same places. Views of
    scratch memory are made only once, since making a view costs as much as arithmetic on a small array.

    `view(buffer, offset, shape, strides)` returns a view, in elements, `empty(shape, dtype)` allocates
    memory, and `calls` has a function `f(args, outs)` for each call of the plan.
    """
    return _Writer(plan).text()


class _Writer:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.once: list[str] = []  # lines that run once for all runs
        self.head: list[str] = []  # lines that run once for each run
        self.names: dict[Any, str] = {}
        self.fixed: set[str] = set()  # the names of views that are made once
        self.sliced: dict[str, None] = {}  # those of them whose slices are made once, too
        self.loops: list[tuple[Loop, dict[str, str]]] = []
        self.scalars: set[str] = set()
        self.calls = 0  # how many have been written

    def text(self) -> str:
        body = self._items(self.plan.body, 2)
        functions = sorted({name for line in body for name in _CALL.findall(line)})
        lines = [
            *(f"{name} = np.{name}" for name in functions),  # local names are faster to look up
            *self.once,
            # iterating over a 1-d array gives scalars, which cannot be written into
            *(
                f"{name}s = tuple([{name}[i, ...] for i in range(len({name}))])"
                if name in self.scalars
                else f"{name}s = tuple({name})"
                for name in self.sliced
            ),
            "def run(buffers):",
            *(f"    {line}" for line in self.head),
        ]
        return "\n".join(
            [
                "def bind(np, view, empty, buffers, calls):",
                *(f"    {line}" for line in lines),
                *(_CALL.sub(r"\1(", line) for line in body),
                "        return None",
                "    return run",
                "",
            ]
        )

    # Arrays

    def _array(self, ref: Ref) -> str:
        """Return the name of `ref` at this step."""
        depth = len(ref.steps)
        moving = [d for d in range(depth) if ref.steps[d]]
        lengths = tuple(self.loops[d][0].length for d in moving)
        strides = tuple(ref.steps[d] for d in moving)
        name = self._outer((ref.buffer, ref.offset, (*lengths, *ref.shape), (*strides, *ref.strides)), "a")
        for k, d in enumerate(moving):  # one more slice in each loop whose step it depends on
            _, slices = self.loops[d]
            if len(lengths) + len(ref.shape) == k + 1:
                self.scalars.add(name)
            name = slices.setdefault(name, f"{name}_t{d}")
        return name

    def _outer(self, key: tuple[Any, ...], letter: str) -> str:
        if key not in self.names:
            name = self.names[key] = f"{letter}{len(self.names)}"
            if letter == "a":
                buffer, offset, shape, strides = key
                fixed = self.plan.buffers[buffer].kind == "scratch"
                line = f"{name} = view(buffers[{buffer}], {offset}, {shape}, {strides})"
            else:
                fixed = prod(key[0]) * SIZES[key[1]] <= KEPT
                line = f"{name} = empty({key[0]}, {key[1]!r})"
            (self.once if fixed else self.head).append(line)
            if fixed:
                self.fixed.add(name)
        return self.names[key]

    def _constant(self, value: Number, dtype: str) -> str:
        """Return a number as an array: NumPy takes as long to convert one as to multiply a small array."""
        kinds = (int, float) if dtype in FLOATS else (int,)
        if type(value) not in kinds or not abs(value) <= _LARGEST.get(dtype, -1.0):  # also NaN
            return number(value).text
        key = ("constant", repr(value), dtype)
        if key not in self.names:
            name = self.names[key] = f"c{len(self.names)}"
            self.once.append(f"{name} = np.array({number(value).text}, {dtype!r})")
        return self.names[key]

    # Items

    def _items(self, items: Any, depth: int) -> list[str]:
        lines: list[str] = []
        for item in items:
            if isinstance(item, Loop):
                lines += self._loop(item, depth)
            else:
                write: Any = {Map: self._map, Gemm: self._gemm, Call: self._call}[type(item)]
                found = write(item)
                lines += [f"{'    ' * depth}{line}" for line in found]
        return lines

    def _loop(self, loop: Loop, depth: int) -> list[str]:
        if depth > DEEPEST:
            raise Unsupported(f"more than {DEEPEST} nested loops")
        self.loops.append((loop, {}))
        body = self._items(loop.body, depth + 1) or [f"{'    ' * (depth + 1)}pass"]
        _, slices = self.loops.pop()
        order = "[::-1]" if loop.reverse else ""
        indent = "    " * depth
        made: list[tuple[str, str]] = []  # the name of a slice, and the sequence of all of them
        single: list[str] = []
        for whole, name in slices.items():
            if whole in self.fixed and loop.length <= SLICES:
                self.sliced[whole] = None
                made.append((name, f"{whole}s"))
            elif whole in self.scalars:  # iterating over a 1-d array gives scalars
                single.append(f"{indent}    {name} = {whole}[i{depth}, ...]")
            else:
                made.append((name, whole))
        if single or not made:
            made.insert(0, (f"i{depth}", f"range({loop.length})"))
        names = ", ".join(name for name, _ in made)
        return [
            f"{indent}for {names}, in zip({', '.join(f'{each}{order}' for _, each in made)}):",
            *single,
            *body,
        ]

    def _gemm(self, item: Gemm) -> list[str]:
        out, a, b = self._array(item.out), self._array(item.a), self._array(item.b)
        # `dot` is the same for matrices, with less overhead; it writes only to contiguous memory
        flat = len(item.out.shape) == 2
        if not item.accumulate:
            return [f"np.{'dot' if flat and is_contiguous(item.out) else 'matmul'}({a}, {b}, {out})"]
        temporary = self._outer((item.out.shape, self.plan.buffers[item.out.buffer].dtype, "product"), "w")
        return [
            f"np.{'dot' if flat else 'matmul'}({a}, {b}, {temporary})",
            f"np.add({out}, {temporary}, {out})",
        ]

    def _call(self, item: Call) -> list[str]:
        args = [self._array(a) if isinstance(a, Ref) else number(a).text for a in item.args]
        outs = [self._array(r) for r in item.outs]
        self.calls += 1
        return [f"calls[{self.calls - 1}]([{', '.join(args)}], [{', '.join(outs)}])"]

    def _map(self, item: Map) -> list[str]:
        lines: list[str] = []
        loads = dict(item.loads)
        where: dict[int, str] = {v: self._array(ref) for v, ref in item.loads}
        dtypes = {v: self.plan.buffers[ref.buffer].dtype for v, ref in item.loads} | {
            s.value: s.dtype for s in item.steps
        }
        last = {
            a: i for i, s in enumerate(item.steps) for a, literal in zip(s.args, s.literal) if not literal
        }
        folded = {r.value for r in item.reductions}
        # these are read at the end
        last |= dict.fromkeys((*folded, *(v for v, _ in item.stores)), len(item.steps))
        stores: dict[int, list[Ref]] = {}
        for v, ref in item.stores:
            stores.setdefault(v, []).append(ref)
        free: dict[str, list[str]] = {}
        held: dict[int, tuple[str, str]] = {}
        count = 0
        direct: dict[int, Ref] = {}
        for i, step in enumerate(item.steps):
            target = next(
                (ref for ref in stores.get(step.value, ()) if self._may_write(ref, i, item, last)), None
            )
            if target is not None:
                out = self._array(target)
                direct[step.value] = target
            elif free.get(step.dtype):
                out = free[step.dtype].pop()
                held[step.value] = (step.dtype, out)
            else:
                out = self._outer((item.shape, step.dtype, count), "w")
                held[step.value] = (step.dtype, out)
                count += 1
            mixed = any(
                not literal and dtypes[int(a)] != step.dtype for a, literal in zip(step.args, step.literal)
            )
            source = loads.get(int(step.args[0])) if step.op == "none" and not step.literal[0] else None
            if source is not None and target is not None and not mixed:
                lines.append(self._copy(target, source, out, where[int(step.args[0])]))
                where[step.value] = out
                continue
            lines += _step(
                step,
                [a if literal else where[int(a)] for a, literal in zip(step.args, step.literal)],
                out,
                mixed,
                self._constant,
            )
            where[step.value] = out
            for a, literal in zip(step.args, step.literal):
                if not literal and last[a] == i and a in held and a not in stores and a not in folded:
                    dtype, name = held.pop(int(a))
                    free.setdefault(dtype, []).append(name)
        for v, found in stores.items():
            for ref in found:
                if direct.get(v) != ref:
                    if v in loads and self.plan.buffers[ref.buffer].dtype == dtypes[v]:
                        lines.append(self._copy(ref, loads[v], self._array(ref), where[v]))
                    else:
                        lines.append(f"np.copyto({self._array(ref)}, {where[v]}, casting='unsafe')")
        for r in item.reductions:
            axes = tuple(a for a, s in enumerate(r.out.strides) if s == 0)
            kept = [a for a in range(len(item.shape)) if a not in axes]
            out = self._array(
                r.out._replace(
                    shape=tuple(item.shape[a] for a in kept), strides=tuple(r.out.strides[a] for a in kept)
                )
            )
            fold = {"sum": "add", "prod": "multiply", "max": "maximum", "min": "minimum"}[r.kind]
            if 0 in item.shape:  # NumPy refuses the maximum of an empty array, even if the result is empty
                first = start(r.kind, self.plan.buffers[r.out.buffer].dtype)
                lines.append(f"{out}[...] = {number(first).text}")
                continue
            lines.append(f"np.{fold}.reduce({where[r.value]}, axis={axes}, out={out})")
        return lines

    def _copy(self, target: Ref, source: Ref, out: str, x: str) -> str:
        """Copy between arrays of one dtype.

        NumPy transposes a large matrix by rows of the result, and each reads a whole column of the source.
        Strips of a few columns stay in the cache.
        """
        turned = len(target.shape) > 1 and target.strides[-1] == 1 and source.strides[-2] == 1
        large = len(target.shape) > 1 and min(target.shape[-2:]) >= 4 * STRIP
        if turned and source.strides[-1] != 1 and large and len(self.loops) < DEEPEST:
            columns = f"[..., j : j + {STRIP}]"
            return f"for j in range(0, {target.shape[-1]}, {STRIP}): np.copyto({out}{columns}, {x}{columns})"
        return f"np.copyto({out}, {x})"

    def _may_write(self, ref: Ref, i: int, item: Map, last: dict[Any, int]) -> bool:
        """Whether step `i` may write its result to `ref`, in a buffer that the map also loads from.

        No load from the buffer may be needed after step `i`, and at step `i` only the one at `ref` itself.
        """
        return all(
            last.get(v, -1) < i or (last.get(v, -1) == i and load == ref)
            for v, load in item.loads
            if load.buffer == ref.buffer
        ) and not any(
            load.buffer == ref.buffer and load != ref and last.get(v, -1) >= i for v, load in item.loads
        )


def _tried(op: str, args: tuple[Any, ...], dtype: str) -> object:
    literal = tuple(type(a) is not str for a in args)
    step = Step(0, op, tuple(a if is_number else 0 for a, is_number in zip(args, literal)), literal, dtype)
    return _step(step, ["x" if type(a) is str else a for a in args], "out", False)


#: The largest numbers that are written as arrays, for the dtypes that a map computes in.
_LARGEST = {"float32": 3e38, "float64": 1e308, "int32": 2**31 - 1, "int64": 2**63 - 1}

_DTYPES = frozenset(("bool", "int32", "int64", "float32", "float64"))

#: The ops that NumPy has functions for. Dtypes that are rare in loops are computed as in eager mode.
NUMPY = Target(
    frozenset(name for name, primitive in PRIMITIVES.items() if primitive.numpy),
    _DTYPES,
    (REAL | COMPLEX) - _DTYPES,
    _tried,
    folds={kind: {d: d for d in _DTYPES} for kind in KINDS},
    products={d: d for d in ("float32", "float64")},
)


def _step(
    step: Step,
    args: Sequence[str | Number],
    out: str,
    mixed: bool,
    constant: Callable[[Number, str], str] = lambda value, dtype: number(value).text,
) -> list[str]:
    """Write an op on NumPy arrays and numbers, with the result in `out`.

    `args` are names and numbers, and `constant` writes a number that stands beside arrays of its dtype.
    """
    op = OPS.get(step.op)
    if op is None or op.kernel.scalar is None:
        raise Unsupported(f"{step.op!r}")
    plain = mixed or all(step.literal)

    def text(a: str | Number) -> str:
        return a if isinstance(a, str) else number(a).text if plain else constant(a, step.dtype)

    if op.elementwise and op.kernel.in_numpy is not None and op.kernel.in_numpy == op.promotion:  # a ufunc
        named = step.op in ("maximum", "minimum") or (mixed and step.dtype != "bool")
        casting = ", casting='unsafe'" if mixed and step.dtype != "bool" else ""
        given = ", ".join(map(text, args))
        return [f"np.{op.kernel.in_numpy}({given}, {'out=' if named else ''}{out}{casting})"]
    scalar = op.kernel.scalar if step.dtype in FLOATS else op.kernel.integers
    assert scalar is not None
    numbers = {name: v for name, v, is_number in zip(op.operands, step.args, step.literal) if is_number}
    operands = {
        name: Text(a) if isinstance(a, str) else number(a) for name, a in zip(op.operands, args, strict=True)
    }
    return written_into(
        out,
        substitute(scalar, numbers),
        operands,
        lambda a: Text(text(a)),
        cast=mixed,
        whole=step.dtype not in FLOATS,
    )
