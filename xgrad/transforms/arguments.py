"""Arguments of compiled functions: static ones, signatures, and a check that no mutation is lost."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

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
def unchanged(arguments: Any, leaves: list[Any]) -> Iterator[None]:
    """Raise TraceError if the block replaces something inside an argument, as later calls would not do so.

    The attributes of objects are restored.
    """
    structure = flatten_weak(arguments, now=True)[1]
    objects = [(v, signature(v), dict(v.__dict__)) for v in leaves if _is_object(v)]
    try:
        yield
    finally:
        changed = [(v, attributes) for v, before, attributes in objects if signature(v) != before]
        for v, attributes in changed:
            v.__dict__.clear()
            v.__dict__.update(attributes)
    now, after = flatten_weak(arguments, now=True)
    if changed or after != structure or any(v is not w for v, w in zip(now, leaves)):
        what = f"an attribute of a {type(changed[0][0]).__name__}" if changed else "a list, dict or module"
        raise TraceError(
            f"a compiled function puts something else into an argument, {what}, which would happen at no "
            f"later call: return the new value, or change a Tensor in it in place, as with t[...] = value"
        )


def _is_object(v: Any) -> bool:
    """Whether an argument is an object whose attributes a function may set."""
    known = isinstance(v, Tensor | type | FunctionType | ModuleType) or is_array(v) or type(v) is Static
    return not known and not isinstance(v, Weak) and isinstance(getattr(v, "__dict__", None), dict)
