"""Philox: the published numbers of the cipher, distributions, and new numbers in loops and compiled code."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import xgrad as xg
from xgrad.random.philox import philox4x32

#: Counters, keys and results that J. Salmon et al. publish with their reference implementation, Random123.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> Any:
    return tuple(xg.asarray(int(word, 16), dtype=xg.uint64) for word in text.split())


def plain(key: int, block: int) -> list[int]:
    """One block of Philox4x32-10 in Python's integers."""
    c, k = [block % 2**32, block >> 32, 0, 0], [key % 2**32, key >> 32]
    for _ in range(10):
        p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [q >> 32 ^ c[1] ^ k[0], q % 2**32, p >> 32 ^ c[3] ^ k[1], p % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_cipher_gives_the_published_words(counter: str, key: str, expected: str, device: str) -> None:
    found = philox4x32(words(counter), words(key))
    assert " ".join(f"{word.item():08x}" for word in found) == expected


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 10))
def test_uniform_numbers_are_blocks_in_order(key: int, position: int) -> None:
    rng = xg.random.philox(0)
    rng.state = {"bit_generator": "Philox4x32-10", "key": str(key), "position": str(position)}
    blocks = np.array([plain(key, position + i) for i in range(3)], dtype="uint64")
    small = rng.random(10, dtype="float32").numpy()
    np.testing.assert_array_equal(small, ((blocks.T.ravel() >> 8) * 2.0**-24).astype("float32")[:10])
    rng.state = {**rng.state, "position": str(position)}
    pairs = blocks.reshape(3, 2, 2)
    large = (pairs[..., 0] << np.uint64(32) | pairs[..., 1]).T.ravel() >> np.uint64(11)
    np.testing.assert_array_equal(rng.random(6).numpy(), large * 2.0**-53)
    assert rng.position.item() == position + 3


#: Methods, their arguments, and the distribution of the numbers in SciPy.
DISTRIBUTIONS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "random": ((), stats.uniform()),
    "uniform": ((-1.0, 3.0), stats.uniform(-1, 4)),
    "standard_normal": ((), stats.norm()),
    "normal": ((1.0, 2.0), stats.norm(1, 2)),
    "lognormal": ((0.5, 0.25), stats.lognorm(0.25, scale=np.exp(0.5))),
    "standard_exponential": ((), stats.expon()),
    "exponential": ((2.0,), stats.expon(scale=2)),
    "laplace": ((1.0, 2.0), stats.laplace(1, 2)),
    "logistic": ((1.0, 2.0), stats.logistic(1, 2)),
    "gumbel": ((1.0, 2.0), stats.gumbel_r(1, 2)),
    "standard_cauchy": ((), stats.cauchy()),
    "pareto": ((3.0,), stats.lomax(3)),
    "weibull": ((2.0,), stats.weibull_min(2)),
    "rayleigh": ((2.0,), stats.rayleigh(scale=2)),
    "triangular": ((-1.0, 0.5, 2.0), stats.triang(0.5, -1, 3)),
    "truncated_normal": ((0.0, 2.0), stats.truncnorm(0, 2)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions(name: str, dtype: str) -> None:
    args, expected = DISTRIBUTIONS[name]
    drawn = getattr(xg.random.philox(7), name)(*args, size=20_000, dtype=dtype)
    assert drawn.dtype == dtype
    assert np.isfinite(drawn.numpy()).all()
    assert stats.kstest(drawn.numpy().astype("float64"), expected.cdf).pvalue > 1e-3


def test_choices_and_permutations() -> None:
    rng = xg.random.philox(3)
    drawn = rng.integers(-3, 4, size=70_000).numpy()
    assert stats.chisquare(np.bincount(drawn + 3, minlength=7)).pvalue > 1e-3
    p = np.array([0.5, 0.0, 0.3, 0.2])
    counts = np.bincount(rng.choice(4, 50_000, p=p).numpy(), minlength=4)
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3]], 50_000 * p[[0, 2, 3]]).pvalue > 1e-3
    firsts = np.bincount([rng.choice(4, 2, replace=False, p=p)[0].item() for _ in range(600)], minlength=4)
    assert firsts[1] == 0
    assert stats.chisquare(firsts[[0, 2, 3]], 600 * p[[0, 2, 3]]).pvalue > 1e-3
    assert sorted(rng.permutation(50).numpy().tolist()) == list(range(50))
    for axis in (0, 1, -1):
        x = np.arange(12).reshape(3, 4)
        found = rng.permuted(x, axis=axis).numpy()
        np.testing.assert_array_equal(np.sort(found, axis=axis), x)
    assert rng.bernoulli(0.3, 40_000).numpy().mean() == pytest.approx(0.3, abs=0.01)
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    counts = np.bincount(rng.categorical(logits, size=(50_000,)).numpy(), minlength=3)
    assert stats.chisquare(counts, 50_000 * np.array([0.5, 0.3, 0.2])).pvalue > 1e-3


