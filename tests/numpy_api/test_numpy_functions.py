"""NumPy's functions on Tensors have NumPy's values and correct gradients, or are refused by name."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.comparing import same
from tests.helpers.numpy_calls import AT_THE_EDGE, FLAT, SMOOTH, Call
from xgrad.namespace.table import FUNCTIONS, NUMPY
from xgrad.numpy_api import ACCUMULATIONS, REDUCTIONS

#: The functions that HIPS autograd differentiates or passes through; in NumPy's main namespace unless a
#: prefix is given.
HIPS = """
    absolute add amax amin angle arccos arccosh arcsin arcsinh arctan arctan2 arctanh array_split astype
    atleast_1d atleast_2d atleast_3d broadcast_to clip conjugate cos cosh cross cumsum deg2rad degrees diag
    diagonal diff divide dot dsplit einsum exp exp2 expand_dims expm1 fabs fft.fft fft.fft2 fft.fftn
    fft.fftshift fft.ifft fft.ifft2 fft.ifftn fft.ifftshift fft.irfft fft.irfft2 fft.irfftn fft.rfft fft.rfft2
    fft.rfftn fliplr flipud fmax fmin gradient hsplit hypot imag inner kron linalg.cholesky linalg.det
    linalg.eig linalg.eigh linalg.inv linalg.norm linalg.pinv linalg.slogdet linalg.solve linalg.svd linspace
    log log10 log1p log2 logaddexp logaddexp2 matmul max maximum mean min minimum moveaxis multiply nan_to_num
    negative outer pad partition power prod rad2deg radians ravel real real_if_close reciprocal remainder
    repeat reshape roll rollaxis rot90 sin sinc sinh sort split sqrt square squeeze std subtract sum swapaxes
    tan tanh tensordot tile trace transpose tril triu var vsplit where all allclose any argmax argmin
    argpartition argsort argwhere around array_equal array_equiv ceil count_nonzero empty_like equal fix
    flatnonzero floor floor_divide full_like greater greater_equal isclose iscomplex iscomplexobj isfinite
    isinf isnan isneginf isposinf isreal less less_equal logical_and logical_not logical_or logical_xor ndim
    nonzero not_equal ones_like result_type rint round searchsorted shape sign size trunc zeros_like
    concatenate stack vstack hstack column_stack append
""".split()

#: Functions that Tensors do not support. HIPS autograd differentiates the first, whose results are complex
#: for a real matrix.
REFUSED = """
    linalg.tensorsolve i0 put_along_axis copyto fill_diagonal
