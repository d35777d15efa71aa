"""The namespaces for cells: the array standard, plus a few functions with common names."""

from __future__ import annotations

from functools import partial
from typing import Any

from .equations import Functions


class Namespace:
    """A library's functions; those given by keyword override those of its module."""

    def __init__(self, module: Any, **functions: Any) -> None:
        self.__dict__.update(functions)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def xgrad() -> Namespace:
    """The namespace of xgrad."""
    import numpy as np

    import xgrad as xg

    def put(x: Any, key: Any, value: Any) -> Any:
        x = xg.asarray(x, copy=True)
        x[key] = value
        return x

    def put_add(x: Any, key: Any, value: Any) -> Any:
        x = xg.asarray(x, copy=True)
        np.add.at(x, key, value)
        return x

    return Namespace(xg, put=put, put_add=put_add)


def jax() -> Namespace:
    """The namespace of JAX."""
    import jax
    import jax.numpy as jnp

    def scan(f: Any, carry: Any, xs: Any = None, length: int | None = None, reverse: bool = False) -> Any:
        return jax.lax.scan(f, carry, xs, length, reverse)

    return Namespace(
        jnp,
        scan=scan,
        sigmoid=jax.nn.sigmoid,
        softmax=jax.nn.softmax,
        relu=jax.nn.relu,
        logsumexp=jax.nn.logsumexp,
        stop_gradient=jax.lax.stop_gradient,
        put=lambda x, key, value: x.at[key].set(value),
        put_add=lambda x, key, value: x.at[key].add(value),
    )


def functions(xp: Any) -> Functions:
    """The functions used by the cells of `equations.py`, from a namespace."""
    elementwise = xp.sigmoid, xp.tanh, xp.exp, xp.log, xp.sqrt, xp.maximum
    joined, mean = partial(xp.concat, axis=-1), partial(xp.mean, axis=-1, keepdims=True)
    return Functions(*elementwise, joined, mean, partial(xp.softmax, axis=-1), xp.scan)
