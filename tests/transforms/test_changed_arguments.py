"""Compiled functions that change their arguments: each change is made for the caller, or refused."""

from __future__ import annotations

import functools
import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

import xgrad as xg


@dataclass
class Record:
    value: Any
    values: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Slots:
    value: Any
    count: int = 0


@dataclass(unsafe_hash=True)
class Hashable:
    value: Any


class Pair(NamedTuple):
    value: Any
    scale: float


class Model(xg.nn.Module):
    def __init__(self) -> None:
        self.w = xg.ones(2)
        self.value = np.asarray([2.0, 1.0])
        self.arrays = [np.asarray([2.0, 1.0])]
        self.by_name = {"a": np.asarray([2.0, 1.0])}
        self.inner = Record(np.asarray([2.0, 1.0]))
        self.count = 0


class Counter:
    """A callable object with a state."""

    def __init__(self) -> None:
        self.count = 0

    def get(self) -> int:
        return self.count

    def add(self, x: Any) -> Any:
        self.count += 1
        return x * self.count


def item(x: Any) -> None:
    x[0] = 5.0


def added(x: Any) -> None:
    x += 1


#: Ways to write into a NumPy array.
WRITES: dict[str, Callable[[Any], Any]] = {
    "item": item,
    "added": added,
    "fill": lambda x: x.fill(7.0),
    "out": lambda x: np.add(x, 1, out=x),
    "copyto": lambda x: np.copyto(x, 9.0),
    "sort": lambda x: x.sort(),
}

#: Arguments that hold an array, and how to reach it.
PLACES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "array": (lambda: np.asarray([2.0, 1.0]), lambda v: v),
    "list": (lambda: [np.asarray([2.0, 1.0])], lambda v: v[0]),
    "dict": (lambda: {"a": np.asarray([2.0, 1.0])}, lambda v: v["a"]),
    "nested": (lambda: ([{"a": np.asarray([2.0, 1.0])}],), lambda v: v[0][0]["a"]),
    "named tuple": (lambda: Pair(np.asarray([2.0, 1.0]), 1.0), lambda v: v.value),
    "dataclass": (lambda: Record(np.asarray([2.0, 1.0])), lambda v: v.value),
    "list in a dataclass": (lambda: Record(0, [np.asarray([2.0, 1.0])]), lambda v: v.values[0]),
    "slots": (lambda: Slots(np.asarray([2.0, 1.0])), lambda v: v.value),
    "module": (Model, lambda v: v.value),
    "list in a module": (Model, lambda v: v.arrays[0]),
    "dict in a module": (Model, lambda v: v.by_name["a"]),
    "object in a module": (Model, lambda v: v.inner.value),
}

#: Arguments, and changes of them that no Tensor makes.
CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "append": (lambda: [xg.ones(1)], lambda v: v.append(xg.ones(1))),
    "append a number": (lambda: [1.0], lambda v: v.append(2.0)),
    "append to an empty list": (list, lambda v: v.append(1)),
    "append a word": (lambda: ["a"], lambda v: v.append("b")),
    "number in a list": (lambda: [1.0, 2.0], lambda v: item(v)),
    "reverse": (lambda: [2.0, 1.0], lambda v: v.reverse()),
    "clear": (lambda: [2.0, 1.0], lambda v: v.clear()),
    "list in a tuple": (lambda: ([1.0], [2.0]), lambda v: v[1].append(3)),
    "new key": (lambda: {"a": 1.0}, lambda v: v.update(b=2.0)),
    "pop": (lambda: {"a": 1.0, "b": 2.0}, lambda v: v.pop("a")),
    "order of keys": (lambda: {"a": 1.0, "b": 2.0}, lambda v: v.update(a=v.pop("a"))),
    "number in a dict": (lambda: {"a": 1.0}, lambda v: v.update(a=v["a"] + 1)),
    "Tensor in a dict": (lambda: {"a": xg.ones(1)}, lambda v: v.update(a=v["a"] + 1)),
    "default": (lambda: defaultdict(list, {"a": 1.0}), lambda v: v["z"].append(1)),
    "ordered": (lambda: OrderedDict(a=1.0), lambda v: v.update(z=1.0)),
    "deque": (lambda: deque([1.0]), lambda v: v.append(1)),
    "set": (lambda: {1, 2}, lambda v: v.add(3)),
    "attribute": (lambda: Record(1.0), lambda v: setattr(v, "value", 2.0)),
    "list of an object": (lambda: Record(1.0), lambda v: v.values.append(2.0)),
    "slot": (lambda: Slots(1.0), lambda v: setattr(v, "count", 1)),
    "hashable": (lambda: Hashable(1.0), lambda v: setattr(v, "value", 2.0)),
    "module's number": (Model, lambda v: setattr(v, "count", 1)),
    "module's Tensor": (Model, lambda v: setattr(v, "w", v.w + 1)),
    "module's new attribute": (Model, lambda v: setattr(v, "new", 1)),
    "module's dict": (Model, lambda v: v.by_name.update(b=np.zeros(2))),
    "object of a module": (Model, lambda v: setattr(v.inner, "value", 2.0)),
    "method": (lambda: Counter().add, lambda v: v(1)),
    "partial": (lambda: functools.partial(Counter().add, 1), lambda v: v()),
}

WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "compile": lambda f, v: xg.compile(f)(v, xg.ones(2)),
    "keyword": lambda f, v: xg.compile(lambda x, *, v: f(v, x))(xg.ones(2), v=v),
    "grad": lambda f, v: xg.compile(lambda v, x: xg.grad(lambda x: xg.sum(f(v, x)))(x))(v, xg.ones(2)),
    "scan": lambda f, v: xg.compile(
        lambda v, x: xg.scan(lambda h, _: (h + f(v, x), None), x, None, length=3)[0]
    )(v, xg.ones(2)),
    "detect_nan": lambda f, v: detecting(xg.compile(f), v),
    "checkpoint": lambda f, v: xg.grad(lambda x: xg.sum(xg.checkpoint(f)(v, x)))(xg.ones(2)),
}


def detecting(f: Any, v: Any) -> None:
    with xg.detect_nan():
        f(v, xg.ones(2))


def after(change: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a function that changes its first argument."""

    def f(v: Any, x: Any) -> Any:
        change(v)
        return x * 2

    return f


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_no_tensor_does_is_refused(change: str, way: str) -> None:
    make, do = CHANGES[change]
    for _ in range(2):
        with pytest.raises(xg.TraceError, match=r"an argument.* return the new value"):
            WAYS[way](after(do), make())


@pytest.mark.parametrize("change", [c for c in CHANGES if "Tensor" not in c and "module" not in c])
def test_static_arguments_do_not_change_either(change: str) -> None:
    make, do = CHANGES[change]
    f = xg.compile(after(do), static_argnums=0)
    for _ in range(3):
        if change == "append":
            with pytest.raises(TypeError, match="static argument has an array in it"):
                f(make(), xg.ones(2))
            continue
        with pytest.raises(xg.TraceError, match=r"an argument.* return the new value"):
            f(make(), xg.ones(2))


@pytest.mark.parametrize("way", ["compile", "keyword", "grad", "scan"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("write", WRITES)
def test_arrays_are_not_written_to(write: str, place: str, way: str) -> None:
    make, reach = PLACES[place]
    with pytest.raises((xg.TraceError, TypeError), match=r"in place|out=|np\.copyto does not work"):
        WAYS[way](after(lambda v: WRITES[write](reach(v))), make())


@pytest.mark.parametrize(
    ("make", "reach"),
    [
        (lambda: xg.ones(2), lambda v: v),
        (lambda: [xg.ones(2)], lambda v: v[0]),
        (lambda: {"a": (xg.ones(2),)}, lambda v: v["a"][0]),
        (lambda: Pair(xg.ones(2), 1.0), lambda v: v.value),
        (Model, lambda v: v.w),
    ],
)
@pytest.mark.parametrize("write", ["item", "added"])
@pytest.mark.parametrize("way", ["compile", "keyword", "grad", "detect_nan"])
def test_tensors_are_changed_for_the_caller(make: Any, reach: Any, write: str, way: str) -> None:
    plain, v = make(), make()
    f = after(lambda v: WRITES[write](reach(v)))
    for _ in range(2):
        f(plain, xg.ones(2))
        WAYS[way](f, v)
        assert reach(v).tolist() == reach(plain).tolist()


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (lambda: np.random.default_rng(0), lambda v: v.normal()),
        (lambda: np.random.RandomState(0), lambda v: v.normal()),
        (lambda: random.Random(0), lambda v: v.random()),
        (lambda: [np.random.default_rng(0)], lambda v: v[0].normal()),
        (lambda: Record(np.random.default_rng(0)), lambda v: v.value.normal()),
        (lambda: xg.random.default_rng(0), lambda v: v.normal()),
    ],
)
@pytest.mark.parametrize("static", [None, 0])
def test_generators_among_the_arguments_do_not_draw(make: Any, draw: Any, static: int | None) -> None:
    f, v = xg.compile(lambda v, x: x * draw(v), static_argnums=static), make()
    for _ in range(2):
        with pytest.raises(xg.TraceError, match=r"random numbers|attribute of a Record|a list"):
            f(v, xg.ones(2))


class Sampler:
    """It has a method of NumPy's generators, but is none."""

    def __init__(self) -> None:
        self.scale = 1.0

    def random_sample(self) -> float:
        return self.scale


def test_an_object_that_resembles_a_generator_is_an_object() -> None:
    f, sampler = xg.compile(lambda s, x: x * s.random_sample()), Sampler()
    for scale in (1.0, 2.0):
        sampler.scale = scale
        assert f(sampler, xg.ones(1)).tolist() == [scale]


@pytest.mark.parametrize("kind", [dict, OrderedDict, lambda d: defaultdict(list, d)])
def test_the_order_of_keys_is_seen(kind: Any) -> None:
    def f(d: Any) -> Any:
        return xg.stack(list(d.values()))

    fast, a, b = xg.compile(f), xg.asarray(1.0), xg.asarray(2.0)
    for d in (kind({"a": a, "b": b}), kind({"b": b, "a": a}), kind({"a": a, "b": b})):
        assert fast(d).tolist() == f(d).tolist()
        assert fast({"inner": [d]}["inner"][0]).tolist() == f(d).tolist()


def test_the_inputs_of_a_program_are_sorted_by_key() -> None:
    f = xg.compile(lambda d, x: xg.sum(d["a"]) * x + d["b"][0] - d["b"][1])
    x, a, b = xg.ones(1), xg.ones(2), [3 * xg.ones(3), xg.ones(3)]
    for d in ({"a": a, "b": b}, {"b": b, "a": a}, {"b": [b[0], b[0]], "a": a}):
        assert [v.shape for v in f.program(d, x).inputs] == [(2,), (3,), (3,), (1,)]
        assert f(d, x).tolist() == [2 + 3 - d["b"][1][0].item()] * 3


def test_the_order_of_keyword_arguments_is_seen_only_by_functions_that_take_any() -> None:
    traces = []

    def named(a: Any, b: Any) -> Any:
        traces.append(1)
        return a - b

    f, a, b = xg.compile(named), xg.asarray(3.0), xg.asarray(1.0)
    assert f(a=a, b=b).tolist() == f(b=b, a=a).tolist() == 2
    assert len(traces) == 1
    g = xg.compile(lambda **given: xg.stack(list(given.values())))
    assert g(a=a, b=b).tolist() == [3, 1]
    assert g(b=b, a=a).tolist() == [1, 3]


def test_methods_and_partial_functions_as_arguments_are_never_stale() -> None:
    counter, f = Counter(), xg.compile(lambda g, x: x * g())
    holder = Counter()
    for n in (1, 2, 1):
        counter.count = holder.count = n
        assert f(counter.get, xg.ones(1)).tolist() == [n]
        assert f(functools.partial(getattr, holder, "count"), xg.ones(1)).tolist() == [n]
        assert f(functools.partial(abs, n), xg.ones(1)).tolist() == [n]
