"""Errors when memory runs out say what was requested, by what, what holds the rest, and how to need less."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends import Backend, register


class Budget:
    """A limit on the bytes alive at once, and the bytes in use."""

    def __init__(self) -> None:
        self.limit = 2**62
        self.used = self.most = 0

    def take(self, array: np.ndarray) -> None:
        """Count `array` as long as it lives.

        Raises MemoryError, with CuPy's message, if the limit would be exceeded.
        """
        n = array.nbytes
        if self.used + n > self.limit:
            raise MemoryError(
                f"Out of memory allocating {n:,} bytes (allocated so far: {self.used:,} bytes)."
            )
        self.used += n
        self.most = max(self.most, self.used)
        weakref.finalize(array, self.give, n)

    def give(self, n: int) -> None:
        self.used -= n


BUDGET = Budget()


class Limited(np.ndarray[Any, Any]):
    """A NumPy array that counts against the budget."""

    __module__ = "limited_arrays"  # a library of its own, by which the backend is found

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if out is not None:
            options["out"] = tuple(map(_plain, out))
        z = getattr(ufunc, method)(*map(_plain, inputs), **options)
        return out[0] if out is not None else limited(z)

    def __array_function__(self, function: Any, types: Any, args: Any, named: Any) -> Any:
        return limited(function(*_plain(args), **_plain(named)))


def _plain(v: Any) -> Any:
    if isinstance(v, tuple | list):
        return type(v)(map(_plain, v))
    if isinstance(v, dict):
        return {name: _plain(inner) for name, inner in v.items()}
    return v.view(np.ndarray) if isinstance(v, Limited) else v


def limited(z: Any) -> Any:
    """Wrap NumPy's results as arrays that count; a view counts as its base."""
    if isinstance(z, tuple | list):
        return type(z)(map(limited, z))
    if not isinstance(z, np.ndarray | np.generic):
        return z
    array = np.asarray(z)
    found = array.view(Limited)
    if array.base is None:
        BUDGET.take(found)
    return found


def _made(name: str) -> Callable[..., Any]:
    return lambda *args, **named: limited(getattr(np, name)(*_plain(args), **_plain(named)))


MAKE = ("arange", "asarray", "broadcast_to", "empty", "eye", "full", "linspace", "ones", "zeros")


class Small(Backend):
    name = "small"
    promotes = True
    xp = SimpleNamespace(**{**vars(np), **{name: _made(name) for name in MAKE}})

    def handle(self, index: int) -> str:
        return "cpu"

    def from_host(self, array: np.ndarray, index: int) -> Any:
        return limited(array.copy())

    def to_host(self, array: Any) -> np.ndarray:
        return np.array(array)

    def scatter_add(self, target: Any, key: Any, values: Any) -> None:
        np.add.at(_plain(target), _plain(key), _plain(values))

    def memory(self, index: int) -> dict[str, int]:
        return {"used": BUDGET.used, "pool": 3 * 10**9, "total": 7 * 10**9}


@pytest.fixture
def budget() -> Iterator[Budget]:
    register("small", Small, library="limited_arrays")
    gc.collect()  # free what the tracebacks of errors held
    BUDGET.most = BUDGET.used
    with xg.device("small"):
        yield BUDGET
    BUDGET.limit = 2**62


def test_numpy_is_asked_for_too_much() -> None:
    x = xg.tensor(np.ones((2**10, 1)), requires_grad=True)
    with pytest.raises(xg.OutOfMemoryError) as caught:
        xg.broadcast_to(xg.reshape(xg.tanh(x), (1, -1)), (2**47, 2**10)) * 1.0
    text = str(caught.value)
    assert isinstance(caught.value, MemoryError)
    assert text.startswith(
        "'*' of operands of shape (140737488355328, 1024) and 1.0 asks for 1.15 EB on cpu: "
    )
    assert "are used by this process, of" in text
    assert re.search(
        r"The graph holds 8\.19 kB for its gradients\. The largest parts:\n +8\.19 kB  'tanh' of "
        r"shape \(1024, 1\)\n",
        text,
    )
    for way in ("xg.checkpoint", "scan(checkpoint_every=k)", "smaller batch", "xg.no_grad()", "del "):
        assert way in text
    assert "Unable to allocate" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "make", [lambda: xg.zeros(2**57), lambda: xg.full((2**50, 2**7), 1.0), lambda: xg.ones((2**57,))]
)
def test_new_arrays_that_are_too_large(make: Callable[[], Any]) -> None:
    with pytest.raises(xg.OutOfMemoryError, match=r"^(zeros|full|ones)\(.*\) asks for 1\.15 EB on cpu"):
        make()


def test_the_stages_that_hold_the_most_come_first(budget: Budget) -> None:
    x = xg.tensor(np.ones(1000), requires_grad=True)
    h = x
    for _ in range(6):
        h = xg.tanh(h)
    h = xg.exp(xg.concat([h, h, h]))
    for name in ("sin", "cos", "sinh", "cosh", "asinh"):
        h = getattr(xg, name)(h[:100])
    budget.limit = budget.used + 100
    with pytest.raises(xg.OutOfMemoryError) as caught:
        h * 2.0
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("'*' of operands of shape (100,) and 2.0 asks for 800 bytes on small:0")
    assert "3 GB in the library's pool, of 7 GB in total." in lines[1]
    assert lines[2].startswith("The graph holds ")
    assert lines[3].split("  ")[-1] == "'tanh' of shape (1000,), 6 times"
    assert lines[4].split("  ")[-1] == "'exp' of shape (3000,)"
    assert lines[8].endswith("others")
    assert len(lines) == 10


