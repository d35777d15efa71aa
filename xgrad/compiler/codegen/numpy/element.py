"""One element of an op in NumPy: as an expression on whole arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ....ops.scalars import PRIMITIVES, Call, Scalar, calls, power
from ...lowering.plan import Number, Unsupported
from ...printing.listing import COMPARISON, NEGATION, PRODUCT, SUM, Text, number

#: The primitives that have a symbol, and its precedence.
_INFIX = {
    "add": ("+", SUM),
    "subtract": ("-", SUM),
    "multiply": ("*", PRODUCT),
    "divide": ("/", PRODUCT),
    "less": ("<", COMPARISON),
    "less_equal": ("<=", COMPARISON),
    "greater": (">", COMPARISON),
    "greater_equal": (">=", COMPARISON),
    "equal": ("==", COMPARISON),
    "not_equal": ("!=", COMPARISON),
}
_ROUNDING = frozenset(("floor", "ceil", "trunc", "round"))


def of_element(
    xp: str, scalar: Scalar, operands: Mapping[str, Text], temporary: str = "part", whole: bool = False
) -> tuple[list[str], Text]:
    """Return preparatory lines and the expression.

    The lines are `temporary0 = ...` for each part that is used more than once. `operands` has the text of
    each, and `whole` says that they are integers. Raises Unsupported for ops that NumPy lacks.
    """
    uses: dict[Call, int] = {}
    scalar = _without_roots(scalar)
    for call in calls(scalar):
        for a in call.args:
            if isinstance(a, Call):
                uses[a] = uses.get(a, 0) + 1
    lines: list[str] = []
    made: dict[Call, Text] = {}

    def of(part: Scalar) -> Text:
        return (
            made[part]
            if isinstance(part, Call)
            else operands[part]
            if isinstance(part, str)
            else number(part)
        )

    for call in calls(scalar):
        made[call] = _called(xp, call.name, [of(a) for a in call.args], whole)
        if uses.get(call, 0) > 1:
            lines.append(f"{temporary}{len(lines)} = {made[call].text}")
            made[call] = Text(f"{temporary}{len(lines) - 1}")
    return lines, of(scalar)


def _called(xp: str, name: str, args: list[Text], whole: bool) -> Text:
    """Call a primitive on arrays and numbers."""
    if name in _INFIX:
        symbol, level = _INFIX[name]
        left = level if level in (SUM, PRODUCT) else level + 1
        return Text(f"{args[0].within(left)} {symbol} {args[1].within(level + 1)}", level)
    if name == "negative":
        return Text(f"-{args[0].within(NEGATION)}", NEGATION)
    if name in _ROUNDING and whole:
        return args[0]
    function = PRIMITIVES[name].numpy
    if function is None:
        raise Unsupported(f"{name} is not in NumPy")
    return Text(f"{xp}.{function}({', '.join(a.text for a in args)})")


def _without_roots(scalar: Scalar) -> Scalar:
    """Rewrite a lone x ** 0.5: NumPy's own shortcut breaks the standard at infinity."""
    if (
        isinstance(scalar, Call)
        and scalar.name == "pow"
        and scalar.args[1] == 0.5
        and not isinstance(scalar.args[1], str)
    ):
        root = power(scalar.args[0], 0.5, whole=False)
        assert root is not None
        return root
    return scalar


def written_into(
    out: str,
    scalar: Scalar,
    operands: Mapping[str, Text],
    constant: Callable[[Number], Text],
    *,
    cast: bool,
    whole: bool,
) -> list[str]:
    """Return lines that write the value into `out`, which may be an operand.

    `constant` writes a number beside arrays, and `cast` says that the dtype of `out` may differ from NumPy's.
    """
    chain = [] if cast else _chain(_without_roots(scalar))
    if chain:
        lines = []
        for name, args in chain:
            write = number if all(type(a) in (int, float, bool) for a in args) else constant
            given = ", ".join(
                out if a is None else operands[a].text if isinstance(a, str) else write(a).text for a in args
            )
            lines.append(f"np.{PRIMITIVES[name].numpy}({given}, {out})")
        return lines
    lines, text = of_element("np", scalar, operands, f"{out}_", whole)
    return [*lines, f"np.copyto({out}, {text.text}, casting='unsafe')"]


def _chain(scalar: Scalar) -> list[tuple[str, tuple[str | Number | None, ...]]]:
    """Return an expression as a chain of functions, each of the previous result and numbers.

    None stands for the previous result. Empty for any other expression.
    """
    found: list[tuple[str, tuple[str | Number | None, ...]]] = []
    while isinstance(scalar, Call):
        primitive = PRIMITIVES[scalar.name]
        inside = [a for a in scalar.args if isinstance(a, Call)]
        if (
            primitive.truth
            or primitive.condition
            or primitive.numpy is None
            or scalar.name in _ROUNDING
            or len(inside) > 1
        ):
            return []
        if inside and any(isinstance(a, str) for a in scalar.args):
            return []
        found.append((scalar.name, tuple(None if isinstance(a, Call) else a for a in scalar.args)))
        scalar = inside[0] if inside else 0
    return found[::-1]
