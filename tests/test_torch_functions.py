"""Every differentiable function that torch has too: its value, its gradient and the gradient of that, compared with torch's.

`array_api_compat.torch` is torch under the names of the array standard, so that a function is written once for both. Arrays are
drawn of every shape, those of no axes and no elements too, and lie in memory in every way.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices, integer_array_indices, mutually_broadcastable_shapes

import xgrad as xg
from xgrad.namespace.table import FUNCTIONS
from xgrad.ops import OPS

from .calls import DOMAIN, FLAT

torch = pytest.importorskip("torch", reason="torch is not installed: `make parity` installs it")
th = pytest.importorskip("array_api_compat.torch")
pytestmark = pytest.mark.parity

#: Whether arrays are real or complex: a letter for each in turn.
REAL, COMPLEX, ALIKE, MIXED = ["r"], ["c"], ["r", "c"], ["r", "c", "rc", "cr"]


# Comparing


def several(z: Any) -> list[Any]:
    return [part for part in z if part is not None] if isinstance(z, tuple | list) else [z]


def same(ours: Any, theirs: Any) -> None:
    for a, b in zip(ours, theirs, strict=True):
        a, b = a.numpy(), b.numpy(force=True)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9 * max(1, np.max(abs(b), initial=0)))


def agree(f: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> None:
    """Whether values, gradients for a random dz, and the gradients of those along a random direction, in dz as well, are torch's."""
    rng = np.random.default_rng(0)

    def like(x: Any) -> np.ndarray:
        return np.asarray(rng.normal(size=x.shape) + (1j * rng.normal(size=x.shape) if x.dtype.kind == "c" else 0))

    def leaves(values: Any) -> list[Any]:
        return [torch.tensor(v.copy(), requires_grad=True) for v in values]

    def ours(*xs: Any) -> list[Any]:
        return several(f(xg, *xs))

    xs = leaves(arrays)
    theirs = several(f(th, *xs))
    z, _ = xg.vjp(ours, *arrays)
    same(z, theirs)
    dz = [like(part) for part in z]
    dx, pull = xg.vjp(lambda dz, *xs: xg.vjp(ours, *xs)[1](dz), dz, *arrays)
    dzs = leaves(dz)
    dxs = torch.autograd.grad(theirs, xs, dzs, create_graph=True, materialize_grads=True)
    same(dx, dxs)
    u = tuple(map(like, dx))
    ddz, *ddx = pull(u)
    moving = [i for i, g in enumerate(dxs) if g.requires_grad]
    every = [*dzs, *xs]
    second = torch.autograd.grad([dxs[i] for i in moving], every, [torch.tensor(u[i]) for i in moving], materialize_grads=True) if moving else map(torch.zeros_like, every)
    same([*ddz, *ddx], second)


# Drawing


