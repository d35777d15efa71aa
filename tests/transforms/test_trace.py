"""Functions as programs, and their backward pass written down."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.counting import calls_made
from tests.helpers.programs import numpy_names
from xgrad.compiler.printing.listing import listing
from xgrad.core import pytree
from xgrad.transforms.derivation import derive
from xgrad.transforms.tracing import trace

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


def gru_step(W_zh: Any, W_zx: Any, W_rh: Any, W_rx: Any, W_h: Any, W_x: Any, h: Any, x_t: Any) -> Any:
    z_t = xg.sigmoid(W_zh @ h + W_zx @ x_t)
    r_t = xg.sigmoid(W_rh @ h + W_rx @ x_t)
    h_tilde = xg.tanh(W_h @ (r_t * h) + W_x @ x_t)
    return (1 - z_t) * h + z_t * h_tilde


STEP = tuple(normal(*shape) for shape in [(3, 3), (3, 2)] * 3 + [(3, 4), (2, 4)])


def lines(text: str) -> list[str]:
    """Return the lines with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_gru_step_as_the_notes_write_it() -> None:
    assert lines(listing(trace(gru_step, *STEP)))[8:] == [
        "z1 = W_zh @ h (3, 4) float64",
        "z2 = W_zx @ x_t (3, 4) float64",
        "z3 = z1 + z2 (3, 4) float64",
        "z_t = sigmoid(z3) (3, 4) float64",
        "z5 = W_rh @ h (3, 4) float64",
        "z6 = W_rx @ x_t (3, 4) float64",
        "z7 = z5 + z6 (3, 4) float64",
        "r_t = sigmoid(z7) (3, 4) float64",
        "z9 = r_t * h (3, 4) float64",
        "z10 = W_h @ z9 (3, 4) float64",
        "z11 = W_x @ x_t (3, 4) float64",
        "z12 = z10 + z11 (3, 4) float64",
        "h_tilde = tanh(z12) (3, 4) float64",
        "z14 = 1 - z_t (3, 4) float64",
        "z15 = z14 * h (3, 4) float64",
        "z16 = z_t * h_tilde (3, 4) float64",
        "z17 = z15 + z16 (3, 4) float64",
        "return z17",
    ]


def test_its_backward_pass_as_the_notes_write_it() -> None:
    assert lines(derive(gru_step, *STEP).backward)[:10] == [
        "# dz17 is given: (3, 4) float64",
        'dz15, dz16 = deriv(dz17, z15, z16, "+") # (3, 4) float64, (3, 4) float64',
        'dz_t, dh_tilde = deriv(dz16, z_t, h_tilde, "*") # (3, 4) float64, (3, 4) float64',
        'dz14, dh = deriv(dz15, z14, h, "*") # (3, 4) float64, (3, 4) float64',
        'ret = deriv(dz14, 1, z_t, "-")',
        "dz_t += ret[1]",
        'dz12 = deriv(dh_tilde, z12, None, "tanh")[0] # (3, 4) float64',
        'dz10, dz11 = deriv(dz12, z10, z11, "+") # (3, 4) float64, (3, 4) float64',
        'dW_x, dx_t = deriv(dz11, W_x, x_t, "@") # (3, 2) float64, (2, 4) float64',
        'dW_h, dz9 = deriv(dz10, W_h, z9, "@") # (3, 3) float64, (3, 4) float64',
    ]


def test_its_rules_written_out() -> None:
    text = lines(derive(gru_step, *STEP, inline=True).backward)
    assert "dz12 = dh_tilde * (1 - h_tilde * h_tilde) # (3, 4) float64" in text
    assert "dW_x = dz11 @ x_t.T # (3, 2) float64" in text
    assert "dz_t += -dz14" in text
    assert "dz7 = dr_t * ((1 - r_t) * r_t) # (3, 4) float64" in text


