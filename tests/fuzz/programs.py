"""Writes the Python text of a random program line by line.

Each line is tried on example values with NumPy alone.
"""

from __future__ import annotations

import random
import re
from typing import Any, NamedTuple

import numpy as np

from .gates import GATES
from .loops import LoopWriter
from .plain import Plain
from .problems import Problem, Scan, Step, generate
from .templates import TEMPLATES
from .values import RELATED, TESTS, Unfit, Var, bid, check, is_float

SIZES = (1, 2, 2, 3, 3, 4, 5, 7)
WIDE = (9, 17, 33, 37)  # more than one vector of the processor, or more than four


class Text(NamedTuple):
    """A program as text: gates, the function `f`, its example values and its call.

    `args` and `captured` are the names of the values.
    """

    gates: str
    values: str
    function: str
    args: tuple[str, ...]
    captured: tuple[str, ...]
    empty: bool

    @property
    def whole(self) -> str:
        return f"import numpy as np\nimport xgrad as xg\n{self.gates}\n{self.values}\n\n{self.function}"


def text_of(problem: Problem) -> Text | None:
    """Return the text of a program, or None if none of its instructions fit."""
    with np.errstate(all="ignore"):
        return Writer(problem).text()


__all__ = ["Problem", "Scan", "Text", "Writer", "generate", "text_of"]


def is_numpys(text: str, name: str) -> bool:
    """Return whether an expression uses only NumPy arrays, so that its value is one.

    Names of NumPy arrays begin with "a".
    """
    names = set(re.findall(r"\b[a-z]+\d+(?:_\d+)?\b", text)) - {name}
    return bool(names) and all(n.startswith("a") for n in names) and not re.search(r"\bxg\.|[a-z]\(", text)


