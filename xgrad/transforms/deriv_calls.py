"""A step of a backward pass as text: a call of `deriv` that runs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from ..compiler.printing.listing import argument, gate, key_argument, options
from ..compiler.printing.spelling import identifier, quoted
from ..ops import OPS, Op
from ..ops.indexing import Hole
from ..ops.table import GATES


def deriv_call(dz: str, operands: Sequence[str], entry: Op, params: Mapping[str, Any]) -> str:
    """`deriv(dz, x, y, "op", ...)`, for operands given as expressions.

    The arrays of an index, which are operands, are written in the index.
    """
    holes = sum(isinstance(k, Hole) for k in params["key"]) if type(params.get("key")) is tuple else 0
    if holes:
        operands, arrays = operands[:-holes], operands[-holes:]
        key = key_argument(params["key"], arrays)
        others = [text for text in _op_and_parameters(entry, params) if not text.startswith("key=")]
        return f"deriv({dz}, {_tuple(operands)}, None, {', '.join(others)}, key={key})"
    given = f"{_tuple(operands)}, None" if entry.variadic else ", ".join([*operands, "None"][:2])
    return f"deriv({', '.join([dz, given, *_op_and_parameters(entry, params)])})"


def deriv_step(
    dz: str,
    operands: Sequence[str],
    gradients: Sequence[str | None],
    entry: Op,
    params: Mapping[str, Any],
    *,
    adds: bool,
) -> str:
    """A call of `deriv` with the gradients that it gives: `dx, dy = deriv(...)`, with `_` for None.

    They are `ret` if one of them is added to what its operand already has, or if an operand comes twice:
    `ret[0]` is then added to the first, and so on.
    """
    named = [name for name in gradients if name is not None]
    call = deriv_call(dz, operands, entry, params)
    if adds or len(set(named)) < len(named):
        return f"ret = {call}"
    if len(operands) == 1:
        return f"{gradients[0] or '_'} = {call}[0]"
    return f"{', '.join(name or '_' for name in gradients)} = {call}"


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


def _op_and_parameters(entry: Op, params: Mapping[str, Any]) -> list[str]:
    """How `deriv` is told the op: its symbol or name and parameters, as keywords.

    A user's gate is given by its name, a class with the attributes that it had before the call; or as an
    object, if its name belongs to another.
    """
    if OPS.get(entry.name) is entry:
        return [quoted(entry.name), *options(entry.name, params)]
    if entry.name in OPS or GATES.get(entry.name) is not entry:
        return [gate(entry.name, params)]
    attributes = params["use"].attributes if "use" in params else {}
    return [quoted(entry.name), *(f"{identifier(k)}={argument(k, v)}" for k, v in attributes.items())]


def path_of(name: str) -> list[Any]:
    """The keys and indices in a name such as `dparams['W'][0]`."""
    tree: Any = ast.parse(name, mode="eval").body
    path: list[Any] = []
    while isinstance(tree, ast.Subscript):
        path.insert(0, ast.literal_eval(tree.slice))
        tree = tree.value
    return path


def empty_container(places: Sequence[Sequence[Any]]) -> str:
    """A nested list or dict, as text, with None at each of these places."""
    if not places[0]:
        return "None"
    inner: dict[Any, list[Sequence[Any]]] = {}
    for first, *rest in places:
        inner.setdefault(first, []).append(rest)
    if all(isinstance(key, int) and key >= 0 for key in inner):
        parts = [empty_container(inner[i]) if i in inner else "None" for i in range(max(inner) + 1)]
        return f"[{', '.join(parts)}]"
    return f"{{{', '.join(f'{key!r}: {empty_container(rest)}' for key, rest in inner.items())}}}"
