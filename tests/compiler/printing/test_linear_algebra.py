"""Linear algebra written out as NumPy code: empty matrices, and results that NumPy gives in another dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.core import pytree
from xgrad.ops import OPS

SQUARE = [(0, 0), (0, 2, 2), (2, 0, 0)]
ANY = [*SQUARE, (2, 0), (0, 2), (0, 3, 2), (2, 3, 0), (2, 0, 3)]

#: op -> function of (library, matrices), and the shapes that it takes. Libraries: `np` and `xg`.
FUNCTIONS: dict[str, tuple[Callable[[Any, Any], Any], list[tuple[int, ...]]]] = {
    "@": (lambda lib, x: x @ lib.matrix_transpose(x), ANY),
    "cholesky": (lambda lib, x: (lib.linalg.cholesky(x), lib.linalg.cholesky(x, upper=True)), SQUARE),
    "det": (lambda lib, x: lib.linalg.det(x), SQUARE),
    "eig": (lambda lib, x: tuple(lib.linalg.eig(x)), SQUARE),
    "eigh": (lambda lib, x: tuple(lib.linalg.eigh(x)), SQUARE),
    "eigvalsh": (lambda lib, x: lib.linalg.eigvalsh(x), SQUARE),
    "inv": (lambda lib, x: lib.linalg.inv(x), SQUARE),
    "pinv": (lambda lib, x: lib.linalg.pinv(x), ANY),
    "qr": (lambda lib, x: (*lib.linalg.qr(x), *lib.linalg.qr(x, mode="complete")), ANY),
    "slogdet": (lambda lib, x: tuple(lib.linalg.slogdet(x)), SQUARE),
    "solve": (lambda lib, x: lib.linalg.solve(x, x), SQUARE),
    "svd": (lambda lib, x: (*lib.linalg.svd(x), *lib.linalg.svd(x, full_matrices=False)), ANY),
    "svdvals": (lambda lib, x: lib.linalg.svdvals(x), ANY),
}


def by_source(f: Callable[..., Any], *args: Any) -> tuple[list[Any], list[Any]]:
    """Return the outputs of the text of `f`, and the gradients for cotangents of ones."""
    module: dict[str, Any] = {}
    exec(xg.trace(f, *args).source(), module)
    z, saved = module["forward"](*args)
    outputs = list(z) if isinstance(z, tuple) else [z]
    return outputs, list(module["backward"](saved, *map(np.ones_like, outputs)))


def test_every_op_is_here() -> None:
    assert {op.name for op in OPS.values() if op.function.startswith("linalg.")} == {*FUNCTIONS} - {"@"}


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
@pytest.mark.parametrize(
    ("name", "shape"), [(name, s) for name, (_, shapes) in FUNCTIONS.items() for s in shapes]
)
def test_empty_matrices(name: str, shape: tuple[int, ...], dtype: str) -> None:
    """The values are NumPy's; first and second derivatives have the shape and dtype of their argument."""
    f, _ = FUNCTIONS[name]
    x = np.ones(shape, dtype)
    values = f(np, x) if isinstance(f(np, x), tuple) else (f(np, x),)
    outputs, gradients = by_source(lambda x: f(xg, x), x)
    for found, want in zip(outputs, values, strict=True):
        kind = np.result_type(want.dtype, np.complex64) if name == "eig" else want.dtype
        np.testing.assert_array_equal(found, want)
        assert (found.shape, found.dtype) == (want.shape, kind)
    args = [x, *map(np.ones_like, outputs)]
    second, gradients_of_second = by_source(
        lambda x, *dz: xg.vjp(lambda x: pytree.flatten(f(xg, x))[0], x)[1](list(dz)), *args
    )
    for found, want in zip([*gradients, *second, *gradients_of_second], [x, x, *args], strict=True):
        assert (found.shape, found.dtype) == (want.shape, want.dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_eigenvalues_are_complex_even_where_all_are_real(dtype: str) -> None:
    """NumPy returns real arrays for such a matrix."""
    x = np.diag([1.0, 2.0]).astype(dtype)
    values, vectors = by_source(lambda x: tuple(xg.linalg.eig(x)), x)[0]
    assert values.dtype == vectors.dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_array_equal(values, [1, 2])
    (parts,), _ = by_source(lambda x: xg.linalg.eigvals(x).imag, x)
    np.testing.assert_array_equal(parts, [0, 0])
