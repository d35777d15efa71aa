"""NumPy's dispatch protocols: how `np.sin(t)` and `np.linalg.solve(a, b)` work on Tensors.

NumPy passes every call with a Tensor argument to `array_ufunc` or `array_function`. If the table has an
equivalent function, it is called with NumPy's arguments; functions that only NumPy has are implemented in
this package. Functions that write files or count elements receive plain values, provided that no gradient
flows to the Tensors; a plotting library, which shows values, receives them always. Any other function raises
TypeError with its name: no gradient is dropped silently.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple, NoReturn

from ..backends import Device, DeviceError
from ..core.recording import is_plotted
from ..core.tensor import Tensor
from ..namespace.conversion import beside
from ..namespace.table import NUMPY
from ..namespace.updates import add_at
from .table import ACCUMULATIONS, REDUCTIONS

#: Keyword arguments of ufuncs that are accepted if they have NumPy's default.
_PLAIN = {
    "out": (None,),
    "where": True,
    "casting": "same_kind",
    "order": "K",
    "dtype": None,
    "subok": True,
    "signature": None,
}


class Way(NamedTuple):
    """How to convert the arguments of a NumPy function to those of ours."""

    ours: Callable[..., Any]
    leading: int  # number of positional arguments
    names: tuple[str, ...]  # NumPy's names of parameters that may be positional
    defaults: dict[str, Any]  # NumPy's
    keywords: frozenset[str] | None  # allowed keyword arguments; None for any
    arrays: tuple[int, ...]  # positions of operands that may be lists in NumPy, but not in ours


#: Functions that NumPy runs on the values of Tensors, on the host.
_ON_VALUES = frozenset(
    (
        "bincount",
        "histogram",
        "histogram2d",
        "histogram_bin_edges",
        "histogramdd",
        "save",
        "savetxt",
        "savez",
        "savez_compressed",
    )
)

#: Functions that format values as text, whether or not a gradient flows to them.
_AS_TEXT = frozenset(("array2string", "array_str"))

#: Names of array parameters in the standard's functions.
_OPERANDS = ("x", "x1", "x2", "y")

_LISTS = frozenset((list, tuple))

#: Alternatives for functions that do not work on Tensors.
_INSTEAD = {
    "copyto": (
        "it writes into its first argument, and np.full_like, np.nan_to_num and np.unwrap call it when "
        "theirs is an array: pass them a Tensor, as in np.full_like(xg.asarray(a), t), or use xg.where"
    ),
    "fill_diagonal": "it writes into its argument; use xg.where, or t[i, i] = value",
    "put_along_axis": "it writes into its argument; use t[index] = value",
}


def array_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a NumPy function with arguments of which at least one is, or contains, a Tensor."""
    if is_plotted() or _name(function) in _AS_TEXT:
        return function(*_values(args), **_values(kwargs))
    if _name(function) in _ON_VALUES:
        return _on_values(function, args, kwargs)
    way = _way(function)
    if way.arrays and not _LISTS.isdisjoint(map(type, args)):
        args = tuple(_listed(v, args) if i in way.arrays else v for i, v in enumerate(args))
    if len(args) <= way.leading and not kwargs:
        return way.ours(*args)
    operands = list(args[: way.leading])
    given = dict(zip(way.names[way.leading :], args[way.leading :])) | kwargs
    for name in way.names[len(operands) : way.leading]:
        if name not in given:
            break
        operands.append(given.pop(name))
    named = {}
    for name, value in given.items():
        if _same(value, way.defaults.get(name, inspect.Parameter.empty)):
            continue
        if way.keywords is not None and name not in way.keywords:
            _refuse_parameter(_name(function), name)
        named[name] = value
    return way.ours(*operands, **named)