@st.composite
def arguments(draw: Any, shapes: Any, params: Any = lambda *shapes: {}, kinds: list[str] = ALIKE, domain: Any = (-2, 2), made: Any = None) -> Any:
    """Arrays of the `shapes` drawn, real parts in a domain, and parameters that depend on the shapes; `made` changes the first array."""
    shapes, kinds_of_each = draw(shapes), cycle(draw(st.sampled_from(kinds)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    arrays = []
    for shape, kind in zip(shapes, kinds_of_each):
        x = np.asarray(rng.uniform(*domain, shape) + (1j * rng.uniform(-1, 1, shape) if kind == "c" else 0))
        x = made(x) if made and not arrays else x
        lie = draw(st.sampled_from(["whole", "reversed", "stepped", "transposed"]))
        if lie == "reversed":
            x = np.flip(np.flip(x).copy())
        elif lie == "stepped" and x.ndim:
            x = np.repeat(x, 2, axis=-1)[..., ::2]
        arrays.append(x.T.copy().T if lie == "transposed" else x)
    return tuple(arrays), {name: draw(strategy) for name, strategy in params(*shapes).items()}


def shapes(least_axes: int = 0, least: int = 0, count: int = 1) -> Any:
    """A shape, `count` times."""
    return array_shapes(min_dims=least_axes, max_dims=3, min_side=least, max_side=3).map(lambda s: (s,) * count)


def fitting(signature: str, loops: int = 2, least: int = 0) -> Any:
    """Shapes for a function of this signature, as generalised ufuncs have: leading axes broadcast."""
    return mutually_broadcastable_shapes(signature=signature, max_dims=loops, min_side=least, max_side=3).map(lambda s: s.input_shapes)


def one_axis(s: Any) -> Any:
    return st.integers(-len(s), len(s) - 1)


def axes(s: Any) -> Any:
    return (one_axis(s) | some_axes(s) | st.none()) if s else st.none()


def some_axes(s: Any, least: int = 1) -> Any:
    return st.lists(one_axis(s), min_size=least, max_size=len(s), unique_by=lambda a: a % len(s)).map(tuple)


def regular(a: np.ndarray) -> np.ndarray:
    """Far from singular, and no two singular values near each other."""
    u, _, vh = np.linalg.svd(a, full_matrices=False)
    return (u * np.arange(1.0, min(a.shape[-2:]) + 1)) @ vh


# The functions


class Case(NamedTuple):
    """`f(xp, *arrays, **params)` of either namespace, and a strategy for its `(arrays, params)`."""

    f: Callable[..., Any]
    arguments: Any


def of(name: str, *args: Any, f: Any = None, **how: Any) -> dict[str, Case]:
    """A function that both have under one name, which may be followed by a word; or `f`, which is made of it."""
    return {name: Case(f or (lambda xp, *a, **p: attrgetter(name.split()[0])(xp)(*a, **p)), arguments(*args, **how))}


def either(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    return lambda xp, *a, **p: (theirs if xp is th else ours)(*a, **p)


def elementwise(name: str, op: Any) -> dict[str, Case]:
    kinds = (MIXED if op.analytic else ALIKE) if op.analytic or name in ("abs", "conj", "real") else REAL
    pair = mutually_broadcastable_shapes(num_shapes=op.arity, min_dims=0, max_dims=3, min_side=0, max_side=3).map(lambda s: s.input_shapes)
    domain = (-2, 2) if name in ("relu", "abs") else DOMAIN.get(name, (-2, 2))
    return of(name, pair, kinds=COMPLEX if name == "imag" else kinds, domain=domain)


ELEMENTWISE = {k: c for op in dict.fromkeys(OPS.values()) if op.elementwise and op.differentiable and op.doc for k, c in elementwise(op.function, op).items()}


def reduced(name: str, least_axes: int = 0, least: int = 0, **how: Any) -> dict[str, Case]:
    more = how.pop("more", {})
    return of(name, shapes(least_axes, least), lambda s: {"axis": axes(s), "keepdims": st.booleans(), **more}, **how)


def along(name: str, least: int = 0, **how: Any) -> dict[str, Case]:
    """A function along one axis."""
    more = how.pop("more", {})
    return of(name, shapes(1, least), lambda s: {"axis": one_axis(s), **more}, **how)


def with_zeros(x: np.ndarray) -> np.ndarray:
    return x * (np.arange(x.size).reshape(x.shape) % 3 != 1)


INITIAL, CORRECTION = {"include_initial": st.booleans()}, {"correction": st.sampled_from([0, 1])}

REDUCTIONS = {
    **reduced("sum"),
    **reduced("mean", least=1),
    **reduced("prod", made=with_zeros),
    **reduced("max", least=1, kinds=REAL),  # no ties: there torch divides the gradient
    **reduced("min", least=1, kinds=REAL),
    **reduced("var", 1, 2, more=CORRECTION),  # of two elements at least: of less, torch's are NaN where ours are 0
    **reduced("std", 1, 2, more=CORRECTION),
    **reduced("logsumexp", least=1, kinds=REAL, f=either(xg.logsumexp, lambda x, axis, keepdims: torch.logsumexp(x, tuple(range(x.ndim)) if axis is None else axis, keepdims))),
    **along("softmax", least=1, kinds=REAL),
    **along("cumulative_sum", more=INITIAL),
    **along("cumulative_prod", more=INITIAL, made=with_zeros),
}  # fmt: skip

# Linear algebra. Vectors that are free in sign or phase come in combinations that are not.


def H(xp: Any, x: Any) -> Any:
    return xp.conj(x).mT


def definite(xp: Any, x: Any) -> Any:
    """Hermitian wherever x moves to, so that it does not matter which triangle has the gradient: with us the one that is read."""
    return x @ H(xp, x) + xp.eye(x.shape[-2], dtype=x.dtype)


def spectral(xp: Any, x: Any) -> Any:
    w, v = xp.linalg.eigh(x + H(xp, x))
    return w, (v * xp.sin(w)[..., None, :]) @ H(xp, v), abs(v) ** 2


def of_any_matrix(xp: Any, x: Any) -> Any:
    """Eigenvalues come in any order: sums over them."""
    w, v = xp.linalg.eig(x)
    return xp.sum(w**3, axis=-1), (v * xp.sin(w)[..., None, :]) @ xp.linalg.inv(v), abs(v) ** 2 @ abs(w)[..., None] ** 2


def triangular(xp: Any, x: Any, mode: str = "reduced") -> Any:
    q, r = xp.linalg.qr(x, mode=mode)
    weights = xp.arange(1.0, q.shape[-1] + 1, dtype=xp.float64)
    return (q * weights) @ H(xp, q), abs(r) ** 2, q @ r


def singular(xp: Any, x: Any, full_matrices: bool) -> Any:
    u, s, vh = xp.linalg.svd(x, full_matrices=full_matrices)
    k = s.shape[-1]
    u, vh = u[..., :k], vh[..., :k, :]
    first = u * xp.arange(1.0, k + 1, dtype=xp.float64)
    return s, first @ H(xp, u), first @ vh, H(xp, vh) @ (xp.sin(s)[..., None] * vh)


def signed(xp: Any, x: Any) -> Any:
    sign, size = xp.linalg.slogdet(x)
    return sign * size


SQUARE, ANY = fitting("(n,n)->()"), fitting("(n,m)->()", least=1)
ORDERS = [2, 1, 0, 3, 0.5, -1, -2.5, np.inf, -np.inf]
MATRIX_ORDERS = ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


def paired(first: Any, second: Any) -> Any:
    """The axes of a tensordot: how many, or which."""
    k = len(first) - 1
    return st.just(k) | st.permutations(range(k)).map(lambda p: (tuple(a + 1 for a in p), tuple(p)))


LINEAR = {
    **of("linalg.matmul", fitting("(n?,k),(k,m?)->(n?,m?)"), kinds=MIXED),
    **of("linalg.matrix_transpose", ANY),
    **of("linalg.vecdot", fitting("(n,m),(n,m)->()"), lambda *s: {"axis": st.sampled_from([-1, -2])}, kinds=MIXED),
    **of("linalg.tensordot", shapes(least=1).map(lambda s: ((2, *s[0]), (*s[0], 3))), lambda *s: {"axes": paired(*s)}, kinds=MIXED),
    **of("linalg.outer", fitting("(n),(m)->()", 0), kinds=MIXED),
    **of("linalg.cross", fitting("(3),(3)->(3)"), kinds=MIXED),
    **of("linalg.solve", fitting("(n,n),(n,m)->()"), made=regular, kinds=MIXED),
    **of("linalg.solve vector", fitting("(n,n),(n)->()", 0), made=regular),
    **of("linalg.inv", SQUARE, made=regular),
    **of("linalg.det", SQUARE, made=regular),
    **of("linalg.slogdet", SQUARE, made=regular, f=signed),
    **of("linalg.matrix_power", SQUARE, lambda s: {"n": st.integers(-3, 4)}, made=regular, f=lambda xp, x, n: xp.linalg.matrix_power(x, n)),
    **of("linalg.pinv", ANY, made=regular),
    **of("linalg.cholesky", SQUARE, lambda s: {"upper": st.booleans()}, f=lambda xp, x, upper: xp.linalg.cholesky(definite(xp, x), upper=upper)),
    **of("linalg.eigh", SQUARE, made=regular, f=spectral),
    **of("linalg.eigvalsh", SQUARE, made=regular, f=lambda xp, x: xp.linalg.eigvalsh(definite(xp, x))),
    **of("linalg.eig", SQUARE, made=regular, f=of_any_matrix),
    **of("linalg.eigvals", SQUARE, made=regular, f=lambda xp, x: xp.sum(xp.linalg.eigvals(x) ** 3, axis=-1)),
    **of("linalg.qr", ANY, made=regular, f=triangular),
    **of("linalg.qr complete", SQUARE, made=regular, f=lambda xp, x: triangular(xp, x, "complete")),
    **of("linalg.svd", ANY, lambda s: {"full_matrices": st.booleans()}, made=regular, f=singular),
    **of("linalg.svdvals", ANY, made=regular),
    **of("linalg.trace", ANY, lambda s: {"offset": st.integers(-2, 2)}),
    **of("linalg.diagonal", ANY, lambda s: {"offset": st.integers(-2, 2)}),
    **reduced("linalg.vector_norm", least=1, more={"ord": st.sampled_from(ORDERS)}),
    **of("linalg.matrix_norm", ANY, lambda s: {"ord": st.sampled_from(MATRIX_ORDERS)}, made=regular),
}  # fmt: skip

# Fourier transforms

NORM = st.sampled_from(["backward", "ortho", "forward"])


def transform(name: str, kinds: list[str], least: int = 1) -> dict[str, Case]:
    return along(name, least, kinds=kinds, more={"n": st.none() | st.integers(1, 5), "norm": NORM})


def transforms(name: str, kinds: list[str], least: int = 1) -> dict[str, Case]:
    """Over all axes, or some, or the last that have lengths."""
    some = lambda s: some_axes(s).flatmap(lambda a: st.tuples(st.none() | st.tuples(*[st.integers(1, 4)] * len(a)), st.just(a)))
    last = lambda s: st.lists(st.integers(1, 4), min_size=1, max_size=len(s)).map(lambda n: (tuple(n), None))
    over = lambda s: st.just((None, None)) | some(s) | last(s)
    f = lambda xp, x, over, norm: attrgetter(name)(xp)(x, s=over[0], axes=over[1], norm=norm)
    return of(name, shapes(1, least), lambda s: {"over": over(s), "norm": NORM}, kinds=kinds, f=f)


def shift(name: str) -> dict[str, Case]:
    return of(name, shapes(1), lambda s: {"axes": axes(s)})


FOURIER = {
    **transform("fft.fft", ALIKE), **transform("fft.ifft", ALIKE), **transform("fft.rfft", REAL), **transform("fft.ihfft", REAL),
    **transform("fft.irfft", ALIKE, 2), **transform("fft.hfft", ALIKE, 2),
    **transforms("fft.fftn", ALIKE), **transforms("fft.ifftn", ALIKE), **transforms("fft.rfftn", REAL), **transforms("fft.irfftn", ALIKE, 2),
    **shift("fft.fftshift"), **shift("fft.ifftshift"),
}  # fmt: skip

# Shapes, places and order


def masks(s: Any) -> Any:
    return st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).uniform(size=s) < 0.5)


def once(s: Any) -> Any:
    """Keys that lead to no element twice."""
    return basic_indices(s, allow_newaxis=True) | masks(s)


def keys(s: Any) -> Any:
    return once(s) | (integer_array_indices(s) if s and 0 not in s else st.nothing())


def item(xp: Any, x: Any, key: Any) -> Any:
    """torch has no steps backwards: NumPy says where a key leads."""
    return x[key] if xp is xg else x.reshape(-1)[torch.tensor(np.arange(x.numel()).reshape(x.shape)[key].copy())]


def assigned(xp: Any, x: Any, v: Any, key: Any) -> Any:
    z = x * 1.0
    if xp is xg:
        z[key] = v
        return z
    places = torch.tensor(np.arange(x.numel()).reshape(x.shape)[key].copy())
    return z.reshape(-1).index_put((places,), v).reshape(x.shape)


def value(s: Any) -> Any:
    return s


def taken(xp: Any, x: Any, places: Any, **axis: Any) -> Any:
    return xp.take(x, xp.asarray(places), **axis)


def whole(low: int, high: int, shape: Any) -> Any:
    return arrays(np.int64, shape, elements=st.integers(low, high))


def place(s: Any) -> Any:
    """An axis, and indices of its elements."""
    return one_axis(s).flatmap(lambda a: st.tuples(st.just(a), whole(-s[a], s[a] - 1, st.integers(0, 4))))


def place_in_row(s: Any) -> Any:
    return one_axis(s).flatmap(lambda a: st.tuples(st.just(a), whole(-s[a], s[a] - 1, (*s[: a % len(s)], 2, *s[a % len(s) + 1 :]))))


def placed(name: str, strategy: Any) -> dict[str, Case]:
    f = lambda xp, x, at: attrgetter(name)(xp)(x, xp.asarray(at[1]), axis=at[0])
    return of(name, shapes(1, 1), lambda s: {"at": strategy(s)}, f=f)


def counts(s: Any) -> Any:
    return one_axis(s).flatmap(lambda a: st.tuples(st.just(a), whole(0, 2, s[a])))


def passed(name: str, parameters: Any, least_axes: int = 0, least: int = 0) -> dict[str, Case]:
    """A function whose parameter comes by place."""
    f = lambda xp, x, p: attrgetter(name)(xp)(x, p)
    return of(name, shapes(least_axes, least), lambda s: {"p": parameters(s)}, f=f)


def joined(name: str, count: int = 3) -> dict[str, Case]:
    f = lambda xp, *xs, axis: attrgetter(name)(xp)(list(xs), axis=axis)
    return of(name, shapes(1, count=count), lambda s, *rest: {"axis": one_axis(s)}, f=f, kinds=MIXED)


def summed(subscripts: str) -> dict[str, Case]:
    terms = subscripts.partition("->")[0].split(",")
    signature = ",".join(f"({','.join(term.replace('...', ''))})" for term in terms) + "->()"
    return of(f"einsum {subscripts}", fitting(signature, 2 if "." in subscripts else 0), f=lambda xp, *xs: xp.einsum(subscripts, *xs))


def rolls(s: Any) -> Any:
    return some_axes(s).flatmap(lambda a: st.tuples(st.just(a), st.tuples(*[st.integers(-4, 4)] * len(a)))) | st.tuples(st.none(), st.integers(-9, 9))


PIECES = "ij,jk->ik ij,kj ii->i ii ij,ij->j i,i,i-> ijk->kji ij,k->ikj ...ij,...jk->...ik ...i,...i-> ij->i ,i iij,j->ij".split()

MOVED = {
    **of("asarray", shapes(), f=either(lambda x: xg.asarray(x, copy=True), torch.clone)),
    **of("astype", shapes(), kinds=REAL, f=lambda xp, x: xp.astype(xp.astype(x, xp.float32) * 3, xp.complex128)),
    **passed("reshape", lambda s: st.permutations(s).map(tuple) | (st.just((-1,)) if 0 not in s else st.nothing())),
    **passed("permute_dims", lambda s: st.permutations(range(len(s))).map(tuple)),
    **of("transpose", shapes(), f=either(xg.transpose, lambda x: x.permute(tuple(range(x.ndim))[::-1]))),
    **of("matrix_transpose", shapes(2)),
    **of("moveaxis", shapes(1), lambda s: {"a": one_axis(s), "b": one_axis(s)}, f=lambda xp, x, a, b: xp.moveaxis(x, a, b)),
    **passed("broadcast_to", lambda s: st.integers(0, 3).map(lambda n: (n, *s))),
    **of("broadcast_arrays", fitting("(),(),()->()"), f=lambda xp, *xs: xp.broadcast_arrays(*xs), kinds=MIXED),
    **of("meshgrid", fitting("(i),(j),(k)->()", 0), lambda *s: {"indexing": st.sampled_from(["ij", "xy"])}),
    **of("expand_dims", shapes(), lambda s: {"axis": st.integers(-len(s) - 1, len(s))}),
    **of("squeeze", shapes(), lambda s: {"axis": st.integers(-len(s) - 1, len(s))}, f=lambda xp, x, axis: xp.squeeze(xp.expand_dims(x, axis=axis), axis=axis)),
    **joined("concat"),
    **joined("stack"),
    **of("concat flat", fitting("(i,j),(k)->()", 0), f=lambda xp, *xs: xp.concat(list(xs), axis=None), kinds=MIXED),
    **along("unstack", least=1),
    **of("flip", shapes(), lambda s: {"axis": axes(s)}),
    **of("roll", shapes(1), lambda s: {"at": rolls(s)}, f=lambda xp, x, at: xp.roll(x, at[1], axis=at[0])),
    **of("repeat", shapes(1), lambda s: {"n": st.integers(0, 3), "axis": one_axis(s) | st.none()}, f=lambda xp, x, n, axis: xp.repeat(x, n, axis=axis)),
    **of("repeat each", shapes(1), lambda s: {"at": counts(s)}, f=lambda xp, x, at: xp.repeat(x, xp.asarray(at[1]), axis=at[0])),
    **passed("tile", lambda s: st.lists(st.integers(0, 2), max_size=4).map(tuple)),
    **of("tril", shapes(2), lambda s: {"k": st.integers(-3, 3)}),
    **of("triu", shapes(2), lambda s: {"k": st.integers(-3, 3)}),
    **placed("take", place),
    **placed("take_along_axis", place_in_row),
    **of("item", shapes(), lambda s: {"key": keys(s)}, f=item),
    **of("assigned", shapes(count=2), lambda s, v: {"key": once(s)}, f=lambda xp, x, v, key: assigned(xp, x, item(xp, v, key), key)),
    **of("assigned number", shapes().map(lambda s: (s[0], ())), lambda s, v: {"key": once(s)}, f=assigned),
    **along("sort", kinds=REAL, more={"descending": st.booleans()}),
    **of("where", fitting("(),(),()->()"), f=lambda xp, c, x, y: xp.where(c > 0, x, y), kinds=["r", "rcc"]),
    **of("clip", fitting("(),(),()->()"), f=either(lambda x, y, z: xg.clip(x, y, y + z * z), lambda x, y, z: torch.clamp(*torch.broadcast_tensors(x, y, y + z * z))), kinds=REAL),
    **of("clip numbers", shapes(), lambda s: {"min": st.sampled_from([None, -0.5]), "max": st.sampled_from([0.5, 1.0])}, kinds=REAL, f=lambda xp, x, **p: xp.clip(x, **p)),
    **of("diff", fitting("(n,m),(i,m),(j,m)->()", 0), lambda *s: {"n": st.integers(0, 3)}, f=lambda xp, x, a, b, n: xp.diff(x, axis=-2, n=n, prepend=a, append=b)),
    **along("diff alone", more={"n": st.integers(0, 3)}),
    **{name: case for subscripts in PIECES for name, case in summed(subscripts).items()},
}

#: What torch has not, or not with a derivative.
NOT_IN_TORCH = {"unique_values"}

#: By a name of the namespace and, perhaps, a word more.
TABLE = {**ELEMENTWISE, **REDUCTIONS, **LINEAR, **FOURIER, **MOVED}


def test_nothing_is_left_out() -> None:
    compared = {FUNCTIONS.get(name.split()[0]) for name in TABLE}
    assert [name for name, f in FUNCTIONS.items() if f not in compared and name not in FLAT] == ["unique_values"]


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=10)
@given(data=st.data())
def test_function(name: str, data: st.DataObject) -> None:
    f, strategy = TABLE[name]
    arrays, params = data.draw(strategy)
    agree(lambda xp, *xs: f(xp, *xs, **params), arrays)
