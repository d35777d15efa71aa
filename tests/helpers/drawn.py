"""Arrays drawn by hypothesis: every dtype, shape (0-d and empty too), and memory layout."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import xgrad as xg

BOOLEAN, INTEGER = ["bool"], ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
REAL, COMPLEX = ["float32", "float64"], ["complex64", "complex128"]
NUMERIC, EVERY = INTEGER + REAL + COMPLEX, BOOLEAN + INTEGER + REAL + COMPLEX

#: Backends that are always available. The strict one uses its second device, so that creating anything on the
#: first by mistake is noticed.
BACKENDS = ["cpu", "strict:1"]


def shapes(least: int = 0, most: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw a shape with `least` to `most` axes of length 0 to 3."""
    return array_shapes(min_dims=max(least, 1), max_dims=most, min_side=0, max_side=3) | (
        st.just(()) if least == 0 else st.nothing()
    )


@st.composite
def arrays_of(draw: Any, dtypes: list[str], shape: Any = None) -> np.ndarray:
    """Draw small integers, whose sums and products are exact.

    The array is contiguous, reversed, strided or transposed.
    """
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    low = 0 if dtype.kind in "bu" else -3
    size = draw(shapes() if shape is None else shape)
    x = draw(arrays(np.int64, size, elements=st.integers(low, 1 if dtype.kind == "b" else 3)))
    if dtype.kind == "c":
        x = x + 1j * draw(arrays(np.int64, size, elements=st.integers(-2, 2)))
    x = np.asarray(x, dtype)
    if not x.ndim:
        return x
    lie = draw(st.sampled_from(["whole", "reversed", "strided", "transposed"]))
    if lie == "reversed":
        return x[::-1].copy()[::-1]
    if lie == "strided":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    return np.asfortranarray(x) if lie == "transposed" else x


def agrees(ours: Any, numpys: Any, *inputs: Any, **params: Any) -> None:
    """Check our function's shapes, dtypes and values against NumPy's on every backend.

    It must fail where NumPy fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = numpys(*inputs, **params)
        except (ValueError, IndexError, TypeError) as error:
            expected = error
        for backend in BACKENDS:
            with xg.device(backend):
                given = [xg.asarray(v) if isinstance(v, np.ndarray) else v for v in inputs]
                if isinstance(expected, Exception):
                    failed = False
                    try:
                        ours(*given, **params)
                    except (ValueError, IndexError, TypeError):
                        failed = True
                    assert failed, f"NumPy raises {expected}"
                    continue
                same(ours(*given, **params), expected, backend)


def same(z: Any, expected: Any, backend: str) -> None:
    """Check that a result, or each of several, is the array expected."""
    if isinstance(expected, tuple | list):
        assert len(z) == len(expected)
        for part, other in zip(z, expected, strict=True):
            same(part, other, backend)
        return
    expected = np.asarray(expected)
    assert z.device == backend
    assert z.shape == expected.shape
    assert z.dtype == expected.dtype
    np.testing.assert_allclose(
        z.numpy(), expected, rtol=1e-5 if expected.dtype.name in ("float32", "complex64") else 1e-12
    )
