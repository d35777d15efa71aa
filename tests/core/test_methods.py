"""Tests of the methods and attributes that Tensors share with NumPy's arrays."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.comparing import same
from tests.helpers.numpy_calls import A, B, C, S, X, integers, mask, v, x

#: (method, object to call it on, positional arguments, keyword arguments)
CALLS: list[tuple[str, np.ndarray, tuple[Any, ...], dict[str, Any]]] = [
    *(
        (name, X, args, kwargs)
        for name in ("sum", "mean", "prod", "max", "min")
        for args, kwargs in [
            ((), {}),
            ((1,), {}),
            ((), {"axis": (0, 2), "keepdims": True}),
            ((None,), {"keepdims": True}),
        ]
    ),
    *(
        (name, X, args, kwargs)
        for name in ("var", "std")
        for args, kwargs in [
            ((), {}),
            ((1,), {"ddof": 1}),
            ((), {"axis": (0, 2), "keepdims": True}),
            ((0, np.float64), {}),
        ]
    ),
    *(
        (name, x, (), {"axis": 1, "where": mask.tolist(), "initial": 0.5})
        for name in ("sum", "prod", "max", "min")
    ),
    ("sum", x, (0, np.float64), {}),
    ("sum", integers, (), {"dtype": np.float32}),
    ("mean", integers, (), {}),
    ("mean", x, (), {"where": mask.tolist()}),
    *(
        (name, X, args, kwargs)
        for name in ("argmax", "argmin")
        for args, kwargs in [((), {}), ((1,), {}), ((), {"axis": -1, "keepdims": True})]
    ),
    *(
        (name, mask, args, kwargs)
        for name in ("all", "any")
        for args, kwargs in [((), {}), ((1,), {}), ((), {"axis": 0, "keepdims": True})]
    ),
    *((name, x, args, {}) for name in ("cumsum", "cumprod") for args in [(), (1,), (-2,)]),
    ("cumsum", integers, (0, np.float64), {}),
    ("clip", x, (-0.3, 0.4), {}),
    ("clip", x, (), {"max": 0.15}),
    ("dot", A, (B.tolist(),), {}),
    *(("reshape", X, args, {}) for args in [(4, 6), ((6, -1),), (-1,), (24,)]),
    ("reshape", X, ((2, 12),), {"order": "C"}),
    ("ravel", X, (), {}),
    ("flatten", X, (), {}),
    *(("squeeze", X[:1, :, :1], args, {}) for args in [(), (0,), ((0, 2),), (-1,)]),
    ("swapaxes", X, (0, 2), {}),
    *(("transpose", X, args, {}) for args in [(), (1, 0, 2), ((2, 0, 1),), (None,)]),
    *(("repeat", x, args, {}) for args in [(2,), (2, 0), ([1, 0, 2], 1)]),
    *(("trace", X, args, {}) for args in [(), (1, 1, 2)]),
    *(("diagonal", X, args, {}) for args in [(), (1, 2, 0)]),
    ("astype", x, (np.float32,), {}),
    ("astype", x, ("int32",), {"copy": False}),
    ("copy", x, (), {}),
    ("round", x * 10, (), {}),
    ("round", x * 10, (1,), {}),
    ("conj", C, (), {}),
    ("conjugate", C, (), {}),
    *(("argsort", X, args, {}) for args in [(), (0,), (None,)]),
    ("nonzero", integers, (), {}),
    *(("take", X, args, {}) for args in [([1, 5],), ([[1, 0]], 1), (0, -1)]),
    ("item", v[:1], (), {}),
    ("item", v, (1,), {}),
    ("item", X, (1, 2, 3), {}),
    ("item", X, ((0, 1, 2),), {}),
    ("tolist", X, (), {}),
    ("tolist", v[0], (), {}),
    ("tobytes", x, (), {}),
    ("searchsorted", np.sort(v), (0.1,), {"side": "right"}),
    ("argpartition", np.sort(v), (1,), {}),
    ("compress", x, ([True, False, True], 1), {}),
    ("choose", np.array([1, 0, 1]), ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],), {}),
]
DIFFERENTIABLE = (
    "sum mean prod max min var std cumsum cumprod clip dot reshape ravel flatten squeeze swapaxes "
    "transpose repeat trace diagonal copy take compress"
).split()


@pytest.mark.parametrize(
    ("name", "a", "args", "kwargs"), CALLS, ids=lambda p: p if isinstance(p, str) else ""
)
def test_values_are_numpys(name: str, a: np.ndarray, args: Any, kwargs: Any, device: str) -> None:
    same(
        getattr(xg.asarray(a), name)(*args, **kwargs),
        getattr(np.asarray(a), name)(*args, **kwargs),
        rtol=1e-6,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "a", "args", "kwargs"),
    [c for c in CALLS if c[0] in DIFFERENTIABLE and c[1].dtype == float and np.float64 not in c[2]],
    ids=lambda p: p if isinstance(p, str) else "",
)
def test_gradients_are_right(name: str, a: np.ndarray, args: Any, kwargs: Any, device: str) -> None:
    xg.check_grads(lambda t: getattr(t, name)(*args, **kwargs), (xg.asarray(a),))


@pytest.mark.parametrize("a", [x, C, integers, S.astype("f"), v[0]], ids=lambda a: str(a.dtype))
def test_attributes_are_numpys(a: np.ndarray, device: str) -> None:
    t = xg.asarray(a)
    a = np.asarray(a)
    for name in ("real", "imag", "T", "shape", "ndim", "size", "dtype", "itemsize", "nbytes"):
        same(getattr(t, name), getattr(a, name))
    if a.ndim > 1:
        same(t.mT, a.mT)


def test_real_and_imaginary_parts_are_differentiated() -> None:
    xg.check_grads(
        lambda re, im: (lambda c: c.real * c.imag)((re + 1j * im) ** 2),
        (xg.asarray(v), xg.asarray(v * 2)),
        order=2,
    )


def test_every_method_is_called() -> None:
    """The list has all methods of ndarray except those that write into memory or describe it."""
    ours = {
        name
        for name in dir(xg.Tensor)
        if not name.startswith("_") and hasattr(np.ndarray, name) and callable(getattr(xg.Tensor, name))
    }
    assert ours - {"to_device", "sort", "partition", "fill", "resize", "put", "view"} == {
        name for name, *_ in CALLS
    }


def test_parameters_are_numpys() -> None:
    """Keyword parameters have NumPy's names and meanings.

    Positional ones follow NumPy's order, as far as they go.
    """
    for name in {name for name, *_ in CALLS} - {"reshape", "transpose", "item"}:
        mine = list(inspect.signature(getattr(xg.Tensor, name)).parameters.values())[1:]
        function = getattr(np, name, None)
        if function is None or name in (
            "take",
            "round",
            "clip",
            "copy",
            "astype",
            "dot",
            "compress",
            "choose",
        ):
            continue
        theirs = list(inspect.signature(function).parameters)[1:]
        by_place = [p.name for p in mine if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert by_place == theirs[: len(by_place)], name
        assert {p.name for p in mine} <= {*theirs, "stable"}, name


def test_what_works_in_place_is_refused() -> None:
    t = xg.asarray([2.0, 1.0])
    for message, f in {
        r"xg\.sort": lambda: t.sort(),
        r"np\.partition": lambda: t.partition(1),
        "t = value": lambda: t.fill(1.0),
        r"np\.resize": lambda: t.resize(3),
        "t.indices. = values": lambda: t.put([0], 1.0),
        "reshape": lambda: t.view("f4"),
    }.items():
        with pytest.raises(TypeError, match=message.replace("t = value", r"t\[\.\.\.\] = value")):
            f()
    assert not hasattr(t, "flat")
    with pytest.raises(xg.GraphError):
        xg.tensor([1.0], requires_grad=True).tobytes()


def test_divmod() -> None:
    t, a = xg.asarray(v), np.asarray(v)
    same(divmod(t, 0.3), divmod(a, 0.3))
    same(divmod(0.3, t), divmod(0.3, a))
    same(divmod(a, t), divmod(a, a))


def test_what_is_written_into_is_refused() -> None:
    t = xg.ones((2, 2))
    for f in (
        lambda: t.sum(out=np.ones(())),
        lambda: t.cumsum(0, None, np.ones((2, 2))),
        lambda: t.max(0, np.ones(2)),
    ):
        with pytest.raises(TypeError, match=r"np\.\w+ on a Tensor takes no out="):
            f()  # type: ignore[no-untyped-call]
    with pytest.raises(TypeError, match="order='C'"):
        t.reshape(4, order="F")
    with pytest.raises(TypeError, match="order='C'"):
        t.ravel("F")
    with pytest.raises(xg.ShapeError):
        t.item()
    with pytest.raises(IndexError):
        t.item(7)
