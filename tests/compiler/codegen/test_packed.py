"""Products with packed weights, compared with NumPy."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xgrad.backends.cpu import native
from xgrad.compiler.codegen.llvm import packed

pytestmark = pytest.mark.skipif(native.missing() is not None, reason="needs native code")

_P, _I = ctypes.c_void_p, ctypes.c_int64
_KINDS = {
    "multiply": ctypes.CFUNCTYPE(None, _I, _I, _I, _P, _I, _P, ctypes.c_bool, _P, _I),
    "pack": ctypes.CFUNCTYPE(None, _I, _I, _P, _I, _I, _P),
}


@cache
def functions(vector_bytes: int) -> dict[str, Any]:
    table = np.zeros(len(packed.FUNCTIONS), np.int64)
    code = native.load(packed.module_text(vector_bytes))
    code.call(table.ctypes.data, None, None, None)
    found = {name: _KINDS[name.split(".")[0]](int(at)) for name, at in zip(packed.FUNCTIONS, table)}
    return found | {"code": code}


@settings(max_examples=150)
@given(
    m=st.integers(1, 20),
    k=st.integers(0, 40),
    n=st.integers(1, 110),
    type_=st.sampled_from(["float", "double"]),
    across=st.booleans(),
    add=st.booleans(),
    spare=st.integers(0, 3),
    narrow=st.booleans(),
)
def test_products_are_numpys(
    m: int, k: int, n: int, type_: str, across: bool, add: bool, spare: int, narrow: bool
) -> None:
    size = 16 if narrow else native.vector_bytes()
    dtype = np.dtype("float32" if type_ == "float" else "float64")
    lanes = size // dtype.itemsize
    rng = np.random.default_rng(m * 1000 + k * 100 + n)
    # around each matrix is NaN, which must neither be read nor written
    a, c = (np.full((m, w + spare), np.nan, dtype) for w in (k, n))
    a[:, :k], c[:, :n] = rng.integers(-9, 9, (m, k)), rng.integers(-9, 9, (m, n))
    b = np.full((n, k + spare) if across else (k, n + spare), np.nan, dtype)
    inside = b[:, :k].T if across else b[:, :n]
    inside[...] = rng.integers(-9, 9, (k, n))
    length = k * -(-n // lanes) * lanes
    panels = np.full(length + 9, np.nan, dtype)
    of = functions(size)
    down, right = (s // dtype.itemsize for s in inside.strides)
    of[f"pack.{type_}"](k, n, b.ctypes.data, down, right, panels.ctypes.data)
    assert np.isnan(panels[length:]).all()
    assert not np.isnan(panels[:length]).any()
    expected = a[:, :k] @ inside + (c[:, :n] if add else 0)
    of[f"multiply.{type_}"](
        m, n, k, a.ctypes.data, k + spare, panels.ctypes.data, add, c.ctypes.data, n + spare
    )
    np.testing.assert_array_equal(c[:, :n], expected)  # whole numbers: exactly
    assert np.isnan(c[:, n:]).all()
