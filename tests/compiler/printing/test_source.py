"""Programs written out as NumPy code: run without xgrad, and compared with the engine."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad import namespace
from xgrad.compiler.printing.source import source
from xgrad.core import pytree
from xgrad.namespace.calling import call
from xgrad.ops import OPS
from xgrad.transforms.tracing import trace

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


def gru(W_z: Any, W_r: Any, W_h: Any, h0: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        z_t = xg.sigmoid(W_z @ h + x)
        r_t = xg.sigmoid(W_r @ h + x)
        h_tilde = xg.tanh(W_h @ (r_t * h) + x)
        h_new = (1 - z_t) * h + z_t * h_tilde
        return h_new, h_new

    return xg.scan(step, h0, xs)


def nested(h: Any, xs: Any) -> Any:
    def outer(h: Any, row: Any) -> Any:
        h, ys = xg.scan(lambda c, x: (xg.sin(c) * x, c * x), h, row, reverse=True)
        return h, xg.sum(ys)

    return xg.scan(outer, h, xs)


def assigned(x: Any, v: Any, i: Any) -> Any:
    z = x * 2
    z[1:3] = v
    z[i] = v[0]
    return z * x


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "gru": (gru, (normal(3, 3), normal(3, 3), normal(3, 3), normal(3, 2), normal(7, 3, 2))),
    "gru_backward": (
        xg.grad(lambda *a: xg.sum(gru(*a)[1]), argnums=(0, 4)),
        (normal(3, 3), normal(3, 3), normal(3, 3), normal(3, 2), normal(4, 3, 2)),
    ),
    "nested": (nested, (normal(2), normal(3, 4, 2))),
    "no_steps": (lambda h, xs: xg.scan(lambda c, x: (c * x, c + x), h, xs), (normal(2), normal(0, 2))),
    "arithmetic": (lambda x, y: -(x - y) * x / (y * y + 1) ** 2 - 2**x, (normal(3), normal(2, 3))),
    "power": (lambda x, y: x**y + (-2.0) * y**3, (abs(normal(3)), normal(3))),
    "product": (lambda A, x, B: (A @ x, B @ A, x @ A), (normal(3, 3), normal(3), normal(2, 4, 3))),
    "functions": (
        lambda x: xg.exp(x) + xg.expm1(x) * xg.log(x) + xg.log1p(x) - xg.sqrt(x) * xg.cos(x) + xg.abs(x),
        (abs(normal(4)),),
    ),
    "gates": (
        lambda x: (
            xg.sigmoid(x),
            xg.relu(x),
            xg.softmax(x, axis=0),
            xg.logsumexp(x, axis=1),
            xg.logsumexp(x),
        ),
        (normal(3, 4),),
    ),
    "choice": (
        lambda x, y: (
            xg.maximum(x, y) * xg.minimum(x, 0.0) + xg.where(x > y, x, 2 * y) * xg.sign(x) + xg.floor(y)
        ),
        (normal(5), normal(5)),
    ),
    "reductions": (
        lambda x: (
            xg.sum(x, axis=0, keepdims=True),
            xg.mean(x),
            xg.max(x, axis=1),
            xg.min(x),
            xg.argmax(x, axis=0),
        ),
        (normal(3, 4),),
    ),
    "shapes": (
        lambda x: (
            x.T @ x,
            xg.reshape(x, (-1,)),
            xg.transpose(x[None], (2, 0, 1)),
            xg.broadcast_to(x[:, :1], (3, 5)),
        ),
        (normal(3, 4),),
    ),
    "joined": (
        lambda x, y: (xg.concat([x, y], axis=1), xg.stack([x, x * x], axis=1), xg.unstack(y)),
        (normal(2, 3), normal(2, 3)),
    ),
    "index": (
        lambda x, i: (x[1:, ::2], x[..., 0], x[i], x[0, i], xg.take(x, i, axis=1)),
        (normal(3, 4), np.array([0, 2, 2])),
    ),
    "assigned": (assigned, (normal(4), normal(2), np.array([0, 0]))),
    "scattered": (
        lambda x, i: (
            namespace.scatter(x, key=(i,), shape=(5,)) * 2 + namespace.untake(x, i, axis=0, shape=(5,))
        ),
        (normal(3), np.array([4, 1, 1])),
    ),
    "new": (
        lambda x: x * xg.ones((3,)) + xg.arange(3) + xg.full((2, 3), 1.5) @ xg.eye(3) + xg.zeros_like(x),
        (normal(3),),
    ),
    "dtypes": (
        lambda x, y: (x * y, xg.astype(x, xg.float64) + 1, (x * 3).astype(xg.int32) + 1, x > 0),
        (normal(3).astype("float32"), normal(3).astype("float32")),
    ),
    "complex": (
        lambda x: (xg.real(x * x), xg.imag(x), xg.conj(x) * (1 + 2j), xg.abs(x)),
        (normal(3) + 1j * normal(3),),
    ),
    "named": (
        lambda params, x: params["a"] * x + params["a b"][0],
        ({"a": normal(2), "a b": [normal(2)]}, normal(2)),
    ),
    "second": (xg.grad(lambda x: xg.sum(xg.grad(lambda x: xg.sum(xg.tanh(x) ** 3))(x) ** 2)), (normal(3),)),
    "no_gradient": (lambda i: i + 1, (np.arange(3),)),
    "reversed": (
        lambda xs: xg.scan(lambda c, x: (c + x * c, None), xs[0], xs, reverse=True)[0],
        (normal(5),),
    ),
}

RUN = """
import pickle, sys
import numpy as np
tasks, found = pickle.load(sys.stdin.buffer), {}
for name, (text, inputs, dz) in tasks.items():
    module = {}
    exec(compile(text, name, "exec"), module)
    z, saved = module["forward"](*inputs)
    gradients = module["backward"](saved, *dz) if "backward" in module else ()
    found[name] = (z if isinstance(z, tuple) else (z,)), gradients
