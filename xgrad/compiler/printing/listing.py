"""A program as text, in the notation of the notes: `z3 = z1 + z2`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...ops import OPS
from ...ops.indexing import Hole
from ..inliner import Inliner
from ..ir import Item, Loop, Operand, Program, Stage, Value
from ..names import Names
from . import spelling
from .spelling import called, expression_name, gate_called, identifier, literal, shown
from .tables import PLAIN, html_table

#: Precedence of expressions: one inside another of higher precedence is put in parentheses.
COMPARISON, SUM, PRODUCT, NEGATION, POWER, ATOM = range(6)
INFIX = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "@": PRODUCT, "**": POWER} | dict.fromkeys(
    ("<", "<=", ">", ">=", "==", "!="), COMPARISON
)

#: The dtypes of the creation functions' results if none is given.
_DEFAULT = dict.fromkeys(("zeros", "ones", "empty", "eye", "linspace"), "float64")


class Text(NamedTuple):
    """An expression and its precedence."""

    text: str
    level: int = ATOM

    def within(self, level: int) -> str:
        """Return the text for use inside an expression of this precedence."""
        return self.text if self.level >= level else f"({self.text})"


def number(v: Any) -> Text:
    """Write a Python number as an expression."""
    text = spelling.number(v)
    return Text(text, NEGATION if text.startswith("-") else ATOM)


def infix(op: str, args: Sequence[Text]) -> Text | None:
    """Write an op that has a symbol: arithmetic, comparisons, and negation."""
    if op == "neg":
        return Text(f"-{args[0].within(NEGATION)}", NEGATION)
    if op not in INFIX:
        return None
    level = INFIX[op]
    left = level if level in (SUM, PRODUCT) else level + 1
    return Text(f"{args[0].within(left)} {op} {args[1].within(level + 1)}", level)


def index(key: Any, arrays: Sequence[str]) -> str:
    """Write the contents of the brackets, with these names for its index arrays."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) > 1 and parts[-1] is ...:
        parts = parts[:-1]

    def part(k: Any) -> str:
        if type(k) is slice:
            return ":".join(
                "" if v is None else str(v)
                for v in ((k.start, k.stop) if k.step is None else (k.start, k.stop, k.step))
            )
        return "..." if k is ... else _filled(k, arrays)

    return ", ".join(map(part, parts)) or "()"


def key_argument(key: Any, arrays: Sequence[str]) -> str:
    """Write an index as an argument: a tuple of slices, numbers and index arrays."""
    if type(key) is not tuple:
        return _filled(key, arrays)
    return f"({', '.join(_filled(k, arrays) for k in key)}{',' * (len(key) == 1)})"


def _filled(k: Any, arrays: Sequence[str]) -> str:
    return arrays[k.i] if isinstance(k, Hole) else option(k)


def option(v: Any) -> str:
    """Write a parameter's value; dtypes and devices by name."""
    return literal(v, otherwise=lambda v: repr(v if isinstance(v, Hole) else shown(v)))


def options(op: str, params: Any) -> list[str]:
    """Write parameters as keywords, leaving out defaults.

    The axis of `take` is always written, as the standard has no default for it.
    """
    defaults = OPS[op].defaults if op in OPS and op != "take" else {}
    return [
        f"{identifier(k)}={option(v)}" for k, v in params.items() if k not in defaults or defaults[k] != v
    ]


def gate(name: str, params: Mapping[str, Any]) -> str:
    """Write a user's gate as it is called; an instance of a class as it is made, with its attributes."""
    attributes = getattr(params.get("use"), "attributes", None)
    if attributes is None:  # a function
        return gate_called(name)
    given = ", ".join(f"{identifier(k)}={argument(k, v)}" for k, v in attributes.items())
    return f"{gate_called(name)}({given})"


def argument(name: str, value: Any) -> str:
    """Write an argument; where no literal gives it, its name, to be defined by the reader."""
    try:
        return literal(value)
    except TypeError:
        return identifier(name)


def expression(op: str, args: Sequence[Text], params: Any) -> Text:
    """`op(*args, **params)` as the notes write it: `z1 + z2`, `tanh(z3)`, `x[0:3]`, `x.T`."""
    found = infix(op, args)
    if found is not None:
        return found
    if op == "none":
        return args[0]
    if op == "@+":
        return Text(f"{args[0].text} + {args[1].within(PRODUCT)} @ {args[2].within(NEGATION)}", SUM)
    if op == "getitem":
        return Text(f"{args[0].within(ATOM)}[{index(params['key'], [a.text for a in args[1:]])}]")
    if op == "transpose" and params["axes"] is None:
        return Text(f"{args[0].within(ATOM)}.T")
    if op == "custom":
        operands = ", ".join(a.text for a in args[: params["count"]])
        return Text(f"{gate(params['entry'].name, dict(params['options']))}({operands})")
    if op == "new":
        function, dtype = params["function"], params["dtype"]
        parts = [option(v) for v in params["args"]] + [
            f"{k}={option(v)}" for k, v in params["options"].items()
        ]
        parts += [] if dtype in (None, _DEFAULT.get(function)) else [f"dtype={option(dtype)}"]
        name = function.__name__ if callable(function) else called(function)
        return Text(f"{name}({', '.join(parts)})")
    names = [a.text for a in args]
    if op in ("concat", "stack"):
        return Text(f"{op}(({', '.join(names)}{',' * (len(names) == 1)}), axis={option(params['axis'])})")
    if op in ("astype", "round_to"):
        return Text(f"astype({names[0]}, {option(params['dtype'])})")
    if op in ("scatter", "setitem"):
        count = 1 if op == "scatter" else 2
        key = f"key={key_argument(params['key'], names[count:])}"
        shape = [f"shape={option(params['shape'])}"] if op == "scatter" else []
        return Text(f"{op}({', '.join([*names[:count], key, *shape])})")
    return Text(f"{called(op)}({', '.join([*names, *options(op, params)])})")


