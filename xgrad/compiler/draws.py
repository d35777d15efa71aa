"""Random numbers that a traced function draws from elsewhere: drawn once, they would be repeated at every
step.

NumPy's and Python's generators do not know of traces. So a function is searched for those that its code
names, and that the functions which it calls name, and their states are compared before and after the trace.
What is not seen: generators inside of other libraries, and those that the function makes by itself.
"""

from __future__ import annotations

import dis
import pickle
import random
import sys
from collections.abc import Callable
from functools import partial
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from ..core.recording import is_library
from ..errors import TraceError

_OURS = sys.modules[__name__.partition(".")[0]]  # whose generators refuse by themselves
#: How many functions, modules and objects are looked into at most.
MOST = 256


class Reached(NamedTuple):
    """A value that a function can reach, and the code and the name in it by which it does."""

    value: Any
    code: CodeType
    name: str


Places = list[
    tuple[Any, CodeType, str]
]  # of Reached, without the time that it takes to make one: this is done at each trace


def states(f: Callable[..., Any]) -> list[tuple[Reached, Any]]:
    """The generators that `f` can reach, and their states: for `refuse_draws`, once `f` is traced."""
    found = generators(f)
    return [(g, _state(g.value)) for g in found] if found else []


def refuse_draws(before: list[tuple[Reached, Any]]) -> None:
    """Raise TraceError where a generator was drawn from since then.

    One that another thread draws from meanwhile is taken for one that the function draws from.
    """
    for g, state in before:
        if _state(g.value) != state:
            raise TraceError(
                f"{g.code.co_filename}:{_line(g)}: {g.name!r} draws random numbers while a function is "
                f"traced; they would be the same at every step and call. Draw them before, and pass them "
                f"as arguments, or as xs to scan"
            )


def generators(f: Callable[..., Any]) -> list[Reached]:
    """The generators that `f` can reach."""
    start = generators.__code__
    waiting: Places = _of_function(f, start, "") if type(f) is FunctionType else [(f, start, "")]
    if not waiting:
        return []
    found: dict[int, Reached] = {}
    seen: dict[Any, Any] = {}
    while waiting and len(seen) < MOST:
        at = v, code, name = waiting.pop()
        kind = type(v)
        look = _LOOKS.get(kind) or _look(kind)
        if look is _nowhere:
            continue
        key = (id(v.__func__), id(v.__self__)) if kind is MethodType else (id(v), id(code))
        if key in seen:
            continue
        seen[key] = at  # which keeps it, and so its id
        if look is _state:
            found[id(v)] = Reached(*at)
        else:
            waiting += look(v, code, name)
    return list(found.values())


def _state(generator: Any) -> Any:
    """All that its next numbers depend on."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "get_state"):
        return pickle.dumps(generator.get_state(legacy=False))
    return pickle.dumps(getattr(generator, "bit_generator", generator).state)


# What can be reached from a value, by its type


def _of_function(f: Any, code: CodeType, name: str) -> Places:
    code, held = f.__code__, f.__globals__
    found: Places = []
    for name in _globals(code):
        v = held.get(name)
        if v is not _OURS and _LOOKS.get(type(v)) is not _nowhere:
            found.append((v, code, name))
    if f.__closure__:
        for name, cell in zip(code.co_freevars, f.__closure__):
            try:
                found.append((cell.cell_contents, code, name))
            except ValueError:  # which is still empty
                continue
    if f.__defaults__ or f.__kwdefaults__:
        found += [
            (v, code, code.co_name) for v in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values())
        ]
    return found


def _of_method(f: Any, code: CodeType, name: str) -> Places:
    own = getattr(f.__func__, "__code__", None)
    named = (code, name) if own is None or is_library(own.co_filename) else (own, "self")
    return [(f.__func__, code, name), (f.__self__, *named)]


def _of_partial(f: Any, code: CodeType, name: str) -> Places:
    code = getattr(f.func, "__code__", code)
    return [(v, code, code.co_name) for v in (f.func, *f.args, *f.keywords.values())]


def _of_container(v: Any, code: CodeType, name: str) -> Places:
    return [(u, code, name) for u in (v.values() if isinstance(v, dict) else v)]


def _of_namespace(v: Any, code: CodeType, name: str) -> Places:
    """What the code names of a module, or of an object; and the object's methods that it names, or calls it
    by."""
    kind, held = type(v), getattr(v, "__dict__", {})
    if kind is ModuleType and v.__name__.startswith("xgrad"):
        return []
    if kind.__module__.startswith(
        "xgrad."
    ):  # an object that holds a function of the user's: compiled, with a rule of its own
        return [(u, code, name) for u in held.values() if callable(u)]
    names = _names(code)
    found = [(held[name], code, name) for name in names if name in held]
    if kind is not ModuleType:
        methods = [
            (name, getattr(kind, name, None)) for name in (names if name == "self" else (*names, "__call__"))
        ]
        found += [(MethodType(f, v), code, name) for name, f in methods if type(f) is FunctionType]
    return found


def _nowhere(v: Any, code: CodeType, name: str) -> Places:
    return []


_LOOKS: dict[type, Callable[..., Any]] = {
    **dict.fromkeys((int, float, complex, bool, str, bytes, type(None), type), _nowhere),
    **dict.fromkeys((list, tuple, dict), _of_container),
    FunctionType: _of_function,
    MethodType: _of_method,
    BuiltinMethodType: lambda f, code, name: [(f.__self__, code, name)],
    partial: _of_partial,
}


def _look(kind: type) -> Callable[..., Any]:
    """How to look into values of a type that was not met before."""
    drawing = issubclass(kind, random.Random) or any(
        hasattr(kind, name) for name in ("bit_generator", "random_raw", "random_sample")
    )
    if issubclass(kind, random.SystemRandom) or (hasattr(kind, "dtype") and hasattr(kind, "shape")):
        look: Callable[..., Any] = _nowhere  # nobody knows the state of the first, and arrays hold numbers
    else:
        look = _state if drawing else _of_namespace
    if len(_LOOKS) < 4096:
        _LOOKS[kind] = look
    return look


_NAMES: dict[int, tuple[CodeType, tuple[str, ...], tuple[str, ...]]] = {}


def _names(code: CodeType) -> tuple[str, ...]:
    """The globals and attributes that a code names, with those of the functions inside of it."""
    return (_NAMES.get(id(code)) or _read(code))[1]


def _globals(code: CodeType) -> tuple[str, ...]:
    """The globals alone that the user's own code names; what a library has is not looked into."""
    return (_NAMES.get(id(code)) or _read(code))[2]


def _read(code: CodeType) -> tuple[CodeType, tuple[str, ...], tuple[str, ...]]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    names = [*code.co_names, *(name for c in inner for name in _names(c))]
    loaded = [step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"]
    loaded += [name for c in inner for name in _globals(c)]
    if len(_NAMES) >= 4096:
        _NAMES.clear()
    held = () if is_library(code.co_filename) else tuple(dict.fromkeys(loaded))
    found = _NAMES[id(code)] = (
        code,
        tuple(dict.fromkeys(names)),
        held,
    )  # which keeps the code, and so its id
    return found


def _line(at: Reached) -> int:
    """Where the code first uses the name."""
    for step in dis.get_instructions(at.code):
        if step.argval == at.name and step.positions is not None and step.positions.lineno:
            return step.positions.lineno
    return at.code.co_firstlineno
