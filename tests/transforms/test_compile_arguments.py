"""Python numbers, keywords, objects and methods among the arguments of compiled functions."""

from __future__ import annotations

import math
import operator
import sys
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import xgrad as xg
from xgrad.core.pytree import flatten

DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "uint8",
    "int32",
    "int64",
    "bool",
    "complex64",
    "complex128",
]
FLOATS = st.floats(width=64) | st.sampled_from([0.1, -0.0, 0.0, math.inf, -math.inf, math.nan, 1e-300, 1e300])
INTEGERS = st.integers(-300, 300) | st.integers(-(2**70), 2**70)
NUMBERS = FLOATS | INTEGERS | st.complex_numbers(max_magnitude=10.0) | st.booleans()
OPS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.lt,
    operator.eq,
    xg.maximum,
    xg.minimum,
    lambda x, w: xg.where(x == x, x, w),
    lambda x, w: xg.where(x == 0, w, x),
]


def found(f: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a function's results, bit for bit, or the error that it raises."""
    try:
        z = f(*args, **kwargs)
    except Exception as error:
        return type(error).__name__
    return [(v.dtype, v.shape, xg.asarray(v).numpy().tobytes()) for v in map(xg.asarray, flatten(z)[0])]


def counted(f: Any) -> tuple[Any, list[int]]:
    """Return the function compiled, and a list that grows with each trace."""
    traces: list[int] = []

    def counting(*args: Any, **kwargs: Any) -> Any:
        traces.append(0)
        return f(*args, **kwargs)

    return xg.compile(counting), traces


@pytest.fixture(autouse=True)
def by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run programs by NumPy, which gives the engine's bits."""
    monkeypatch.setenv("XGRAD_NATIVE", "0")


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(DTYPES), st.sampled_from(OPS), st.lists(NUMBERS, min_size=2, max_size=4), st.booleans()
)
@example("int8", operator.add, [3, 300, 4], False)
@example("float32", operator.mul, [0.1, -0.0, math.nan, math.inf], False)
@example("float16", operator.add, [1e300, 2**70], True)
@example("uint8", operator.sub, [1, -1], True)
@pytest.mark.filterwarnings("ignore")
def test_beside_an_array_as_in_the_engine(dtype: str, op: Any, numbers: list[Any], first: bool) -> None:
    x = xg.asarray(np.array([0, 1, 3, 7]).astype(dtype))

    def f(x: Any, w: Any) -> Any:
        return op(w, x) if first else op(x, w)

    g = xg.compile(f)
    for w in numbers:
        if isinstance(w, complex) and op in (operator.lt, xg.maximum, xg.minimum):
            continue
        if dtype.startswith("complex") and (op in (operator.pow, operator.truediv, operator.mul)):
            continue  # these differ in the signs of NaN and zero, also with constant numbers
        assert found(g, x, w) == found(f, x, w), w


WEAK: list[Any] = [
    lambda a, b: 1 - a**b,
    lambda a, b: a // b,
    lambda a, b: a % b + -b,
    lambda a, b: abs(a) * +b / 3,
    lambda a, b: 2**a * b,
    lambda a, b: (a * b) ** 3,
]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["float32", "int64", "float64"]),
    st.sampled_from(WEAK),
    st.lists(
        st.tuples(
            st.floats(-50, 50) | st.integers(-50, 50),
            st.floats(-50, 50) | st.integers(-50, 50),
        ),
        min_size=2,
        max_size=4,
    ),
)
@pytest.mark.filterwarnings("ignore")
def test_arithmetic_of_numbers_is_that_of_python(dtype: str, weak: Any, pairs: list[Any]) -> None:
    x = xg.asarray(np.array([1, 3]).astype(dtype))

    def f(x: Any, a: Any, b: Any) -> Any:
        return x * weak(a, b)

    g = xg.compile(f)
    for a, b in pairs:
        assert found(g, x, a, b) == found(f, x, a, b), (a, b)


