"""The table of functions: each is entered once, and from here come the namespace, what NumPy's own functions
do, and the docs.

A function that is an op, just as it stands in the table of ops, is made from its entry there. Every other is
a Python function with the decorator `function` on it: what is composed of ops needs no derivative of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

#: By name: "tanh", or "linalg.inv" in an extension of the standard.
FUNCTIONS: dict[str, Callable[..., Any]] = {}

#: By the name of a NumPy function, "arctan" or "linalg.inv": what it does on Tensors. A function of the table
#: that means the same does not take the place of one that `numpy_api` has for that name.
NUMPY: dict[str, Callable[..., Any]] = {}


@overload
def function(f: F, /) -> F: ...
@overload
def function(*, numpy: str | None = None, extension: str | None = None) -> Callable[[F], F]: ...
def function(f: Any = None, /, *, numpy: str | None = None, extension: str | None = None) -> Any:
    """Enter a Python function into the table, under its own name.

    `numpy` has the names of the NumPy functions that mean the same, with spaces between, if it is not that
    name; "" is none. Their first arguments become those of `f` by place, the others by name. `extension` is
    "linalg" or "fft" where it is no function of the main namespace.
    """
    if f is None:
        return lambda f: function(f) if numpy is extension is None else enter(f, numpy, extension)
    return enter(f, None, None)


def enter(f: F, numpy: str | None = None, extension: str | None = None) -> F:
    """As `function`, which is the decorator of it."""
    prefix = f"{extension}." if extension else ""
    FUNCTIONS[prefix + f.__name__] = f
    for name in (prefix + f.__name__ if numpy is None else numpy).split():
        NUMPY.setdefault(name, f)
    return f


def extension(name: str) -> dict[str, Callable[..., Any]]:
    """The functions of an extension, by their names in it; those of the main namespace for ""."""
    dot = f"{name}." if name else ""
    return {
        key.removeprefix(dot): f
        for key, f in FUNCTIONS.items()
        if key.startswith(dot) and "." not in key.removeprefix(dot)
    }
