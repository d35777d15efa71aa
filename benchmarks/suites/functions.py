"""The functions available to cells, by library, and a cell run through time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..cells import libraries
from ..cells.equations import Cell, Functions


def through_time(cell: Cell, F: Functions, zero: Any) -> Callable[[Any, Any], Any]:
    """Make `run(W, x)`, which returns the outputs of all steps, starting from states `zero`."""

    def run(W: Any, x: Any) -> Any:
        return F.scan(lambda states, x: cell.step(F, W, x, *states), (zero,) * cell.states, x)[1]

    return run


def xgrad_functions() -> Functions:
    """Functions of xgrad."""
    return libraries.functions(libraries.xgrad())


def torch_functions() -> Functions:
    """Functions of torch, with a Python loop as `scan`."""
    import torch

    def scan(f: Callable[..., Any], carry: Any, xs: Any, length: int | None = None) -> Any:
        ys = []
        for x in [None] * (length or 0) if xs is None else xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, torch.stack(ys)

    elementwise = torch.sigmoid, torch.tanh, torch.exp, torch.log, torch.sqrt, torch.maximum
    joined, mean = partial(torch.concat, dim=-1), partial(torch.mean, dim=-1, keepdim=True)
    return Functions(*elementwise, joined, mean, partial(torch.softmax, dim=-1), scan)


def jax_functions() -> Functions:
    """Functions of JAX."""
    return libraries.functions(libraries.jax())