def test_a_scan_has_its_body_below_it() -> None:
    def f(W: Any, h0: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h_new = xg.tanh(W @ h + x)
            return h_new, h_new

        h, ys = xg.scan(step, h0, xs, reverse=True)
        return h, ys

    program = trace(f, normal(3, 3), normal(3), normal(7, 3))
    assert lines(listing(program))[3:] == [
        "h, ys = scan over t = 6, ..., 0: (3,) float64, (7, 3) float64",
        "h_2 = h0 at first, then h_new (3,) float64",
        "x = xs[t] (3,) float64",
        "z1 = W @ h_2 (3,) float64",
        "z2 = z1 + x (3,) float64",
        "h_new = tanh(z2) (3,) float64",
        "ys[t] = h_new",
        "h = h_new of the last step",
        "return h, ys",
    ]
    text = str(derive(lambda *a: xg.sum(f(*a)[1]), normal(3, 3), normal(3), normal(7, 3)))
    assert "for t in reversed(range(7)):" in text
    assert "for t in range(7):" in text.partition("# backward")[2]
    assert any(line.startswith("da2[t] = ") for line in lines(text))


def test_how_stages_are_written() -> None:
    def f(x: Any, i: Any) -> Any:
        a = x[0:1, ..., None]
        b = x[i] + xg.zeros((2,), dtype=xg.float32) * -2.0
        c = xg.concat([b, b.T], axis=1) ** 2
        return a, c, xg.sum(x, axis=0), -xg.transpose(x[None], (2, 0, 1)), xg.astype(x, xg.float32)

    text = lines(listing(trace(f, normal(2, 2), np.array([1, 0]))))
    for line in [
        "a = x[0:1, ..., None] (1, 2, 1) float64",
        "z2 = x[i] (2, 2) float64",
        "z3 = zeros((2,), dtype='float32') (2,) float32",
        "z4 = z3 * -2.0 (2,) float32",
        "z6 = b.T (2, 2) float64",
        "z7 = concat((b, z6), axis=1) (2, 4) float64",
        "c = z7 ** 2 (2, 4) float64",
        "z9 = sum(x, axis=0) (2,) float64",
        "z11 = transpose(z10, axes=(2, 0, 1)) (2, 1, 2) float64",
        "z13 = astype(x, 'float32') (2, 2) float32",
    ]:
        assert line in text, "\n".join(text)


def test_inputs_have_their_names() -> None:
    c, other = xg.tensor([1.0, 2.0], requires_grad=True, name="c"), normal(2)
    program = trace(lambda w, *xs: w["a"] * xs[0] + xs[1] * c + xg.asarray(other), {"a": 1.0}, normal(2), 2.0)
    assert [v.name for v in program.inputs] == ["w['a']", "xs0", "xs1", "c", "x5"]
    assert trace(lambda x: x, 1.0).outputs == trace(lambda x: x, 2.0).inputs
    with pytest.raises(TypeError, match="argument"):
        trace(lambda x: x, 1.0, 2.0)


def test_a_program_is_data() -> None:
    def f(h: Any, xs: Any, i: Any) -> Any:
        return xg.scan(lambda c, x: (c * x, xg.sum(c[1:])), h, xs)[1][i].astype(xg.float32)

    args = normal(2), normal(5, 2), np.array([1, 0])
    for g in (f, xg.grad(lambda *a: xg.sum(f(*a)), argnums=(0, 1))):
        program = trace(g, *args)
        assert pickle.loads(pickle.dumps(program)) == program
        assert trace(g, *args) == program
        assert trace(g, args[0], normal(6, 2), args[2]) != program


def test_the_rules_of_a_gradient_are_stages() -> None:
    text = lines(listing(trace(xg.grad(lambda x: xg.sum(xg.tanh(x))), normal(3))))
    assert "z1 = tanh(x) (3,) float64" in text
    assert any(line.endswith("= 1 - z5 (3,) float64") for line in text), text


def test_many_stages_take_linear_time() -> None:
    def chain(length: int) -> Any:
        def f(x: Any) -> Any:
            for _ in range(length):
                x = xg.tanh(x)
            return x

        return trace(f, normal(2))

    short, long = chain(500), chain(2000)
    assert len(listing(long).splitlines()) == 2002
    assert calls_made(listing, long) < 5 * calls_made(listing, short)


def weigh(x: Any, y: Any) -> Any:
    return xg.sum(xg.where(x > 0, x * y, xg.exp(x)) * xg.concat([x[:2], y[2:]], axis=0))


SCALARS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "gru": (lambda *a: xg.sum(gru_step(*a) ** 2), STEP),
    "same": (lambda x: xg.sum(x * x + x), (normal(3),)),
    "weigh": (weigh, (normal(4), normal(4))),
    "spread": (
        lambda x, y: xg.mean((x - 2 * y) / (1 + x * x)) + xg.max(x) * xg.min(y),
        (normal(3), normal(2, 3)),
    ),
    "classes": (lambda W, x: -xg.sum(xg.log(xg.softmax(W @ x))) + xg.logsumexp(W), (normal(4, 3), normal(3))),
    "gathered": (
        lambda W, i: xg.sum(xg.take(W, i, axis=0) * W[i, 1:2] ** 3),
        (normal(4, 3), np.array([1, 1, 0])),
    ),
    "shapes": (
        lambda x: xg.sum(xg.reshape(x.T, (-1,)) * xg.reshape(xg.broadcast_to(x[0], (2, 3)), (6,))),
        (normal(2, 3),),
    ),
    "stacked": (lambda x, y: xg.sum(xg.stack([x, y, x], axis=1) @ x[:3]), (normal(3), normal(3))),
    "named": (lambda w, x: xg.sum(w["a"] * x) * w["b"][0], ({"a": normal(3), "b": [2.0]}, normal(3))),
    "unused": (lambda x, y: xg.sum(xg.relu(x)), (normal(3), normal(2))),
    "powers": (
        lambda x, y: xg.sum((-x) ** 2 - (x - y) - (y - 1.0) ** 3 * xg.abs(x) ** y),
        (normal(3), normal(3)),
    ),
    "identity": (lambda x: x, (2.0,)),
}


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("name", SCALARS)
def test_the_lines_give_the_gradient(name: str, inline: bool) -> None:
    f, args = SCALARS[name]
    derivation = derive(f, *args, inline=inline)
    here: dict[str, Any] = numpy_names()
    floating = [i for i, v in enumerate(args) if not (hasattr(v, "dtype") and v.dtype.kind == "i")]
    for v, leaf in zip(derivation.forward.inputs, pytree.flatten(args)[0], strict=True):
        stem = v.name.partition("[")[0]
        if stem != v.name:
            here.setdefault(stem, {"b": {}})
            here.setdefault(f"d{stem}", {"b": {}})
        here["leaf"] = np.asarray(leaf)
        exec(f"{v.name} = leaf", here)
    before = [np.array(leaf) for leaf in pytree.flatten(args)[0]]
    with np.errstate(invalid="ignore"):  # `deriv` also computes the gradient of an exponent that is a number
        exec(str(derivation), here)
    expected = xg.grad(f, argnums=tuple(floating))(*args)
    leaves = pytree.flatten(expected)[0]
    inputs = [v for v in derivation.forward.inputs if v.dtype.startswith("float")]
    for v, g in zip(inputs, leaves, strict=True):
        np.testing.assert_allclose(
            eval(f"d{v.name}", here), g.numpy(), rtol=1e-12, atol=1e-14, err_msg=str(derivation)
        )
    for a, b in zip(before, pytree.flatten(args)[0], strict=True):
        np.testing.assert_array_equal(a, b)