""".split()


def listed(table: dict[str, list[Call]]) -> list[Any]:
    return [
        pytest.param(f, args, id=f"{name}-{k}")
        for name, made in table.items()
        for k, (f, args) in enumerate(made)
    ]


def placed(args: tuple[np.ndarray, ...]) -> list[xg.Tensor]:
    return [xg.asarray(a) for a in args]


def tensors_of(z: Any) -> list[xg.Tensor]:
    parts = z if isinstance(z, tuple | list) else (z,)
    return [part for part in parts if isinstance(part, xg.Tensor)]


@pytest.mark.slow
@pytest.mark.parametrize(("f", "args"), listed(SMOOTH) + listed(FLAT) + listed(AT_THE_EDGE))
def test_values_are_numpys(f: Any, args: Any, device: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = f(*args)
        z = f(*placed(args))
    same(z, expected)
    assert all(part.device == device for part in tensors_of(z))


@pytest.mark.parametrize(("f", "args"), listed(SMOOTH))
def test_single_precision_stays_where_it_does_in_numpy(f: Any, args: Any) -> None:
    single = tuple(a.astype({"f": "f", "c": "F"}.get(a.dtype.kind, a.dtype)) for a in args)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, z = f(*single), f(*placed(single))
    both = zip(expected, z, strict=True) if isinstance(z, tuple | list) else [(expected, z)]
    assert [np.asarray(part).dtype for part, _ in both] == [part.dtype for part in tensors_of(z)]


@pytest.mark.slow
@pytest.mark.parametrize(("f", "args"), listed(SMOOTH))
def test_gradients_are_right(f: Any, args: Any, device: str) -> None:
    """Elements that are NaN or infinite are held fixed."""
    held = [np.isfinite(a) for a in args]

    def with_holes(*given: Any) -> list[xg.Tensor]:
        whole = [
            v if h.all() else xg.where(xg.asarray(h), v, xg.asarray(np.where(h, 0, a)))
            for v, h, a in zip(given, held, args, strict=True)
        ]
        return [part for part in tensors_of(f(*whole)) if part.dtype.kind in "fc"]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xg.check_grads(with_holes, [xg.asarray(np.where(h, a, 0)) for a, h in zip(args, held, strict=True)])
        assert any(
            part.requires_grad
            for part in tensors_of(f(*(xg.tensor(a, requires_grad=a.dtype.kind in "fc") for a in args)))
        )


@pytest.mark.parametrize(("f", "args"), listed(FLAT))
def test_the_others_have_no_gradient(f: Any, args: Any) -> None:
    args = tuple(xg.tensor(a, requires_grad=a.dtype.kind in "fc") for a in args)
    assert not any(part.requires_grad for part in tensors_of(f(*args)))


def test_every_function_has_a_call() -> None:
    called = {*SMOOTH, *FLAT}
    aliases = {
        "row_stack",
        "trapz",
        "shares_memory",
        "array2string",
        "array_str",
        "array_repr",
        "linalg.eigvalsh",
        "isrealobj",
    }
    assert {name for name, f in NUMPY.items() if f not in FUNCTIONS.values()} - called - aliases == set()
    assert {f"{name}.reduce" for name in REDUCTIONS} - called <= {"fmax.reduce", "fmin.reduce"}
    assert {f"{name}.accumulate" for name in ACCUMULATIONS} - called <= {
        "logical_and.accumulate",
        "logical_or.accumulate",
    }


@pytest.mark.parametrize("name", HIPS)
def test_what_hips_autograd_supports_is_supported(name: str) -> None:
    assert name in NUMPY


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_is_refused_by_name(name: str) -> None:
    f = np
    for part in name.split("."):
        f = getattr(f, part)
    t = xg.asarray(np.eye(3))
    args = {
        "put_along_axis": (t, t, t, 0),
        "copyto": (t, t),
        "fill_diagonal": (t, 1.0),
        "linalg.tensorsolve": (t, t),
    }.get(name, (t,))
    with pytest.raises(TypeError, match=rf"np\.{name} does not work on Tensors"):
        f(*args)


def test_parameters_that_are_not_supported_are_refused_by_name() -> None:
    t = xg.tensor([[3.0, 1.0], [2.0, 4.0]], requires_grad=True)
    room = np.ones((2, 2))
    for message, f in {
        r"np\.sum .*out=": lambda: np.sum(t, out=room),
        r"np\.sum .* no out=": lambda: np.sum(t, 0, None, room),
        r"np\.cumsum .*out=": lambda: np.cumsum(t, 0, None, room),
        r"np\.sort .*order=": lambda: np.sort(t, order="x"),
        r"np\.cov .*aweights=": lambda: np.cov(t, aweights=[1, 2]),
        r"np\.add .*where=": lambda: np.add(t, t, where=[True, False]),
        r"np\.add .*dtype=": lambda: np.add(t, t, dtype=np.float32),
        r"np\.add cannot write .* by out=": lambda: np.add(t, t, out=room),
        r"np\.multiply\.at": lambda: np.multiply.at(t, 0, 1.0),
        r"np\.add\.reduceat": lambda: np.add.reduceat(t, [0, 1]),
        r"np\.hypot\.reduce": lambda: np.hypot.reduce(t),
        r"np\.subtract\.accumulate": lambda: np.subtract.accumulate(t),
        r"np\.maximum\.accumulate .*dtype=": lambda: np.maximum.accumulate(t, dtype=np.float32),
        r"np\.reshape .*order='C'": lambda: np.reshape(t, 4, order="F"),
        r"np\.pad .*mode must be one of": lambda: np.pad(t, 1, mode=lambda *args: None),
        r"np\.quantile .*method must be one of": lambda: np.quantile(t, 0.5, method="weibull"),
    }.items():
        with pytest.raises(TypeError, match=message):
            f()
    with pytest.raises(TypeError, match="out="):
        room += t


def test_defaults_may_be_written_out() -> None:
    t = xg.asarray([3.0, 1.0])
    assert np.sum(t, axis=None, dtype=None, out=None).item() == 4
    same(np.add(t, t, out=None, where=True, casting="same_kind", order="K", subok=True), np.array([6.0, 2.0]))
    same(np.argsort(a=t, axis=-1, kind=None), np.array([1, 0]))
    same(np.take(t, indices=[0], axis=0, out=None, mode="raise"), np.array([3.0]))


def test_an_array_beside_a_tensor_goes_to_its_device() -> None:
    t = xg.asarray(np.ones(3))
    a = np.array([1.0, 5.0, -2.0])
    for z, expected in (
        (a + t, a + 1),
        (np.dot(a, t), 4.0),
        (np.concatenate([a, t])[:3], a),
        (np.fmax(a, t), np.fmax(a, 1)),
        (np.float64(2) * t, np.full(3, 2.0)),
    ):
        assert isinstance(z, xg.Tensor)
        np.testing.assert_allclose(z.numpy(), expected)


def test_text() -> None:
    t = xg.asarray([1.0, 2.0])
    assert np.array_str(t) == np.array_str(np.array([1.0, 2.0]))
    assert np.array_repr(t) == repr(t)


#: Functions that depend on values, so that they cannot be traced.
ON_VALUES = {"compress", "extract", "linalg.lstsq", "piecewise", "real_if_close", "repeat", "unique"}


@pytest.mark.parametrize(
    ("name", "f", "args"), [pytest.param(name, *made[-1], id=name) for name, made in SMOOTH.items()]
)
def test_in_a_compiled_function(name: str, f: Any, args: Any) -> None:
    compiled = xg.compile(lambda *given: tuple(tensors_of(f(*given))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            z = compiled(*placed(args))
        except xg.TraceError:
            assert name in ON_VALUES
        else:
            same(z, tuple(np.asarray(part.numpy()) for part in tensors_of(f(*placed(args)))))


# On any shape, axis and dtype

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
KINDS = st.sampled_from(["float64", "float32", "int64", "int32", "bool", "complex128"])


@st.composite
def arrays(draw: st.DrawFn, shapes: Any = SHAPES, kinds: Any = KINDS) -> np.ndarray:
    shape, dtype = draw(shapes), np.dtype(draw(kinds))
    source = np.random.default_rng(draw(st.integers(0, 9))).integers(-9, 9, shape) / (
        4 if dtype.kind in "fc" else 1
    )
    a = (source * (1 + 0.5j) if dtype.kind == "c" else source).astype(dtype)
    return a[::-1] if a.ndim and draw(st.booleans()) else a


def agree(f: Any, *args: np.ndarray, on: str = "") -> None:
    """Check that `f` does the same to Tensors as to arrays, if it works on arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = f(*args)
        except (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
            with pytest.raises((ValueError, IndexError, TypeError)):
                f(*(xg.asarray(a) for a in args))
            return
        same(
            f(*(xg.asarray(a) for a in args)),
            expected,
            rtol=1e-4 if any(a.dtype.itemsize == 4 for a in args) else 1e-9,
        )


@pytest.fixture(params=["cpu", "strict:1"])
def here(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", "sum prod mean var std all any max min cumsum cumprod nansum".split())
def test_reductions_of_anything(name: str, here: str) -> None:
    f = getattr(np, name)

    @given(arrays(), st.data())
    def check(a: np.ndarray, data: st.DataObject) -> None:
        if (
            here != "cpu"
            and (a.dtype.kind == "c" or (a.dtype.kind == "b" and name not in ("all", "any", "sum")))
            and name not in ("sum", "prod", "mean")
        ):
            return  # the standard does not promise this
        axes = st.one_of(st.none(), st.integers(-a.ndim, a.ndim - 1)) if a.ndim else st.none()
        if name.startswith("cum"):
            kwargs: dict[str, Any] = {"axis": data.draw(axes)}
        else:
            several = st.lists(st.integers(0, a.ndim - 1), unique=True).map(tuple) if a.ndim else st.none()
            kwargs = {"axis": data.draw(st.one_of(axes, several)), "keepdims": data.draw(st.booleans())}
        with xg.device(here):
            agree(lambda v: f(v, **kwargs), a)

    check()


@given(st.data(), st.sampled_from(["cpu", "strict:1"]))
def test_shapes_of_anything(data: st.DataObject, device: str) -> None:
    a = data.draw(arrays(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)))
    axis, other, k = (
        data.draw(st.integers(-a.ndim, a.ndim - 1)),
        data.draw(st.integers(-a.ndim, a.ndim - 1)),
        data.draw(st.integers(-5, 5)),
    )
    f = data.draw(
        st.sampled_from(
            [
                lambda v: np.roll(v, k, axis=axis),
                lambda v: np.roll(v, k),
                lambda v: np.flip(v, axis),
                lambda v: np.swapaxes(v, axis, other),
                lambda v: np.moveaxis(v, axis, other),
                lambda v: np.repeat(v, abs(k), axis=axis),
                lambda v: np.tile(v, abs(k)),
                lambda v: np.rollaxis(v, axis, other),
                lambda v: np.diagonal(v, k, axis, other),
                lambda v: np.trace(v, k, axis, other),
                lambda v: np.array_split(v, abs(k) + 1, axis),
                lambda v: np.split(v, 2, axis),
                lambda v: np.rot90(v, k, axes=(axis, other)),
                lambda v: np.tril(v[None], k),
                lambda v: np.triu(v[None], k),
                lambda v: np.expand_dims(v, axis),
                lambda v: np.squeeze(v, axis),
                lambda v: np.squeeze(v),
                lambda v: np.concatenate([v, v[:1]], axis=axis),
                lambda v: np.stack([v, v], axis=axis),
                lambda v: np.pad(v, abs(k), mode="wrap"),
                lambda v: np.pad(v, abs(k), mode="symmetric"),
                lambda v: np.pad(v, abs(k), mode="reflect"),
                lambda v: np.pad(v, abs(k), mode="edge"),
                lambda v: np.take(v, [k, 0], axis=axis),
                lambda v: np.atleast_3d(v),
                lambda v: np.hstack([v, v]),
                lambda v: np.vstack([v, v]),
                lambda v: np.dstack([v, v]),
                lambda v: np.kron(v, v[:1]),
            ]
        )
    )
    with xg.device(device):
        agree(f, a)


@given(st.data(), st.sampled_from(["cpu", "strict:1"]))
def test_two_of_anything(data: st.DataObject, device: str) -> None:
    kinds = st.sampled_from(["float64", "float32", "int64"])
    shape = data.draw(SHAPES)
    a = data.draw(arrays(st.just(shape), kinds))
    b = data.draw(
        arrays(
            st.just(
                tuple(
                    n if data.draw(st.booleans()) else 1
                    for n in shape[data.draw(st.integers(0, len(shape))) :]
                )
            ),
            kinds,
        )
    )
    name = data.draw(
        st.sampled_from(
            (
                "add subtract multiply divide fmax fmin fmod heaviside logaddexp2 float_power hypot "
                "arctan2 maximum minimum copysign"
            ).split()
        )
    )
    with xg.device(device):
        agree(getattr(np, name), a, b)


@given(st.data(), st.sampled_from(["cpu", "strict:1"]))
def test_products_of_anything(data: st.DataObject, device: str) -> None:
    kinds = st.sampled_from(["float64", "complex128", "int64"])
    a, b = data.draw(arrays(kinds=kinds)), data.draw(arrays(kinds=kinds))
    f = data.draw(
        st.sampled_from(
            [
                np.dot,
                np.inner,
                np.outer,
                np.vdot,
                np.kron,
                lambda u, v: np.tensordot(u, v, 1),
                lambda u, v: np.einsum("...,...", u, v),
                lambda u, v: np.matmul(u, v),
            ]
        )
    )
    with xg.device(device):
        agree(f, a, b)


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from(["full", "same", "valid"]),
    st.sampled_from([np.convolve, np.correlate]),
)
def test_what_slides(n: int, m: int, mode: str, f: Any) -> None:
    source = np.random.default_rng(n)
    agree(lambda a, b: f(a, b, mode), source.normal(size=n), source.normal(size=m))