assert not [m for m in sys.modules if m.partition(".")[0] in ("xgrad", "backends")]
sys.stdout.buffer.write(pickle.dumps(found))
"""


def by_engine(
    f: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Return inputs, outputs, cotangents of the floating outputs, and gradients of the floating inputs."""
    leaves, structure = pytree.flatten(args)
    floats = [i for i, v in enumerate(leaves) if v.dtype.kind in "fc"]

    def of_floats(*values: Any) -> list[Any]:
        now = list(leaves)
        for i, v in zip(floats, values, strict=True):
            now[i] = v
        return pytree.flatten(f(*pytree.unflatten(structure, now)))[0]

    if not floats:
        return leaves, [xg.asarray(z).numpy() for z in of_floats()], [], []
    outputs, pull = xg.vjp(of_floats, *(leaves[i] for i in floats))
    outputs = [z.detach() for z in outputs]
    dz = [RNG.normal(size=z.shape).astype(z.dtype) for z in outputs]
    return leaves, [z.numpy() for z in outputs], dz, [g.numpy() for g in pull(dz)]


def test_the_source_runs_without_xgrad(tmp_path: Path) -> None:
    softplus = xg.register_op(
        "softplus2",
        lambda xp, x, *, k=1: xp.log1p(xp.exp(k * x)) / k,
        dx=lambda xp, dz, x, *, k: dz / (1 + xp.exp(-k * x)),
    )
    twice = xg.register_op(
        "twice_plus", lambda xp, x, y: x + x * y, dx=lambda dz, y: dz * (1 + y), dy=lambda dz, x: dz * x
    )
    functions = {
        **FUNCTIONS,
        "own": (
            lambda x: xg.sum(softplus(x, k=2)) * softplus(x) + twice(x, 3.0) + twice(2.0, x),
            (normal(3),),
        ),
        "own_in_time": (
            lambda xs: xg.scan(lambda c, x: (softplus(c) * x, softplus(x)), xs[0], xs),
            (normal(4, 3),),
        ),
    }
    tasks, expected = {}, {}
    try:
        for name, (f, args) in functions.items():
            inputs, outputs, dz, gradients = by_engine(f, args)
            program = trace(f, *args)
            assert pickle.loads(pickle.dumps(program)) == program
            text = source(program)
            assert "xgrad" not in text
            compile(source(program, "cupy"), name, "exec")
            assert "import cupy as cp" in source(program, "cupy")
            assert "np." not in source(program, "cupy")
            given = [d for d, z in zip(dz, outputs) if z.dtype.kind in "fc"]
            tasks[name] = text, inputs, given
            expected[name] = outputs, gradients
    finally:
        xg.unregister_op("softplus2")
        xg.unregister_op("twice_plus")
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN],
        input=pickle.dumps(tasks),
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = pickle.loads(done.stdout)
    for name, (outputs, gradients) in expected.items():
        forward, backward = found[name]
        assert len(forward) == len(outputs), name
        for a, b in zip(forward, outputs, strict=True):
            assert (np.shape(a), np.asarray(a).dtype) == (b.shape, b.dtype), name
            np.testing.assert_allclose(
                a, b, rtol=1e-12 if b.dtype.itemsize > 4 else 1e-6, atol=1e-12, err_msg=name
            )
        for a, b in zip(backward, gradients, strict=bool(gradients)):
            assert np.shape(a) == b.shape, name
            np.testing.assert_allclose(
                a, b, rtol=1e-12 if b.dtype.itemsize > 4 else 1e-6, atol=1e-12, err_msg=name
            )


