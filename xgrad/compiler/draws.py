"""Random numbers drawn from a generator outside a traced function.

Drawn once, during tracing, they would be the same at every step. NumPy's and Python's generators do not know
about tracing. So the generators that a function can reach are searched for, through the names in its code and
in the code of the functions it calls, and their states are compared before and after the trace. Generators
inside other libraries, and those that the function creates itself, are not found.
"""

from __future__ import annotations

import dis
import pickle
import random
import sys
from collections.abc import Callable
from functools import partial
from inspect import unwrap
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from ..core.recording import is_library
from ..errors import TraceError

#: The most functions, modules and objects that are searched.
MOST = 256
#: How many types, and how many code objects, are remembered.
KEPT = 4096

#: A value that a function can reach, and the code and the name by which it reaches it. A plain tuple, because
#: each trace makes many.
Place = tuple[Any, CodeType, str]


def states(f: Callable[..., Any]) -> list[tuple[Place, Any]]:
    """Return the generators that `f` can reach and their states, to pass to `refuse_draws` after tracing."""
    found = generators(f)
    return [(place, state_of(place[0])) for place in found] if found else []


def refuse_draws(before: list[tuple[Place, Any]]) -> None:
    """Raise TraceError if one of the generators has been used since then.

    A draw by another thread in the meantime is mistaken for a draw by the function.
    """
    for (generator, code, name), state in before:
        if state_of(generator) != state:
            raise TraceError(
                f"{code.co_filename}:{_line(code, name)}: {name!r} draws random numbers while a function is "
                f"traced; they would be the same at every step and call. Draw them before, and pass them "
                f"as arguments, or as xs to scan"
            )


def generators(f: Callable[..., Any]) -> list[Place]:
    """Return the generators that `f` can reach."""
    start = generators.__code__
    waiting: list[Place] = _in_function(f, start, "") if type(f) is FunctionType else [(f, start, "")]
    found: dict[int, Place] = {}
    seen: dict[Any, Place] = {}
    while waiting and len(seen) < MOST:
        place = waiting.pop()
        v, code, name = place
        kind = type(v)
        look = _LOOKS.get(kind) or _look(kind)
        if look is _nowhere:
            continue
        key = (id(v.__func__), id(v.__self__)) if kind is MethodType else (id(v), id(code))
        if key in seen:
            continue
        seen[key] = place  # keeps the value alive, so that its id stays unique
        if look is _is_generator:
            found[id(v)] = place
        else:
            waiting += look(v, code, name)
    return list(found.values())


def is_generator(v: Any) -> bool:
    """Whether a value draws random numbers, and has a state that says which."""
    kind = type(v)
    return (_LOOKS.get(kind) or _look(kind)) is _is_generator


