"""Tests of the Tensor: its dtypes, copies, in-place operators, and interplay with NumPy."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg

DTYPES = ["bool", "int8", "int32", "int64", "uint8", "float32", "float64", "complex64", "complex128"]


@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "divide", "maximum", "where", "equal", "concat"]
)
@given(a=st.sampled_from(DTYPES), b=st.sampled_from([*DTYPES, "python int", "python float"]))
def test_promotion_is_numpys_on_every_backend(name: str, a: str, b: str) -> None:
    x = np.ones(3, a)
    y = {"python int": 2, "python float": 2.5}.get(b)
    y = np.ones(3, b) if y is None else y
    if name == "concat" and not isinstance(y, np.ndarray):
        return

    def run(xp: object, x: object, y: object) -> object:
        f = getattr(xp, name)
        if name == "where":
            return f(np.array([True, False, True]) if xp is np else xg.asarray([True, False, True]), x, y)
        return f([x, y]) if name == "concat" else f(x, y)

    try:
        expected = run(np, x, y)
    except TypeError:
        with pytest.raises(TypeError):
            run(xg, xg.asarray(x), y)
        return
    for device in ("cpu", "strict:0"):
        with xg.device(device):
            try:
                z = run(xg, xg.asarray(x), xg.asarray(y) if isinstance(y, np.ndarray) else y)
            except TypeError:  # the standard has no boolean arithmetic and no ordering of complex numbers
                assert {np.dtype(bool).kind, "c"} & {np.dtype(a).kind, np.asarray(y).dtype.kind}
                continue
        assert z.dtype == expected.dtype, (device, a, b)


def test_a_numpy_scalar_counts_as_an_array_and_a_python_number_is_weak() -> None:
    x = xg.ones(2, dtype=xg.float32)
    assert (x * 2.5).dtype == xg.float32
    assert (x * np.float64(2.5)).dtype == xg.float64


def test_defaults() -> None:
    assert xg.zeros(2).dtype == xg.float64
    assert xg.asarray([1, 2]).dtype == xg.int64
    assert xg.asarray([1.0]).dtype == xg.float64
    assert xg.asarray(np.ones(2, "f")).dtype == xg.float32


def test_operators_on_either_side_of_numpy() -> None:
    a, x = np.array([1.0, 2.0]), xg.tensor([3.0, 4.0], requires_grad=True)
    for z in (a * x, x * a, a + x, a - x, a / x, a**x, a @ x, np.float64(2) * x, np.float64(2) - x):
        assert isinstance(z, xg.Tensor)
        assert z.requires_grad
    (a * x).backward(np.ones(2))
    assert x.grad.numpy().tolist() == [1, 2]
    assert isinstance(a < x, xg.Tensor)
    assert isinstance(np.tanh(x), xg.Tensor)
    assert np.power(x, 2).numpy().tolist() == [9, 16]


def test_numpy_functions_that_would_drop_the_gradient_say_so() -> None:
    x = xg.tensor([3.0, 4.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.i0 does not work on Tensors: use functions that do"):
        np.i0(x)
    with pytest.raises(TypeError, match=r"np\.spacing"):
        np.spacing(x)
    with pytest.raises(TypeError, match=r"np\.hypot\.reduce"):
        np.hypot.reduce(x)
    with pytest.raises(TypeError, match="out="):
        np.add(np.ones(2), x, out=np.ones(2))
    with pytest.raises(xg.GraphError, match=r"t\.detach\(\)"):
        np.asarray(x)
    assert xg.asarray([x, x]).requires_grad


def test_to_numpy_and_back() -> None:
    source = np.arange(3.0)
    shared, copied = xg.asarray(source), xg.tensor(source)
    source[0] = 7
    assert shared.numpy()[0] == 7
    assert copied.numpy()[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        shared.numpy()[0] = 1
    source[1] = 8  # the array itself stays writeable
    assert np.asarray(shared).tolist() == [7, 8, 2]
    assert np.asarray(shared, dtype="f").dtype == np.float32
    assert xg.asarray(source, copy=True).numpy().base is not source
    with pytest.raises(ValueError, match="copy=False"):
        xg.asarray(source, dtype=xg.float32, copy=False)


def test_numbers_out() -> None:
    x = xg.asarray([2.5])
    assert (float(x), int(x), x.item(), bool(x), complex(x)) == (2.5, 2, 2.5, True, 2.5 + 0j)
    assert [10, 20, 30][xg.asarray(1)] == 20
    assert f"{x:.2f} {x}" == "2.50 tensor([2.5])"
    with pytest.raises(ValueError, match="ambiguous"):
        bool(xg.ones(2))
    with pytest.raises(xg.ShapeError):
        xg.ones(2).item()


def test_shape_of_things() -> None:
    x = xg.zeros((2, 3))
    assert (x.shape, x.ndim, x.size, len(x), x.T.shape, x.mT.shape) == ((2, 3), 2, 6, 2, (3, 2), (3, 2))
    assert [row.shape for row in x] == [(3,), (3,)]
    for bad in (len, iter, list):
        with pytest.raises(TypeError):
            bad(xg.zeros(()))


def test_repr() -> None:
    assert repr(xg.asarray([1, 2])) == "tensor([1, 2])"
    assert (
        repr(xg.tensor([1.0], requires_grad=True, name="w", dtype=xg.float32))
        == "tensor([1.], dtype=float32, name='w', requires_grad=True)"
    )
    assert repr(xg.ones(1, device="strict:2")) == "tensor([1.], device='strict:2')"


def test_equality_is_by_element_and_hash_by_identity() -> None:
    x = xg.asarray([1, 2])
    assert (x == xg.asarray([1, 3])).numpy().tolist() == [True, False]
    assert {x: "found"}[x] == "found"


class TestInPlace:
    def test_gives_the_handle_a_new_value(self, device: str) -> None:
        x = xg.asarray([1.0, 2.0])
        before = x.data
        x += 1
        x *= 2
        assert x.numpy().tolist() == [4, 6]
        assert xg.asarray(before, device=x.device).numpy().tolist() == [1, 2]

    def test_leaves_a_recorded_gradient_right(self, device: str) -> None:
        x = xg.tensor([3.0], requires_grad=True)
        y = x * 1
        z = y * y
        y += 100
        y[0] = 5.0
        xg.sum(z).backward()
        assert x.grad.item() == 6

    def test_is_itself_recorded(self, device: str) -> None:
        x = xg.tensor([3.0, 4.0], requires_grad=True)
        y = x * 1
        y[0] = y[1] * 2
        y *= 3
        xg.sum(y).backward()
        assert x.grad.numpy().tolist() == [0, 9]

    def test_does_not_reach_through_a_view(self) -> None:
        x = xg.asarray([[1.0, 2.0]])
        y = x[0]
        y += 1
        assert x.numpy().tolist() == [[1, 2]]

    def test_refuses_a_leaf(self) -> None:
        x = xg.tensor([1.0], requires_grad=True, name="w")
        with pytest.raises(xg.GraphError, match=r"'w'.*no_grad"):
            x += 1
        with pytest.raises(xg.GraphError, match="no_grad"):
            x[0] = 1.0
        assert x.item() == 1
        with xg.no_grad():
            x += 1
            x[0] *= 4
        assert x.item() == 8
        assert x.is_leaf
        xg.sum(x * x).backward()
        assert x.grad.item() == 16

    def test_keeps_shape_and_dtype(self) -> None:
        x = xg.ones(2, dtype=xg.float32)
        x += np.ones(2)
        assert x.dtype == xg.float32
        with pytest.raises(xg.ShapeError):
            x += np.ones((3, 2))
        i = xg.asarray([1, 2])
        with pytest.raises(TypeError, match=r"int64.*float64"):
            i += 0.5
        with pytest.raises(TypeError, match=r"int64.*float64"):
            i[0] = xg.asarray(0.5)
        assert i.numpy().tolist() == [1, 2]


class TestCopies:
    def test_leaves_copy_and_pickle(self, device: str) -> None:
        x = xg.tensor([1.0, 2.0], requires_grad=True, name="w")
        for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert other.numpy().tolist() == [1, 2]
            assert other.is_leaf
            assert other.name == "w"
            assert other.device == x.device
            assert other.node is not x.node

    def test_results_do_not(self) -> None:
        z = xg.tensor([1.0], requires_grad=True) * 2
        for action in (copy.deepcopy, pickle.dumps):
            with pytest.raises(xg.GraphError, match="detach"):
                action(z)


class TestErrors:
    def test_shapes_name_the_op_and_both(self) -> None:
        with pytest.raises(xg.ShapeError, match=r"'@'.*\(2, 3\).*\(2, 3\)"):
            xg.ones((2, 3)) @ xg.ones((2, 3))
        with pytest.raises(xg.ShapeError, match=r"'\+'.*\(2,\).*\(3,\)"):
            xg.ones(2) + xg.ones(3)
        with pytest.raises(xg.ShapeError, match="'reshape'"):
            xg.reshape(xg.ones(4), (3,))
        with pytest.raises(xg.ShapeError, match="'concat'"):
            xg.concat([xg.ones((2, 2)), xg.ones((3, 3))])

    def test_index_out_of_range(self) -> None:
        with pytest.raises(IndexError, match="'getitem'"):
            xg.ones(2)[5]

    def test_what_is_no_array(self) -> None:
        with pytest.raises(TypeError, match=r"add.*list.*xg\.asarray"):
            xg.add(xg.ones(2), [1, 2])
        with pytest.raises(TypeError, match=r"tanh.*str"):
            xg.tanh("a")
        with pytest.raises(TypeError, match="numbers"):
            xg.asarray(["a"])
        with pytest.raises(TypeError, match="numbers"):
            xg.asarray(np.array([object()]))

    def test_a_gradient_must_fit_its_leaf(self) -> None:
        x = xg.tensor([1.0], requires_grad=True)
        with pytest.raises(xg.ShapeError):
            x.grad = xg.ones(2)
        with pytest.raises(xg.GraphError):
            xg.ones(2).grad = xg.ones(2)


def test_modes_and_devices_are_those_of_the_thread() -> None:
    x = xg.tensor(2.0, requires_grad=True)
    seen = {}

    def other() -> None:
        seen["grad"] = (x * 1).requires_grad
        seen["device"] = xg.zeros(1).device

    with xg.no_grad(), xg.device("strict:1"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == {"grad": True, "device": xg.asarray(0).device}


def test_many_threads_share_leaves() -> None:
    x = xg.tensor([0.5], requires_grad=True)
    found = []

    def work() -> None:
        found.append(xg.grad(lambda a: xg.sum(xg.tanh(a * x.detach())))(x).item())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(found)) == 1
    assert len(found) == 8


def test_an_array_that_is_used_again_does_not_change_the_gradient() -> None:
    w, buffer, total = xg.tensor(1.0, requires_grad=True), np.empty(2), xg.asarray(0.0)
    for k in range(3):
        buffer[:] = k + 1
        total = total + xg.sum(w * buffer)
    buffer[:] = 100
    total.backward()
    assert w.grad is not None
    assert w.grad.item() == 12


def test_an_index_of_other_sequences_is_an_integer_of_no_axes() -> None:
    assert [1, 2, 3][xg.asarray(1)] == 2
    assert np.arange(4.0)[xg.asarray([1])].tolist() == [1]
    for i in (xg.asarray([1]), xg.asarray(True), xg.asarray(1.0)):
        with pytest.raises(TypeError, match="an index must be an integer"):
            [1, 2, 3][i]


def test_what_a_tensor_cannot_hold_is_refused(device: str) -> None:
    x = xg.asarray([1, 2], dtype=xg.int8)
    with pytest.raises(OverflowError):
        x[0] = 300
    with pytest.raises(TypeError, match="dtype int8 cannot take"):
        x[0] = 1.5
    with pytest.raises(TypeError, match="no mask"):
        xg.asarray([1, 2], device="cpu") + np.ma.masked_array([1, 2], [0, 1])
    with pytest.raises(TypeError, match="holds numbers"):
        x.astype("S")
    with pytest.raises(AttributeError, match="__dlpack__"):
        xg.from_dlpack(5)
    assert x.tolist() == [1, 2]


def test_a_mask_on_the_first_axes(device: str) -> None:
    x, mask = np.arange(6.0).reshape(3, 2), np.array([True, False, True])
    t = xg.asarray(x)
    assert t[xg.asarray(mask)].tolist() == x[mask].tolist()
    g = xg.grad(lambda t: xg.sum(t[xg.asarray(mask)] ** 2))(t)
    assert g.tolist() == (2 * x * mask[:, None]).tolist()


def test_assignment_at_a_mask(device: str) -> None:
    x = np.arange(6.0).reshape(3, 2)
    for mask, value in (
        (x > 2, -x[x > 2]),
        (x[:, 0] > 1, 7.0),
        (x[:, 0] > 1, x[1:] * 2),
        (np.array(True), 3.0),
        (np.array(False), 3.0),
    ):
        t, expected = xg.asarray(x), x.copy()
        t[xg.asarray(mask)] = value if isinstance(value, float) else xg.asarray(value)
        expected[mask] = value
        np.testing.assert_array_equal(t.numpy(), expected)
    t = xg.zeros(())
    t[xg.asarray(True)] = 1.0
    assert t.item() == 1

    def f(t, v):
        t[xg.asarray([True, False, True])] = v
        return t**2

    xg.check_grads(f, (xg.asarray([1.0, 2.0, 3.0]), xg.asarray([4.0, 5.0])), order=2)


def test_integers_in_an_index(device: str) -> None:
    x = np.arange(6.0).reshape(2, 3)
    for i in (np.int64(1), np.uint8(0), np.array(-1)):
        for key in (i, (i, slice(None)), (slice(None), i), (..., i), (i, i)):
            expected = np.zeros((2, 3))
            expected[key] = 1
            for ours in (
                key,
                tuple(xg.asarray(k) if k is i else k for k in key) if type(key) is tuple else xg.asarray(i),
            ):
                np.testing.assert_array_equal(xg.asarray(x)[ours].numpy(), x[key])
                t = xg.zeros((2, 3))
                t[ours] = 1.0
                np.testing.assert_array_equal(t.numpy(), expected)
                np.testing.assert_array_equal(
                    xg.grad(lambda t: xg.sum(t[ours]))(xg.asarray(x)).numpy(), expected
                )


def test_an_index_that_is_computed_is_part_of_a_graph_and_a_program() -> None:
    x, i = xg.asarray([1.0, 2.0, 3.0]), xg.asarray(0)
    f = xg.compile(lambda x, i: x[i + 1] * 2)
    assert [f(x, i).item(), f(x, i + 1).item()] == [4, 6]
    g = xg.graph(lambda x, i: x[i + 1] * 2, x, i)
    assert g.fprop(x=x, i=i + 1).item() == 6


def test_a_shallow_copy_is_another_handle() -> None:
    x = xg.tensor([1.0, 2.0], requires_grad=True)
    z = copy.copy(x * 2)
    z += 1
    assert z.requires_grad
    leaf = copy.copy(x)
    assert leaf.is_leaf
    assert leaf.node is not x.node
