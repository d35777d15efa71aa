"""Deliberate faults of the compiler, to check that random programs find them.

Each fault is a small change to the source of one function.

    with applied(mutant):
        ...                     # the compiler has the fault here
"""

from __future__ import annotations
import __future__

import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import xgrad as xg
from xgrad.backends.schedules import Repeat
from xgrad.compiler.codegen.cuda.chips import CHIPS
from xgrad.compiler.codegen.cuda.schedule import schedule
from xgrad.compiler.codegen.cuda.target import CUDA
from xgrad.compiler.lowering.lower import lower
from xgrad.compiler.passes import optimise

from ..helpers.programs import traced
from . import CALLS
from .programs import generate, text_of
from .settings import forget
from .ways import Case, Skipped, wrong


class Mutant(NamedTuple):
    """A fault: `old` is replaced by `new` in a function.

    It must be found within this number of `programs`, each run in the `ways` that exercise the function.
    """

    name: str
    function: str  # module:qualified name, the module below xgrad
    old: str
    new: str
    ways: tuple[str, ...]
    programs: int = 200
    needs: str = ""  # only programs whose text matches this pattern can show it
    kinds: tuple[str, ...] = ("value", "grad")
    calls: bool = False  # search among programs with ops that are neither maps nor products


class Gone(Exception):
    """The function or the text to be changed no longer exists: update the list of faults."""


@contextmanager
def applied(mutant: Mutant) -> Iterator[None]:
    """Apply a fault to the compiler, in every place that calls the function."""
    function = _function(mutant.function)
    code = function.__code__
    function.__code__ = _changed(function, mutant)
    forget()
    try:
        yield
    finally:
        function.__code__ = code
        forget()


def _function(path: str) -> FunctionType:
    module, name = path.split(":")
    found: Any = importlib.import_module(f"xgrad.{module}")
    try:
        for part in name.split("."):
            found = found.__dict__[part]
    except KeyError:
        raise Gone(f"there is no {path}") from None
    found = inspect.unwrap(found.fget if isinstance(found, property) else found)
    if not isinstance(found, FunctionType):
        raise Gone(f"{path} is no function")
    return found


def _changed(function: FunctionType, mutant: Mutant) -> CodeType:
    text = textwrap.dedent(inspect.getsource(function))
    if text.count(mutant.old) != 1:
        raise Gone(
            f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times in "
            f"{mutant.function}, not once"
        )
    lines = text.replace(mutant.old, mutant.new).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("def "))  # skip the decorators
    module: dict[str, Any] = dict(function.__globals__)
    exec(
        compile("\n".join(lines[start:]), f"<{mutant.name}>", "exec", __future__.annotations.compiler_flag),
        module,
    )
    code: CodeType = module[function.__name__].__code__
    assert code.co_freevars == function.__code__.co_freevars
    if (code.co_code, code.co_consts, code.co_names) == (
        function.__code__.co_code,
        function.__code__.co_consts,
        function.__code__.co_names,
    ):
        raise Gone(f"{mutant.name} changes nothing in {mutant.function}")
    return code