def test_how_it_reads() -> None:
    def f(W: Any, x: Any) -> Any:
        h = xg.tanh(W @ x)
        return xg.sum(h * h)

    text = source(trace(f, np.ones((2, 3)), np.ones(3)))
    forward, _, backward = text.partition("\n\n\ndef backward")
    assert (
        forward
        == """\
import numpy as np


def forward(W, x):
    # W: (2, 3) float64
    # x: (3,) float64
    z1 = W @ x       # (2,) float64
    h = np.tanh(z1)  # (2,) float64
    del z1
    z3 = h * h       # (2,) float64
    z4 = np.sum(z3)  # () float64
    del z3
    return z4, (h, x, W)"""
    )
    assert backward.startswith("(saved, dz4):\n")
    assert backward.endswith("    return dW, dx\n")


def test_a_loop_is_a_loop() -> None:
    f, args = FUNCTIONS["gru"]
    text = source(trace(f, *args))
    assert "for t in range(7):" in text
    assert "for t in reversed(range(7)):" in text
    assert "np.tanh(" in text


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="numpy, cupy or cuda, not 'jax'"):
        source(trace(lambda x: x, 1.0), "jax")


def cases() -> list[tuple[str, str]]:
    plain = {
        id(entry): entry
        for entry in OPS.values()
        if entry.elementwise and not entry.parameters and not entry.listing.registered
    }
    return [
        (entry.name, dtype) for entry in plain.values() for dtype in ("float64", "float32", "int64", "bool")
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "dtype"), cases())
def test_every_elementwise_op(name: str, dtype: str) -> None:
    entry = OPS[name]
    rng = np.random.default_rng(0)
    xs = [
        (rng.uniform(0.1, 0.9, 5) if dtype.startswith("f") else rng.integers(1, 4, 5)).astype(dtype)
        for _ in range(entry.arity or 2)
    ]
    f = lambda *v: call(entry, v)
    try:
        want = f(*map(xg.asarray, xs)).numpy()
    except (TypeError, ValueError):
        pytest.skip("not for this dtype")
    program = trace(f, *xs)
    if name.startswith("normal_"):
        with pytest.raises(ValueError, match="is not known"):
            source(program)
        return
    module: dict[str, Any] = {}
    exec(source(program), module)
    z, saved = module["forward"](*xs)
    assert z.dtype == want.dtype
    np.testing.assert_allclose(z, want, rtol=1e-6 if dtype == "float32" else 1e-14)
    if "backward" in module:
        for a, b in zip(
            module["backward"](saved, np.ones_like(want)), xg.vjp(f, *xs)[1](np.ones_like(want)), strict=True
        ):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-5 if dtype == "float32" else 1e-12)


MORE: dict[str, Callable[[Any], Any]] = {
    "var": lambda x: xg.var(x, axis=0, correction=1),
    "std": lambda x: xg.std(x, keepdims=True),
    "prod": lambda x: xg.prod(x, axis=1),
    "counted": lambda x: xg.count_nonzero(x > 0, axis=0),
    "all": lambda x: (xg.all(x > 0, axis=0), xg.any(x > 0)),
    "einsum": lambda x: xg.einsum("ij,kj->ik", x, x),
    "running": lambda x: (
        xg.cumulative_sum(x, axis=1),
        xg.cumulative_prod(x, axis=0),
        xg.cumulative_sum(x[0], include_initial=True),
    ),
    "running_product": lambda x: xg.cumulative_prod(x, axis=-1, include_initial=True),
}


@pytest.mark.parametrize("name", MORE)
def test_reductions_and_running_sums(name: str) -> None:
    f, x = MORE[name], normal(3, 4)
    inputs, outputs, dz, gradients = by_engine(f, (x,))
    module: dict[str, Any] = {}
    exec(source(trace(f, x)), module)
    z, saved = module["forward"](*inputs)
    for a, b in zip(z if isinstance(z, tuple) else (z,), outputs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
        assert np.asarray(a).dtype == b.dtype
    if "backward" in module:
        given = [d for d, z in zip(dz, outputs) if z.dtype.kind == "f"]
        np.testing.assert_allclose(module["backward"](saved, *given)[0], gradients[0], rtol=1e-10)