def branch(t: Any) -> Any:
    if t > 0:
        return t
    return -t


def repeat(t: Any) -> Any:
    while t > 0:
        t = t - 1
    return t


ASKING = [
    branch,
    repeat,
    float,
    int,
    complex,
    lambda t: t.item(),
    lambda t: list(range(t)),
    lambda t: t.numpy(),
    lambda t: f"{t:.1f}",
]


@pytest.mark.parametrize("ask", ASKING)
@pytest.mark.parametrize(
    "how", [lambda f, x: trace(f, x), lambda f, x: trace(xg.grad(f), x), lambda f, x: derive(f, x)]
)
def test_a_value_that_is_asked_for(ask: Any, how: Any) -> None:
    def f(x: Any) -> Any:
        return ask(x * 2)

    with pytest.raises(
        xg.TraceError, match=r"test_trace\.py:\d+: the code needs the value of a Tensor of shape \(\)"
    ):
        how(f, 2.0)


def test_errors_of_several_elements() -> None:
    for f in (lambda x: x.numpy(), np.asarray, lambda x: [float(v) for v in x], branch):
        with pytest.raises(xg.TraceError, match=r"test_trace\.py"):
            trace(f, normal(3))


def test_an_array_librarys_own_code_is_not_the_users_line() -> None:
    def f(x: xg.Tensor) -> object:
        return np.vectorize(lambda v: v)(x)

    with pytest.raises(xg.TraceError, match=r"test_trace\.py:\d+"):
        xg.compile(f)(xg.ones(3))
