"""The shape ledger: its terms, computed as they are written, add up to the gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from xgrad.compiler.printing.terms import summed_axes

RNG = np.random.default_rng(0)


def outer(x: Any, y: Any) -> Any:
    return x[:, None] * y[None, :]


def add_up(f: Callable[..., Any], *args: Any) -> tuple[dict[str, Any], Any]:
    """The gradient of each stage as the sum of the terms that the ledger has for it, and the graph.

    Each term is computed from its text, then brought to the shape that the ledger says it has.
    """
    g = xg.graph(f, *args)
    g.bprop(None if g.output.shape == () else RNG.normal(size=g.output.shape))
    known: dict[str, Any] = {name: getattr(xg, name) for name in xg.__all__ if callable(getattr(xg, name))}
    known |= {stage.name: stage.value for stage in g}
    known |= {f"d{stage.name}": stage.grad for stage in g if stage.grad is not None}
    known["outer"] = outer
    odd = sorted((name for name in known if not name.isidentifier()), key=len, reverse=True)
    total: dict[str, Any] = {}
    for t in g.shapes().terms:
        if t.text:
            assert not t.text.startswith("deriv("), t
            text = t.text
            for k, name in enumerate(odd):  # such as params['W']
                text = text.replace(name, f"odd_{k}_")
            value = eval(
                text, known | {f"odd_{k}_": known[name] for k, name in enumerate(odd)} | {"shape": t.shape}
            )
            summed = value if t.text.startswith("sum(") else xg.sum(value, axis=t.axes) if t.axes else value
            again = xg.reshape(summed, t.shape)
            total[t.name] = total[t.name] + again if t.name in total else again
    return total, g


def check(f: Callable[..., Any], *args: Any) -> None:
    total, g = add_up(f, *args)
    assert total
    for stage in g:
        if stage.grad is not None and stage is not g.output:
            hidden = f"d{stage.name}" not in total
            if hidden:  # a transpose that is written inside of products
                assert stage.op == "transpose"
                continue
            np.testing.assert_allclose(
                total[f"d{stage.name}"].numpy(), stage.grad.numpy(), err_msg=stage.name
            )
    for stage in g:
        if stage.op == "input" and stage.grad is not None:
            assert f"d{stage.name}" in total


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


BROADCASTS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "of both": lambda x, y: (x * y + y) * x - y,
    "where": lambda x, y: xg.where(x > 0, x * y, y - x),
    "negated": lambda x, y: -(x + -y),
}


@st.composite
def shapes_that_broadcast(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    full = draw(st.lists(st.integers(1, 3), max_size=4))
    found = []
    for _ in range(2):
        kept = full[draw(st.integers(0, len(full))) :]
        found.append(tuple(draw(st.sampled_from([1, n])) for n in kept))
    return found[0], found[1]


@pytest.mark.parametrize("name", BROADCASTS)
@given(shapes=shapes_that_broadcast())
def test_the_terms_of_a_broadcast_add_up(name: str, shapes: Any) -> None:
    check(BROADCASTS[name], *(normal(*shape) + 3 for shape in shapes))


OTHERS: dict[str, Callable[[Any, Any], Any]] = {
    "maximum": xg.maximum,
    "**": lambda x, y: x**y,
    "atan2": xg.atan2,
    "hypot": xg.hypot,
    "logaddexp": xg.logaddexp,
}


@pytest.mark.parametrize("name", OTHERS)
@given(shapes=shapes_that_broadcast())
def test_the_axes_of_other_elementwise_ops_are_those_of_the_sum(name: str, shapes: Any) -> None:
    f = OTHERS[name]
    args = [np.abs(normal(*shape)) + 0.5 for shape in shapes]
    full = np.broadcast_shapes(*shapes)
    dz = normal(*full)
    whole = xg.vjp(f, *(np.broadcast_to(v, full).copy() for v in args))[1](dz)
    ours = xg.vjp(f, *args)[1](dz)
    terms = [t for t in xg.trace(f, *args).shapes().terms if t.text]
    assert len(terms) == 2
    for t, all_of_it, right in zip(terms, whole, ours, strict=True):
        summed = all_of_it.numpy().sum(axis=t.axes).reshape(t.shape) if t.axes else all_of_it.numpy()
        np.testing.assert_allclose(summed, right.numpy())
        assert t.full == full


PRODUCTS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (6, 5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize(("x", "y"), PRODUCTS)
def test_the_terms_of_products_add_up(x: Any, y: Any) -> None:
    check(lambda x, y: x @ y, normal(*x), normal(*y))


@pytest.mark.parametrize(("x", "y"), PRODUCTS)
@pytest.mark.parametrize("turned", ["x", "y", "both"])
def test_the_terms_of_transposed_factors_add_up(x: Any, y: Any, turned: str) -> None:
    def f(x: Any, y: Any) -> Any:
        x = x.mT if turned != "y" and x.ndim > 1 else x
        y = y.mT if turned != "x" and y.ndim > 1 else y
        return x @ y

    def turn(shape: Any, other: str) -> Any:
        return (*shape[:-2], *shape[:-3:-1]) if turned != other and len(shape) > 1 else shape

    x, y = normal(*turn(x, "y")), normal(*turn(y, "x"))
    check(f, x, y)
    text = str(xg.graph(f, x, y).shapes())
    assert "permute_dims" not in text  # it is written in the product


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "a layer": (lambda W, b, h: xg.sum((h @ W.T + b) * (h @ W.T)), (normal(4, 3), normal(4), normal(5, 3))),
    "a transpose used elsewhere": (lambda W, h: h @ W.T + xg.sum(W.T), (normal(4, 3), normal(5, 3))),
    "a transpose": (lambda x: x.T * 2.0, (normal(2, 3, 4),)),
    "axes in another order": (lambda x: xg.permute_dims(x, (1, 2, 0)), (normal(2, 3, 4),)),
    "reshape": (lambda x: xg.reshape(x, (3, -1)), (normal(2, 3),)),
    "broadcast_to": (lambda x: xg.broadcast_to(x, (5, 2, 3)), (normal(2, 1),)),
    "sum": (lambda x: xg.sum(x), (normal(2, 3),)),
    "sum over the first": (lambda x: xg.sum(x, axis=0), (normal(2, 3),)),
    "sum over the last": (lambda x: xg.sum(x, axis=-1), (normal(2, 3),)),
    "sum over two": (lambda x: xg.sum(x, axis=(0, 2)), (normal(2, 3, 4),)),
    "sum, kept": (lambda x: xg.sum(x, axis=1, keepdims=True) * x, (normal(2, 3),)),
    "mean": (lambda x: xg.mean(x, axis=1), (normal(2, 3),)),
    "concat": (lambda x, y: xg.concat([x, y, x], axis=1), (normal(2, 3), normal(2, 1))),
    "stack": (lambda x, y: xg.stack([x, y], axis=-1), (normal(2, 3), normal(2, 3))),
    "an index": (lambda x: x[1] * x[0, ::2], (normal(3, 3)[:, :1],)),
    "an index array": (lambda x: x[xg.asarray([0, 0, 2])], (normal(3, 2),)),
    "einsum": (lambda x, y: xg.einsum("ij,kj->ki", x, y), (normal(2, 3), normal(4, 3))),
    "einsum of three": (
        lambda x, y, z: xg.einsum("ij,jk,k->i", x, y, z),
        (normal(2, 3), normal(3, 4), normal(4)),
    ),
    "tensordot": (lambda x, y: xg.tensordot(x, y, axes=2), (normal(2, 3, 4), normal(3, 4, 5))),
    "a list of arguments": (lambda p: xg.sum(p[0] @ p[1]), ([normal(2, 3), normal(3, 2)],)),
    "a dict of arguments": (lambda p: xg.sum(p["W"] @ p["b"]), ({"W": normal(2, 3), "b": normal(3)},)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_terms_of_other_functions_add_up(name: str) -> None:
    f, args = CASES[name]
    check(f, *args)


def test_einsum_sums_over_an_axis_that_it_broadcasts() -> None:
    x, y, dz = normal(2, 1), normal(3, 4), normal(2, 4)

    def f(x: Any, y: Any) -> Any:
        return xg.einsum("ij,jk->ik", x, y)

    of_x, of_y = [t for t in xg.trace(f, x, y).shapes().terms if t.text]
    assert of_x.text == 'sum(einsum("ik,jk->ij", dz1, y), axis=1, keepdims=True)'
    assert (of_x.full, of_y.full, of_y.axes) == ((2, 3), (3, 4), ())
    right = xg.vjp(f, x, y)[1](dz)[0].numpy()
    np.testing.assert_allclose(np.einsum("ik,jk->ij", dz, y).sum(axis=1, keepdims=True), right)


def test_solve_sums_over_its_batch() -> None:
    a, b = normal(5, 3, 3) + 3 * np.eye(3), normal(3, 2)
    first, second = [t for t in xg.trace(xg.linalg.solve, a, b).shapes().terms if t.text]
    assert (first.axes, second.axes, second.full) == ((), (0,), (5, 3, 2))
    both = xg.vjp(xg.linalg.solve, a, np.broadcast_to(b, (5, 3, 2)).copy())[1](np.ones((5, 3, 2)))[1]
    right = xg.vjp(xg.linalg.solve, a, b)[1](np.ones((5, 3, 2)))[1]
    np.testing.assert_allclose(both.numpy().sum(axis=second.axes), right.numpy())


def test_detached_and_integer_values_have_no_term() -> None:
    def f(x: Any, y: Any, n: Any) -> Any:
        return xg.sum(xg.stop_gradient(x) * y * n) + xg.sum(xg.floor(x))

    terms = xg.trace(f, normal(2), normal(2), np.array([1, 2])).shapes().terms
    assert {t.name for t in terms}.isdisjoint({"dx", "dn"})
    assert "dy" in {t.name for t in terms}


def test_a_value_off_the_way_to_the_result_has_no_term() -> None:
    def f(x: Any) -> Any:
        unused = x * 2
        assert unused is not None
        return x * 3

    assert [t.name for t in xg.trace(f, 1.0).shapes().terms if t.text] == ["dx"]


def test_terms_add_in_the_order_of_the_backward_pass() -> None:
    terms = xg.trace(lambda x: (x * 2.0) + (x * 3.0), 1.0).shapes().terms
    assert [(t.name, t.adds) for t in terms if t.name == "dx" and t.text] == [("dx", True), ("dx", False)]


def loop(W: Any, b: Any, h0: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> tuple[Any, Any]:
        h = xg.tanh(h @ W.T + x + b)
        return h, h

    h, ys = xg.scan(step, h0, xs)
    return xg.sum(ys) + xg.sum(h)


def test_a_scan_sums_over_its_steps_what_comes_from_outside() -> None:
    T, B, H = 6, 2, 3
    W, b, h0, xs = normal(H, H), normal(H), normal(B, H), normal(T, B, H)
    terms = xg.trace(loop, W, b, h0, xs).shapes().terms
    (of_W,) = [t for t in terms if t.name == "dW" and t.text]
    (of_b,) = [t for t in terms if t.name == "db" and t.text]
    assert (of_W.steps, of_W.axes, of_W.shape) == ((T,), (), (H, H))
    assert (of_b.steps, of_b.axes, of_b.full) == ((T,), (0,), (B, H))
    assert all(t.steps == () for t in terms if t.name not in ("dW", "db"))

    def apart(Ws: Any, bs: Any) -> Any:  # a copy of W and a full b for every step
        def step(h: Any, given: Any) -> tuple[Any, Any]:
            W, b, x = given
            h = xg.tanh(h @ W.T + x + b)
            return h, h

        h, ys = xg.scan(step, h0, (Ws, bs, xs))
        return xg.sum(ys) + xg.sum(h)

    Ws, bs = np.broadcast_to(W, (T, H, H)).copy(), np.broadcast_to(b, (T, B, H)).copy()
    dWs, dbs = xg.grad(apart, argnums=(0, 1))(Ws, bs)
    dW, db = xg.grad(loop, argnums=(0, 1))(W, b, h0, xs)
    np.testing.assert_allclose(dWs.numpy().sum(axis=0), dW.numpy())
    np.testing.assert_allclose(dbs.numpy().sum(axis=0).sum(axis=of_b.axes), db.numpy())


def test_the_unrolled_loop_adds_up_too() -> None:
    g = xg.graph(loop, normal(3, 3), normal(3), normal(2, 3), normal(4, 2, 3))
    terms = g.shapes().terms
    assert len([t for t in terms if t.name == "dW" and t.text]) == 4
    assert all(t.steps == () for t in terms)


def test_nested_scans_multiply_their_steps() -> None:
    def f(a: Any, xs: Any) -> Any:
        def inner(h: Any, x: Any) -> tuple[Any, None]:
            return a * h + x, None

        def outer_step(s: Any, row: Any) -> tuple[Any, Any]:
            row_sum = a * s
            h, _ = xg.scan(inner, row_sum, row)
            return h, h

        s, ys = xg.scan(outer_step, xs[0, 0], xs)
        return xg.sum(ys) + s

    terms = [t for t in xg.trace(f, 0.5, normal(4, 3)).shapes().terms if t.name == "da" and t.text]
    assert sorted(t.steps for t in terms) == [(4,), (4, 3)]


@xg.gate
def product(x: Any, y: Any) -> Any:
    return x * y


class Twice(xg.Gate):
    def forward(self, x: Any) -> Any:
        return 2 * x

    def backward(self, dz: Any) -> Any:
        return 2 * dz


def test_gates_have_a_term_for_each_operand() -> None:
    g = xg.graph(lambda x, y: Twice()(product(x, y)), normal(2, 3), normal(2, 3))
    assert [(t.name, t.text) for t in g.shapes().terms if t.text] == [
        ("dx", 'deriv(dz1, "product")[0]'),
        ("dy", 'deriv(dz1, "product")[1]'),
        ("dz1", 'deriv(dz2, "Twice")'),
    ]
    program = xg.trace(lambda x: Twice()(x) * x, normal(3))
    assert ("dx", 'deriv(dz1, "Twice")') in [(t.name, t.text) for t in program.shapes().terms]


def test_several_outputs_have_one_rule() -> None:
    text = str(xg.graph(lambda x: xg.sum(xg.linalg.qr(x)[0]), np.eye(3)).shapes())
    assert 'deriv((dQ, dz1[1]), "qr")' in text


def test_a_graph_without_operands_is_refused() -> None:
    x = xg.tensor(2.0, requires_grad=True)
    with pytest.raises(xg.GraphError, match=r"xg\.record"):
        xg.graph(x * x).shapes()


@pytest.mark.parametrize(
    "f",
    [
        loop,
        lambda W, b, h0, xs: xg.sum(xg.concat([W @ W.T @ W, W, W, W, W, W, W, W, W, W, W, W], axis=0)) + b[0],
        lambda a_rather_long_name_of_an_argument, b, h0, xs: a_rather_long_name_of_an_argument @ b,
    ],
)
def test_a_printed_ledger_is_narrow(f: Any) -> None:
    program = xg.trace(f, normal(3, 3), normal(3), normal(2, 3), normal(60, 2, 3))
    lines = str(program.shapes()).splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line == line.rstrip() for line in lines)


def test_a_notebook_shows_a_table_whose_names_are_escaped() -> None:
    program = xg.trace(lambda p: xg.sum(p["<b>"]), {"<b>": normal(3)})
    html = program.shapes()._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


@given(shapes=shapes_that_broadcast())
def test_the_summed_axes_are_those_that_broadcasting_added(shapes: Any) -> None:
    full = np.broadcast_shapes(*shapes)
    for shape in shapes:
        one = np.ones(shape)
        counted = np.broadcast_to(one, full).sum(axis=summed_axes(full, shape)).reshape(shape)
        assert counted.sum() == np.prod(full)
