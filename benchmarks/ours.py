"""What the suites have in common of this library: how they compile, and how they switch native code off."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def without_native_code() -> None:
    """From here on xgrad runs compiled functions by NumPy calls. Only before xgrad is imported."""
    os.environ["XGRAD_NATIVE"] = "0"


def gradient_step(run: Callable[[Any, Any], Any]) -> Any:
    """`step(W, x, dy)`, compiled: the gradients of W and x, where `run(W, x)` gives an output whose gradient
    is dy."""
    import xgrad as xg

    return xg.compile(lambda W, x, dy: xg.vjp(run, W, x)[1](dy))