class Writer:
    """Writes the text of a program line by line, trying each on example values."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.empty = "empty" in problem.flags or problem.length == 0
        self.count = 0
        self.xp = Plain()
        self.env: dict[str, Any] = {"xg": self.xp, "np": np}
        self.gates: dict[str, None] = {}
        r = random.Random(problem.seed)
        sizes = [r.choice(WIDE if r.random() < 0.08 else SIZES) for _ in range(2)]
        #: For a cell: rows, and the widths of states and inputs.
        self.rows = tuple(r.sample((2, 3, 4, 5, 7, 8, 11, 19, 35), 3)) if "cell" in problem.flags else None
        self.sizes = [
            *sizes,
            sizes[0],
            sizes[1],
            0 if "empty" in problem.flags else 1 if r.random() < 0.2 else sizes[0],
        ]

    def text(self) -> Text | None:
        values = [f"rng = np.random.default_rng({self.problem.seed % 1000})"]
        args, captured, found = [], [], []
        rng = np.random.default_rng(self.problem.seed % 1000)
        self.env["rng"] = rng
        for i, seed in enumerate(self.problem.arguments):
            found.append(self.given(f"x{i}", seed, values, None))
            args.append(f"x{i}")
        for i, seed in enumerate(self.problem.captured):
            found.append(self.given(f"c{i}" if seed % 5 else f"a{i}", seed, values, "captured"))
            captured.append(found[-1].name)
        lines, names = self.block(list(found), self.problem.body, 0)
        outputs = [v for v in names if v not in found][-self.problem.outputs :]
        if not outputs:
            return None
        function = [f"def f({', '.join([*args, '**options'])}):", *("    " + line for line in lines)]
        function.append(f"    return {', '.join(v.name for v in outputs)},")
        gates = "".join(GATES[name] for name in self.gates)
        return Text(
            gates,
            "\n".join(values),
            "\n".join(function) + "\n",
            tuple(args),
            tuple(captured),
            "empty" in self.problem.flags,
        )

    def given(self, name: str, seed: int, values: list[str], kind: str | None) -> Var:
        """Add an argument, or a captured Tensor."""
        r = random.Random(seed)
        shape = self.shape_of(r, int(name[1:]))
        dtype = r.choices(
            ("float", "int", "bool", "complex"),
            (1, 0, 0, 0)
            if kind is not None or self.rows is not None
            else (8, 0.5, 0.5, 12)
            if "complex" in self.problem.flags
            else (12, 6, 2, 1)
            if "calls" in self.problem.flags
            else (20, 1.5, 1, 1),
        )[0]
        layout = r.choices(("", "T", "back", "some", "spread"), (12, 1, 1, 1, 1))[0] if shape else ""
        drawn = {
            "T": shape[::-1],
            "back": shape,
            "some": (*shape[:-1], 2 * shape[-1]) if shape else (),
            "spread": (1, *shape[1:]),
        }.get(layout, shape)
        text = {
            "float": f"rng.uniform(-1.2, 1.2, {drawn})",
            "int": f"rng.integers(0, 5, {drawn})",
            "bool": f"rng.random({drawn}) < 0.5",
            "complex": f"rng.uniform(-1, 1, {drawn}) + 1j * rng.uniform(-1, 1, {drawn})",
        }[dtype]
        if not shape:
            text = f"np.asarray({text})"
        if "float32" in self.problem.flags and dtype == "float" and r.random() < 0.7:
            text = f"({text}).astype('float32')"
        elif dtype == "int" and r.random() < 0.4:
            narrow = r.choice(("int8", "int16", "int32")) if "calls" in self.problem.flags else "int32"
            text = f"({text}).astype('{narrow}')"
        text = {
            "T": f"({text}).T",
            "back": f"({text})[..., ::-1]",
            "some": f"({text})[..., ::2]",
            "spread": f"np.broadcast_to({text}, {shape})",
        }.get(layout, text)
        self.env[name] = eval(text, self.env)
        if name.startswith("c"):
            text = f"xg.tensor({text}, requires_grad=True)" if r.random() < 0.5 else f"xg.asarray({text})"
        values.append(f"{name} = {text}")
        return Var(name, self.env[name], f"{seed}", 1.0)

    def shape_of(self, r: random.Random, i: int) -> tuple[int, ...]:
        """Return the shape of the i-th argument."""
        if self.rows is not None:
            rows, states, inputs = self.rows
            shapes = [
                (self.problem.length, rows, inputs),
                (rows, states),
                (states, states),
                (inputs, states),
                (rows, states),
                (states,),
                (states, states),
                (self.problem.length, inputs),
            ]
            return shapes[i] if i < len(shapes) else r.choice(shapes[1:])
        shape = tuple(r.choice(self.sizes) for _ in range(r.choice((0, 1, 1, 2, 2, 2, 3))))
        if r.random() < 0.15:
            shape = shape[:1] * len(shape)
        return (self.problem.length, *shape[:2]) if r.random() < 0.45 else shape

    # Lines

    def block(
        self, known: list[Var], instructions: tuple[Any, ...], depth: int
    ) -> tuple[list[str], list[Var]]:
        """Write the lines of some instructions; return the values known afterwards."""
        lines: list[str] = []
        for item in instructions:
            try:
                more, found = (
                    self.scan(item, known, depth) if isinstance(item, Scan) else self.step(item, known)
                )
            except Unfit:
                continue
            lines += more
            known = [*known, *found]
        return lines, known

    def step(self, item: Step, known: list[Var]) -> tuple[list[str], list[Var]]:
        r = random.Random(item.seed)
        for attempt in range(6):
            template = r.choice(TEMPLATES[item.family])
            name = f"v{self.count}"
            try:
                text = self.filled(template, r, f"{item.seed}.{attempt}", item.family, known, name)
                lines = (
                    text.split("; ")
                    if " = " in template and template.startswith("{t}")
                    else [f"{name} = {text}"]
                )
                if is_numpys(text, name):
                    lines = [re.sub(rf"\b{name}\b", f"a{name}", line) for line in lines]
                    name = f"a{name}"
                return lines, [self.evaluated(lines, name, f"{item.seed}")]
            except Unfit:
                continue
        raise Unfit

    def filled(
        self, template: str, r: random.Random, key: str, family: str, known: list[Var], name: str
    ) -> str:
        chosen: list[Var] = []
        axes: list[int] = []

        def replaced(match: re.Match[str]) -> str:
            kind = match[1]
            if kind == "t":
                return name
            if kind == "k":
                return str(r.choice((-2, -1, 1, 2)))
            if kind == "perm":
                order = list(range(chosen[0].value.ndim))
                r.shuffle(order)
                return str(tuple(order))
            if kind in ("ax", "ax1"):
                ndim = chosen[0].value.ndim + (kind == "ax1")
                axes.append(r.choice(range(-ndim, ndim)))
                return str(axes[-1])
            if kind == "ax0":
                return str(axes[0])
            if kind.isdigit():
                return chosen[int(kind)].name
            chosen.append(self.picked(kind, f"{key}.{len(chosen)}", family, known, chosen))
            return chosen[-1].name

        # the second operand is chosen to fit the first
        order = re.sub(r"\{w2\} @ \{m\}", "{m} @@ {w2}", template)
        text = re.sub(r"\{(\w+)\}", replaced, order)
        if "@@" in text:
            text = re.sub(r"(\w+) @@ (\w+)", r"\2 @ \1", text)
        for gate in GATES:
            if re.search(rf"\b{gate.lower()}\(", text):
                self.gates[gate] = None
                if gate not in self.env:
                    exec(GATES[gate], self.env)
        return text

    def picked(self, kind: str, key: str, family: str, known: list[Var], chosen: list[Var]) -> Var:
        """Choose the operand with the highest bid.

        Bids depend only on each value's own seed, so that the choice remains when other values are removed.
        """
        if kind == "R" and self.rows is not None:
            fitting = [v for v in known if TESTS["R"](v.value) and v.value.shape[0] == self.rows[0]]
        elif kind == "W":
            fitting = [
                v
                for v in known
                if is_float(v.value)
                and v.value.ndim == 2
                and v.value.shape[:1] == chosen[-1].value.shape[-1:]
            ]
        elif kind in RELATED:
            first = chosen[0].value
            fitting = [v for v in known if RELATED[kind](v.value, first)]
        elif kind == "w2":
            first = chosen[0].value
            fitting = [
                v
                for v in known
                if is_float(v.value)
                and v.value.ndim >= 1
                and v.value.shape[-1] == first.shape[max(first.ndim - 2, 0)]
            ]
        else:
            fitting = [v for v in known if TESTS[kind](v.value)]
        # a NumPy array cannot be indexed or assigned to with a traced value
        if family not in ("elementwise", "binary", "product"):
            fitting = [v for v in fitting if not v.name.startswith("a")]
        if not fitting:
            raise Unfit
        return bid(fitting, key)

    def evaluated(self, lines: list[str], name: str, key: str) -> Var:
        try:
            exec("\n".join(lines), self.env)
            value = self.env[name] = np.asarray(self.env[name])
        except Exception as error:
            raise Unfit from error
        check(value, self.empty)
        self.count += 1
        return Var(name, value, key, 2.5)

    # Loops

    def scan(self, item: Scan, known: list[Var], depth: int) -> tuple[list[str], list[Var]]:
        if depth > 2:
            raise Unfit
        before = self.count
        try:
            return LoopWriter(self, item, known, depth).written()
        except Unfit:
            self.count = before
            raise