def test_what_it_cannot_draw_is_refused() -> None:
    rng = xg.random.philox(0)
    with pytest.raises(NotImplementedError, match=r"no standard_gamma.*default_rng"):
        rng.gamma(2.0)
    with pytest.raises(ValueError, match="scale must be at least 0"):
        rng.normal(0.0, -1.0)
    with pytest.raises(ValueError, match="not of Philox"):
        rng.state = {"bit_generator": "PCG64"}
    assert rng.position.item() == 0


def test_it_is_saved_copied_and_spawned(device: str) -> None:
    rng = xg.random.philox(5)
    rng.normal(size=3)
    copies = [copy.deepcopy(rng), pickle.loads(pickle.dumps(rng)), xg.random.philox(0)]
    copies[2].state = json.loads(json.dumps(rng.state))
    expected = rng.normal(size=4).numpy()
    for twin in copies:
        np.testing.assert_array_equal(twin.normal(size=4).numpy(), expected)
    a, b = rng.spawn(2)
    c, d = rng.spawn(2)
    assert len({x.random().item() for x in (a, b, c, d, rng)}) == 5
    assert xg.random.philox([1, 2]).key.item() != xg.random.philox([2, 1]).key.item()


def noisy(h: Any, x: Any, rng: Any) -> Any:
    return xg.tanh(h) * (rng.random(h.shape) < 0.7) + x * rng.normal()


def loop(h: Any, xs: Any, rng: Any) -> Any:
    """Each step in turn: what every way below has to equal."""
    for x in xs:
        h = noisy(h, x, rng)
    return xg.sum(h)


def carried(h: Any, xs: Any, rng: Any) -> Any:
    def body(carry: Any, x: Any) -> Any:
        h, rng = carry
        return (noisy(h, x, rng), rng), None

    (h, after), _ = xg.scan(body, (h, rng), xs)
    rng.state = after.state
    return xg.sum(h)


def closed_over(h: Any, xs: Any, rng: Any, **options: Any) -> Any:
    return xg.sum(xg.scan(lambda h, x: (noisy(h, x, rng), None), h, xs, **options)[0])


WAYS: dict[str, Callable[..., Any]] = {
    "in the carry": carried,
    "closed over": closed_over,
    "plainly": lambda h, xs, rng: closed_over(h, xs, rng, compiled=False),
    "checkpoints": lambda h, xs, rng: closed_over(h, xs, rng, checkpoint_every=2),
    "checkpointed steps": lambda h, xs, rng: xg.sum(
        xg.scan(lambda h, x: (xg.checkpoint(noisy)(h, x, rng), None), h, xs)[0]
    ),
    "a checkpointed loop": xg.checkpoint(loop),
    "compiled": xg.compile(loop),
    "compiled scan": xg.compile(closed_over),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_step_and_call_draws_anew(way: str, device: str) -> None:
    h, xs = xg.asarray([0.5, -1.0, 2.0]), xg.asarray([[0.1], [0.2], [-0.3], [0.4], [0.5]])
    ours, theirs = xg.random.philox(11), xg.random.philox(11)
    for _ in range(2):  # the second call goes on where the first ended
        for x, y in zip(
            xg.value_and_grad(WAYS[way])(h, xs, ours), xg.value_and_grad(loop)(h, xs, theirs), strict=True
        ):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-12)
        assert ours.position.item() == theirs.position.item()


def test_a_compiled_gradient_of_a_module_with_dropout(device: str) -> None:
    model = xg.nn.Linear(3, 2, dtype=xg.float64)
    x = xg.ones((4, 3))

    def loss(model: Any, x: Any, rng: Any) -> Any:
        return xg.sum(model(x * (rng.random(x.shape) < 0.5)) ** 2)

    step, rng, twin = xg.compile(xg.value_and_grad(loss)), xg.random.philox(1), xg.random.philox(1)
    values = []
    for _ in range(3):
        value, gradient = step(model, x, rng)
        expected, by_op = xg.value_and_grad(loss)(model, x, twin)
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-12)
        np.testing.assert_allclose(gradient.weight.numpy(), by_op.weight.numpy(), rtol=1e-12)
        values.append(value.item())
    assert len(set(values)) == 3


def test_compile_refuses_one_that_it_does_not_get_as_an_argument(device: str) -> None:
    rng = xg.random.philox(1)
    with pytest.raises(xg.TraceError, match="passed as an argument"):
        xg.compile(lambda x: x * rng.normal())(xg.ones(2))
    assert rng.position.item() == 0
