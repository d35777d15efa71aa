"""Arguments of compiled functions: static ones, signatures, and a check that no mutation is lost."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from ..compiler.draws import is_generator
from ..compiler.keys import is_array, state
from ..core.graph import Leaf
from ..core.pytree import flatten, flatten_weak
from ..core.tensor import Tensor
from ..core.weak import Weak
from ..errors import TraceError


class Static:
    """An argument whose value is part of the signature."""

    __slots__ = ("of",)

    def __init__(self, of: Any) -> None:
        self.of = of


def static_arguments(
    f: Callable[..., Any],
    positions: int | Iterable[int] | None,
    names: str | Iterable[str] | None,
) -> tuple[frozenset[int], frozenset[str]] | None:
    """The positions and names of the static arguments; None if neither was given."""
    if positions is None and names is None:
        return None
    numbers = {positions} if isinstance(positions, int) else set(positions or ())
    called = {names} if isinstance(names, str) else set(names or ())
    function = getattr(f, "__name__", "the function")
    parameters = list(inspect.signature(f).parameters.values())
    kinds = inspect.Parameter
    placed = [p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    more = any(p.kind is kinds.VAR_POSITIONAL for p in parameters)
    named = [p.name for p in parameters if p.kind in (kinds.KEYWORD_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    any_name = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    for i in numbers:
        if not isinstance(i, int) or isinstance(i, bool):
            raise TypeError(f"compile: static_argnums are integers, not {i!r}")
        if not -len(placed) <= i < len(placed) and not (more and i >= 0):
            raise ValueError(
                f"compile: static_argnums={i}, but {function} has {len(placed)} positional arguments: "
                f"{', '.join(placed) or 'none'}"
            )
    for name in called:
        if name not in named and not any_name:
            raise ValueError(
                f"compile: static_argnames={name!r}, but {function} has no argument of that name; it has "
                f"{', '.join(named) or 'none'}"
            )
    numbers = {i % len(placed) if i < 0 else i for i in numbers}
    if names is None:
        called = {placed[i] for i in numbers if i < len(placed)}
    if positions is None:
        numbers = {placed.index(name) for name in called if name in placed}
    return frozenset(numbers), frozenset(called)


def takes_any_name(f: Callable[..., Any]) -> bool:
    """Whether `f` takes keyword arguments of any name, as far as is known."""
    try:
        parameters = inspect.signature(f, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def signature(v: Any) -> Any:
    if type(v) is Static:
        leaves = flatten(v.of)[0]
        if any(isinstance(leaf, Tensor) or is_array(leaf) for leaf in leaves):
            raise TypeError(
                "compile: a static argument has an array in it, whose values no signature can hold; leave it "
                "out of static_argnums and static_argnames"
            )
        return Static, state(v.of)
    if isinstance(v, Tensor):
        node = v.node
        return (
            v.data.shape,
            v.dtype,
            v.device,
            node is not None and node.needs and (2 if isinstance(node, Leaf) else 1),
        )
    if is_array(v):
        return (type(v), v.shape, v.dtype)
    try:
        return state(v)
    except (TypeError, RecursionError) as error:
        raise TypeError(
            f"compile cannot take a {type(v).__name__} as an argument: {error}. It takes Tensors, arrays, "
            f"numbers, strings, and objects whose attributes are of these types, in nested lists, tuples, "
            f"dicts and modules"
        ) from None


@contextmanager
def unchanged(arguments: Any, who: str = "a compiled function") -> Iterator[None]:
    """Raise TraceError if the block, in which `who` runs, replaces something inside an argument.

    The caller would not see it, or only once. The attributes of objects are restored.
    """
    leaves, structure = flatten_weak(arguments, now=True)
    held = [(v, signature(v)) for v in leaves if not _is_value(v)]
    objects = [v.of if type(v) is Static else v for v, _ in held]
    attributes = [(v, dict(v.__dict__)) for v in objects if isinstance(getattr(v, "__dict__", None), dict)]
    try:
        yield
    finally:
        changed = [v for v, (handle, before) in zip(objects, held) if _differs(handle, before)]
        for v, before in attributes:
            if any(v is w for w in changed):
                v.__dict__.clear()
                v.__dict__.update(before)
    if any(is_generator(v) for v in changed):
        raise TraceError(
            f"{who} draws random numbers from an argument, which would be the same at every later call: draw "
            f"them before, and pass them as arguments"
        )
    now, after = flatten_weak(arguments, now=True)
    if changed or after != structure or any(v is not w for v, w in zip(now, leaves)):
        raise TraceError(
            f"{who} puts something else into an argument, {_described(changed)}, which would happen only "
            f"while it is traced: return the new value, or change a Tensor in it in place, as with "
            f"t[...] = value"
        )


def _differs(v: Any, before: Any) -> bool:
    try:
        return bool(signature(v) != before)
    except TypeError:  # something was put into it that no signature can hold
        return True


def _described(changed: list[Any]) -> str:
    if not changed:
        return "a list, dict or module"
    kind = type(changed[0])
    known = kind.__module__ == "builtins"
    return f"a {kind.__name__}" if known else f"an attribute of a {kind.__name__}"


def _is_value(v: Any) -> bool:
    """Whether an argument is an array or a number, or is not searched for changes."""
    return isinstance(v, Tensor | Weak | type | FunctionType | ModuleType) or is_array(v)
