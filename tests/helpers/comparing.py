"""Comparison with NumPy's results."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg


def same(z: Any, expected: Any, rtol: float = 1e-9) -> None:
    """Check that a result equals NumPy's, whatever type it has."""
    if isinstance(expected, tuple | list):
        assert len(z) == len(expected)
        for part, other in zip(z, expected, strict=True):
            same(part, other, rtol)
    elif isinstance(z, xg.Tensor):
        assert z.shape == np.shape(expected)
        assert z.dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(z.numpy(), expected, rtol=rtol, atol=1e-10)
    else:
        assert z == expected
