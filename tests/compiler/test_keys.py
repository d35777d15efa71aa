"""Tests of cache keys: they cover everything that results may depend on, and nothing else."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.compiler.ir import Program, Stage, Value
from xgrad.compiler.keys import exact, state
from xgrad.compiler.passes.simplify import simplify

NUMBERS = [
    0.0,
    -0.0,
    0,
    False,
    1,
    1.0,
    True,
    1 + 0j,
    float("nan"),
    complex(0.0, -0.0),
    complex(-0.0, 0.0),
    0j,
    complex(float("nan"), 0),
    2**70,
    np.float64(1.0),
    np.float32(1.0),
]
LONG = np.arange(5000.0)
OTHER = LONG.copy()
OTHER[2500] += 1e-12  # a change where repr elides elements, and in digits that repr does not show
APART = [
    *NUMBERS,
    "1",
    None,
    ...,
    (1, 2),
    (1.0, 2),
    [1, 2],
    (1, (2,)),
    (),
    [],
    {"a": 1},
    {"a": True},
    {"b": 1},
    slice(0, 1),
    slice(0.0, 1),
    slice(False, 1),
    LONG,
    OTHER,
    LONG.astype("f"),
    LONG.reshape(50, 100),
    np.asarray([0.0]),
    np.asarray([-0.0]),
    np.asarray(1.0),
    np.dtype("f"),
    np.dtype("d"),
    print,
]


@pytest.mark.parametrize("of", [exact, state])
def test_values_are_told_apart_and_found_again(of: Any) -> None:
    for (i, a), (j, b) in itertools.combinations(enumerate(APART), 2):
        assert of(a) != of(b), (i, a, j, b)
        assert of({"p": (a,)}) != of({"p": (b,)}), (a, b)
    for a in APART:
        again = (
            np.array(a, copy=True) if isinstance(a, np.ndarray) else float(repr(a)) if type(a) is float else a
        )
        assert of(a) == of(again)
        assert hash(of(a)) == hash(of(again))


def test_what_cannot_be_compared_is_itself() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

    a, b = Unhashable(), Unhashable()
    assert exact(a) == exact(a) != exact(b)


# Arguments of compiled functions


def test_numbers_among_the_arguments() -> None:
    calls: list[Any] = []

    def f(x: Any, n: Any) -> Any:
        calls.append(type(n))
        return x * n, x + n, xg.copysign(x * 1.0, n) if isinstance(n, float) else x

    g, x = xg.compile(f), np.array([1, -2], "i4")
    numbers = [n for n in NUMBERS if type(n) in (bool, int, float, complex) and n != 2**70]
    for n in numbers * 2:
        for a, b in zip(g(x, n), f(xg.asarray(x), n)):
            assert a.dtype == b.dtype, n
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            if b.dtype.kind == "f":
                np.testing.assert_array_equal(np.signbit(a.numpy()), np.signbit(b.numpy()))
    # the engine runs it twice for each; the sign of a float, and a boolean, affect the trace
    decide = [n for n in numbers if type(n) in (bool, float)]
    assert len(calls) == 2 * len(numbers) + len(decide) + len({int, complex})


@pytest.fixture
def power() -> Iterator[str]:
    """A custom op with a parameter."""
    xg.register_op(
        "shifted",
        forward=lambda xp, x, *, by: (
            x + xp.sum(xp.asarray(by))
            if hasattr(by, "shape")
            else xp.copysign(x, by) * (1 if type(by) is bool else 2)
        ),
        dx=lambda dz, *, by: dz,
    )
    yield "shifted"
    xg.unregister_op("shifted")


def test_parameters_of_ops(power: str) -> None:
    from xgrad.core.dispatch import apply
    from xgrad.ops import OPS

    run = lambda x, by: apply(OPS[power], (x,), {"by": by})
    x = xg.ones(3)
    for by in [0.0, -0.0, 0.0, 1, True, 1.0, True, 1, LONG, OTHER, LONG]:
        want = run(x, by).numpy()
        scanned = xg.scan(lambda h, _, by=by: (h, run(h, by)), x, None, length=2)[1].numpy()
        np.testing.assert_array_equal(scanned, [want, want])
        np.testing.assert_array_equal(xg.checkpoint(lambda x, by=by: run(x, by))(x).numpy(), want)
        xg.checkpoint(lambda x, by=by: run(x, by))(xg.tensor(np.ones(3), requires_grad=True))
        np.testing.assert_array_equal(xg.compile(lambda x, by=by: run(x, by))(x).numpy(), want)


def test_to_learn_a_dtype_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (xg.atanh, xg.log, xg.acosh, lambda x: 1.0 / x, lambda x: x // 0):
            xg.trace(f, xg.ones(3, dtype=xg.float32))
            xg.trace(f, xg.ones((3, 1)))


def test_numbers_in_nested_bodies() -> None:
    def run(n: Any) -> Any:
        inner = lambda h, x: (xg.copysign(h, n * 1.0) if not isinstance(n, complex) else h, None)
        return (
            xg.scan(lambda h, x: (xg.scan(inner, h, x)[0], h), xg.ones(2), xg.ones((9, 3, 2)))[0]
            .numpy()
            .tolist()
        )

    assert [run(n) for n in (0.0, -0.0, 0.0)] == [[1, 1], [-1, -1], [1, 1]]


def test_common_subexpressions_have_equal_numbers_and_parameters() -> None:
    x = Value("x", (3,), "float64")

    def kept(*stages: tuple[str, Any, dict[str, Any]]) -> int:
        made = tuple(
            Stage(op, (x, *numbers), (Value(f"z{i}", (3,), "float64"),), params)
            for i, (op, numbers, params) in enumerate(stages)
        )
        return len(set(simplify(Program((x,), made, tuple(s.output for s in made))).outputs))

    nan = float("nan")
    assert kept(("/", (0.0,), {}), ("/", (-0.0,), {})) == 2
    assert kept(("/", (0.0,), {}), ("/", (0.0,), {})) == 1
    assert kept(("+", (nan,), {}), ("+", (float("nan"),), {})) == 1
    assert kept(("own", (), {"by": LONG}), ("own", (), {"by": OTHER})) == 2
    assert kept(("own", (), {"by": LONG}), ("own", (), {"by": LONG.copy()})) == 1
    assert kept(("own", (), {"by": 1}), ("own", (), {"by": True})) == 2


# Objects among the arguments


class Scaled(xg.nn.Module):
    def __init__(self, c: float) -> None:
        self.c = np.array([c, c])
        self.order = np.array([1, 0])
        self.factors = [1.0, 2.0]
        self.twice = True
        self.w = xg.tensor(1.0, requires_grad=True)

    def __call__(self, x: Any) -> Any:
        return xg.sum(self.w * x[self.order] * self.c) * self.factors[1] * (2 if self.twice is True else 1)


def test_what_modules_hold_is_seen_when_it_changes() -> None:
    calls: list[int] = []

    def run(model: Any, x: Any) -> Any:
        calls.append(1)
        return model(x)

    f, g = xg.compile(run), xg.compile(xg.value_and_grad(run))
    model, x = Scaled(1.0), xg.asarray([1.0, 10.0])

    def change(name: str) -> None:
        if name == "array":
            model.c[0] = 3.0
        elif name == "integers":
            model.order[0] = 0
        elif name == "list":
            model.factors[1] = -1.0
        elif name == "bool":
            model.twice = 1  # type: ignore[assignment]
        elif name == "weight":
            with xg.no_grad():
                model.w += 1

    for name in ("nothing", "array", "integers", "list", "bool"):
        change(name)
        want, slope = xg.value_and_grad(lambda m, x: m(x))(model, x)
        for _ in range(2):
            assert f(model, x).item() == want.item(), name
            value, gradient = g(model, x)
            assert value.item() == want.item(), name
            assert gradient.w.item() == slope.w.item(), name
            assert gradient.c is model.c
    before = len(calls)
    change("weight")
    assert f(model, x).item() == model(x).item()
    assert f(Scaled(3.0), x).item() == Scaled(3.0)(x).item()
    assert f(Scaled(3.0), x).item() == Scaled(3.0)(x).item()
    assert len(calls) == before + 1  # a weight is read; another module with the same values has the same key


def test_modules_with_equal_arrays_are_of_one_structure() -> None:
    added = xg.tree_map(lambda a, b: a + b, Scaled(1.0), Scaled(1.0))
    assert added.w.item() == 2.0
    with pytest.raises(ValueError, match="custom node data"):
        xg.tree_map(lambda a, b: a + b, Scaled(1.0), Scaled(2.0))


@dataclasses.dataclass
class Settings:
    rate: float
    shift: Any = None
    inner: Any = None


class Slotted:
    __slots__ = ("rate",)

    def __init__(self, rate: float) -> None:
        self.rate = rate


def test_attributes_of_objects_are_seen_when_they_change() -> None:
    f = xg.compile(
        lambda s, x: (
            s.rate * x
            + (0 if s.shift is None else s.shift)
            + (0 if s.inner is None else s.inner["a"][0].rate)
        )
    )
    x, s = xg.ones(2), Settings(2.0)

    def check(want: list[float]) -> None:
        for _ in range(2):
            assert f(s, x).tolist() == want

    check([2, 2])
    s.rate = 3.0
    check([3, 3])
    s.shift = np.array([1.0, 2.0])
    check([4, 5])
    s.shift[0] = 10
    check([13, 5])
    s.inner = {"a": [Settings(100.0)]}
    check([113, 105])
    s.inner["a"][0].rate = 200.0
    check([213, 205])
    s.shift = xg.asarray([0.0, 1.0])
    check([203, 204])
    s.shift += 1
    check([204, 205])
    s.inner["a"][0].inner = s  # a reference cycle
    check([204, 205])
    g, slotted = xg.compile(lambda s, x: s.rate * x), Slotted(2.0)
    assert g(slotted, x).tolist() == [2, 2]
    slotted.rate = 3.0
    assert g(slotted, x).tolist() == [3, 3]


@pytest.mark.parametrize(
    "argument",
    [
        bytearray(b"x"),
        memoryview(bytearray(b"x")),
        iter([1]),
        (i for i in range(3)),
        map(str, "a"),
        [{"deep": (iter([1]),)}],
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_cannot_be_told_apart_is_refused(argument: Any) -> None:
    f = xg.compile(lambda a, x: x)
    refused = r"compile cannot take a \w+ as an argument: .* (cannot be detected|are unknown)"
    with pytest.raises(TypeError, match=refused):
        f(argument, xg.ones(2))
    assert f("well", xg.ones(2)).tolist() == [1, 1]


OTHERS = [
    {1, 2},
    frozenset({1}),
    range(3),
    b"x",
    print,
    np.dtype("f"),
    xg.float32,
    slice(1, 2),
    10**30,
    None,
    ...,
    memoryview(b"x"),
]


@pytest.mark.parametrize("argument", OTHERS, ids=lambda v: type(v).__name__)
def test_other_objects_are_taken_as_they_are(argument: Any) -> None:
    got: list[Any] = []
    f = xg.compile(lambda a, x: got.append(a) or x)  # type: ignore[func-returns-value]
    f(argument, xg.ones(2))
    f(argument, xg.ones(2))
    assert got == [argument]


def test_repeats_that_are_constant() -> None:
    x = xg.asarray([1.0, 2.0, 3.0])
    for f in (lambda x: np.repeat(x, [0, 2, 1]), lambda x: xg.repeat(x, (0, 2, 1))):
        assert xg.compile(f)(x).tolist() == [2, 2, 3]
        assert xg.compile(xg.grad(lambda x, f=f: xg.sum(f(x) ** 2)))(x).tolist() == [0, 8, 6]
        assert xg.scan(lambda h, x, f=f: (f(h), None), x, None, length=2)[0].tolist() == [2, 2, 3]
    assert xg.compile(lambda x: xg.repeat(xg.reshape(x, (1, 3)), [2], axis=0))(x).tolist() == [[1, 2, 3]] * 2
    with pytest.raises(xg.TraceError, match="depends on values"):
        xg.compile(lambda x, n: xg.repeat(x, n))(x, xg.asarray([0, 2, 1]))
    with pytest.raises(xg.ShapeError):
        xg.compile(lambda x: xg.repeat(x, [0, 2]))(x)


def test_a_plain_array_indexed_by_what_has_no_value_yet() -> None:
    values = np.arange(4.0)
    for f in (lambda i: values[i], lambda i: [10, 20][i]):
        with pytest.raises(xg.TraceError, match=r"test_keys\.py:\d+.*xg\.asarray\(array\)\[t\]"):
            xg.compile(f)(xg.asarray(1))
    assert xg.compile(lambda i: xg.asarray(values)[i])(xg.asarray(2)).item() == 2.0
