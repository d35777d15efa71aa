"""Scalar expressions: what an elementwise op does to one element, for the code generators to print.

An entry gives the expression in Python's notation, with its operands, numbers, `inf`, `nan` and `pi`:

    scalar="where(x < 0, 0, x)"

Its functions are the primitives below, and other ops of the table by name, which are replaced by their
expressions. Lines before the last may name subexpressions: `r = fmod(x, y)`.

All operands have the same dtype, that of the op; for an op with truth values as results, that in which NumPy
would compare its operands. A comparison gives a truth value, which becomes 0 or 1 where a number is needed; a
number is true if it is not 0.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, nan, pi
from typing import NamedTuple

#: The cost of an operation that takes more than a few instructions.
HEAVY = 16


class Primitive(NamedTuple):
    """An operation that every code generator either implements or refuses.

    `numpy` is the equivalent NumPy ufunc, or None. `truth` says whether the result is a truth value, and
    `condition` how many of the first operands are used as truth values.
    """

    arity: int
    numpy: str | None
    cost: int = 1
    truth: bool = False
    condition: int = 0


def _named(
    names: str, arity: int, cost: int, truth: bool = False, condition: int = 0
) -> dict[str, Primitive]:
    """Primitives with the same names as in NumPy."""
    return {name: Primitive(arity, name, cost, truth, condition) for name in names.split()}


PRIMITIVES: dict[str, Primitive] = {
    **_named(
        "add subtract multiply bitwise_and bitwise_or bitwise_xor left_shift right_shift copysign", 2, 1
    ),
    **_named("less less_equal greater greater_equal equal not_equal", 2, 1, truth=True),
    **_named("logical_and logical_or", 2, 1, truth=True, condition=2),
    **_named("logical_not", 1, 1, truth=True, condition=1),
    **_named("isnan isfinite signbit", 1, 1, truth=True),
    **_named("negative floor ceil trunc invert", 1, 1),
    # the second and third for integers only
    **_named("divide floor_divide remainder hypot nextafter fmod", 2, HEAVY),
    **_named("sqrt exp expm1 log log1p log2 log10 sin cos tan sinh cosh tanh cbrt", 1, HEAVY),
    **{
        f"a{name}": Primitive(1, f"arc{name}", HEAVY)
        for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")
    },
    "where": Primitive(3, "where", 1, condition=1),
    "abs": Primitive(1, "absolute"),
    "round": Primitive(1, "rint"),
    "atan2": Primitive(2, "arctan2", HEAVY),
    "pow": Primitive(2, "power", HEAVY),
    "normal_cdf": Primitive(1, None, HEAVY),
    "normal_quantile": Primitive(1, None, HEAVY),
}


class Call:
    """A primitive applied to arguments; common subexpressions are the same object."""

    __slots__ = ("args", "name")

    def __init__(self, name: str, args: tuple[Scalar, ...]) -> None:
        self.name, self.args = name, args

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.args))})"


#: An operand's name, a number, or a call.
Scalar = Call | str | int | float | bool

_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "pow",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.BitAnd: "bitwise_and",
    ast.BitOr: "bitwise_or",
    ast.BitXor: "bitwise_xor",
    ast.LShift: "left_shift",
    ast.RShift: "right_shift",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.And: "logical_and",
    ast.Or: "logical_or",
}
_UNARY: dict[type[ast.AST], str] = {ast.USub: "negative", ast.Invert: "invert", ast.Not: "logical_not"}
_NUMBERS = {"inf": inf, "nan": nan, "pi": pi}

#: Maps the name of an op to its operands and its expression; None if there is no such op or expression.
Others = Callable[[str], tuple[Sequence[str], Scalar] | None]


def parse(text: str, operands: Sequence[str], others: Others = lambda name: None) -> Scalar:
    """Parse `text` to an expression. Raises ValueError, with the reason, if it is invalid."""
    (scalar,) = parse_several(text, operands, 1, others)
    return scalar


def parse_several(
    text: str, operands: Sequence[str], count: int, others: Others = lambda name: None
) -> tuple[Scalar, ...]:
    """Parse the last `count` lines of `text` to expressions.

    Raises ValueError, with the reason, if they are invalid.
    """
    try:
        lines = ast.parse(text.strip()).body
    except SyntaxError as error:
        raise ValueError(f"the scalar definition {text!r} is not a valid expression: {error.msg}") from None
    reader = _Reader(text, operands, others)
    for line in lines[:-count]:
        if not (
            isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name)
        ):
            raise reader.wrong("each line before the last must assign to a name")
        reader.known[line.targets[0].id] = reader.read(line.value)
    last = (
        "the last line must be an expression" if count == 1 else f"the last {count} lines must be expressions"
    )
    found: list[Scalar] = []
    for line in lines[-count:]:
        if not isinstance(line, ast.Expr):
            raise reader.wrong(last)
        found.append(reader.read(line.value))
    if len(found) < count:
        raise reader.wrong(last)
    return tuple(found)


class _Reader:
    """Parses one text."""

    def __init__(self, text: str, operands: Sequence[str], others: Others) -> None:
        self.text, self.others = text, others
        self.known: dict[str, Scalar] = {**_NUMBERS, **{name: name for name in operands}}
        self.made = Calls()

    def wrong(self, why: str) -> ValueError:
        return ValueError(f"the scalar definition {self.text!r}: {why}")

    def read(self, node: ast.expr) -> Scalar:
        """Convert a syntax tree to an expression."""
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return node.value  # type: ignore[return-value]
            case ast.Name():
                if node.id not in self.known:
                    raise self.wrong(f"{node.id!r} is not defined; there are {', '.join(self.known)}")
                return self.known[node.id]
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                return -node.operand.value  # type: ignore[attr-defined, no-any-return]
            case ast.UnaryOp() if type(node.op) in _UNARY:
                return self.made.call(_UNARY[type(node.op)], (self.read(node.operand),))
            case ast.BinOp() if type(node.op) in _BINARY:
                return self.made.call(_BINARY[type(node.op)], (self.read(node.left), self.read(node.right)))
            case ast.Compare(ops=[only]) if type(only) in _BINARY:
                return self.made.call(
                    _BINARY[type(only)], (self.read(node.left), self.read(node.comparators[0]))
                )
            case ast.BoolOp():
                first, *rest = map(self.read, node.values)
                for other in rest:
                    first = self.made.call(_BINARY[type(node.op)], (first, other))
                return first
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                return self.called(name, tuple(map(self.read, node.args)))
        raise self.wrong(
            f"{ast.unparse(node)!r} is not supported; use arithmetic, comparisons, and functions with "
            f"positional operands"
        )

    def called(self, name: str, args: tuple[Scalar, ...]) -> Scalar:
        """Apply a primitive, or the expression of another op."""
        other = self.others(name) if name not in PRIMITIVES else None
        if other is None and name not in PRIMITIVES:
            near = difflib.get_close_matches(name, PRIMITIVES, n=2)
            hint = (
                f"did you mean {' or '.join(near)}?"
                if near
                else f"use {', '.join(PRIMITIVES)}, or an op of the table with a scalar definition"
            )
            raise self.wrong(f"there is no elementwise function {name!r}; {hint}")
        arity = PRIMITIVES[name].arity if other is None else len(other[0])
        if len(args) != arity:
            raise self.wrong(f"{name} takes {arity} operand{'s' * (arity != 1)}, not {len(args)}")
        return (
            self.made.call(name, args)
            if other is None
            else substitute(other[1], dict(zip(other[0], args)), self.made)
        )


class Calls:
    """Makes calls, each only once: equal calls are the same object."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Call] = {}

    def call(self, name: str, args: tuple[Scalar, ...]) -> Call:
        """The call of a primitive with these arguments."""
        key = (name, *(id(a) if isinstance(a, Call) else (type(a), repr(a)) for a in args))
        return self._made.setdefault(key, Call(name, args))


