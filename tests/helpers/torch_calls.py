"""Every differentiable function that torch has too, with strategies for its arguments.

`array_api_compat.torch` is torch with the names of the array standard, so that both libraries share the
calls.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from operator import attrgetter, mul
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices, mutually_broadcastable_shapes

import xgrad as xg
from tests.helpers.calls import DOMAIN
from xgrad.namespace.calling import call
from xgrad.namespace.table import FUNCTIONS
from xgrad.ops import OPS

torch = pytest.importorskip("torch", reason="torch is not installed: `make parity` installs it")
th = pytest.importorskip("array_api_compat.torch")


class Case(NamedTuple):
    """`f(xp, *arrays, *places, **params)` of a namespace, and a strategy for the arguments after `xp`."""

    name: str
    f: Callable[..., Any]
    arguments: Any


#: Whether arrays are real or complex: one letter per array.
REAL, COMPLEX, ALIKE, MIXED = ["r"], ["c"], ["r", "c"], ["r", "c", "rc", "cr"]


@st.composite
def arguments(
    draw: Any, shapes: Any, places: Any, params: Any, kinds: list[str], domain: Any, made: Any
) -> Any:
    """Draw arrays of every shape and memory layout, 0-d and empty ones too, and parameters."""
    sizes, kind_of = draw(shapes), cycle(draw(st.sampled_from(kinds)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = []
    for shape, kind in zip(sizes, kind_of):
        x = np.asarray(rng.uniform(*domain, shape) + (1j * rng.uniform(-1, 1, shape) if kind == "c" else 0))
        x = made(x) if made and not drawn else x
        lie = draw(st.sampled_from(["whole", "reversed", "stepped", "transposed"]))
        if lie == "reversed":
            x = np.flip(np.flip(x).copy())
        elif lie == "stepped" and x.ndim:
            x = np.repeat(x, 2, axis=-1)[..., ::2]
        drawn.append(x.T.copy().T if lie == "transposed" else x)
    fit = lambda strategy: draw(strategy(*sizes) if callable(strategy) else strategy)
    return drawn, [fit(p) for p in places], {name: fit(p) for name, p in params.items()}


def of(
    name: str,
    shapes: Any,
    *places: Any,
    f: Any = None,
    kinds: list[str] = ALIKE,
    domain: Any = (-2, 2),
    made: Any = None,
    **params: Any,
) -> Case:
    """Return the case of a function that both libraries have.

    `name` is the function's name, possibly followed by a word that tells cases apart; `f` is called instead
    if given. The arrays have the `shapes` drawn and real parts in a domain; `made` changes the first.
    Parameters, positional and keyword, are strategies or functions from the shapes to strategies.
    """
    named = lambda xp, *a, **p: attrgetter(name.split()[0])(xp)(*a, **p)
    return Case(name, f or named, arguments(shapes, places, params, kinds, domain, made))


def shapes(least_axes: int = 0, least: int = 0, count: int = 1) -> Any:
    """Draw one shape for each of `count` arrays."""
    return array_shapes(min_dims=least_axes, max_dims=3, min_side=least, max_side=3).map(
        lambda s: (s,) * count
    )


def fitting(signature: str, loops: int = 2, least: int = 0) -> Any:
    """Draw shapes for a function with this gufunc signature: leading axes broadcast."""
    return mutually_broadcastable_shapes(
        signature=signature + "->()", max_dims=loops, min_side=least, max_side=3
    ).map(lambda s: s.input_shapes)


def axis(s: Any, *others: Any) -> Any:
    return st.integers(-len(s), len(s) - 1)


def some_axes(s: Any) -> Any:
    return st.lists(axis(s), min_size=1, max_size=len(s), unique_by=lambda a: a % len(s)).map(tuple)


def axes(s: Any) -> Any:
    return st.none() | axis(s) | some_axes(s) if s else st.none()


def either(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    return lambda xp, *a, **p: (theirs if xp is th else ours)(*a, **p)


# Elements and sums

DOMAINS = {**DOMAIN, "abs": (-2, 2), "relu": (-2, 2)}


def elementwise(op: Any) -> Case:
    kinds = {"abs": ALIKE, "conj": ALIKE, "real": ALIKE, "imag": COMPLEX}.get(
        op.function, MIXED if op.calculus.analytic else REAL
    )
    return of(
        op.function,
        fitting(",".join(["()"] * op.arity), 3),
        kinds=kinds,
        domain=DOMAINS.get(op.function, (-2, 2)),
    )


def with_zeros(x: np.ndarray) -> np.ndarray:
    return x * (np.arange(x.size).reshape(x.shape) % 3 != 1)


ELEMENTWISE = [
    *(
        elementwise(op)
        for op in dict.fromkeys(OPS.values())
        if op.elementwise and op.differentiable and op.function in FUNCTIONS
    ),
    of(
        "normal_cdf",
        shapes(),
        kinds=REAL,
        f=either(lambda x: call(OPS["normal_cdf"], (x,)), torch.special.ndtr),
    ),
    of(
        "normal_quantile",
        shapes(),
        kinds=REAL,
        domain=(0.1, 0.9),
        f=either(lambda x: call(OPS["normal_quantile"], (x,)), torch.special.ndtri),
    ),
]

KEPT: dict[str, Any] = {"axis": axes, "keepdims": st.booleans()}
REDUCTIONS = [
    *(of(name, shapes(), made=with_zeros, **KEPT) for name in ("sum", "prod")),
    of("mean", shapes(least=1), **KEPT),
    # no ties, at which torch divides the gradient
    *(of(name, shapes(least=1), kinds=REAL, **KEPT) for name in ("max", "min")),
    # for one element, torch returns NaN for 0 and 0 for NaN
    *(of(name, shapes(1, 2), correction=st.sampled_from([0, 1]), **KEPT) for name in ("var", "std")),
    of(
        "logsumexp",
        shapes(least=1),
        kinds=REAL,
        f=lambda xp, x, axis, **kept: xp.logsumexp(
            x, axis=tuple(range(x.ndim)) if axis is None else axis, **kept
        ),
        **KEPT,
    ),
    of("softmax", shapes(1, 1), axis=axis, kinds=REAL),
    *(
        of(name, shapes(1), axis=axis, include_initial=st.booleans(), made=with_zeros)
        for name in ("cumulative_sum", "cumulative_prod")
    ),
]

# Linear algebra. Vectors with a free sign or phase enter through invariant combinations.


def H(xp: Any, x: Any) -> Any:
    return xp.conj(x).mT


def definite(xp: Any, x: Any) -> Any:
    """Return a matrix that stays hermitian however x moves.

    It then does not matter which triangle gets the gradient; in xgrad it is the one that is read.
    """
    return x @ H(xp, x) + xp.eye(x.shape[-2], dtype=x.dtype)


def spectral(xp: Any, x: Any) -> Any:
    w, v = xp.linalg.eigh(x + H(xp, x))
    return w, (v * xp.sin(w)[..., None, :]) @ H(xp, v), abs(v) ** 2


def of_any_matrix(xp: Any, x: Any) -> Any:
    """Return sums over eigenvalues, which have no fixed order."""
    w, v = xp.linalg.eig(x)
    return (
        xp.sum(w**3, axis=-1),
        (v * xp.sin(w)[..., None, :]) @ xp.linalg.inv(v),
        abs(v) ** 2 @ abs(w)[..., None] ** 2,
    )


def triangular(xp: Any, x: Any, mode: str) -> Any:
    q, r = xp.linalg.qr(x, mode=mode)
    return (q * xp.arange(1.0, q.shape[-1] + 1, dtype=xp.float64)) @ H(xp, q), abs(r) ** 2, q @ r


def singular(xp: Any, x: Any, full_matrices: bool) -> Any:
    """Return singular vectors without those that complete a square: torch has no gradient for them."""
    u, s, vh = xp.linalg.svd(x, full_matrices=full_matrices)
    u, vh = u[..., : s.shape[-1]], vh[..., : s.shape[-1], :]
    first = u * xp.arange(1.0, s.shape[-1] + 1, dtype=xp.float64)
    return s, first @ H(xp, u), first @ vh, H(xp, vh) @ (xp.sin(s)[..., None] * vh)


def regular(a: np.ndarray) -> np.ndarray:
    """Return a matrix far from singular, with well separated singular values."""
    u, _, vh = np.linalg.svd(a, full_matrices=False)
    return (u * np.arange(1.0, min(a.shape[-2:]) + 1)) @ vh


def summed(s: Any, other: Any) -> Any:
    """Draw the axes of a tensordot: their number, or a list."""
    return st.just(len(s) - 1) | st.permutations(range(len(s) - 1)).map(
        lambda p: (tuple(a + 1 for a in p), tuple(p))
    )


SQUARE, ANY, OFFSET = fitting("(n,n)"), fitting("(n,m)", least=1), st.integers(-2, 2)

LINEAR = [
    of("linalg.matmul", fitting("(n?,k),(k,m?)"), kinds=MIXED),
    of("linalg.vecdot", fitting("(n,m),(n,m)"), axis=st.sampled_from([-1, -2]), kinds=MIXED),
    of("linalg.tensordot", shapes(least=1).map(lambda s: ((2, *s[0]), (*s[0], 3))), axes=summed, kinds=MIXED),
    of("linalg.outer", fitting("(n),(m)", 0), kinds=MIXED),
    of("linalg.cross", fitting("(3),(3)"), kinds=MIXED),
    of("linalg.solve", fitting("(n,n),(n,m)"), made=regular, kinds=MIXED),
    of("linalg.solve vector", fitting("(n,n),(n)", 0), made=regular),
    *(of(f"linalg.{name}", SQUARE, made=regular) for name in ("inv", "det")),
    of("linalg.slogdet", SQUARE, made=regular, f=lambda xp, x: mul(*xp.linalg.slogdet(x))),
    of("linalg.matrix_power", SQUARE, st.integers(-3, 4), made=regular),
    *(of(f"linalg.{name}", ANY, made=regular) for name in ("pinv", "svdvals")),
    of(
        "linalg.cholesky",
        SQUARE,
        upper=st.booleans(),
        f=lambda xp, x, upper: xp.linalg.cholesky(definite(xp, x), upper=upper),
    ),
    of("linalg.eigh", SQUARE, made=regular, f=spectral),
    of("linalg.eigvalsh", SQUARE, made=regular, f=lambda xp, x: xp.linalg.eigvalsh(definite(xp, x))),
    of("linalg.eig", SQUARE, made=regular, f=of_any_matrix),
    of("linalg.eigvals", SQUARE, made=regular, f=lambda xp, x: xp.sum(xp.linalg.eigvals(x) ** 3, axis=-1)),
    of("linalg.qr", ANY, st.just("reduced"), made=regular, f=triangular),
    # torch has no gradient for tall matrices
    of("linalg.qr complete", SQUARE, st.just("complete"), made=regular, f=triangular),
    of("linalg.svd", ANY, st.booleans(), made=regular, f=singular),
    *(of(f"linalg.{name}", ANY, offset=OFFSET) for name in ("trace", "diagonal")),
    of(
        "linalg.vector_norm",
        shapes(least=1),
        ord=st.sampled_from([2, 1, 0, 3, 0.5, -1, -2.5, np.inf, -np.inf]),
        **KEPT,
    ),
    of(
        "linalg.matrix_norm",
        ANY,
        ord=st.sampled_from(["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]),
        keepdims=st.booleans(),
        made=regular,
    ),
]

# Fourier transforms: the dtypes they accept, and the minimal length

TRANSFORMS = [("fft", ALIKE, 1), ("ifft", ALIKE, 1), ("rfft", REAL, 1), ("irfft", ALIKE, 2)]
ALONE = [*TRANSFORMS, ("hfft", ALIKE, 2), ("ihfft", REAL, 1)]
NORM = st.sampled_from(["backward", "ortho", "forward"])


def over_axes(name: str, kinds: list[str], least: int) -> Case:
    f = lambda xp, x, s, axes, norm: getattr(xp.fft, name + "n")(
        x, s=s and s[: len(axes or x.shape)], axes=axes, norm=norm
    )
    lengths = st.none() | st.tuples(*[st.integers(1, 4)] * 3)
    return of(
        f"fft.{name}n",
        shapes(1, least),
        lengths,
        axes=lambda s: st.none() | some_axes(s),
        norm=NORM,
        kinds=kinds,
        f=f,
    )


FOURIER = [
    *(
        of(f"fft.{name}", shapes(1, k), n=st.none() | st.integers(1, 5), axis=axis, norm=NORM, kinds=kinds)
        for name, kinds, k in ALONE
    ),
    *(over_axes(*those) for those in TRANSFORMS),
    *(of(f"fft.{name}", shapes(1), axes=axes) for name in ("fftshift", "ifftshift")),
]

# Shapes, places and order


def whole(low: int, high: int, shape: Any) -> Any:
    return arrays(np.int64, shape, elements=st.integers(low, high))


def once(s: Any, *others: Any) -> Any:
    """Draw keys that select no element twice."""
    in_other_order = st.permutations(range(s[0])).map(lambda p: (np.array(p, int),)) if s else st.nothing()
    return basic_indices(s, allow_newaxis=True) | arrays(bool, s).map(lambda mask: (mask,)) | in_other_order


def keys(s: Any) -> Any:
    mixed = [st.just(slice(None, None, -1)) | whole(-n, n - 1, st.sampled_from([(2,), (3, 1)])) for n in s]
    return once(s) | st.tuples(*mixed) if 0 not in s else once(s)


def positions(x: Any, key: Any) -> Any:
    """Return the positions in flattened x that a key selects, by NumPy: torch has no negative steps."""
    return torch.tensor(np.arange(x.numel()).reshape(x.shape)[key].copy())


def item(xp: Any, x: Any, key: Any) -> Any:
    return x[key] if xp is xg else x.reshape(-1)[positions(x, key)]


def assigned(xp: Any, x: Any, v: Any, key: Any) -> Any:
    if xp is th:
        return x.reshape(-1).index_put((positions(x, key),), v).reshape(x.shape)
    z = x._alias()
    z[key] = v
    return z


def joined(name: str, shapes: Any, axis: Any) -> Case:
    return of(
        name,
        shapes,
        axis=axis,
        f=lambda xp, *xs, axis: getattr(xp, name.split()[0])(list(xs), axis=axis),
        kinds=MIXED,
    )


def einsum(subscripts: str) -> Case:
    terms = ",".join(
        f"({','.join(term)})" for term in subscripts.partition("->")[0].replace("...", "").split(",")
    )
    return of(
        f"einsum {subscripts}",
        fitting(terms, 2 if "..." in subscripts else 0),
        f=lambda xp, *xs: xp.einsum(subscripts, *xs),
    )


MOVED = [
    of("asarray", shapes(), f=either(lambda x: xg.asarray(x, copy=True), torch.clone)),
    of(
        "astype", shapes(), kinds=REAL, f=lambda xp, x: xp.astype(xp.astype(x, xp.float32) * 3, xp.complex128)
    ),
    of(
        "reshape",
        shapes(),
        lambda s: st.permutations(s).map(tuple) | (st.just((-1,)) if 0 not in s else st.nothing()),
    ),
    of("permute_dims", shapes(), lambda s: st.permutations(range(len(s))).map(tuple)),
    of("transpose", shapes(), f=either(xg.transpose, lambda x: x.permute(tuple(range(x.ndim))[::-1]))),
    of("matrix_transpose", shapes(2)),
    of("moveaxis", shapes(1), axis, axis),
    of("broadcast_to", shapes(), lambda s: st.integers(0, 3).map(lambda n: (n, *s))),
    of("broadcast_arrays", fitting("(),(),()"), kinds=MIXED),
    of("meshgrid", fitting("(i),(j),(k)", 0), indexing=st.sampled_from(["ij", "xy"])),
    of("expand_dims", shapes(), axis=lambda s: axis((*s, 1))),
    of("squeeze", shapes(1).map(lambda s: ((1, *s[0], 1),)), axis=st.sampled_from([0, -1, (0, -1)])),
    joined("concat", shapes(1, count=3), axis),
    joined("concat flat", fitting("(i,j),(k)", 0), st.none()),
    joined("stack", shapes(count=3), lambda s, *others: axis((*s, 1))),
    of("unstack", shapes(1, 1), axis=axis),
    of("flip", shapes(), axis=axes),
    of(
        "roll",
        shapes(1),
        st.tuples(*[st.integers(-4, 4)] * 3),
        some_axes,
        f=lambda xp, x, shift, over: xp.roll(x, shift[: len(over)], axis=over),
    ),
    of("roll flat", shapes(), st.integers(-9, 9)),
    of("repeat", shapes(1), st.integers(0, 3), axis=lambda s: st.none() | axis(s)),
    of("repeat each", shapes(1), lambda s: whole(0, 2, s[0]), axis=st.just(0)),
    of("tile", shapes(), st.lists(st.integers(0, 2), max_size=4).map(tuple)),
    *(of(name, shapes(2), k=OFFSET) for name in ("tril", "triu")),
    of("take", shapes(1, 1), lambda s: whole(-min(s), min(s) - 1, st.integers(0, 4)), axis=axis),
    of("take_along_axis", shapes(1, 1), lambda s: whole(-min(s), min(s) - 1, s), axis=axis),
    of("item", shapes(), keys, f=item),
    of("assigned", shapes(count=2), once, f=lambda xp, x, v, key: assigned(xp, x, item(xp, v, key), key)),
    of("assigned number", shapes().map(lambda s: (s[0], ())), once, f=assigned),
    of("sort", shapes(1), axis=axis, descending=st.booleans(), kinds=REAL),
    of("where", fitting("(),(),()"), f=lambda xp, c, x, y: xp.where(c > 0, x, y), kinds=["r", "rcc"]),
    of(
        "clip",
        fitting("(),(),()"),
        f=either(
            lambda x, y, d: xg.clip(x, y, y + d * d),
            lambda x, y, d: torch.clamp(*th.broadcast_arrays(x, y, y + d * d)),
        ),
        kinds=REAL,
    ),
    of(
        "clip numbers",
        shapes(),
        min=st.sampled_from([None, -0.5]),
        max=st.sampled_from([0.5, 1.0]),
        kinds=REAL,
    ),
    of(
        "diff",
        fitting("(n,m),(i,m),(j,m)", 0),
        n=st.integers(0, 3),
        f=lambda xp, x, a, b, n: xp.diff(x, axis=-2, n=n, prepend=a, append=b),
    ),
    of("diff alone", shapes(1), axis=axis, n=st.integers(0, 3)),
    *map(
        einsum,
        (
            "ij,jk->ik ij,kj ii->i ii ij,ij->j i,i,i-> ijk->kji ij,k->ikj ...ij,...jk->...ik "
            "...i,...i-> ij->i ,i iij,j->ij"
        ).split(),
    ),
]

TABLE = {case.name: case for case in [*ELEMENTWISE, *REDUCTIONS, *LINEAR, *FOURIER, *MOVED]}