def test_one_trace_for_many_numbers() -> None:
    def step(params: Any, slopes: Any, lr: float, b1: float = 0.9, t: int = 1) -> Any:
        return [p - lr * g / (1 - b1**t) for p, g in zip(params, slopes)]

    g, traces = counted(step)
    params = [xg.ones((3,), dtype="float32"), xg.ones(())]
    for t, lr in enumerate([0.1, 0.2, -0.0, math.inf, math.nan, 1e-300], 1):
        assert found(g, params, params, lr, t=t) == found(step, params, params, lr, t=t)
    assert len(traces) == 1
    assert " input " in str(g.program(params, params, 0.1, t=1)).splitlines()[4]


def test_gradients_and_loops_read_numbers() -> None:
    def f(x: Any, a: float) -> Any:
        def cell(h: Any, x: Any) -> Any:
            return h * a + x, None

        return xg.grad(lambda x: xg.sum(xg.scan(cell, xg.zeros(()), x)[0] * a / 2))(x)

    g, traces = counted(f)
    x = xg.asarray(np.linspace(0, 1, 5))
    for a in (0.5, 2.0, -1.0):
        np.testing.assert_allclose(g(x, a).numpy(), f(x, a).numpy(), rtol=1e-14)
    assert len(traces) == 1


DECIDING: dict[str, Any] = {
    "bool": lambda x, n: x if n else -x,
    "float()": lambda x, n: x * float(n),
    "int()": lambda x, n: x * int(n),
    "index": lambda x, n: x[n],
    "slice": lambda x, n: x[:n],
    "axis": lambda x, n: xg.sum(xg.reshape(x, (2, 1, 3)), axis=n),
    "shape": lambda x, n: xg.ones((n, 2)) + x[0],
    "range": lambda x, n: sum((x for _ in range(n)), x),
    "compare": lambda x, n: x if n < 2 else 2 * x,
    "key": lambda x, n: x * {1: 5.0, 2: 6.0}[n],
    "math": lambda x, n: x * math.sqrt(n),
    "equal": lambda x, n: x if n == 1 else -x,
    "text": lambda x, n: x * float(f"{n:.1f}") + len(str(n) * n),
    "round": lambda x, n: x * round(n * 1.6),
    "attribute": lambda x, n: x * n.real + n.conjugate(),
    "power": lambda x, n: x**n,
    "max": lambda x, n: x * max(n, 1.5),
    "list": lambda x, n: xg.stack([x, x] * n),
    "numpy": lambda x, n: x * np.exp(n),
    "array of numpy": lambda x, n: x * (np.arange(6.0) * n),
    "isinstance": lambda x, n: x * 2 if isinstance(n, int) else x,
    "full": lambda x, n: x + xg.full((6,), n),
    "asarray": lambda x, n: xg.asarray(x, dtype="float32") * xg.asarray(n),
    "element": lambda x, n: operator.setitem(y := +x, 0, n) or y,
    "clip": lambda x, n: xg.clip(xg.astype(x, "float32"), 0, n),
    "carry": lambda x, n: xg.scan(lambda h, v: (h + v, h), n * 1.0, x),
    "alone": lambda x, n: xg.sqrt(n),
    "returned": lambda x, n: (n, n * 2, x * n),
    "swallowed": lambda x, n: _swallowed(x, n),
}


def _swallowed(x: Any, n: Any) -> Any:
    try:
        n = n if n > 1 else 7
    except Exception:
        n = 9
    return x * n


@pytest.mark.parametrize("use", DECIDING)
def test_numbers_that_decide(use: str) -> None:
    f = DECIDING[use]
    g, traces = counted(f)
    x = xg.asarray(np.linspace(-1, 2, 6))
    for n in (1, 2, 1, 2):
        assert found(g, x, n) == found(f, x, n)
    assert len(traces) <= 3  # two values, and one attempt
    seen = len(traces)
    found(g, x, 1)
    assert len(traces) == seen