def state_of(generator: Any) -> Any:
    """Return the generator's full state."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "get_state"):
        return pickle.dumps(generator.get_state(legacy=False))
    return pickle.dumps(getattr(generator, "bit_generator", generator).state)


def _line(code: CodeType, name: str) -> int:
    """Return the line where the code first uses the name."""
    for step in dis.get_instructions(code):
        if step.argval == name and step.positions is not None and step.positions.lineno:
            return step.positions.lineno
    return code.co_firstlineno


# What can be reached from a value, by the type of the value


def _in_function(f: Any, code: CodeType, name: str) -> list[Place]:
    """The globals that its code names, its closure and its defaults."""
    code, held = f.__code__, f.__globals__
    found: list[Place] = []
    for name in _names(code).loaded:
        v = held.get(name)
        if v is not _XGRAD and _LOOKS.get(type(v)) is not _nowhere:
            found.append((v, code, name))
    if f.__closure__:
        for name, cell in zip(code.co_freevars, f.__closure__):
            try:
                found.append((cell.cell_contents, code, name))
            except ValueError:  # an empty closure cell
                continue
    if f.__defaults__ or f.__kwdefaults__:
        defaults = (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values())
        found += [(v, code, code.co_name) for v in defaults]
    return found


def _in_method(f: Any, code: CodeType, name: str) -> list[Place]:
    own = getattr(f.__func__, "__code__", None)
    by = (code, name) if own is None or is_library(own.co_filename) else (own, "self")
    return [(f.__func__, code, name), (f.__self__, *by)]


def _in_partial(f: Any, code: CodeType, name: str) -> list[Place]:
    code = getattr(f.func, "__code__", code)
    return [(v, code, code.co_name) for v in (f.func, *f.args, *f.keywords.values())]


def _in_container(v: Any, code: CodeType, name: str) -> list[Place]:
    return [(u, code, name) for u in (v.values() if isinstance(v, dict) else v)]


def _in_namespace(v: Any, code: CodeType, name: str) -> list[Place]:
    """The attributes that the code names, and the methods by which it may call an object."""
    kind, held, names = type(v), getattr(v, "__dict__", {}), _names(code).named
    if kind is ModuleType and v.__name__.startswith("xgrad"):
        return []
    if kind.__module__.startswith("xgrad."):  # holds the user's function: compiled, with a rule, ...
        return [(u, code, name) for u in held.values() if callable(u)]
    found = [(held[name], code, name) for name in names if name in held]
    if kind is not ModuleType:
        called = names if name == "self" else (*names, "__call__")
        for name in called:
            f: Any = getattr(kind, name, None)
            for method in (f, unwrap(f)) if hasattr(f, "__wrapped__") else (f,):  # a decorator calls another
                if type(method) is FunctionType:
                    found.append((MethodType(method, v), code, name))
    return found


def _nowhere(v: Any, code: CodeType, name: str) -> list[Place]:
    return []


def _is_generator(v: Any, code: CodeType, name: str) -> list[Place]:
    return []


_LOOKS: dict[type, Callable[[Any, CodeType, str], list[Place]]] = {
    **dict.fromkeys((int, float, complex, bool, str, bytes, type(None), type), _nowhere),
    **dict.fromkeys((list, tuple, dict), _in_container),
    FunctionType: _in_function,
    MethodType: _in_method,
    BuiltinMethodType: lambda f, code, name: [(f.__self__, code, name)],
    partial: _in_partial,
}


def _look(kind: type) -> Callable[[Any, CodeType, str], list[Place]]:
    """Choose how to search values of a type not seen before."""
    draws = issubclass(kind, random.Random) or any(
        hasattr(kind, name) for name in ("bit_generator", "random_raw", "random_sample")
    )
    look = _is_generator if draws else _in_namespace
    # SystemRandom has no state, and arrays hold only numbers
    if issubclass(kind, random.SystemRandom) or (hasattr(kind, "dtype") and hasattr(kind, "shape")):
        look = _nowhere
    if len(_LOOKS) < KEPT:
        _LOOKS[kind] = look
    return look


class _Names(NamedTuple):
    """The names in some code, including nested functions.

    These are all globals and attributes; and, for user code only, the globals that are loaded.
    """

    code: CodeType  # keeps it alive, so that its id stays unique
    named: tuple[str, ...]
    loaded: tuple[str, ...]


_XGRAD = sys.modules[__name__.partition(".")[0]]  # its generators raise by themselves
_NAMES: dict[int, _Names] = {}


def _names(code: CodeType) -> _Names:
    return _NAMES.get(id(code)) or _read(code)


def _read(code: CodeType) -> _Names:
    inside = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    named = [*code.co_names, *(name for c in inside for name in c.named)]
    loaded = [step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"]
    loaded += [name for c in inside for name in c.loaded]
    if is_library(code.co_filename):
        loaded = []
    if len(_NAMES) >= KEPT:
        _NAMES.clear()
    found = _NAMES[id(code)] = _Names(code, tuple(dict.fromkeys(named)), tuple(dict.fromkeys(loaded)))
    return found
