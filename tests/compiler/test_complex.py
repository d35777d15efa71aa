"""Complex numbers in compiled programs, compared with the engine.

Compiled programs split them into real and imaginary parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xgrad as xg
from xgrad.compiler.interpreter import interpret
from xgrad.compiler.ir import everything, is_complex
from xgrad.compiler.passes import optimise
from xgrad.compiler.verifier import verify
from xgrad.core.pytree import flatten

RNG = np.random.default_rng(0)
DTYPES = {"complex64": "float32", "complex128": "float64"}


def drawn(*shape: int, dtype: str = "complex128") -> np.ndarray:
    """Draw an array of complex or real numbers."""
    z = RNG.normal(size=shape)
    return (z + 1j * RNG.normal(size=shape) if dtype.startswith("complex") else z).astype(dtype)


@pytest.fixture(params=["0", "1"], ids=["NumPy", "native"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Select the executor; each plan is verified."""
    monkeypatch.setenv("XGRAD_NATIVE", request.param)
    monkeypatch.setenv("XGRAD_VERIFY", "1")
    return "native code" if request.param == "1" else "NumPy"


def alike(found: Any, wanted: Any) -> None:
    """Check that two trees have equal arrays, up to rounding."""
    for a, b in zip(*(map(np.asarray, flatten(z)[0]) for z in (found, wanted)), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        single = a.dtype in (np.complex64, np.float32)
        size = float(np.max(np.abs(b), initial=1))
        np.testing.assert_allclose(a, b, rtol=0, atol=(2e-5 if single else 1e-12) * size)


def put(x: Any, v: Any, key: Any) -> Any:
    """Return a copy with `v` at `key`."""
    x = +x
    x[key] = v
    return x


def products(x: Any, y: Any, r: Any) -> Any:
    m = xg.reshape(y, (4, 3))
    return x @ m, r @ m, x @ r.T, x[0] @ m, x @ m[:, 0], x[0] @ x[1], (1j * r) @ m, (1j * r) @ (2j * r).T


def mixed(x: Any, y: Any, r: Any) -> Any:
    return (
        x + r,
        r - x,
        x * r,
        r / x,
        x / r,
        r * 1j,
        2 - x,
        x / (1 + 2j),
        x**2,
        x**-1,
        x**0.5,
        2**x,
        x**r,
        r**x,
    )


#: Functions of complex x and y and a real r, all of shape (3, 4).
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "products": products,
    "stacks of products": lambda x, y, r: xg.stack([x, y]) @ xg.stack([y.T, r.T]),
    "mixed with real numbers": mixed,
    "parts": lambda x, y, r: (xg.real(x), xg.imag(y), xg.conj(x), xg.abs(x), xg.conj(r), xg.imag(r * 1j)),
    "sums": lambda x, y, r: (xg.sum(x), xg.sum(x, axis=0), xg.mean(y, axis=1, keepdims=True)),
    "variances": lambda x, y, r: (xg.var(x, axis=0), xg.std(y), xg.var(x, correction=1)),
    "views": lambda x, y, r: (x.T, xg.reshape(x, (2, 6)), x[1:, ::2], x[::-1], x[0, 1], x[None], x[..., 0]),
    "broadcast": lambda x, y, r: (xg.broadcast_to(x[0], (5, 4)), x[:, :1] * y[:1], x + y[0, 0]),
    "joined": lambda x, y, r: (xg.concat([x, r]), xg.stack([r, y], axis=1), xg.concat([x, y], axis=1)),
    "chosen": lambda x, y, r: (xg.where(r > 0, x, y), xg.where(r > 0, 1j, x), xg.where(x, r, 2.0)),
    "assigned": lambda x, y, r: (
        put(x, r[0], 0),
        put(y, 2 - 1j, (slice(None), 1)),
        put(x, 3, 0),
        put(x, y, ...),
    ),
    "cast": lambda x, y, r: (xg.astype(x, "complex64"), xg.astype(r, x.dtype), xg.astype(y, "bool")),
    "compared": lambda x, y, r: (x == y, x != x, x == r, xg.astype(r, x.dtype) == r, xg.isnan(x), x < y),
    "new": lambda x, y, r: (
        x + xg.ones((3, 4), dtype=x.dtype),
        xg.zeros(2, dtype=x.dtype),
        xg.full(2, 1 + 2j),
    ),
    "given back": lambda x, y, r: (x, x * 2, x * 2, y[0]),
    "gradients": lambda x, y, r: xg.grad(
        lambda x, r: xg.sum(xg.abs(xg.tanh(x * r) @ y.T) ** 2), argnums=(0, 1)
    )(x, r),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_what_it_is_eagerly(name: str, dtype: str, executor: str) -> None:
    x, y, r = drawn(3, 4, dtype=dtype), drawn(3, 4, dtype=dtype), drawn(3, 4, dtype=DTYPES[dtype])
    r = np.abs(r) + np.float32(0.5)
    f = xg.compile(FUNCTIONS[name])
    alike(f(x, y, r), FUNCTIONS[name](*map(xg.asarray, (x, y, r))))
    assert f.executable(x, y, r).kind == executor, f.executable(x, y, r).why
    assert executor in f.explain(x, y, r) or executor == "NumPy"


@pytest.mark.parametrize(
    "layout",
    [lambda x: x, np.asfortranarray, lambda x: x[::-1, ::2], lambda x: x.astype(">c16"), lambda x: x[:0]],
)
def test_inputs_that_lie_otherwise(layout: Any, executor: str) -> None:
    x = layout(drawn(4, 6))
    alike(xg.compile(lambda x: (x * 2j, xg.sum(x)))(x), (np.asarray(x) * 2j, np.sum(x)))


def test_a_number_without_axes(executor: str) -> None:
    assert complex(xg.compile(lambda x: xg.exp(x))(xg.asarray(1j))) == pytest.approx(np.exp(1j), rel=1e-14)


def test_outputs_are_memory_of_their_own(executor: str) -> None:
    x = drawn(5)
    f = xg.compile(lambda x: (x, x[1:], xg.conj(x)))
    first = f(x)
    found = [np.array(z) for z in first]
    f(x * 2)
    x[...] = 0
    for z, before in zip(first, found):
        np.testing.assert_array_equal(np.asarray(z), before)


def test_what_takes_complex_numbers_as_a_whole_is_called(executor: str) -> None:
    f = xg.compile(lambda x: xg.fft.fft(x * 2) + 1)
    x = drawn(600)
    alike(f(x), np.fft.fft(x * 2) + 1)
    assert f.executable(x).kind == executor
    assert "'fft' of (600,)" in f.explain(x)
    program = optimise(f.program(x))
    verify(program)
    at = [s.op for s in program.stages]  # type: ignore[union-attr]
    assert at.index("complex") < at.index("fft") < at.index("real", at.index("fft"))
    alike(interpret(program, xg.current_device(), [x]), [np.fft.fft(x * 2) + 1])


def test_complex_values_are_left_at_the_edges_alone() -> None:
    program = optimise(xg.compile(lru_loss).program(*lru_arguments("complex128")))
    verify(program)
    for s in everything(program.stages):
        if any(map(is_complex, s.outputs)):
            raise AssertionError(f"{s}")
        assert not any(map(is_complex, s.values)) or s.op in ("real", "imag")


def test_real_programs_are_left_alone() -> None:
    from xgrad.compiler.passes.split_complex import split_complex

    program = xg.trace(lambda x: xg.tanh(x) @ x, drawn(3, 3, dtype="float64"))
    assert split_complex(program) is program


def test_truths_of_what_is_not_finite(executor: str) -> None:
    parts = np.array([0.0, -1.0, np.inf, -np.inf, np.nan])
    z = np.empty((5, 5), complex)
    z.real, z.imag = parts[:, None], parts
    x, y = z.reshape(-1, 1), z.reshape(-1)

    def truths(x: Any, y: Any) -> Any:
        return x < y, x <= y, x > y, x >= y, x == y, x != y, xg.isnan(x), xg.isinf(x), xg.isfinite(x)

    with np.errstate(invalid="ignore"):
        both = zip(xg.compile(truths)(x, y), truths(xg.asarray(x), xg.asarray(y)))
    for found, wanted in both:
        np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


# Loops


def lru(P: Any, x: Any, u: Any) -> Any:
    """A linear recurrent unit.

    A. Orvieto and others, Resurrecting recurrent neural networks for long sequences, 2023.
    """
    decay = xg.exp(-xg.exp(P["nu"]) + 1j * P["theta"])
    x = decay * x + u @ P["B"]
    return x, xg.real(x @ P["C"])


def lru_arguments(dtype: str) -> tuple[Any, ...]:
    T, B, I, H, real = 5, 2, 3, 4, DTYPES[dtype]
    P = {"nu": drawn(H, dtype=real), "theta": drawn(H, dtype=real)}
    P |= {"B": drawn(I, H, dtype=dtype), "C": drawn(H, I, dtype=dtype)}
    return P, drawn(B, H, dtype=dtype), drawn(T, B, I, dtype=real)


def lru_loss(P: Any, x: Any, us: Any, **options: Any) -> Any:
    last, ys = xg.scan(lambda x, u: lru(P, x, u), x, us, **options)
    return xg.sum(ys**2) + xg.sum(xg.abs(last))


def _derivatives(loss: Any, P: Any, x: Any, us: Any) -> dict[str, Callable[[], Any]]:
    args = tuple(xg.asarray(v) for v in (*P.values(), x, us))

    def flat(*v: Any) -> Any:
        return loss(dict(zip(P, v)), *v[len(P) :])

    return {
        "value": lambda: flat(*args),
        "grad": lambda: xg.grad(flat, argnums=tuple(range(len(args))))(*args),
        "jvp": lambda: xg.jvp(flat, args, args),
        "hvp": lambda: xg.hvp(lambda v: flat(*v), (args,), (args,)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["value", "grad", "jvp", "hvp"])
@pytest.mark.parametrize("options", [{}, {"checkpoint_every": 2}, {"reverse": True}], ids=str)
def test_derivatives_of_a_linear_recurrent_unit(kind: str, dtype: str, options: Any, executor: str) -> None:
    P, x, us = lru_arguments(dtype)
    fast = _derivatives(lambda *a: lru_loss(*a, **options), P, x, us)[kind]
    plain = {k: v for k, v in options.items() if k == "reverse"}
    wanted = _derivatives(lambda *a: lru_loss(*a, compiled=False, **plain), P, x, us)[kind]()
    alike(fast(), wanted)
    alike(xg.compile(fast)(), wanted)


def step(c: Any, x: Any) -> Any:
    """A step with a complex, a real and a mixed carry.

    One carry starts as a plain number, and one is passed on unchanged.
    """
    h, k, z, same = c
    h = h * xg.exp(1j * k) + x * z
    return (h, k + xg.abs(h), h - z, same), (h, xg.real(z), same, 2.5j + xg.zeros(3, dtype=h.dtype))


@pytest.mark.parametrize("length", [0, 1, 4])
@pytest.mark.parametrize("reverse", [False, True])
def test_what_loops_carry_read_and_write(length: int, reverse: bool, executor: str) -> None:
    init, xs = (drawn(3), drawn(3, dtype="float64"), np.zeros(3, complex), drawn(3)), drawn(length, 3)
    run = lambda init, xs, **options: xg.scan(step, init, xs, reverse=reverse, **options)
    wanted = run(init, xs, compiled=False)
    alike(run(init, xs), wanted)
    f = xg.compile(run)
    alike(f(init, xs), wanted)
    assert f.executable(init, xs).kind == executor


def test_loops_inside_of_loops(executor: str) -> None:
    def outer(c: Any, x: Any, **options: Any) -> Any:
        d, ys = xg.scan(lambda d, y: (d * y + c, xg.conj(d)), x, xg.stack([c, x]), **options)
        return d / (2 + xg.abs(d)), xg.sum(ys, axis=0)

    c, xs = drawn(3), drawn(4, 3)
    wanted = xg.scan(lambda c, x: outer(c, x, compiled=False), c, xs, compiled=False)
    alike(xg.compile(lambda c, xs: xg.scan(outer, c, xs))(c, xs), wanted)


def test_a_scan_that_is_not_compiled_knows_complex_numbers() -> None:
    """Short scans are interpreted with complex numbers, without splitting them into parts."""
    ran: list[str] = []
    c, xs = drawn(3), drawn(2, 3)
    f = lambda c, x: (ran.append("") or c * x, c)  # type: ignore[func-returns-value]
    alike(xg.scan(f, c, xs), xg.scan(f, c, xs, compiled=False))


# Random expressions

UNARY = "exp sin cos tanh sqrt log square conj abs real imag sinh cosh neg asinh atan sigmoid".split()
BINARY = "+ - * /".split()
expressions = st.recursive(
    st.sampled_from(["x", "y", "r", 2.0, 1 - 2j, 1j]),
    lambda parts: st.one_of(
        st.tuples(st.sampled_from(UNARY), parts), st.tuples(st.sampled_from(BINARY), parts, parts)
    ),
    max_leaves=8,
)


def evaluated(e: Any, known: dict[str, Any]) -> Any:
    """Return the value of an expression, scaled to a magnitude of about 1."""
    if not isinstance(e, tuple):
        return known.get(e, e) if isinstance(e, str) else xg.asarray(e)
    op, *args = e
    values = [evaluated(a, known) for a in args]
    if op in BINARY:
        a, b = values
        return {"+": a + b, "-": a - b, "*": a * b}[op] if op != "/" else a / (3 + xg.abs(b))
    if op in ("exp", "sin", "cos", "sinh", "cosh"):
        values = [values[0] / (1 + xg.abs(values[0]))]
    if op in ("sqrt", "log", "asinh", "atan"):  # away from branch cuts
        values = [2.5 + 0.5j + values[0] / (1 + xg.abs(values[0]))]
    return -values[0] if op == "neg" else getattr(xg, op)(*values)


@settings(max_examples=25, deadline=None)
@given(e=expressions, dtype=st.sampled_from(list(DTYPES)))
def test_random_expressions(e: Any, dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, y = ((rng.normal(size=s) + 1j * rng.normal(size=s)).astype(dtype) for s in ((2, 3), (3,)))
    known = {"x": x, "y": y, "r": rng.normal(size=(2, 1)).astype(DTYPES[dtype])}
    f = lambda known: evaluated(e, known) + 0 * known["x"]
    wanted = np.asarray(f({k: xg.asarray(v) for k, v in known.items()}))
    found = np.asarray(xg.compile(f)(known))
    assert found.dtype == wanted.dtype
    bound = 1e-3 if dtype == "complex64" else 1e-10
    if not np.isfinite(wanted).all() or np.abs(wanted).max() > 1e6:
        return
    np.testing.assert_allclose(found, wanted, rtol=0, atol=bound * max(1, np.abs(wanted).max()))