def substitute(scalar: Scalar, new: Mapping[str, Scalar], made: Calls | None = None) -> Scalar:
    """Replace operands by other expressions; new calls are shared with those in `made`."""
    made = made or Calls()
    found: dict[int, Scalar] = {}

    def of(part: Scalar) -> Scalar:
        return (
            found[id(part)]
            if isinstance(part, Call)
            else new.get(part, part)
            if isinstance(part, str)
            else part
        )

    for call in calls(scalar):
        found[id(call)] = made.call(call.name, tuple(map(of, call.args)))
    return of(scalar)


def calls(scalar: Scalar) -> Iterator[Call]:
    """The calls of an expression, each once, after its arguments."""
    seen: set[int] = set()
    waiting = [scalar]
    while waiting:
        call = waiting[-1]
        inside = (
            [a for a in call.args if isinstance(a, Call) and id(a) not in seen]
            if isinstance(call, Call)
            else []
        )
        if inside and id(call) not in seen:
            waiting += reversed(inside)
            continue
        waiting.pop()
        if isinstance(call, Call) and id(call) not in seen:
            seen.add(id(call))
            yield call


def cost(scalar: Scalar) -> int:
    """The approximate number of instructions per element; from HEAVY on, expensive ones are among them."""
    return sum(PRIMITIVES[call.name].cost for call in calls(scalar))


def power(x: Scalar, n: float, whole: bool) -> Scalar | None:
    """x ** n as products, for a small integer n; or as a square root, for n = 0.5; else None.

    For n = 0.5, powers of -inf and -0 differ from their square roots. Powers of integers (`whole`) are always
    products, which wrap around as in NumPy; None for negative n.
    """
    made = Calls()
    if n == 0.5 and not whole:
        root = made.call("sqrt", (made.call("where", (made.call("equal", (x, -inf)), inf, x)),))
        return made.call("add", (root, 0.0))
    if n != n or abs(n) == inf or n != int(n) or (n < 0 if whole else abs(n) > 8):
        return None
    product: Scalar | None = None
    count = abs(int(n))
    while count:
        if count & 1:
            product = x if product is None else made.call("multiply", (product, x))
        count >>= 1
        x = made.call("multiply", (x, x)) if count else x
    if product is None:
        return 1
    return product if n > 0 else made.call("divide", (1, product))
