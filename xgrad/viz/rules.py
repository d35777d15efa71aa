"""The local rules of an op as text, `dx = dz * y`, and what a small gate shows."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import lru_cache
from typing import Any

from ..compiler.printing.spelling import shown
from ..ops import Op
from .arrays import number

_SIGNS = {"*": "×", "neg": "× -1", "-": "−", "@": "@", "none": "="}


@lru_cache(1024)
def local_rule(op: Op) -> tuple[str, ...]:
    """The derivative of each operand, as the op's entry has it."""
    names = op.operands if len(op.operands) == len(op.rules) else ("x", "y")[: len(op.rules)]
    found = []
    for name, rule in zip(names, op.rules, strict=False):
        text = None if rule is None else _body(inspect.unwrap(rule[0]))
        if text:
            found.append(shown(f"d{name}: {text}" if text.endswith(".") else f"d{name} = {text}"))
    return tuple(found)


def _body(rule: Any) -> str | None:
    """The expression that a lambda returns; the first line of the docstring of another rule."""
    if rule.__name__ != "<lambda>":
        return str(rule.__doc__ or "").partition("\n")[0]
    try:
        source = textwrap.dedent(inspect.getsource(rule)).strip().rstrip(",")
    except (OSError, TypeError):
        return None
    for start in range(len(source)):
        if source.startswith("lambda", start):
            for end in range(len(source), start, -1):
                try:
                    tree = ast.parse(source[start:end], mode="eval").body
                except (SyntaxError, ValueError):
                    continue
                if isinstance(tree, ast.Lambda) and _same(tree, rule):
                    return ast.unparse(tree.body)
    return None


def _same(tree: ast.Lambda, rule: Any) -> bool:
    """Whether a lambda in a line of source is this one: a line may have several."""
    code, wanted = compile(ast.Expression(tree), "", "eval").co_consts[0], rule.__code__
    parts = ("co_code", "co_consts", "co_names", "co_varnames")
    return all(getattr(code, part) == getattr(wanted, part) for part in parts)


def sign(op: str, operands: tuple[Any, ...]) -> str:
    """What is written on a gate; one operand may be a number."""
    plain = _SIGNS.get(op) or shown(op)
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in operands]
    if len(operands) != 2 or sum(numbers) != 1:
        return plain
    v, first = operands[numbers.index(True)], numbers[0]
    text = f"{v:g}" if isinstance(v, float) else number(v)
    if op in ("+", "*"):
        return f"{plain}{text}" if op == "+" else f"{plain} {text}"
    if op == "/":
        return f"{text}/x" if first else f"/ {text}"
    if op == "-":
        return f"{text}−x" if first else f"− {text}"
    if op == "**":
        return f"{text}^x" if first else f"x^{text}"
    return plain