def array_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a NumPy ufunc, or one of its methods, with at least one Tensor input."""
    if is_plotted():
        return getattr(ufunc, method)(*_values(inputs), **_values(kwargs))
    name = ufunc.__name__
    if kwargs.get("out") is not None and any(out is not None for out in kwargs["out"]):
        raise TypeError(
            f"np.{name} cannot write a Tensor into a NumPy array, by out= or by an operator such as a += t: "
            f"write a = a + t"
        )
    called = name if method == "__call__" else f"{name}.{method}"
    if method == "at":
        return _at(name, *inputs)
    if method in ("reduce", "accumulate"):
        ours = (REDUCTIONS if method == "reduce" else ACCUMULATIONS).get(name)
        kwargs = {"axis": 0, **kwargs}
    else:
        ours = NUMPY.get(name) if method in ("__call__", "outer") else None
    if ours is None or _is_foreign(ufunc):
        _refuse_ufunc(ufunc, called)
    if kwargs:
        kwargs = {
            key: value for key, value in kwargs.items() if key not in _PLAIN or not _same(value, _PLAIN[key])
        }
        for key in kwargs.keys() - _signature(ours).parameters.keys():
            _refuse_parameter(called, key)
    if not _LISTS.isdisjoint(map(type, inputs)):
        inputs = tuple(_listed(v, inputs) for v in inputs)
    return _outer(ours, *inputs, **kwargs) if method == "outer" else ours(*inputs, **kwargs)


def _at(name: str, x: Any, key: Any, *values: Any) -> None:
    """`np.add.at` and `np.subtract.at`, which change the Tensor `x` in place, as `x[key] = v` does."""
    if name not in ("add", "subtract") or len(values) != 1:
        raise TypeError(
            f"np.{name}.at does not work on Tensors; np.add.at does, and np.subtract.at. Where no index "
            f"occurs twice, write t[key] = np.{name}(t[key], ...)"
        )
    if not isinstance(x, Tensor):
        raise TypeError(
            f"np.{name}.at would write Tensors into a NumPy array: make it a Tensor, x = xg.asarray(x), or "
            f"give it values, t.detach().numpy()"
        )
    (v,) = values
    v = beside(v, x) if type(v) in _LISTS else v
    x._become(add_at(x, v, key=key, subtract=name == "subtract"))


def _outer(f: Callable[..., Any], x: Any, y: Any) -> Any:
    """Apply `f` to all pairs of elements of `x` and `y`."""
    like = x if isinstance(x, Tensor) else y
    x, y = beside(x, like), beside(y, like)
    return f(Tensor.xp.reshape(x, (*x.shape, *(1,) * y.ndim)), y)


def _listed(value: Any, others: tuple[Any, ...]) -> Any:
    """Convert a list to a Tensor on the device of the first Tensor among `others`."""
    if type(value) not in _LISTS:
        return value
    like = next((v for v in others if isinstance(v, Tensor)), None)
    return Tensor.xp.asarray(value) if like is None else beside(value, like)


def _values(v: Any) -> Any:
    """Replace the Tensors in arguments by their values on the host."""
    if isinstance(v, Tensor):
        return v._on_host()
    if type(v) is dict:
        return {key: _values(inner) for key, inner in v.items()}
    return type(v)(map(_values, v)) if type(v) in _LISTS else v


def _on_values(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call NumPy on the values.

    Raises GraphError for a Tensor whose gradient would be cut.
    """
    devices: list[Device] = []

    def host(v: Any) -> Any:
        if isinstance(v, Tensor):
            devices.append(v.device)
            return v._exportable(f"np.{_name(function)}").numpy()
        if isinstance(v, dict):
            return {key: host(inner) for key, inner in v.items()}
        return type(v)(map(host, v)) if type(v) in _LISTS else v

    def back(z: Any) -> Any:
        if type(z) in _LISTS:
            return type(z)(map(back, z))
        return z if z is None else Tensor.xp.asarray(z, device=devices[0])

    args, kwargs = host(args), host(kwargs)
    if len(set(devices)) > 1:
        raise DeviceError(
            f"np.{_name(function)} got Tensors on {' and '.join(map(str, dict.fromkeys(devices)))}; move one "
            f"with .to(device)"
        )
    return back(function(*args, **kwargs))


@lru_cache(None)
def _is_foreign(ufunc: Any) -> bool:
    """Whether a ufunc is neither NumPy's nor SciPy's, so that its meaning is unknown."""
    homes = (sys.modules.get(name) for name in ("numpy", "scipy.special"))
    return all(getattr(home, ufunc.__name__, None) is not ufunc for home in homes)


def _refuse_ufunc(ufunc: Any, called: str) -> NoReturn:
    if getattr(sys.modules["numpy"], ufunc.__name__, None) is ufunc:
        _refuse(called)
    scipys = getattr(sys.modules.get("scipy.special"), ufunc.__name__, None) is ufunc
    name = f"scipy.special.{called}" if scipys else f"the ufunc {called!r}"
    instead = (
        "give it a derivative with xg.custom_vjp, calling it on t.numpy(), or pass t.detach().numpy(), which "
        "cuts the gradient"
    )
    raise TypeError(f"{name} does not work on Tensors: {instead}")


@lru_cache(None)
def _way(function: Callable[..., Any]) -> Way:
    """Argument conversion for a NumPy function, cached.

    Raises TypeError for a function that does not work on Tensors.
    """
    name = _name(function)
    ours = NUMPY.get(name)
    if ours is None:
        _refuse(name)
    if name == "array":  # `asarray(copy=True)`
        ours = partial(ours, copy=True)
    mine = list(_signature(ours).parameters.values())
    try:
        theirs = list(_signature(function).parameters.values())
    except ValueError:  # a C function without a signature: assume ours
        theirs = mine
    leading = 0
    for a, b in zip(theirs, mine):
        if a.kind is b.kind is a.VAR_POSITIONAL:
            leading = 2**62
        if b.kind is not b.POSITIONAL_ONLY and not (b.kind is b.POSITIONAL_OR_KEYWORD and a.name == b.name):
            break
        leading += 1
    by_place = tuple(a.name for a in theirs if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD))
    defaults = {a.name: a.default for a in theirs if a.default is not a.empty}
    anything = any(b.kind is b.VAR_KEYWORD for b in mine)
    keywords = (
        None
        if anything
        else frozenset(b.name for b in mine if b.kind in (b.POSITIONAL_OR_KEYWORD, b.KEYWORD_ONLY))
    )
    arrays = tuple(i for i, b in enumerate(mine) if b.kind is b.POSITIONAL_ONLY and b.name in _OPERANDS)
    return Way(ours, leading, by_place, defaults, keywords, arrays)


@lru_cache(None)
def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__name__}".removeprefix("numpy.")


def _same(value: Any, default: Any) -> bool:
    """Whether an argument equals NumPy's default, so that it can be dropped."""
    return value is default or (
        type(value) is type(default) and type(value) in (str, bool, int, float, tuple) and value == default
    )


def _refuse(name: str) -> NoReturn:
    instead = _INSTEAD.get(name, "use functions that do, or pass t.detach().numpy(), which cuts the gradient")
    raise TypeError(f"np.{name} does not work on Tensors: {instead}")


def _refuse_parameter(name: str, parameter: str) -> NoReturn:
    reason = ": a Tensor is never written to" if parameter == "out" else ""
    raise TypeError(f"np.{name} on a Tensor takes no {parameter}={reason}")


@lru_cache(None)
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
