"""The table of functions, from which the namespace, the NumPy dispatch and the docs are made.

A function that is a single op is generated from its entry in the op table. Every other function is a Python
function decorated with `function`; being composed of ops, it needs no derivative rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

#: Functions by name: "tanh", or "linalg.inv" in an extension of the standard.
FUNCTIONS: dict[str, Callable[..., Any]] = {}

#: Implementations of NumPy functions on Tensors by NumPy name, "arctan" or "linalg.inv". An equivalent
#: function of the table does not replace one that `numpy_api` defines for that name.
NUMPY: dict[str, Callable[..., Any]] = {}


@overload
def function(f: F, /) -> F: ...
@overload
def function(*, numpy: str | None = None, extension: str | None = None) -> Callable[[F], F]: ...
def function(f: Any = None, /, *, numpy: str | None = None, extension: str | None = None) -> Any:
    """Decorator that enters a Python function into the table under its own name.

    `numpy` lists the equivalent NumPy functions, separated by spaces; the default is the same name, "" means
    none. Their first arguments are passed to `f` by position, the others by keyword. `extension` is "linalg"
    or "fft" for functions outside the main namespace.
    """
    if f is None:
        return lambda f: function(f) if numpy is extension is None else enter(f, numpy, extension)
    return enter(f, None, None)


def enter(f: F, numpy: str | None = None, extension: str | None = None) -> F:
    """Enter a function into the table; `function` is the decorator for it."""
    prefix = f"{extension}." if extension else ""
    FUNCTIONS[prefix + f.__name__] = f
    for name in (prefix + f.__name__ if numpy is None else numpy).split():
        NUMPY.setdefault(name, f)
    return f


def extension(name: str) -> dict[str, Callable[..., Any]]:
    """The functions of an extension by name; "" is the main namespace."""
    dot = f"{name}." if name else ""
    return {
        key.removeprefix(dot): f
        for key, f in FUNCTIONS.items()
        if key.startswith(dot) and "." not in key.removeprefix(dot)
    }
