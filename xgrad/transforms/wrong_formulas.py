"""Wrong formulas for the derivatives of common functions, as they are often written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..core.rules import deriv
from .backward_stages import BackwardStage, Contribution
from .graph_text import expression
from .variants import Variant, name_of, operands

Slope = Callable[[Any, Any, Any], Any]

#: By op and operand: the right derivative, then wrong ones, of the operands x and y and the output z.
FORMULAS: dict[tuple[str, int], tuple[str, dict[str, Slope]]] = {
    ("sigmoid", 0): (
        "{z} * (1 - {z})",
        {
            "{z}": lambda x, y, z: z,
            "1 - {z}": lambda x, y, z: 1 - z,
            "1 - {z}**2": lambda x, y, z: 1 - z**2,
            "{z} * (1 - {z}) * (1 - {z} * (1 - {z}))": lambda x, y, z: z * (1 - z) * (1 - z * (1 - z)),
            "{x} * (1 - {x}) * (1 - {x} * (1 - {x}))": lambda x, y, z: x * (1 - x) * (1 - x * (1 - x)),
            "({z} * (1 - {z}))**2": lambda x, y, z: (z * (1 - z)) ** 2,
        },
    ),
    ("tanh", 0): (
        "1 - {z}**2",
        {
            "1 - {z}": lambda x, y, z: 1 - z,
            "{z}": lambda x, y, z: z,
            "{z}**2": lambda x, y, z: z**2,
            "1 + {z}**2": lambda x, y, z: 1 + z**2,
            "(1 - {z})**2": lambda x, y, z: (1 - z) ** 2,
            "{z} * (1 - {z})": lambda x, y, z: z * (1 - z),
            "(1 - {z}**2)**2": lambda x, y, z: (1 - z**2) ** 2,
        },
    ),
    ("exp", 0): ("{z}", {"{x} * {z}": lambda x, y, z: x * z}),
    ("log", 0): ("1 / {x}", {"{x}": lambda x, y, z: x, "1 / {x}**2": lambda x, y, z: x**-2}),
    ("sqrt", 0): ("1 / (2 * {z})", {"{z} / 2": lambda x, y, z: z / 2, "1 / {x}": lambda x, y, z: 1 / x}),
    ("square", 0): ("2 * {x}", {"{x}**2": lambda x, y, z: x**2, "2 * {x}**2": lambda x, y, z: 2 * x**2}),
    ("reciprocal", 0): (
        "-1 / {x}**2",
        {"1 / {x}": lambda x, y, z: 1 / x, "-1 / {x}": lambda x, y, z: -1 / x},
    ),
    ("sin", 0): ("cos({x})", {"sin({x})": lambda x, y, z: z}),
    ("cos", 0): ("-sin({x})", {"cos({x})": lambda x, y, z: z, "-cos({x})": lambda x, y, z: -z}),
    ("relu", 0): ("1 where {x} > 0, else 0", {"{x}": lambda x, y, z: x, "{z}": lambda x, y, z: z}),
    ("/", 0): ("1 / {y}", {"{y}": lambda x, y, z: y, "1 / {y}**2": lambda x, y, z: y**-2}),
    ("/", 1): (
        "-{x} / {y}**2",
        {
            "-{x} / {y}": lambda x, y, z: -x / y,
            "{x} / {y}": lambda x, y, z: x / y,
            "-1 / {y}**2": lambda x, y, z: -1 / y**2,
            "1 / {y}**2": lambda x, y, z: 1 / y**2,
            "-1 / {y}": lambda x, y, z: -1 / y,
            "1 / {y}": lambda x, y, z: 1 / y,
            "-{x}": lambda x, y, z: -x,
            "{x}": lambda x, y, z: x,
        },
    ),
}


def wrong_formulas(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The contribution `c` with wrong formulas for the derivative."""
    stage, dz, z = step.stage, step.dz, step.stage.value
    assert z is not None
    name, axes = stage.node.op.name, stage.params
    x, y = (*operands(step), None)[:2]
    right, wrong = FORMULAS.get((name, c.operand), ("", {}))
    if name == "**" and isinstance(y, int | float):
        right, wrong = _of_power(y)
    named = {"x": name_of(stage.operands[0]), "y": name_of((*stage.operands, "")[1]), "z": name_of(stage)}
    respect = f" with respect to {name_of(c.stage)}" if len(stage.operands) > 1 else ""
    for formula, slope in wrong.items():
        text = f"the derivative of {expression(stage)}{respect} is {right.format(**named)}, not "
        value = partial(_with_slope, dz, (x, y)[c.operand], slope, x, y, z)
        yield Variant("formula", text + formula.format(**named), value)
    if name == "softmax":
        text = "the derivative of softmax has terms of all elements, (dz - sum(dz * z)) * z: "
        yield Variant("formula", f"{text}z * (1 - z) is only its diagonal", lambda: dz * (z * (1 - z)))
        yield Variant("formula", f"{text}the sum is missing", lambda: dz * z)
    if name == "mean":
        text = "the derivative of a mean is 1 / n for each of n elements: this is the one of a sum"
        yield Variant("formula", text, lambda: deriv(dz, x, None, "sum", **axes)[0])
    if name == "sum":
        text = "the derivative of a sum is 1 for each element: this is the one of a mean, 1 / n"
        yield Variant("formula", text, lambda: deriv(dz, x, None, "mean", **axes)[0])
    if name in ("max", "min", "maximum", "minimum"):
        text = f"{name} hands its gradient to the chosen element only: here all of them get it"
        op = "sum" if name in ("max", "min") else "+"
        yield Variant("formula", text, lambda: deriv(dz, x, y, op, **axes)[c.operand])


def _with_slope(dz: Any, operand: Any, slope: Slope, x: Any, y: Any, z: Any) -> Any:
    """`dz` times a slope, summed over the axes along which the operand was broadcast."""
    return deriv(dz, operand, slope(x, y, z), "*")[0]


def _of_power(n: float) -> tuple[str, dict[str, Slope]]:
    """The derivative of a power with a number as exponent, and wrong formulas for it."""
    if n == 2:
        return "2 * {x}", {"{x}**2": lambda x, y, z: z, "2 * {x}**2": lambda x, y, z: 2 * z}
    return f"{n} * {{x}}**{n - 1}", {
        f"{n} * {{x}}**{n}": lambda x, y, z: n * z,
        f"{n - 1} * {{x}}**{n - 1}": lambda x, y, z: (n - 1) * x ** (n - 1),
        f"{{x}}**{n}": lambda x, y, z: z,
        f"{n} * {{x}}": lambda x, y, z: n * x,
    }
