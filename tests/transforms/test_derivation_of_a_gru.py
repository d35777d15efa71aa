"""A GRU step by hand, as in the exercise, with every line of its backward pass spoilt in many ways."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import EXAMPLES

#: The backward pass of the exercise, mended, and its functions.
SOURCE = (EXAMPLES / "exercises" / "09_gru.py").read_text().replace(" * (1 - sigdx(z8))", "")
FUNCTIONS, _, REST = SOURCE.partition("rng = ")
LINES = [line for line in FUNCTIONS.splitlines() if re.match(r"    d\w+ = ", line)]

rng = np.random.default_rng(0)
N = 4  # all matrices are square, so that every product exists
ARGS = (*rng.normal(size=(6, N, N)) / 2, rng.normal(size=(N, N)), rng.normal(size=(N, N)))
DZ = rng.normal(size=(N, N))

VALUES = ["z4", "z8", "z9", "z13", "z14", "h", "x"]


def spoilt(line: str) -> set[str]:
    """The line with one slip: every sign, transpose, factor, term and value is changed in turn."""
    name, _, right = line.strip().partition(" = ")
    found = {f"-({right})", f"2 * ({right})", f"({right}).T" if " + " not in right else right}
    for sign in (" + ", " - "):
        if sign in right:
            first, _, second = right.partition(sign)
            found |= {first, second, first + (" - " if sign == " + " else " + ") + second}
    if " @ " in right.rpartition(" + ")[2]:
        start, plus, product = right.rpartition(" + ")
        a, _, b = product.partition(" @ ")
        found |= {f"{start}{plus}{b} @ {a}", start + plus + product.replace(".T", "")}
    for factor in re.findall(r" \* \S+", right):
        found.add(right.replace(factor, ""))
    for value in VALUES:
        if re.search(rf"\b{value}\b", right):
            found |= {re.sub(rf"\b{value}\b", other, right) for other in VALUES}
    found |= {right.replace("sigdx(z8)", wrong) for wrong in ("sigdx(z7)", "z8", "(1 - z8)", "(1 - z8**2)")}
    found |= {right.replace("tanhdx(z13)", wrong) for wrong in ("tanhdx(z12)", "(1 - z13)", "z13")}
    return {f"    {name} = {wrong}" for wrong in found - {right}}


def check_of(text: str) -> Any:
    """What is said of a GRU whose functions have this text."""
    namespace: dict[str, Any] = {}
    text = text.replace(
        "_, _, _, z4, _, _, _, z8, z9, _, _, _, z13,", "_, _, _, z4, _, _, z7, z8, z9, _, _, z12, z13,"
    )
    exec(compile(text, "gru.py", "exec"), namespace)
    return xg.check_derivation(namespace["forward"], ARGS, namespace["backward"], DZ)


def test_the_derivation_is_right() -> None:
    assert check_of(FUNCTIONS)


@pytest.mark.parametrize("line", LINES, ids=str.strip)
def test_a_spoilt_line_is_named(line: str) -> None:
    for wrong in sorted(spoilt(line)):
        check = check_of(FUNCTIONS.replace(f"{line}\n", f"{wrong}\n"))
        if check:
            continue
        about = f"{wrong}\n{check}"
        assert check.wrong is not None, about
        assert check.wrong.name == line.split()[0], about
        assert check.wrong.cause is not None, about
