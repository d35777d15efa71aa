"""The local rules of an op as text, `dx = dz * y`, and what a small gate shows."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import lru_cache
from typing import Any

from ..ops import Op
from .arrays import number

_SIGNS = {"*": "×", "neg": "× -1", "-": "−", "@": "@", "none": "="}


@lru_cache(1024)
def local_rule(op: Op) -> tuple[str, ...]:
    """The derivative of each operand, as the op's entry has it, where that is short."""
    names = op.operands if len(op.operands) == len(op.rules) else ("x", "y")[: len(op.rules)]
    found = []
    for name, rule in zip(names, op.rules, strict=False):
        text = None if rule is None else _body(rule[0])
        if text is not None and len(text) <= 100:
            found.append(f"d{name} = {text}")
    return tuple(found)


def _body(rule: Any) -> str | None:
    """The expression that a rule returns, as it is written."""
    rule = inspect.unwrap(rule)
    try:
        source = textwrap.dedent(inspect.getsource(rule)).strip().rstrip(",")
    except (OSError, TypeError):
        return None
    if rule.__name__ != "<lambda>":
        return f"{rule.__name__.strip('_')}({', '.join(inspect.signature(rule).parameters)})"
    for start in range(len(source)):
        if source.startswith("lambda", start):
            for end in range(len(source), start, -1):
                try:
                    tree = ast.parse(source[start:end], mode="eval").body
                except (SyntaxError, ValueError):
                    continue
                if isinstance(tree, ast.Lambda) and _same(tree, rule):
                    return ast.unparse(tree.body)
                break
    return None


def _same(tree: ast.Lambda, rule: Any) -> bool:
    """Whether a lambda in a line of source is this one: a line may have several."""
    code = compile(ast.Expression(tree), "", "eval").co_consts[0]
    return bool(code.co_code == rule.__code__.co_code and code.co_names == rule.__code__.co_names)


def sign(op: str, operands: tuple[Any, ...]) -> str:
    """What is written on a gate; one operand may be a number."""
    plain = _SIGNS.get(op, op)
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
