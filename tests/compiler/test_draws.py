"""Random numbers of other libraries are refused in traced functions, wherever the generator comes from."""

from __future__ import annotations

import random
import types
from collections.abc import Callable
from functools import partial, wraps
from random import gauss
from typing import Any

import numpy as np
import pytest
from numpy.random import normal

import xgrad as xg
from xgrad.compiler.draws import generators

DRAWING = np.random.default_rng(0)
OLD = np.random.RandomState(0)
MERSENNE = np.random.Generator(np.random.MT19937(0))
PYTHON = random.Random(0)
SEVERAL = [np.random.default_rng(1)]
MODULE = types.ModuleType("noises")
exec("import numpy as np\ndef noise():\n    return np.random.rand()\n", MODULE.__dict__)


def noise(x: Any) -> Any:
    return x * DRAWING.normal()


def shaken(x: Any) -> Any:
    return noise(x) + 1


class Shaking:
    def __init__(self) -> None:
        self.own = np.random.default_rng(1)
        self.factor = 2.0

    def noise(self, x: Any) -> Any:
        return x * self.own.normal()

    def __call__(self, x: Any) -> Any:
        return self.noise(x)

    def still(self, x: Any) -> Any:
        return x * self.factor


class Dropping(xg.nn.Module):
    def __init__(self) -> None:
        self.w = xg.ones(2)
        self.own = np.random.default_rng(1)

    def __call__(self, x: Any) -> Any:
        return self.w * x * (self.own.random() > 0.5)


def doubled(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def called(*args: Any) -> Any:
        return 2 * method(*args)

    return called


class Decorated:
    def __init__(self) -> None:
        self.own = np.random.default_rng(1)

    @doubled
    def __call__(self, x: Any) -> Any:
        return x * self.own.random()


SHAKING = Shaking()

DRAWS: dict[str, Callable[[Any], Any]] = {
    "np.random": lambda x: x * np.random.normal(),
    "np.random.rand": lambda x: x * np.random.rand(),
    "imported": lambda x: x * normal(),
    "random": lambda x: x * random.random(),
    "random.choice": lambda x: x * random.choice([1, 2]),
    "gauss": lambda x: x * gauss(0, 1),
    "Generator": lambda x: x * DRAWING.normal(),
    "RandomState": lambda x: x * OLD.randn(),
    "MT19937": lambda x: x * MERSENNE.normal(),
    "Random": lambda x: x * PYTHON.random(),
    "bit generator": lambda x: x * float(DRAWING.bit_generator.random_raw() % 7),
    "permutation": lambda x: x[DRAWING.permutation(2)],
    "called": shaken,
    "method": SHAKING.noise,
    "object": SHAKING,
    "attribute": lambda x: x * SHAKING.own.normal(),
    "model": Dropping(),
    "decorated method": Decorated(),
    "partial": partial(lambda r, x: x * r.normal(), DRAWING),
    "keyword": partial(lambda x, r: x * r.normal(), r=DRAWING),
    "default": lambda x, r=DRAWING: x * r.normal(),
    "list": lambda x: x * SEVERAL[0].normal(),
    "comprehension": lambda x: x * sum([DRAWING.normal() for _ in range(2)]),
    "module": lambda x: x * MODULE.noise(),
    "bound method": (lambda draw: lambda x: x * draw())(DRAWING.normal),
    "gradient": xg.grad(lambda x: xg.sum(noise(x))),
    "compiled": xg.compile(noise),
}

WAYS: dict[str, Callable[[Any], Any]] = {
    "scan": lambda f: xg.scan(lambda c, x: (c, f(x)), 0.0, np.ones((3, 2))),
    "segments": lambda f: xg.scan(lambda c, x: (c, f(x)), 0.0, np.ones((4, 2)), checkpoint_every=2),
    "compile": lambda f: xg.compile(f)(xg.ones(2)),
    "checkpoint": lambda f: xg.grad(lambda x: xg.sum(xg.checkpoint(f)(x)))(xg.ones(2)),
    "trace": lambda f: xg.trace(lambda x: f(x), xg.ones(2)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_refused(name: str, way: str) -> None:
    OLD.randn()  # the second normal number is cached, so the next draw does not change the state of the bits
    with pytest.raises(xg.TraceError, match=r":\d+: '.+' draws random numbers .* Draw them before.*xs"):
        WAYS[way](DRAWS[name])


def test_the_line_is_named() -> None:
    def step(c: Any, x: Any) -> Any:
        y = 2 * x
        return c, y * DRAWING.normal()

    line = step.__code__.co_firstlineno + 2
    with pytest.raises(xg.TraceError, match=rf"test_draws.py:{line}: 'DRAWING'"):
        xg.scan(step, 0.0, np.ones(3))


def test_each_step_draws_where_nothing_is_compiled() -> None:
    ys = xg.scan(lambda c, x: (c, noise(x)), 0.0, np.ones(5), compiled=False)[1]
    assert len(set(ys.numpy().tolist())) == 5


STILL: dict[str, Callable[[Any], Any]] = {
    "named alone": lambda x: x if DRAWING is not None else -x,
    "other method": SHAKING.still,
    "NumPy": lambda x: x * np.sqrt(2.0),
    "same seed": lambda x: x * np.random.default_rng(0).normal(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STILL)
def test_what_does_not_draw_is_not_refused(name: str, way: str) -> None:
    WAYS[way](STILL[name])


def test_nothing_is_looked_for_in_what_is_not_named() -> None:
    assert "own" in [name for _, _, name in generators(SHAKING.noise)]
    assert not generators(SHAKING.still)
    assert not generators(lambda x: xg.tanh(x) * 2)


def test_functions_that_call_each_other() -> None:
    def even(x: Any, k: int = 4) -> Any:
        return x if k == 0 else odd(x, k - 1)

    def odd(x: Any, k: int) -> Any:
        return noise(x) if k == 1 else even(x, k - 1)

    with pytest.raises(xg.TraceError, match="'DRAWING' draws"):
        xg.compile(odd)(xg.ones(2), 3)
    WAYS["scan"](lambda x: 2 * x)