@given(st.data(), st.sampled_from(["cpu", "strict:1"]))
def test_quantiles_of_anything(data: st.DataObject, device: str) -> None:
    a = data.draw(
        arrays(
            st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
            st.sampled_from(["float64", "int64"]),
        )
    )
    axis, q = (
        data.draw(st.one_of(st.none(), st.integers(-a.ndim, a.ndim - 1))),
        data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0, [0.1, 0.5]])),
    )
    method, keepdims = (
        data.draw(st.sampled_from(["linear", "lower", "higher", "midpoint", "nearest"])),
        data.draw(st.booleans()),
    )
    with xg.device(device):
        agree(lambda v: np.quantile(v, q, axis=axis, method=method, keepdims=keepdims), a)
        agree(lambda v: np.median(v, axis=axis), a)
        agree(lambda v: np.sort(v, axis=axis), a)
        agree(lambda v: np.unique(v, return_counts=True, return_index=True, return_inverse=True), a)


#: Calls that change nothing.
IDLE = {
    "clip": np.clip,
    "pad": lambda a: np.pad(a, 0),
    "concatenate": lambda a: np.concatenate([a]),
    "block": np.block,
    "around": np.around,
    "squeeze": np.squeeze,
    "atleast_1d": np.atleast_1d,
    "atleast_2d": np.atleast_2d,
    "atleast_3d": lambda a: np.atleast_3d(a[..., None])[..., 0],
    "broadcast_to": lambda a: np.broadcast_to(a, a.shape),
    "rot90": lambda a: np.rot90(a, 0),
    "roll": lambda a: np.roll(a, 0),
    "flip": lambda a: np.flip(a, axis=()),
    "transpose": lambda a: np.transpose(a, (0, 1)),
    "moveaxis": lambda a: np.moveaxis(a, 0, 0),
    "swapaxes": lambda a: np.swapaxes(a, 1, 1),
    "rollaxis": lambda a: np.rollaxis(a, 0),
    "reshape": lambda a: np.reshape(a, a.shape),
    "diff": lambda a: np.diff(a, n=0),
    "tile": lambda a: np.tile(a, 1),
    "repeat": lambda a: np.repeat(a, 1, axis=0),
    "expand_dims": lambda a: np.expand_dims(a, ()),
    "nan_to_num": np.nan_to_num,
    "real": np.real,
    "real_if_close": np.real_if_close,
    "positive": np.positive,
    "conjugate": np.conjugate,
    "copy": np.copy,
    "astype": lambda a: np.astype(a, a.dtype),
    "sum": lambda a: np.sum(a, axis=()),
    "max": lambda a: np.max(a, axis=()),
    "mean": lambda a: np.mean(a, axis=()),
    "maximum.accumulate": lambda a: np.maximum.accumulate(a[:1]),
    "append": lambda a: np.append(a, np.zeros((0, 3)), axis=0),
    "delete": lambda a: np.delete(a, [], axis=0),
    "tril": lambda a: np.tril(a, 9),
    "insert": lambda a: np.insert(a, [], 1.0, axis=0),
    "split": lambda a: np.split(a, 1)[0],
    "broadcast_arrays": lambda a: np.broadcast_arrays(a)[0],
    "fftshift": lambda a: np.fft.fftshift(a, axes=()),
    "multi_dot": lambda a: np.linalg.matrix_power(a[:, :2], 1),
    "polyder": lambda a: np.polyder(a[0], 0),
    "ravel": lambda a: np.ravel(a[0]),
    "method clip": lambda a: a.clip(),
    "method round": lambda a: a.round(),
    "method reshape": lambda a: a.reshape(a.shape),
    "method ravel": lambda a: a[0].ravel(),
    "method squeeze": lambda a: a.squeeze(),
    "method transpose": lambda a: a.transpose(0, 1),
    "method real": lambda a: a.real,
    "method conj": lambda a: a.conj(),
    "method astype": lambda a: a.astype(a.dtype),
    "method copy": lambda a: a.copy(),
    "method swapaxes": lambda a: a.swapaxes(0, 0),
    "method sum": lambda a: a.sum(axis=()),
}