def test_a_number_that_decides_for_some_values_alone() -> None:
    def f(x: Any, scale: float, n: int) -> Any:
        return x * scale if n else x * math.floor(scale)

    g, traces = counted(f)
    x = xg.ones((2,))
    for scale in (1.5, 2.5, 3.5):
        for n in (0, 1):
            assert found(g, x, scale, n) == found(f, x, scale, n)
    assert len(traces) == 4


def test_a_bad_number_spoils_nothing() -> None:
    g, traces = counted(lambda x, w: x + 1 // w)
    x = xg.ones((2,), dtype="int8")
    assert g(x, 1).tolist() == [2, 2]
    with pytest.raises(ZeroDivisionError):
        g(x, 0)
    assert g(x, -1).tolist() == [0, 0]
    assert len(traces) == 2  # one of them for the error
    h = xg.compile(lambda x, w: x + w)
    for _ in range(2):
        with pytest.raises(OverflowError):
            h(x, 300)
        assert h(x, 3).tolist() == [4, 4]


def test_a_number_that_is_kept_is_no_number_later() -> None:
    kept: list[Any] = []
    xg.compile(lambda x, w: kept.append(w) or x * w)(xg.ones(2), 2.0)  # type: ignore[func-returns-value]
    for use in (float, lambda w: w + 1, lambda w: w * xg.ones(2), repr):
        with pytest.raises(xg.GraphError, match="after the function was traced"):
            use(kept[0])


def test_numbers_from_several_threads() -> None:
    def f(x: Any, lr: float, n: int) -> Any:
        return x * lr + (n if n > 2 else 0)

    g, wrong = xg.compile(f), []

    def run(k: int) -> None:
        for i in range(30):
            x, lr, n = xg.ones((3,)) * k, 0.1 * i, (i + k) % 5
            if found(g, x, lr, n) != found(f, x, lr, n):
                wrong.append((k, i))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    sys.setswitchinterval(before)
    assert not wrong


# Static arguments, keywords, methods


def test_static_arguments() -> None:
    def f(x: Any, n: Any, *, mode: str = "a") -> Any:
        return x * n if type(n) is float and mode == "a" else -x

    for options in ({"static_argnums": 1}, {"static_argnames": "n"}, {"static_argnames": ["n", "mode"]}):
        g = xg.compile(f, **options)  # type: ignore[arg-type]
        assert g(xg.ones(1), 2.0).tolist() == g(xg.ones(1), n=2.0).tolist() == [2]
        assert g(xg.ones(1), 3.0).tolist() == [3]
        assert g(xg.ones(1), 3.0, mode="b").tolist() == [-1]
    g = xg.compile(lambda x, shape: xg.reshape(x, shape), static_argnums=(-1,))
    assert g(xg.ones(4), [2, 2]).shape == (2, 2)
    assert g(xg.ones(4), [4, 1]).shape == (4, 1)
    with pytest.raises(ValueError, match="no argument of that name; it has x, n, mode"):
        xg.compile(f, static_argnames="m")
    with pytest.raises(ValueError, match="2 positional arguments: x, n"):
        xg.compile(f, static_argnums=2)
    with pytest.raises(TypeError, match="integers"):
        xg.compile(f, static_argnums="n")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="static_argnums and static_argnames"):
        xg.compile(f, static_argnums=1)(xg.ones(1), np.ones(1))


class Pair(NamedTuple):
    x: Any
    scale: float


@dataclass
class Record:
    x: Any
    scale: float


def test_objects_as_arguments_are_never_stale() -> None:
    pair = xg.compile(lambda p: Pair(p.x * p.scale, p.scale))
    assert pair(Pair(xg.ones(1), 2.0)).x.tolist() == [2]
    assert pair(Pair(xg.ones(1), 3.0)).x.tolist() == [3]
    f, record = xg.compile(lambda r: r.x * r.scale), Record(xg.ones(1), 2.0)
    assert f(record).tolist() == [2]
    record.scale = 3.0
    assert f(record).tolist() == [3]
    record.x[0] = 2
    assert f(record).tolist() == [6]
    record.x = np.ones(1)
    assert f(record).tolist() == [3]
    record.x[0] = 5
    assert f(record).tolist() == [15]
    with pytest.raises(TypeError, match=r"returned a Record.*pass one of its fields"):
        xg.compile(lambda x: Record(x, 1.0))(xg.ones(1))


