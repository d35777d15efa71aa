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
    import xgrad as xg

    return Namespace(xg, put=_put, put_add=_put_add)


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
        put=_put,
        put_add=_put_add,
    )


def _put(x: Any, key: Any, value: Any) -> Any:
    return x.at[key].set(value)


def _put_add(x: Any, key: Any, value: Any) -> Any:
    return x.at[key].add(value)


def functions(xp: Any) -> Functions:
    """The functions used by the cells of `equations.py`, from a namespace."""
    elementwise = xp.sigmoid, xp.tanh, xp.exp, xp.log, xp.sqrt, xp.maximum
    joined, mean = partial(xp.concat, axis=-1), partial(xp.mean, axis=-1, keepdims=True)
    return Functions(*elementwise, joined, mean, partial(xp.softmax, axis=-1), xp.scan)