@pytest.mark.parametrize("f", IDLE.values(), ids=IDLE)
@pytest.mark.parametrize(
    "a",
    [np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([[1, 2, 3], [4, 5, 6]])],
    ids=["floats", "integers"],
)
def test_a_result_is_a_handle_of_its_own(f: Any, a: np.ndarray) -> None:
    """Changing the result in place leaves the argument alone, even if the call did nothing."""
    t = xg.asarray(a)
    try:
        z = f(t)
    except np.linalg.LinAlgError:
        pytest.skip("not of this dtype")
    assert z is not t
    z += 1 if z.dtype.kind in "iu" else 1.0
    np.testing.assert_array_equal(t.numpy(), a)


@pytest.mark.parametrize(("f", "args"), listed(SMOOTH) + listed(FLAT))
def test_no_result_is_an_argument(f: Any, args: Any) -> None:
    given = placed(args)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not any(part is t for part in tensors_of(f(*given)) for t in given)


def test_a_gradient_goes_to_parameters_that_are_tensors() -> None:
    a, t = np.array([-1.0, 0.5, 3.0]), xg.asarray(0.7)
    for f in (
        lambda t: np.interp(xg.asarray(a), [0.0, 1.0], [2.0, 3.0], left=t, right=2 * t),
        lambda t: np.quantile(a, t),
        lambda t: np.percentile(xg.asarray(a), t * 10),
        lambda t: np.nanquantile(a, xg.stack([t, t / 2])),
        lambda t: np.sum(xg.asarray(a), initial=t),
        lambda t: np.prod(xg.asarray(a), initial=t),
        lambda t: np.max(xg.asarray(a), initial=t * 9),
        lambda t: np.full_like(xg.asarray(a), t),
        lambda t: np.min(xg.asarray(a), initial=t - 9, where=[True, False, True]),
        lambda t: np.nan_to_num(xg.asarray([np.nan, 1.0]), nan=t),
        lambda t: np.unwrap(xg.asarray(a) * 5, period=t * 3),
        lambda t: np.pad(xg.asarray(a), 1, constant_values=t),
        lambda t: np.linspace(0.0, t, 3),
        lambda t: np.gradient(xg.asarray(a), t),
        lambda t: np.trapezoid(xg.asarray(a), dx=t),
        lambda t: np.clip(xg.asarray(a), t, None),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            xg.check_grads(f, (t,), order=1)
        assert f(xg.tensor(0.7, requires_grad=True)).requires_grad


def test_the_root_of_no_variance_is_flat() -> None:
    t = xg.asarray([2.0, 2.0])
    for f in (
        np.std,
        np.nanstd,
        lambda t: t.std(),
        lambda t: np.std(t, where=[True, True]),
        lambda t: np.std(t + 0j),
    ):
        np.testing.assert_array_equal(xg.grad(lambda t: np.real(f(t)))(t).numpy(), [0, 0])


def test_cube_roots(device: str) -> None:
    t = np.array([27.0, -8.0, 0.0, 64.0, np.inf, -np.inf, np.nan, 1e-300, 1e300, 125.0, 5e-324])
    z = np.cbrt(xg.asarray(t))
    np.testing.assert_allclose(z.numpy(), np.cbrt(t), rtol=1e-15)
    np.testing.assert_array_equal(z.numpy()[[0, 1, 2, 3, 9]], [3, -2, 0, 4, 5])
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert xg.grad(np.cbrt)(xg.asarray(0.0)).item() == np.inf


@pytest.mark.parametrize(
    "name", "fabs deg2rad rad2deg radians degrees cbrt modf fmod heaviside logaddexp2".split()
)
def test_functions_of_real_numbers_refuse_complex_ones(name: str) -> None:
    f = getattr(np, name)
    with pytest.raises(TypeError, match="real numbers"):
        f(*[xg.asarray([1j])] * f.nin)


def test_interpolation_next_to_infinity(device: str) -> None:
    at = np.array([-np.inf, -3.0, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan])
    for points, values in (
        ([0.0, 1.0, np.inf], [1.0, 2.0, 3.0]),
        ([-np.inf, 0.0, 1.0], [1.0, 2.0, 3.0]),
        ([-np.inf, np.inf], [2.0, 2.0]),
        ([-np.inf, np.inf], [1.0, 2.0]),
        ([0.0, 1.0, 2.0], [1.0, np.inf, 3.0]),
        ([0.0, 1.0, 1.0], [1.0, 2.0, 3.0]),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(
                np.interp(xg.asarray(at), points, values).numpy(), np.interp(at, points, values)
            )


def test_lists_beside_tensors(device: str) -> None:
    t = xg.asarray([1.0, 2.0, 3.0])
    a = t.numpy()
    for f in (
        lambda t: np.add(t, [1, 2, 3]),
        lambda t: np.maximum([[1.0], [2.5]], t),
        lambda t: np.matmul([[1.0, 2.0, 3.0]], t),
        lambda t: np.linalg.solve([[2.0, 0.0], [0.0, 1.0]], t[:2]),
        lambda t: np.hypot.outer([1.0, 2.0], t),
        lambda t: np.vecdot([1.0, 2.0, 3.0], t),
        lambda t: np.arctan2((1, 2, 3), t),
        lambda t: np.searchsorted(t, [1.5, 9.0]),
        lambda t: np.cross([1.0, 0.0, 0.0], t),
        lambda t: np.linalg.matmul([[1.0, 2.0, 3.0]], t),
    ):
        same(f(t), f(a))


def test_edges_are_numpys(device: str) -> None:
    one, none = np.array(3.0), np.zeros(0)
    for f, a in (
        (lambda a: np.cumsum(a, axis=0), one),
        (lambda a: np.cumprod(a, axis=-1), one),
        (lambda a: np.squeeze(a, axis=0), one),
        (lambda a: np.sum(a, axis=0), one),
        (np.add.reduce, one),
        (lambda a: np.max(a, axis=-1), one),
        (np.nanmedian, none),
        (np.median, none),
        (lambda a: np.nanquantile(a, 0.5), none),
        (np.nansum, none),
        (lambda a: np.delete(a, [True, False, True]), np.arange(3.0)),
        (lambda a: np.isin(a, []), np.arange(3.0)),
        (np.median, np.array([1.0, 2.0, np.inf])),
        (lambda a: np.nansum(a, where=[True, False, True]), np.array([1.0, 2.0, np.nan])),
        (lambda a: np.nanmax(a, initial=5.0, where=[True, False, True]), np.array([1.0, 2.0, np.nan])),
        (lambda a: np.isin(a, [True]), np.array([True, False])),
        (lambda a: np.isin(a, [1.0, np.nan]), np.array([1.0, np.nan])),
    ):
        agree(f, a)
    with pytest.raises(ValueError, match=r"np.partition: kth=3"):
        np.partition(xg.asarray([1.0, 2.0]), 3)
    with pytest.raises(ValueError, match="bins"):
        np.digitize(xg.asarray([1.0]), [1.0, 3.0, 2.0])
    with pytest.raises(ValueError, match="copy"):
        np.reshape(xg.asarray(np.ones((2, 3)).T), 6, copy=False)
    with pytest.raises(ValueError, match="copy"):
        xg.asarray(np.ones((2, 3)).T).reshape(6, copy=False)


def test_files_and_counts_get_values(tmp_path: Any) -> None:
    t = xg.tensor([1.0, 2.0], requires_grad=True)
    np.save(tmp_path / "t.npy", t.detach())
    np.savez(tmp_path / "t.npz", t=t.detach())
    np.savetxt(tmp_path / "t.txt", t.detach())
    for saved in (
        np.load(tmp_path / "t.npy"),
        np.load(tmp_path / "t.npz")["t"],
        np.loadtxt(tmp_path / "t.txt"),
    ):
        np.testing.assert_array_equal(saved, [1, 2])
    for f in (
        lambda: np.save(tmp_path / "t.npy", t),
        lambda: np.histogram(t),
        lambda: np.bincount(xg.asarray([0, 1]), weights=t),
    ):
        with pytest.raises(xg.GraphError, match=r"np\.\w+ would cut the gradient .* t.detach"):
            f()


def test_writing_into_an_array_says_what_to_do() -> None:
    for f in (np.full_like, lambda a, t: np.nan_to_num(a, nan=t)):
        with pytest.raises(TypeError, match=r"np\.full_like, np\.nan_to_num"):
            f(np.ones(2), xg.asarray(1.0))
