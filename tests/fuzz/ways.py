"""The ways to run a random program, and the reference for each."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import xgrad as xg
from xgrad.compiler.codegen.cuda.target import CUDA
from xgrad.compiler.interpreter import interpret
from xgrad.compiler.lowering.lower import Lowered, lower, verify
from xgrad.compiler.lowering.plan import Unsupported
from xgrad.compiler.lowering.rows import shared_by_rows
from xgrad.compiler.passes import PASSES, optimise
from xgrad.compiler.passes.contiguous import contiguous
from xgrad.compiler.passes.pack import pack
from xgrad.compiler.printing.source import source

from ..helpers.programs import traced
from .gates import GATES
from .kinds import HELPERS, KINDS
from .plain import Plain, _Known, plain_scan
from .programs import Text, generate, text_of
from .reuse import used_again, used_with_other_shapes
from .settings import environment, native, numbers, repeats, shared


class Looped:
    """A stand-in for `xg` in which nothing is compiled.

    Only the engine runs, loops are Python loops, and custom rules are ignored.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(xg, name)

    def scan(
        self,
        f: Any,
        init: Any,
        xs: Any = None,
        length: int | None = None,
        reverse: bool = False,
        **options: Any,
    ) -> Any:
        return plain_scan(xg, f, init, xs, length, reverse)

    def checkpoint(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return f

    def custom_vjp(self, f: Callable[..., Any]) -> Any:
        return _Known(f)

    custom_jvp = custom_vjp

    def gate(self, f: Any = None, **rules: Any) -> Any:
        return (lambda f: f) if f is None else f

    def register_op(self, name: str, forward: Callable[..., Any], **rules: Any) -> Callable[..., Any]:
        return lambda *operands, **params: forward(xg, *operands, **params)

    class Gate:
        def __call__(self, *operands: Any) -> Any:
            return self.forward(*operands)  # type: ignore[attr-defined]


LOOPED = Looped()


class Skipped(Exception):
    """This program cannot be judged; the message says why."""


class Case:
    """A program, the values that it is run on, and the correct results."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.module = self.loaded(xg)
        self.floats = self.module["FLOATS"]
        self.arrays = [self.module[name] for name in text.args]
        self.args = [xg.asarray(a) for a in self.arrays]
        self.exact = "float32" not in text.whole
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.plain = self.by_numpy()
        self._references: dict[str, list[np.ndarray]] = {}

    def loaded(self, library: Any) -> dict[str, Any]:
        """Run the text with `xg` or a stand-in, and return its names."""
        module: dict[str, Any] = {
            "np": np,
            "xg": library,
            **_gates(self.text.gates, library if isinstance(library, Plain) else library is xg),
        }
        if isinstance(library, Plain):
            module |= _loaded(self.text.gates, library)
        values = self.text.values
        if isinstance(library, Plain):
            values = re.sub(
                r"xg\.(tensor|asarray)\((.*?)(, requires_grad=True)?\)$", r"\2", values, flags=re.M
            )
        exec(values, module)
        if isinstance(library, Plain):  # NumPy assigns at repeated indices in the order of memory
            for name in (*self.text.args, *self.text.captured):
                if isinstance(module[name], np.ndarray) and module[name].ndim:
                    module[name] = np.ascontiguousarray(module[name])
        module["FLOATS"] = tuple(i for i, name in enumerate(self.text.args) if module[name].dtype.kind == "f")
        module["CAPTURED"] = tuple(
            module[c] for c in self.text.captured if getattr(module[c], "requires_grad", False)
        )
        exec(compile(self.text.function, "program", "exec"), module)
        exec(HELPERS, module)
        return module

    def run(self, kind: str, library: Any) -> Callable[..., Any]:
        """Return the function of a kind."""
        module = self.module if library is xg else self.loaded(library)
        exec(compile(KINDS[kind], kind, "exec"), module)
        return module["run"]  # type: ignore[no-any-return]

    def by_numpy(self) -> list[np.ndarray]:
        xp = Plain()
        module = self.loaded(xp)
        z = [np.asarray(v) for v in module["f"](*(module[name] for name in self.text.args))]
        if xp.margin < (1e-7 if self.exact else 1e-3):
            raise Skipped("it comes near a bend")
        for v in z:
            if v.dtype.kind in "fc" and v.size and not np.abs(v).max() < 1e3:
                raise Skipped("its values are large")
        return z

    def reference(self, kind: str) -> list[np.ndarray]:
        if kind not in self._references:
            found = numbers(self.run(kind, LOOPED)(*self.args))
            for v in found:
                if v.dtype.kind in "fc" and v.size and not np.abs(v).max() < (1e5 if self.exact else 1e2):
                    raise Skipped("its derivatives are large")
            self._references[kind] = found
        return self._references[kind]

    @property
    def tolerance(self) -> float:
        return 1e-8 if self.exact else 3e-3

    @property
    def kinds(self) -> list[str]:
        some = self.floats and any(v.dtype.kind in "fc" for v in self.plain)
        return list(KINDS) if some else ["value"]

    # Comparing

    def check(self, found: Any, kind: str) -> None:
        self.equal(numbers(found), self.reference(kind))

    def equal(self, found: list[np.ndarray], expected: list[np.ndarray], factor: float = 1.0) -> None:
        assert len(found) == len(expected), f"{len(found)} outputs, and not {len(expected)}"
        for i, (a, b) in enumerate(zip(found, expected)):
            assert (a.shape, a.dtype) == (b.shape, b.dtype), (
                f"output {i} has the form {a.shape} {a.dtype}, and not {b.shape} {b.dtype}"
            )
            if not b.size:
                continue
            if b.dtype.kind in "fc":
                apart = np.abs(a - b)
                worst = float(apart.max())
                assert worst <= factor * self.tolerance * max(1.0, float(np.abs(b).max())), (
                    f"output {i} is off by {worst:.2g}: {short(a)}, and not {short(b)}"
                )
            else:
                assert np.array_equal(a, b), f"output {i} is {short(a)}, and not {short(b)}"


def short(v: np.ndarray) -> str:
    return np.array2string(v, threshold=12, precision=6).replace("\n", "")


def _loaded(text: str, library: Any) -> dict[str, Any]:
    module: dict[str, Any] = {"np": np, "xg": library}
    exec(text, module)
    return {k: v for k, v in module.items() if k not in ("np", "xg", "__builtins__")}


@cache
def _all_gates(real: bool) -> dict[str, Any]:
    return _loaded("".join(GATES.values()), xg if real else LOOPED)


def _gates(text: str, real: Any) -> dict[str, Any]:
    return {} if not text or isinstance(real, Plain) else _all_gates(real)


# Ways


def others(args: list[Any]) -> list[Any]:
    """Return other values of the same shapes and dtypes, to overwrite memory with."""
    return [np.roll(a, 1) * 0.7 if a.dtype.kind in "fc" else a for a in args]


def by_loop(case: Case, kind: str) -> None:
    """Run the body's Python code at every step."""
    case.check(case.run(kind, xg)(*case.args, compiled=False), kind)


def by_scan(case: Case, kind: str) -> None:
    """Run scans as native code, called from the engine."""
    with native("1"):
        run = case.run(kind, xg)
        case.check(run(*case.args), kind)
        case.check(run(*case.args), kind)


def by_chosen_scan(case: Case, kind: str) -> None:
    """Run scans as native code where that pays off; the low threshold makes that some of them."""
    with native(None), repeats(2):
        run = case.run(kind, xg)
        case.check(run(*case.args), kind)
        case.check(run(*case.args), kind)


def by_optimised_scan(case: Case, kind: str) -> None:
    """Run scans after all passes, stage by stage."""
    with native(None), repeats(10**9):
        case.check(case.run(kind, xg)(*case.args), kind)


def by_numpy_scan(case: Case, kind: str) -> None:
    """Run scans as text that calls NumPy."""
    with native("0"), repeats(0):
        run = case.run(kind, xg)
        case.check(run(*case.args), kind)
        case.check(run(*case.args), kind)


def by_compile(case: Case, kind: str, value: str = "1") -> None:
    """Run the whole program as native code."""
    with native(value):
        run = xg.compile(case.run(kind, xg))
        run(*others(case.arrays))
        case.check(run(*case.arrays), kind)
        case.check(run(*case.args), kind)


def by_numpy(case: Case, kind: str) -> None:
    """Run the whole program as text that calls NumPy."""
    by_compile(case, kind, "0")


def by_reuse(case: Case, kind: str) -> None:
    """Call one compiled function repeatedly.

    Arrays change in place, one array is passed twice, and threads share the function.
    """
    with native("1" if len(case.text.function) % 2 else "0"):
        used_again(case, xg.compile(case.run(kind, xg)), case.run(kind, LOOPED), kind)


def by_shapes(case: Case, kind: str) -> None:
    """Call one compiled function with arrays of several shapes."""
    with native("1"):
        used_with_other_shapes(case, xg.compile(case.run(kind, xg)), case.run(kind, LOOPED), kind)


def by_passes(case: Case, kind: str) -> None:
    """Run the program as traced and after all passes.

    If the results differ, name the first pass that changes them.
    """
    with native(None):
        traced_program, captured = traced(case.run(kind, xg), case.arrays)
        inputs = [*case.arrays, *captured]
        case.check(interpreted(traced_program, inputs), kind)
        try:
            case.check(interpreted(optimise(traced_program), inputs), kind)
        except AssertionError:
            program = traced_program
            for name, change in PASSES:
                program = change(program)
                try:
                    case.check(interpreted(program, inputs), kind)
                except AssertionError as error:
                    raise AssertionError(f"after {name}: {error}") from error
            raise


def interpreted(program: Any, inputs: list[Any]) -> list[Any]:
    return interpret(program, xg.backends.find_device("cpu"), [np.asarray(v) for v in inputs])


def by_plan(case: Case, kind: str) -> None:
    """Verify the plans for each executor against the program."""
    with native(None), environment("XGRAD_VERIFY", "1"), shared():
        program = optimise(traced(case.run(kind, xg), case.arrays)[0])
        for make in (
            lambda: lower(program),
            lambda: verify(program, with_shared_rows(lower(program, final=False))),
            lambda: lower(contiguous(pack(program)), recompute=False),
            lambda: lower(program, target=CUDA),
        ):
            try:
                make()
            except Unsupported:
                continue


def with_shared_rows(lowered: Lowered) -> Lowered:
    """Return what native code runs."""
    return lowered._replace(plan=shared_by_rows(lowered.plan, 16, products=True))


def by_source(case: Case, kind: str) -> None:
    """Run the program written out in NumPy."""
    with native(None):
        program, captured = traced(case.run(kind, xg), case.arrays)
        module: dict[str, Any] = {}
        try:
            exec(source(program), module)
        except ValueError as error:
            if "written in NumPy is not known" in str(error):
                raise Skipped(str(error)) from None
            raise
        outputs, saved = module["forward"](*case.arrays, *captured)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        case.check(outputs, kind)
        if kind == "value" and "backward" in module and case.floats and case.kinds != ["value"]:
            given = [
                np.cos(v + 0.3) * np.cos(np.arange(v.size)).reshape(v.shape)
                for v in outputs
                if v.dtype.kind == "f"
            ]
            if (
                all(v.dtype.kind != "c" for v in outputs)
                and len(given) == module["backward"].__code__.co_argcount - 1
            ):
                found = module["backward"](
                    saved,
                    *(g.astype(v.dtype) for g, v in zip(given, [v for v in outputs if v.dtype.kind == "f"])),
                )
                floats = [i for i, v in enumerate(case.arrays) if v.dtype.kind in "fc"]
                expected = case.reference("grad")[1 : 1 + len(case.floats)]
                case.equal([np.asarray(found[floats.index(i)]) for i in case.floats], expected)


def by_emulation(case: Case, kind: str) -> None:
    """Run the whole program as CUDA kernels, on the emulated device."""
    _emulated_device()
    with native(None), xg.device("emulated"):
        module = case.loaded(xg)
        exec(compile(KINDS[kind], kind, "exec"), module)
        run = xg.compile(module["run"])
        try:
            found = run(*map(xg.asarray, case.arrays))
        except xg.DeviceError as error:
            raise Skipped(str(error)) from None  # NumPy arrays mixed with the device's
        case.check(found, kind)


@cache
def _emulated_device() -> None:
    from xgrad.backends import registry

    from ..emulated.backend import register_emulated

    if "emulated" not in registry._factories:
        register_emulated()


def by_differences(case: Case, kind: str) -> None:
    """Compare the engine's values with NumPy's, and its gradients with finite differences."""
    z = numbers(case.run("value", LOOPED)(*case.args))
    case.equal(z, case.plain)
    if kind == "value" or not case.exact or "stop_gradient" in case.text.function:
        return
    xp = Plain(exact=True)
    module = case.loaded(xp)
    moves = [module["direction"](case.arrays[i]) for i in case.floats]

    def value(step: float) -> float:
        floats = [case.arrays[i] + step * m for i, m in zip(case.floats, moves)]
        return float(module["total"](module["f"](*module["placed"](case.arrays, floats))))

    step = 1e-5
    slope = (8 * (value(step) - value(-step)) - (value(2 * step) - value(-2 * step))) / (12 * step)
    if xp.margin < 1e-2:
        return
    found = case.reference("grad")[1 : 1 + len(case.floats)]
    along = [float(np.sum(g * m)) for g, m in zip(found, moves)]
    assert abs(sum(along) - slope) <= 1e-6 * max(1.0, *map(abs, along), abs(slope)), (
        f"the slope is {slope:.9g}, and not {sum(along):.9g}"
    )


#: The ways, and how often each is chosen.
WAYS: dict[str, tuple[Callable[[Case, str], None], float]] = {
    "differences": (by_differences, 1.0),
    "loop": (by_loop, 0.7),
    "passes": (by_passes, 1.0),
    "optimised scan": (by_optimised_scan, 1.0),
    "numpy scan": (by_numpy_scan, 0.7),
    "scan": (by_scan, 1.0),
    "chosen scan": (by_chosen_scan, 0.5),
    "compile": (by_compile, 1.5),
    "numpy": (by_numpy, 1.2),
    "reuse": (by_reuse, 0.8),
    "shapes": (by_shapes, 0.4),
    "source": (by_source, 0.6),
    "plan": (by_plan, 0.5),
    "emulated": (by_emulation, 0.02),
}
#: Ways that run the whole program, and so take no Tensors that need a gradient.
COMPILED = frozenset(("compile", "numpy", "reuse", "shapes", "passes", "plan", "source", "emulated"))
SHARES = {
    "value": 2.0,
    "grad": 3.0,
    "jvp": 1.0,
    "hvp": 1.0,
    "grad of grad": 0.7,
    "grad of jvp": 0.5,
    "backward": 0.7,
}


def attempts(seed: int, kinds: list[str], count: int, ways: list[str] | None = None) -> list[tuple[str, str]]:
    """Draw the kinds and ways of a program from its number."""
    r = random.Random(seed ^ 0x5EED)
    chosen = ways or list(WAYS)
    weights = [WAYS[w][1] for w in chosen]
    found = [
        (r.choices(kinds, [SHARES[k] for k in kinds])[0], r.choices(chosen, weights)[0]) for _ in range(count)
    ]
    return list(dict.fromkeys(found))


def case_of(number: int) -> Case:
    """Return the program of a number; raise `Skipped` if it cannot be judged."""
    return case_for(generate(number))


def case_for(problem: Any) -> Case:
    text = text_of(problem)
    if text is None:
        raise Skipped("there is nothing in it")
    return Case(text)


def wrong(case: Case, kind: str, way: str) -> str | None:
    """Return what one way does wrong, if anything."""
    if "stop_gradient" in case.text.function and way == "differences":
        kind = "value"
    if kind == "backward" and way in COMPILED:
        kind = "grad"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            case.reference(kind)
        except Skipped:
            return None
        except xg.GraphError as error:
            if "changed in place" in str(error):
                return None
            raise
        except Exception as error:
            return f"the reference: {type(error).__name__}: {error}"
        try:
            WAYS[way][0](case, kind)
        except Skipped:
            return None
        except AssertionError as error:
            return str(error) or "AssertionError"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return None