def test_names_and_lines_where_they_are_recorded(budget: Budget) -> None:
    x = xg.tensor(np.ones(1000), requires_grad=True)
    with xg.record():
        inner = xg.tanh(x)
        outer = xg.exp(inner)
    budget.limit = budget.used + 100
    with (
        pytest.raises(
            xg.OutOfMemoryError,
            match=r"kB +inner = 'tanh' of shape \(1000,\) at .*test_out_of_memory\.py:\d+",
        ),
        xg.record(),
    ):
        outer * 3.0


def test_what_several_nodes_keep_counts_once(budget: Budget) -> None:
    x = xg.tensor(np.ones(1000), requires_grad=True)
    y = x * 2.0
    total = xg.sum(y * y) + xg.sum(y[:500] * y[500:])
    budget.limit = budget.used + 4
    with pytest.raises(xg.OutOfMemoryError, match="The graph holds 8 kB"):
        total + 1.0


def test_the_step_of_a_scan_is_named(budget: Budget) -> None:
    xs = xg.tensor(np.ones((10, 1000)), requires_grad=True)

    def body(h: xg.Tensor, x: xg.Tensor) -> tuple[xg.Tensor, None]:
        return xg.tanh(h + x), None

    budget.limit = budget.used + 8000 * 7
    with pytest.raises(xg.OutOfMemoryError, match=r"at step t=\d asks for 8 kB"):
        xg.scan(body, xg.zeros(1000), xs, compiled=False)


@pytest.mark.parametrize("compiled", [True, False])
def test_in_a_scan_and_its_gradient(compiled: bool, budget: Budget) -> None:
    xs = xg.tensor(np.ones((10, 1000)), requires_grad=True)

    def step() -> None:
        carry, _ = xg.scan(lambda h, x: (xg.tanh(h + x), None), xg.zeros(1000), xs, compiled=compiled)
        xg.sum(carry).backward()

    step()
    xs.grad = None
    start, most = budget.used, budget.most
    seen = set()
    for part in (0.2, 0.4, 0.6, 0.8):
        budget.limit = int(start + part * (most - start))
        with pytest.raises(xg.OutOfMemoryError, match=r"asks for [\d.]+ kB on small:0") as caught:
            step()
        seen.add(str(caught.value).partition(" of ")[0])
        xs.grad = None
    assert seen & {"'scan'", "'+'", "'tanh'"}
    assert seen & {"the gradient", "'scan'"}


def test_gradients_that_wait_are_named(budget: Budget) -> None:
    found = []
    for extra in range(1, 8):
        x = xg.tensor(np.ones(1000), requires_grad=True)
        z = xg.sum(xg.exp(x * x) * xg.exp(x))
        budget.limit = budget.used + 8000 * extra
        try:
            z.backward()
        except xg.OutOfMemoryError as error:
            found.append(str(error))
            del error
        budget.limit = 2**62
    assert any(re.search(r"^the gradient of '.*' of shape \(1000,\) asks for 8 kB", text) for text in found)
    assert any("Gradients still to be processed hold" in text for text in found)


def test_an_error_keeps_nothing_alive(budget: Budget) -> None:
    x = xg.tensor(np.ones(1000), requires_grad=True)
    start = budget.used
    budget.limit = start + 8000 * 4
    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(xg.OutOfMemoryError):
                xg.tanh(xg.tanh(xg.tanh(xg.tanh(xg.tanh(x)))))
            assert budget.used == start
    finally:
        gc.enable()


def test_in_a_compiled_function(budget: Budget) -> None:
    f = xg.compile(lambda x: xg.sum(xg.exp(xg.tanh(x) * 2.0)))
    x = xg.ones(1000)
    f(x)
    budget.limit = budget.used + 100
    with pytest.raises(
        xg.OutOfMemoryError,
        match=(
            r"the array library, stage by stage compiled for arguments of shape \(1000,\) asks "
            r"for 8 kB"
        ),
    ):
        f(x)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [True, False])
def test_checkpoints_fit_a_budget_that_was_too_small(compiled: bool, budget: Budget) -> None:
    w = xg.tensor(np.eye(200) * 0.5, requires_grad=True)
    xs = xg.tensor(np.ones((64, 50)))

    def step(every: int | None) -> np.ndarray:
        w.grad = None
        before = budget.most = budget.used
        carry, _ = xg.scan(
            lambda h, x: (xg.tanh(h @ w + xg.sum(x)), None),
            xg.ones((10, 200)),
            xs,
            compiled=compiled,
            checkpoint_every=every,
        )
        xg.sum(carry).backward()
        most.append(budget.most - before)
        return w.grad.numpy()

    most: list[int] = []
    expected = step(None)
    np.testing.assert_allclose(step(8), expected, rtol=1e-10)
    assert most[1] < 0.7 * most[0]
    w.grad = None
    budget.limit = budget.used + int(0.8 * most[0])
    with pytest.raises(xg.OutOfMemoryError, match="checkpoint_every"):
        step(None)
    gc.collect()
    np.testing.assert_allclose(step(8), expected, rtol=1e-10)