class Scaled:
    def __init__(self) -> None:
        self.w, self.count = xg.ones(1), 0

    @xg.compile
    def __call__(self, x: Any, lr: float = 1.0) -> Any:
        """Scale `x`."""
        return x * self.w * lr

    @xg.compile
    def counted(self, x: Any) -> Any:
        self.count += 1
        return x

    @xg.compile
    def moved(self, x: Any) -> Any:
        self.w = self.w + x
        return x


def test_methods() -> None:
    m = Scaled()
    assert m(xg.ones(1)).tolist() == Scaled.__call__(m, xg.ones(1)).tolist() == [1]
    assert m(xg.ones(1), lr=3.0).tolist() == [3]
    m.w[0] = 4
    assert m(xg.ones(1)).tolist() == [4]
    bound = m.__call__
    assert bound.__doc__ == "Scale `x`."
    assert len(bound.program(xg.ones(1)).inputs) == 2
    assert bound.executable(xg.ones(1)).device is xg.ones(1).device
    assert "multiply" in bound.explain(xg.ones(1)) or bound.explain(xg.ones(1))


def test_what_is_put_into_an_argument_is_refused() -> None:
    m = Scaled()
    for method in (m.counted, m.moved):
        with pytest.raises(xg.TraceError, match=r"attribute of a Scaled.*in place"):
            method(xg.ones(1))
    assert (m.count, m.w.tolist()) == (0, [1])
    held = {"a": xg.ones(1)}
    with pytest.raises(xg.TraceError, match="return the new value"):
        xg.compile(lambda d: d.update(a=d["a"] + 1))(held)
    assert held["a"].tolist() == [1]
    with pytest.raises(xg.TraceError, match="return the new value"):
        xg.compile(lambda values: values.append(1))([xg.ones(1)])


def test_changes_in_place_are_done_or_refused() -> None:
    def f(d: Any) -> Any:
        d["a"] += 1
        view = d["a"][:1]
        view += 5
        return view

    a = xg.ones(2)
    assert xg.compile(f)({"a": a}).tolist() == [7]
    assert a.tolist() == [2, 2]
    array = np.ones(2)
    for change in (lambda x: operator.setitem(x, 0, 3), lambda x: operator.iadd(x, 1), lambda x: x.sort()):
        with pytest.raises((xg.TraceError, TypeError)):
            xg.compile(change)(array)
    assert array.tolist() == [1, 1]


def test_what_is_read_from_outside_is_never_stale() -> None:
    array, t = np.ones(2), xg.asarray(1.0)
    uses = [
        lambda x: x * array,
        lambda x: x * xg.asarray(array)[0],
        lambda x: x * np.asarray(t),
        lambda x: x * float(t),
        lambda x: x * t.item(),
        lambda x: x * t.numpy(),
        lambda x: x * float(+t),
        lambda x: x * xg.asarray(array).tolist()[0],
        lambda x: xg.scan(lambda h, _: (h * float(t), None), x, None, length=1)[0],
    ]
    functions = [xg.compile(f) for f in uses]
    inner = functions[3]
    functions.append(xg.compile(lambda x: inner(x)))
    for value in (1.0, 2.0, 3.0, 2.0):
        array[...] = value
        t[...] = value
        for i, f in enumerate(functions):
            assert f(xg.ones(2)).tolist() == [value, value], i


def test_a_program_is_optimised_when_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from xgrad.compiler import passes

    seen: list[Any] = []
    optimise = passes.optimise
    monkeypatch.setattr(passes, "optimise", lambda program: seen.append(program) or optimise(program))  # type: ignore[func-returns-value]
    f = xg.compile(lambda x: x * 2 + 1)
    made = f.executable(xg.ones(2))
    assert not seen
    f(xg.ones(2))
    f(xg.ones(2))
    assert len(seen) == 1
    assert made.optimised is made.optimised