def operand(v: Operand) -> Text:
    """Write a value by its name, a number literally."""
    return Text(shown(v.name)) if type(v) is Value else number(v)


def names_of(values: Iterable[Value]) -> str:
    """Join the names of values, as shown to users."""
    return ", ".join(shown(v.name) for v in values)


class Row(NamedTuple):
    """A line: `left = right`, and a note beside it."""

    depth: int
    left: str
    right: str
    beside: str = ""


def form(*values: Operand) -> str:
    """Write shapes and dtypes."""
    return ", ".join(f"{v.shape} {v.dtype}" for v in values if type(v) is Value)


def rows(stages: Iterable[Item], depth: int = 0) -> Iterator[Row]:
    """Yield a line for each stage; for a loop, one line and those of its body."""
    for s in stages:
        if isinstance(s, Stage):
            left, right = names_of(s.outputs), expression(s.op, [operand(v) for v in s.operands], s.params)
            yield Row(depth, left, right.text, form(*s.outputs))
            continue
        yield Row(depth, names_of(s.outputs), f"scan over {steps_of(s)}:", form(*s.outputs))
        for c in s.carry:
            yield Row(
                depth + 1,
                shown(c.inner.name),
                f"{operand(c.init).text} at first, then {operand(c.next).text}",
                form(c.inner),
            )
        for x in s.xs:
            outer = operand(x.outer)
            yield Row(
                depth + 1,
                x.inner.name,
                f"{outer.text}[t]" if type(x.outer) is Value else outer.text,
                form(x.inner),
            )
        yield from rows(s.stages, depth + 1)
        for y in s.ys:
            yield Row(depth + 1, f"{shown(y.outer.name)}[t]", operand(y.inner).text)
        for c in s.carry:
            if c.final is not None:
                yield Row(depth + 1, shown(c.final.name), f"{operand(c.next).text} of the last step")


def steps_of(loop: Loop) -> str:
    """The time steps of a loop as text: `t = 0, 1, 2`."""
    steps = [str(t) for t in ((0, 1, loop.length - 1) if loop.length > 3 else range(loop.length))]
    if loop.reverse:
        steps.reverse()
    if loop.length > 3:
        steps[1] = "..."
    return f"t = {', '.join(steps)}" if steps else "no t"


def aligned(lines: Sequence[Row], mark: str = "") -> str:
    """Align the lines in columns; notes follow `mark`."""
    left = min(max((4 * r.depth + len(r.left) for r in lines), default=0), 24)
    right = min(max((len(r.right) for r in lines if r.beside), default=0), 40)
    found = []
    for r in lines:
        start = f"{'    ' * r.depth + r.left:<{left}} = " if r.left else "    " * r.depth
        found.append(f"{start}{r.right:<{right}}    {mark}{r.beside}" if r.beside else f"{start}{r.right}")
    return "\n".join(found)


def listing(program: Program) -> str:
    """List a program, one line per stage, with shapes and dtypes; a scan's body is indented below it.

    >>> import xgrad as xg
    >>> print(xg.trace(lambda x, y: xg.tanh(x) + y, 1.0, 2.0))
    x  = input      () float64
    y  = input      () float64
    z1 = tanh(x)    () float64
    z2 = z1 + y     () float64
    return z2
    """
    program = opened(program)
    lines = [Row(0, shown(v.name), "input", form(v)) for v in program.inputs]
    text = aligned([*lines, *rows(program.stages)])
    return f"{text}\nreturn {', '.join(operand(v).text for v in program.outputs)}"


def table(program: Program) -> str:
    """The listing as a table for notebooks."""
    program = opened(program)
    lines = [Row(0, shown(v.name), "input", form(v)) for v in program.inputs]
    lines += rows(program.stages)
    lines.append(Row(0, "return", ", ".join(operand(v).text for v in program.outputs)))
    columns = [("stage", PLAIN), ("computed as", PLAIN), ("shape and dtype", PLAIN)]
    return html_table(
        columns, lines, lambda r: (f"{'    ' * r.depth}{r.left}", r.right, r.beside), program.name
    )


Parts = Callable[[Stage], "Program | None"]


def opened(
    program: Program,
    parts: Parts = lambda stage: None,
    taken: Iterable[str] = (),
    spelled: Callable[[str], str] = expression_name,
) -> Program:
    """Inline every scan as a `Loop`, and every stage for which `parts` returns a program.

    Values inside keep their names, as `spelled`, where these are unique and not in `taken`.
    """
    names = Names.beside(program)
    names.taken.update(taken)
    return _Opening(names, parts, spelled).opened(program)


class _Opening(Inliner):
    """Inlines a program for people to read: nothing is left out, and values keep their names."""

    def __init__(self, names: Names, parts: Parts, spelled: Callable[[str], str]) -> None:
        super().__init__(names)
        self._parts, self._spelled = parts, spelled

    def program_of(self, stage: Stage) -> Program | None:
        return self._parts(stage)

    def passes_on(self, stage: Stage, fresh: bool) -> bool:
        return False

    def fresh(self, v: Value) -> Value:
        return v._replace(name=self.names.unique(self._spelled(v.name)))


Program.listing, Program._repr_html_ = listing, table
