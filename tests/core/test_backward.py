"""Tests of the graph engine: what backward computes, keeps and frees."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg


def leaf(*values: float) -> xg.Tensor:
    return xg.tensor([float(v) for v in values], requires_grad=True)


def test_staged_computation_of_the_notes(device: str) -> None:
    """f(x, y) = (x + sigmoid(y)) / (sigmoid(x) + (x + y)²), its backward pass written out as in the notes."""
    x, y = xg.tensor(3.0, requires_grad=True), xg.tensor(-4.0, requires_grad=True)
    sigy = 1.0 / (1 + xg.exp(-y))
    num = x + sigy
    sigx = 1.0 / (1 + xg.exp(-x))
    xpy = x + y
    xpysqr = xpy**2
    den = sigx + xpysqr
    invden = 1.0 / den
    f = num * invden
    f.backward()

    v = {
        k: t.item()
        for k, t in {"sigy": sigy, "num": num, "sigx": sigx, "xpy": xpy, "den": den, "invden": invden}.items()
    }
    dnum, dinvden = v["invden"], v["num"]
    dden = (-1.0 / v["den"] ** 2) * dinvden
    dxpy = 2 * v["xpy"] * dden
    dx = dxpy + (1 - v["sigx"]) * v["sigx"] * dden + dnum
    dy = dxpy + (1 - v["sigy"]) * v["sigy"] * dnum
    assert x.grad is not None
    assert y.grad is not None
    assert x.grad.item() == pytest.approx(dx, abs=1e-15)
    assert y.grad.item() == pytest.approx(dy, abs=1e-15)


def test_neuron_of_the_notes(device: str) -> None:
    w, x = leaf(2, -3, -3), leaf(-1, -2)
    dot = w[0] * x[0] + w[1] * x[1] + w[2]
    f = 1.0 / (1 + xg.exp(-dot))
    f.backward()
    ddot = (1 - f.item()) * f.item()
    np.testing.assert_allclose(w.grad.numpy(), [-ddot, -2 * ddot, ddot])
    np.testing.assert_allclose(x.grad.numpy(), [2 * ddot, -3 * ddot])
    assert f.item() == pytest.approx(0.73, abs=0.005)
    assert w.grad.numpy()[2] == pytest.approx(0.2, abs=0.005)


def test_gradients_accumulate_until_set_to_none(device: str) -> None:
    x = leaf(1.0)
    for count in (1, 2, 3):
        xg.sum(x * 2).backward()
        assert x.grad.item() == 2 * count
    x.grad = None
    xg.sum(x * 5).backward()
    assert x.grad.item() == 5


def test_a_gradient_shared_by_two_operands_is_not_corrupted(device: str) -> None:
    """`+` hands the same dz to both operands; accumulating into one must leave the other alone."""
    x, y = leaf(1.0), leaf(1.0)
    z = x + y
    xg.sum(z + x * 3 + x * 4 + z).backward()
    assert x.grad.item() == 9
    assert y.grad.item() == 2


def test_gradients_of_two_leaves_are_not_one_array(device: str) -> None:
    x, y = leaf(1.0), leaf(1.0)
    xg.sum(x + y).backward()
    x.grad *= 10
    assert y.grad.item() == 1


def test_diamonds(device: str) -> None:
    x = leaf(1.5)
    z = x
    for _ in range(20):
        z = z + z
    xg.sum(z).backward()
    assert x.grad.item() == 2.0**20


@given(
    st.lists(
        st.tuples(st.sampled_from(["+", "*", "-", "tanh"]), st.integers(0, 30), st.integers(0, 30)),
        min_size=1,
        max_size=15,
    )
)
def test_random_graphs_against_forward_differences(program: list[tuple[str, int, int]]) -> None:
    def f(x: xg.Tensor) -> xg.Tensor:
        stages = list(x)
        for op, i, j in program:
            a, b = stages[i % len(stages)], stages[j % len(stages)]
            stages.append(
                xg.tanh(a) if op == "tanh" else xg.tanh(a * b) if op == "*" else a + b if op == "+" else a - b
            )
        return stages[-1] * 0.1

    xg.check_grads(f, (xg.asarray([0.3, -0.2, 0.7]),))


def test_second_backward_through_a_freed_graph(device: str) -> None:
    x = leaf(2.0)
    z = xg.sum(x * x)
    z.backward()
    with pytest.raises(xg.GraphError, match=r"'\*'.*freed.*retain_graph"):
        z.backward()


def test_retain_graph(device: str) -> None:
    x = leaf(2.0)
    z = xg.sum(x * x)
    z.backward(retain_graph=True)
    z.backward()
    assert x.grad.item() == 8


def test_create_graph(device: str) -> None:
    x = leaf(2.0)
    xg.sum(x**3).backward(create_graph=True)
    g = x.grad
    x.grad = None
    xg.sum(g).backward()
    assert x.grad.item() == 12


def test_backward_needs_dz_for_a_non_scalar() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(xg.GraphError, match=r"\(2,\).*dz"):
        (x * 2).backward()
    with pytest.raises(xg.ShapeError, match=r"\(3,\).*\(2,\)"):
        (x * 2).backward(np.ones(3))
    (x * 2).backward(np.array([1.0, 10.0]))
    assert x.grad.numpy().tolist() == [2, 20]


def test_backward_where_nothing_needs_a_gradient() -> None:
    with pytest.raises(xg.GraphError, match="needs no gradient"):
        xg.sum(xg.ones(3)).backward()


def test_integers_have_no_gradient() -> None:
    with pytest.raises(TypeError, match=r"3\.0"):
        xg.tensor(3, requires_grad=True)


def test_no_grad(device: str) -> None:
    x = leaf(2.0)
    with xg.no_grad():
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad

    @xg.no_grad()
    def decorated() -> xg.Tensor:
        return x * 2

    assert not decorated().requires_grad


def test_detach_cuts(device: str) -> None:
    x = leaf(3.0)
    xg.sum(x * x.detach()).backward()
    assert x.grad.item() == 3


@pytest.mark.slow
def test_a_chain_of_a_million_nodes() -> None:
    x = xg.tensor(1.0, requires_grad=True)
    z = x
    for _ in range(1_000_000):
        z = z + 1.0
    z.backward()
    assert x.grad.item() == 1
    del z


def test_addition_keeps_no_array_alive() -> None:
    x = xg.tensor(np.zeros(100_000), requires_grad=True)
    tracemalloc.start()
    z = x
    for _ in range(50):
        z = z + x
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 3 * x.data.nbytes
    xg.sum(z).backward()


def test_where_keeps_its_condition_alone() -> None:
    x = xg.tensor(np.ones(3), requires_grad=True)
    z = xg.where(xg.asarray([True, False, True]), x, x * 2)
    assert [a.dtype for a in z.node.saved[1]] == [bool]
    xg.sum(z).backward()
    assert x.grad.numpy().tolist() == [1, 2, 1]


def test_backward_frees_what_was_saved() -> None:
    x = xg.tensor(np.ones(100_000), requires_grad=True)
    tracemalloc.start()
    z = x
    for _ in range(20):
        z = xg.tanh(z)
    total = xg.sum(z)
    before, _ = tracemalloc.get_traced_memory()
    total.backward()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert before > 19 * x.data.nbytes
    assert after < 4 * x.data.nbytes


def test_no_reference_cycles() -> None:
    xg.scan(lambda h, a: (h * a, h), 1.0, leaf(1.0, 2.0))  # the traced body is cached with it
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        z = xg.sum(xg.tanh(x * x) + x)
        node = weakref.ref(z)
        z.backward(create_graph=True)
        x.grad = None
        del z
        assert node() is None
        xg.grad(xg.grad(lambda a: a**3))(2.0)
        xg.scan(lambda h, a: (h * a, h), 1.0, x)
        del x
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_thousand_training_steps_do_not_grow() -> None:
    W = xg.tensor(np.ones((20, 20)), requires_grad=True)
    optimizer = xg.optim.Adam([W], lr=1e-3)
    x = np.ones((20, 20))

    def steps(count: int) -> int:
        for _ in range(count):
            W.grad = None
            xg.mean(xg.tanh(x @ W) ** 2).backward()
            optimizer.step()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    early, late = steps(20), steps(1000)
    tracemalloc.stop()
    assert late - early < 20_000


def test_a_naive_update_does_not_grow_the_graph() -> None:
    p = leaf(1.0)
    for _ in range(3):
        xg.sum(p * p).backward()
        with xg.no_grad():
            p -= 0.1 * p.grad
        p.grad = None
        assert p.is_leaf
        assert p.node.parents == ()


def test_views_of_one_tensor_in_time_cost_linear_memory() -> None:
    """Iterating over a Tensor is one unstacking op, so the gradients of the slices are stacked in one op."""
    x = xg.tensor(np.ones((200, 50)), requires_grad=True)
    total = 0.0
    for row in x:
        total = total + xg.sum(row * row)
    total.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * np.ones((200, 50)))
    assert len({id(p) for p in xg.core.graph.ancestors([total.node])[1]}) == 1


def test_a_matrix_that_is_used_many_times_in_many_ways(device: str) -> None:
    """The products with one matrix are differentiated together; the sum equals that of one by one."""
    rng = np.random.default_rng(0)
    W, a, b, c = (
        rng.normal(size=(3, 4)),
        rng.normal(size=(700, 3)),
        rng.normal(size=(2, 300, 3)),
        rng.normal(size=3),
    )

    def f(W: xg.Tensor, a: xg.Tensor, b: xg.Tensor, c: xg.Tensor) -> xg.Tensor:
        total = (
            xg.sum(xg.tanh(a @ W)) + xg.sum((b @ W) ** 2) + xg.sum(c @ W) + xg.sum(W * W) + xg.sum(W.T @ c)
        )
        return total + xg.sum(a[:2].astype(xg.float32) @ W) + xg.sum(xg.real((a[:1] * 1j) @ W * 1j))

    g = xg.grad(f)(*map(xg.asarray, (W, a, b, c))).numpy()
    expected = (
        a.T @ (1 - np.tanh(a @ W) ** 2) + np.einsum("tri,trj->ij", b, 2 * (b @ W)) + 2 * c[:, None] + 2 * W
    )
    expected += a[:2].astype("f").sum(axis=0)[:, None] - a[0][:, None]
    np.testing.assert_allclose(g, expected, rtol=1e-10)
    xg.check_grads(lambda W: f(W, *map(xg.asarray, (a[:3], b[:, :2], c))), (xg.asarray(W),))