def found_by(mutant: Mutant) -> int | None:
    """Return the number of programs needed to find a fault, or None.

    A program finds it if its result is wrong with the fault and right without it.
    """
    for number in range(mutant.programs):
        problem = generate(number + mutant.calls * CALLS)
        text = text_of(problem)
        if (
            text is None
            or not re.search(mutant.needs, text.function)
            or (mutant.ways == EMULATED and "cell" not in problem.flags)
        ):
            continue
        try:
            case = Case(text)
        except Skipped:
            continue
        kinds = [kind for kind in mutant.kinds if kind in case.kinds] or ["value"]
        kind, way = kinds[number % len(kinds)], mutant.ways[number // 2 % len(mutant.ways)]
        if way == "emulated" and not in_one_launch(case, kind):
            continue
        with applied(mutant):
            message = wrong(case, kind, way)
        if message is not None and wrong(case, kind, way) is None:
            return number + 1
    return None


def in_one_launch(case: Case, kind: str) -> bool:
    """Return whether a program becomes a CUDA kernel that runs a whole loop."""
    try:
        program = optimise(traced(case.run(kind, xg), case.arrays)[0])
        made = schedule(lower(program, target=CUDA).plan, CHIPS["H100"])
    except Exception:  # other ways report errors
        return False
    return any(isinstance(item, Repeat) and bool(item.once) for item in made.body)


EMULATED = ("emulated",)
PASSES = ("passes", "optimised scan")
NUMPY = ("numpy", "numpy scan")
NATIVE = ("compile", "scan")
ANY = ("numpy", "compile")
#: A product that accumulates into an input of the loop.
ADDED = r"@ \w+(\.T)? \+ x\d+_|x\d+_\d+ [+-] \w+(\.T)? @"

MUTANTS = [
    # products
    Mutant(
        "a product is added to any view",
        "compiler.lowering.products:_base",
        "if product_can_write(there) and product_can_write(at_every_step(there)):",
        "if True:",
        ANY,
        9000,
        needs=ADDED,
    ),
    Mutant(
        "a product is added to what others still read",
        "compiler.lowering.products:_base",
        " and base in at.spare",
        "",
        ANY,
        400,
        needs=r"@",
    ),
    Mutant(
        "a product that is subtracted is added",
        "compiler.passes.products:accumulate",
        'Stage("neg", (b,)',
        'Stage("none", (b,)',
        PASSES,
        1000,
        needs=r"@",
    ),
    # simplify
    Mutant(
        "x + -y is y - x",
        "compiler.passes.simplify:_difference",
        "operands=(x, inner.operands[0])",
        "operands=(inner.operands[0], x)",
        PASSES,
    ),
    Mutant(
        "equal stages in spite of their parameters",
        "compiler.passes.simplify:_simplified",
        "exact(stage.params),",
        "",
        PASSES,
    ),
    Mutant(
        "every sum that starts at 0 stays 0",
        "compiler.passes.simplify:_stays_zero",
        " and any(type(v) is not Value and v == 0 for v in terms)",
        "",
        PASSES,
    ),
    Mutant(
        "each part of a split product by the first rows",
        "compiler.passes.split:_Splitting._sum",
        "slice(stop - part.shape[1], stop)",
        "slice(0, part.shape[1])",
        PASSES,
        2000,
        needs=r"concat\(.*\) @",
    ),
    Mutant(
        "the transpose of a square matrix is the matrix",
        "compiler.passes.simplify:_same",
        "_axes(stage) == tuple(range(len(out.shape)))",
        "True",
        PASSES,
        needs=r"\.T|permute|moveaxis",
    ),
    Mutant(
        "parts joined in another order are the whole",
        "compiler.passes.simplify:_rejoined",
        "for v in stage.operands:",
        "for v in sorted(stage.operands, key=lambda v: repr(made[v].params.get('key')) if v in made "
        "else '', reverse=True):",
        PASSES,
        1000,
        needs=r"concat",
    ),
    Mutant(
        "a part of a concat is the first operand of its size",
        "compiler.passes.simplify:_part",
        "ranges[axis] == (at, at + v.shape[axis])",
        "ranges[axis][1] - ranges[axis][0] == v.shape[axis]",
        PASSES,
        400,
        needs=r"concat",
    ),
    Mutant(
        "a cast is dropped",
        "compiler.passes.simplify:_same",
        "(first.shape, first.dtype) == (out.shape, out.dtype)",
        "first.shape == out.shape",
        PASSES,
    ),
    Mutant(
        "x + 1 is x",
        "compiler.passes.simplify:_changes_nothing",
        "number != _NEUTRAL[op]",
        "number not in (0, 1)",
        PASSES,
    ),
    Mutant(
        "a carry that only another one reads is dead",
        "compiler.passes.simplify:_live_loop",
        "carry |= more",
        "break",
        PASSES,
    ),
    Mutant(
        "unequal slices are read once",
        "compiler.passes.simplify:_loop",
        "if x.outer in first:",
        "if x.outer[1:] in {f[1:] for f in first}:\n            inner[x.inner] = next(v for f, v in "
        "first.items() if f[1:] == x.outer[1:])\n        elif x.outer in first:",
        PASSES,
    ),
    # hoist, batching
    Mutant(
        "a concat joined along time",
        "compiler.passes.vectorise:batched",
        'axis=params["axis"] % rank + 1)',
        'axis=params["axis"] % rank)',
        PASSES,
        1000,
        needs=r"concat",
    ),
    Mutant(
        "sorted along the wrong axis",
        "ops.batching:along_axis",
        '{"axis": axis % rank + 1}',
        '{"axis": axis % rank}',
        PASSES,
        1000,
        needs="sort|argm|cumulative",
    ),
    Mutant(
        "axes of time not moved by a transpose",
        "ops.shaping:_transpose_batch",
        "(0, *(a + 1 for a in order))",
        "(0, *reversed([a + 1 for a in order]))",
        PASSES,
        1000,
        needs=r"\.T|permute|moveaxis",
    ),
    Mutant(
        "no axes of length 1 after time",
        "compiler.passes.vectorise:batched",
        "if not stacked or type(v) is not Value or len(v.shape) == rank + 1:",
        "if True:",
        PASSES,
        1000,
    ),
    Mutant(
        "what depends on what is the same is the same",
        "compiler.passes.hoist:invariant",
        "bound.update(item.outputs)",
        "pass",
        PASSES,
    ),
    # sink
    Mutant(
        "a total without what it began with",
        "compiler.passes.sink:_Sinking._add_up",
        'zero = type(c.init) is not Value and c.init == 0 and stage.op == "+"',
        'zero = stage.op == "+"',
        PASSES,
        1000,
        needs=r"h\d+_\d+ [+-]",
    ),
    Mutant(
        "values that are the same at every step in another order",
        "compiler.invariants:Split.operands",
        "*results]",
        "*results[::-1]]",
        ("compile",),
        2000,
        needs=r"scan",
    ),
    Mutant(
        "a total that is read on its way is found after the loop",
        "compiler.passes.sink:_Sinking._sums",
        "or uses.get(c.inner) != 1",
        "",
        PASSES,
        400,
        needs=r"h\d+_\d+ [+-]",
    ),
    Mutant(
        "a product of sums for a sum of products",
        "compiler.passes.sink:_Sinking._parts",
        "return inside if len(inside) == 1 else ()",
        "return inside",
        PASSES,
        400,
        needs=r"@",
    ),
    # products
    Mutant(
        "(a @ b).T is a.T @ b.T",
        "compiler.passes.products:transpose_inside",
        "for v in (b, a)]",
        "for v in (a, b)]",
        PASSES,
        1000,
        needs=r"@",
    ),
    Mutant(
        "what is added to a product is lost",
        "compiler.passes.products:accumulate",
        '"@+", (base, *m.operands)',
        '"@", m.operands',
        PASSES,
        needs=r"@",
    ),
    Mutant(
        "all products of one are its first columns",
        "compiler.passes.products:_merged",
        "at += width",
        "at += 0",
        PASSES,
        1000,
        needs=r"@.*\n?.*@",
    ),
    Mutant(
        "joined products in another order",
        "compiler.passes.products:join",
        '"concat", (b, d), (right,)',
        '"concat", (d, b), (right,)',
        PASSES,
        1500,
        needs=r"@.*@",
    ),
    # generated NumPy text
    Mutant(
        "backwards is forwards, in NumPy",
        "compiler.codegen.numpy.plan:_Writer._loop",
        '"[::-1]" if loop.reverse else ""',
        '""',
        NUMPY,
        needs=r"reverse",
    ),
    Mutant(
        "nothing is added to a product, in NumPy",
        "compiler.codegen.numpy.plan:_Writer._gemm",
        "if not item.accumulate:",
        "if True:",
        NUMPY,
        400,
        needs=r"@",
    ),
    Mutant(
        "a temporary is free before its last use",
        "compiler.codegen.numpy.plan:_Writer._map",
        "last[a] == i",
        "last[a] >= i",
        NUMPY,
    ),
    Mutant(
        "a result written over what is still read",
        "compiler.codegen.numpy.plan:_Writer._may_write",
        "return all(",
        "return True or all(",
        NUMPY,
        400,
    ),
    Mutant(
        "the minimum is a maximum",
        "compiler.codegen.numpy.plan:_Writer._map",
        '"min": "minimum"',
        '"min": "maximum"',
        NUMPY,
        1000,
        needs=r"xg\.min\(",
    ),
    Mutant(
        "all numbers of a dtype are the first",
        "compiler.codegen.numpy.plan:_Writer._constant",
        '("constant", repr(value), dtype)',
        '("constant", dtype)',
        NUMPY,
    ),
    Mutant(
        "the stack of a step's slices is another",
        "compiler.passes.hoist:_out_of",
        "(outer[y.inner],), (y.outer,)",
        "(next(iter(outer.values())),), (y.outer,)",
        NUMPY,
        1000,
        needs=r"scan",
    ),
    # native code
    Mutant(
        "backwards is forwards, natively",
        "compiler.codegen.llvm.plan:Writer.loop",
        "if loop.reverse else i",
        "if False else i",
        NATIVE,
        needs=r"reverse",
    ),
    Mutant(
        "nothing is added to a product, natively",
        "compiler.codegen.llvm.plan:Writer.gemm",
        '"true" if gemm.accumulate else "false"',
        '"false"',
        NATIVE,
        400,
        needs=r"@",
    ),
    Mutant(
        "a transposed matrix as it lies",
        "compiler.codegen.llvm.plan:Writer.gemm",
        "(ta, tb), self.long_blas",
        "(False, tb), self.long_blas",
        NATIVE,
        needs=r"@",
    ),
    Mutant(
        "a sum is not set to 0",
        "compiler.codegen.llvm.map:MapWriter.write",
        "if fold.outer:",
        "if False:",
        NATIVE,
    ),
    Mutant(
        "a reduction takes lanes beyond the end",
        "compiler.codegen.llvm.map:MapWriter.chunk",
        "x = code.select(type_, mask, x, code.constant(type_, start(fold.kind, dtype)))",
        "pass",
        NATIVE,
    ),
    Mutant(
        "half of the lanes of a sum",
        "compiler.codegen.llvm.map:MapWriter.finish",
        "half = lanes // 2",
        "half = lanes // 4",
        NATIVE,
    ),
    Mutant(
        "every step reads its neighbour's slice",
        "compiler.codegen.llvm.plan:Writer.pointer",
        "self.times(turn, step)",
        "self.times(turn, min(step, 1))",
        NATIVE,
    ),
    Mutant(
        "parts begin where their whole does",
        "compiler.codegen.llvm.plan:Writer.pointer",
        "self.number(ref.offset)",
        '"0"',
        NATIVE,
    ),
    Mutant(
        "the wrong stride outside",
        "compiler.codegen.llvm.map:MapWriter.outer",
        "view.strides[axis]) for view in views",
        "min(view.strides[axis], 2)) for view in views",
        NATIVE,
    ),
    # lowering
    Mutant(
        "all parts of a concat in one place",
        "compiler.lowering.views:part",
        "(at, at + n)",
        "(0, n)",
        ANY,
        needs=r"concat",
    ),
    Mutant(
        "all parts of a stack in one place",
        "compiler.lowering.anchors:lower_anchor",
        "index(whole, axis, i)",
        "index(whole, axis, 0)",
        ANY,
        needs=r"stack",
    ),
    Mutant(
        "a product forgets that it adds",
        "compiler.lowering.products:lower_product",
        "bool(base)",
        "False",
        ANY,
        400,
        needs=r"@",
    ),
    Mutant(
        "only what is assigned, and not the rest",
        "compiler.lowering.anchors:_assignment",
        "at.assign(x, whole)",
        "pass",
        ANY,
        400,
        needs=r"\] \+?=",
    ),
    Mutant(
        "a broadcast operand is not broadcast",
        "compiler.lowering.lower:Lowering.fuse",
        "broadcast(self.ref(v), shape)",
        "self.ref(v)._replace(shape=shape, strides=(*self.ref(v).strides, *(1,) * len(shape))[: len(shape)])",
        ANY,
    ),
    # scans
    Mutant(
        "the derivative runs with time", "compiler.scan:_dx", "reverse=not reverse", "reverse=reverse", PASSES
    ),
    Mutant(
        "what was kept comes from the wrong step",
        "compiler.scan:_run",
        "scan([source[kind][i] for",
        "scan([source[kind][i][::-1] if kind == 'z' and getattr(source[kind][i], 'ndim', 0) else "
        "source[kind][i] for",
        PASSES,
    ),
    Mutant(
        "gradients are not summed over time",
        "compiler.linearise:_added",
        "apply(ADD, (Tensor(before, device), Tensor(v, device))).data",
        "v",
        PASSES,
    ),
    Mutant(
        "the gradient of the last carry is forgotten",
        "compiler.linearise:Derivative._back",
        '("dz", i) if given[i] else ("number", 0)',
        '("number", 0)',
        PASSES,
    ),
    Mutant(
        "the tangent of the first carry is forgotten",
        "compiler.linearise:Derivative._along",
        '("t", i) if given[i] else ("number", 0)',
        '("number", 0)',
        PASSES,
        400,
        needs=r"scan",
        kinds=("jvp",),
    ),
    Mutant(
        "captured arrays of one shape are one",
        "compiler.trace:Tracer.capture",
        "key = id(v.data)",
        "key = v.data.shape",
        PASSES,
        needs=r"scan",
    ),
    Mutant(
        "segments of a reversed scan in the order of time",
        "transforms.checkpointing:_in_order",
        "(last, ys) if reverse else (ys, last)",
        "(ys, last)",
        PASSES,
        2000,
        needs=r"reverse=True, checkpoint_every",
    ),
    Mutant(
        "variables have names of dtypes",
        "compiler.linearise:Derivative._joint",
        "dtype = canonical(v.dtype)",
        "dtype = v.dtype",
        ("scan", "compile"),
        2000,
        needs=r"xg\.take\([^;\n]*, [hx]\d+_\d+, axis",
        kinds=("hvp", "grad of grad"),
    ),
    # execution
    Mutant(
        "results are views of arguments",
        "compiler.executors:Executable._unshared",
        " or is_view(z, inputs)",
        "",
        ("reuse",),
        2000,
        needs=r"complex|\dj",
    ),
    # memory of loops
    Mutant(
        "moves one after the other, not at once",
        "compiler.lowering.parallel_copy:in_order",
        "if not any(_reads(other, m[1]) for other in pending)",
        "if True",
        ANY,
    ),
    Mutant(
        "a move that reads a view of what was moved",
        "compiler.lowering.parallel_copy:_reads",
        "may_overlap(source, target)",
        "source == target",
        ANY,
        1000,
    ),
    Mutant(
        "what is read after it was overwritten does not interfere",
        "compiler.lowering.parallel_copy:interfere",
        "if any(may_overlap(r, w) for w in written):",
        "if False:",
        ANY,
        1000,
    ),
    Mutant(
        "what is read while it is overwritten does not interfere",
        "compiler.lowering.parallel_copy:interfere",
        "if any(may_overlap(r, w) and not (r == w and w in harmless) for w in begun):",
        "if False:",
        ("compile",),
        2000,
        needs=r"= h\d+_\d+ @ |xg\.sin\(h\d+_\d+[.\[]",
    ),
    Mutant(
        "a carry overwritten that another one takes",
        "compiler.lowering.loops:_LoopLowering._may_overwrite",
        "r.buffer == old.buffer\n",
        "False\n",
        ANY,
        400,
    ),
    Mutant(
        "a carry's first value is that of its memory",
        "compiler.lowering.loops:_LoopLowering._outside",
        "at.assign(c.init, self.states[c])",
        "pass",
        ANY,
    ),
    Mutant(
        "a history read at its other end",
        "compiler.lowering.loops:_LoopLowering._slots",
        "(high, low) if self.loop.reverse else (low, high)",
        "(low, high)",
        ANY,
        needs="reverse",
    ),
    Mutant(
        "values before the steps for those after them",
        "compiler.lowering.loops:_LoopLowering._outside",
        "(y is before) != loop.reverse",
        "(y is before) == loop.reverse",
        ANY,
    ),
    Mutant(
        "the last carry of a reversed loop",
        "compiler.lowering.loops:_LoopLowering._after",
        "0 if loop.reverse else loop.length",
        "loop.length",
        ANY,
        needs="reverse",
    ),
    Mutant(
        "memory is free at its first use",
        "compiler.lowering.buffer_reuse:shared_memory",
        "last[ref.buffer] = i",
        "last.setdefault(ref.buffer, i)",
        ANY,
    ),
    Mutant(
        "memory is free before its last use",
        "compiler.lowering.buffer_reuse:shared_memory",
        "if end < first[old]",
        "if end <= first[old] + 1",
        ANY,
    ),
    Mutant(
        "memory that is too small",
        "compiler.lowering.buffer_reuse:shared_memory",
        "size=max(buffers[old].size, buffers[new].size)",
        "size=buffers[old].size",
        ("numpy",),
    ),
    # views
    Mutant(
        "slices begin one later",
        "compiler.lowering.views:sliced",
        "start * s for (start, _)",
        "(start + (start > 0)) * s for (start, _)",
        ("numpy",),
        400,
    ),
    Mutant(
        "views with a step of 1",
        "compiler.lowering.views:viewed",
        "strides.append(s * step)",
        "strides.append(s * (1 if step > 0 else -1))",
        ANY,
        1000,
        needs=r"::2",
    ),
    Mutant(
        "the stride of what is broadcast",
        "compiler.lowering.views:broadcast",
        "0 if n == 1 else s for n, s in",
        "s for n, s in",
        ANY,
    ),
    Mutant(
        "axes in another order, strides in the old one",
        "compiler.lowering.views:transposed",
        "tuple(ref.strides[a] for a in axes)",
        "ref.strides",
        ANY,
        needs=r"\.T|permute|moveaxis",
    ),
    Mutant(
        "a slot's stride",
        "compiler.lowering.views:stepping",
        "(*ref.steps, ref.strides[0])",
        "(*ref.steps, ref.strides[-1])",
        ("numpy",),
    ),
    # CUDA
    Mutant(
        "no barrier",
        "compiler.codegen.cuda.distribution:barriers",
        "return tuple(sorted(placed))",
        "return ()",
        EMULATED,
        1500,
        needs="@",
    ),
    Mutant(
        "the last barrier is missing",
        "compiler.codegen.cuda.distribution:barriers",
        "return tuple(sorted(placed))",
        "return tuple(sorted(placed))[:-1]",
        EMULATED,
        1500,
        needs="@",
    ),
    # kernels of ops that are neither maps nor products
    Mutant(
        "-1 is the first index",
        "compiler.codegen.llvm.kernels.nest:Kernel.index",
        "select i1 {negative}, i64 {size}, i64 0",
        "select i1 {negative}, i64 1, i64 0",
        NATIVE,
        needs=r"\[-1 - |- \w+\.shape\[0\]\]",
        calls=True,
    ),
    Mutant(
        "an index array is read one element on",
        "compiler.codegen.llvm.kernels.indexing:_each",
        "bases = [kernel.base(r) for r in (*found.indices, *part)]",
        "bases = [kernel.base(r._replace(offset=r.offset + (k < len(found.indices)))) for k, r in "
        "enumerate((*found.indices, *part))]",
        NATIVE,
        calls=True,
    ),
    Mutant(
        "a scatter overwrites",
        "compiler.codegen.llvm.kernels.indexing:scatter_add",
        "kernel.store(dtype, total, whole)",
        "kernel.store(dtype, kernel.load(dtype, part), whole)",
        NATIVE,
        400,
        kinds=("grad",),
        calls=True,
    ),
    Mutant(
        "of several assignments to one element the first wins",
        "compiler.codegen.llvm.kernels.indexing:_each",
        "bases = [kernel.base(r) for r in (*found.indices, *part)]",
        "bases = [kernel.base(r._replace(offset=r.offset + sum((n - 1) * t for n, t in zip(shape, s)))) "
        "for r, s in zip((*found.indices, *part), strides)]\n"
        "    strides = [[-t for t in s] for s in strides]",
        NATIVE,
        1000,
        needs=r"\] = .*\]\[::-1\]",
        kinds=("value",),
        calls=True,
    ),
    Mutant(
        "a cumulative sum in the place of its initial",
        "compiler.codegen.llvm.kernels.along:accumulate",
        'target = kernel.at(target, dtype, "1", step) if step != "0" else target',
        "pass",
        NATIVE,
        400,
        needs=r"include_initial",
        calls=True,
    ),
    Mutant(
        "the last of equal maxima",
        "compiler.passes.indices:_reduced",
        '2**31 - 1), (candidates,), {}, s.source),\n        Stage("min"',
        '-1), (candidates,), {}, s.source),\n        Stage("max"',
        NATIVE,
        400,
        needs=r"argm(ax|in)\((xg\.floor|\w+ %)",
        calls=True,
    ),
    Mutant(
        "NaN is no maximum",
        "compiler.passes.indices:_reduced",
        'canonical(x.dtype).kind == "f"',
        "False",
        NATIVE,
        400,
        needs=r"argm(ax|in)\(xg\.where",
        kinds=("value",),
        calls=True,
    ),
    Mutant(
        "a search that passes equal elements",
        "compiler.codegen.llvm.kernels.along:search",
        'params["side"] == "left"',
        'params["side"] == "right"',
        NATIVE,
        400,
        needs=r"searchsorted\(xg\.arange",
        calls=True,
    ),
    Mutant(
        "a sort that is not stable",
        "compiler.codegen.llvm.kernels.along:_less",
        'kernel.apply("<", "bool"',
        'kernel.apply("<=", "bool"',
        NATIVE,
        400,
        needs=r"argsort",
        calls=True,
    ),
    Mutant(
        "NaN is sorted like any number",
        "compiler.codegen.llvm.kernels.along:_less",
        "if dtype not in FLOATS:",
        "if True:",
        NATIVE,
        1000,
        needs=r"sort\(xg\.where",
        kinds=("value",),
        calls=True,
    ),
    # library calls
    Mutant(
        "a call's outputs in another order",
        "compiler.calls:_computed",
        "zip(outs, found, strict=True)",
        "zip(outs, found[::-1], strict=True)",
        ANY,
        400,
        needs=r"eigh|svd|slogdet",
        calls=True,
    ),
    Mutant(
        "a window that stays at the first step",
        "compiler.calls:_window",
        "if step)",
        "if False)",
        ANY,
        1000,
        needs=r"eigh|svd",
        calls=True,
    ),
    Mutant(
        "a call may write over its arguments",
        "compiler.lowering.buffer_reuse:shared_memory",
        "if end < first[old]",
        "if end <= first[old]",
        ANY,
        1000,
        calls=True,
    ),
    Mutant(
        "a constant from its end",
        "compiler.generate:_wrapped",
        'evaluate("new", (), params, device)',
        'evaluate("new", (), params, device)[::-1]',
        ANY,
        400,
        needs=r"xg\.(arange|eye)",
        calls=True,
    ),
    # rows shared among threads
    Mutant(
        "every thread begins with the first row",
        "compiler.codegen.llvm.plan:Writer.from_first_row",
        "self.times(self.rows.first, ref.strides[axis])",
        '"0"',
        NATIVE,
    ),
    Mutant(
        "rows that read one row, or are summed, are shared",
        "compiler.lowering.rows:_keeps_to_its_row",
        "if stride <= 0 or strides.setdefault(ref.buffer, stride) != stride:",
        "if stride == 0 and strides.setdefault(ref.buffer, stride) is None:",
        NATIVE,
    ),
    Mutant(
        "weights that change are packed once",
        "compiler.lowering.rows:_packs",
        "and not any(gemm.b.steps)",
        "",
        NATIVE,
        2000,
        needs=r"@",
    ),
    # Fourier transforms
    Mutant(
        "every frequency counts once",
        "ops.fourier:fourier_matrix",
        "2 * matrix, matrix",
        "matrix, matrix",
        PASSES,
        100,
        needs=r"irfft|hfft",
        calls=True,
    ),
    Mutant(
        "the inverse transform is the transform",
        "compiler.passes.fourier:_Transform.complex",
        'self.product(real, "sin", every, self.sign)',
        'self.product(real, "sin", every, -self.sign)',
        PASSES,
        400,
        needs=r"fft\.i?fftn?\(",
        calls=True,
    ),
    Mutant(
        "a transform along the last axis whatever its axis",
        "compiler.passes.fourier:_Transform.swapped",
        "axes[self.axis], axes[last] = last, self.axis",
        "pass",
        PASSES,
        400,
        needs=r"fft",
        calls=True,
    ),
    # Einstein sums, complex numbers
    Mutant(
        "rows and columns of an Einstein sum swapped",
        "compiler.passes.einsum:_Contraction.product",
        "indices = stack + rows + columns",
        "indices = stack + columns + rows",
        PASSES,
        400,
        needs=r"einsum",
        calls=True,
    ),
    Mutant(
        "axes of an Einstein sum in the inverse order",
        "compiler.passes.einsum:_Contraction.ordered",
        "tuple(t.indices.index(i) for i in indices)",
        "tuple(indices.index(i) for i in t.indices)",
        PASSES,
        2000,
        needs=r"einsum",
        calls=True,
    ),
    Mutant(
        "i * i = 1 in a product of matrices",
        "compiler.passes.split_complex:_Splitting.product",
        'times(b, d), "-")',
        'times(b, d), "+")',
        PASSES,
        2000,
        needs=r"einsum\('\.\.\.i,\.\.\.i->|\w+ @ xg\.conj|@ \w+\.T\) / 3|\.T @ \w+\) / 3",
        calls=True,
    ),
]
