"""Random programs: data that can be made smaller, and the Python text that it stands for.

A program is a list of instructions, each with a number from which it draws what it does and on which values. Each sublist is a program as well: an
instruction that does not fit is left out, and the others keep their operands, as these are chosen by the values' own numbers and not by their places.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .gates import GATES
from .plain import Plain
from .templates import TEMPLATES, WEIGHTS

LENGTHS = (0, 1, 1, 2, 2, 3, 3, 4, 5, 7)
SIZES = (1, 2, 2, 3, 3, 4, 5, 7)


class Step(NamedTuple):
    """One line, of a family of templates."""

    family: str
    seed: int


class Scan(NamedTuple):
    """A loop: numbers for each carry, for each thing that is read or written, and the instructions of its body."""

    seed: int
    length: int
    flags: tuple[str, ...]
    carries: tuple[int, ...]
    xs: tuple[int, ...]
    ys: tuple[int, ...]
    body: tuple[Any, ...]


class Problem(NamedTuple):
    """A program: numbers for its arguments and for the Tensors that it uses from outside, and its instructions."""

    seed: int
    length: int
    flags: tuple[str, ...]
    arguments: tuple[int, ...]
    captured: tuple[int, ...]
    body: tuple[Any, ...]
    outputs: int = 5


def generate(seed: int) -> Problem:
    """The program of a number."""
    r = random.Random(seed)
    flags = tuple(name for name, share in (("float32", 0.12), ("empty", 0.06)) if r.random() < share)
    length = r.choice(LENGTHS)
    body: list[Any] = _instructions(r, r.choice((0, 1, 2, 4)), 0, length)
    body += [_scan(r, 1, length) for _ in range(r.choice((1, 1, 1, 2)) if r.random() < 0.93 else 0)]
    body += _instructions(r, r.choice((0, 0, 1, 3)), 0, length)
    count = r.choice((1, 2, 2, 3, 4))
    return Problem(_number(r), length, flags, _numbers(r, count), _numbers(r, r.choice((0, 0, 1, 2))), tuple(body))


def _number(r: random.Random) -> int:
    return r.getrandbits(31)


def _numbers(r: random.Random, count: int) -> tuple[int, ...]:
    return tuple(_number(r) for _ in range(count))


def _instructions(r: random.Random, count: int, depth: int, length: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(count):
        if depth and depth < 3 and r.random() < 0.06:
            found.append(_scan(r, depth + 1, length))
        else:
            found.append(Step(r.choices(list(WEIGHTS), list(WEIGHTS.values()))[0], _number(r)))
    return found


SCAN_FLAGS = {"reverse": 0.3, "checkpoint": 0.08, "every": 0.08, "no xs": 0.2, "dict": 0.06, "single": 0.15, "many forms": 0.3}


def _scan(r: random.Random, depth: int, length: int) -> Scan:
    flags = tuple(name for name, share in SCAN_FLAGS.items() if r.random() < share)
    steps = length if r.random() < 0.7 else r.choice(LENGTHS)
    body = _instructions(r, r.choice((0, 1, 2, 3, 4, 6) if depth == 1 else (1, 2, 3)), depth, length)
    return Scan(
        _number(r), steps, flags, _numbers(r, r.choice((1, 1, 2, 2, 3, 4, 5))), _numbers(r, r.choice((1, 1, 2, 3))),
        _numbers(r, r.choice((0, 1, 1, 2, 3))), tuple(body),
    )  # fmt: skip


class Var(NamedTuple):
    """A name in the text, an example of its value, the number by which it is chosen, and how eagerly."""

    name: str
    value: Any
    key: str
    weight: float

    @property
    def form(self) -> tuple[tuple[int, ...], str]:
        return self.value.shape, self.value.dtype.name


class Text(NamedTuple):
    """A program as text: gates, the values that it is run on (`args` and `captured` are their names), the function `f`, and how it is called."""

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
    """The text of a program, None if nothing of it is left."""
    with np.errstate(all="ignore"):
        return Writer(problem).text()


def is_float(v: Any) -> bool:
    return v.dtype.kind == "f"


TESTS: dict[str, Callable[[Any], bool]] = {
    "f": is_float,
    "m": lambda v: is_float(v) and v.ndim >= 1,
    "M": lambda v: is_float(v) and v.ndim >= 2,
    "v": lambda v: is_float(v) and v.ndim == 1,
    "Q": lambda v: is_float(v) and v.ndim == 2 and v.shape[0] == v.shape[1],
    "i": lambda v: v.dtype.kind == "i",
    "i1": lambda v: v.dtype.kind == "i" and v.ndim >= 1,
    "n": lambda v: v.dtype.kind == "i" and v.ndim == 0,
    "b": lambda v: v.dtype.kind == "b",
    "c": lambda v: v.dtype.kind == "c",
}


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b)))


RELATED: dict[str, Callable[[Any, Any], bool]] = {
    "g": lambda v, a: is_float(v) and _broadcasts(v.shape, a.shape),
    "s": lambda v, a: v.shape == a.shape and v.dtype == a.dtype,
    "w": lambda v, a: is_float(v) and v.ndim >= 1 and v.shape[max(v.ndim - 2, 0)] == a.shape[-1],
    "wt": lambda v, a: is_float(v) and v.ndim == 2 and v.shape[1] == a.shape[-1],
    "f_row": lambda v, a: is_float(v) and v.ndim < a.ndim and _broadcasts(v.shape, a.shape[:-1]) and v.ndim <= a.ndim - 1,
}


class Unfit(Exception):
    """There is no operand for an instruction, or it does something that programs should not."""


class Writer:
    """Writes the text of a program, line by line, each tried on example values."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.count = 0
        self.xp = Plain()
        self.env: dict[str, Any] = {"xg": self.xp, "np": np}
        self.gates: dict[str, None] = {}
        r = random.Random(problem.seed)
        sizes = [r.choice(SIZES) for _ in range(2)]
        self.sizes = [*sizes, sizes[0], sizes[1], 0 if "empty" in problem.flags else 1 if r.random() < 0.2 else sizes[0]]

    def text(self) -> Text | None:
        values = ["rng = np.random.default_rng(%d)" % (self.problem.seed % 1000)]
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
        return Text(gates, "\n".join(values), "\n".join(function) + "\n", tuple(args), tuple(captured), "empty" in self.problem.flags)

    def given(self, name: str, seed: int, values: list[str], kind: str | None) -> Var:
        """An argument, or a Tensor from outside."""
        r = random.Random(seed)
        shape = tuple(r.choice(self.sizes) for _ in range(r.choice((0, 1, 1, 2, 2, 2, 3))))
        if r.random() < 0.45:
            shape = (self.problem.length, *shape[:2])
        dtype = r.choices(("float", "int", "bool", "complex"), (20, 1.5, 1, 1) if kind is None else (1, 0, 0, 0))[0]
        layout = r.choices(("", "T", "back", "some", "spread"), (12, 1, 1, 1, 1))[0] if shape else ""
        drawn = {"T": shape[::-1], "back": shape, "some": (*shape[:-1], 2 * shape[-1]) if shape else (), "spread": (1, *shape[1:])}.get(layout, shape)
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
            text = f"({text}).astype('int32')"
        text = {"T": f"({text}).T", "back": f"({text})[..., ::-1]", "some": f"({text})[..., ::2]", "spread": f"np.broadcast_to({text}, {shape})"}.get(layout, text)
        self.env[name] = eval(text, self.env)
        if name.startswith("c"):
            text = f"xg.tensor({text}, requires_grad=True)" if r.random() < 0.5 else f"xg.asarray({text})"
        values.append(f"{name} = {text}")
        return Var(name, self.env[name], f"{seed}", 1.0)

    # Lines

    def block(self, known: list[Var], instructions: tuple[Any, ...], depth: int) -> tuple[list[str], list[Var]]:
        """The lines of some instructions; the values that are known then."""
        lines: list[str] = []
        for item in instructions:
            try:
                more, found = self.scan(item, known, depth) if isinstance(item, Scan) else self.step(item, known)
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
                lines = text.split("; ") if " = " in template and template.startswith("{t}") else [f"{name} = {text}"]
                return lines, [self.evaluated(lines, name, f"{item.seed}")]
            except Unfit:
                continue
        raise Unfit

    def filled(self, template: str, r: random.Random, key: str, family: str, known: list[Var], name: str) -> str:
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

        order = re.sub(r"\{w2\} @ \{m\}", "{m} @@ {w2}", template)  # the first operand is the one that the second is chosen for
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
        """An operand: the highest bidder, by numbers of its own, so that the choice stays when others go."""
        if kind in RELATED:
            first = chosen[0].value
            fitting = [v for v in known if RELATED[kind](v.value, first)]
        elif kind == "w2":
            first = chosen[0].value
            fitting = [v for v in known if is_float(v.value) and v.value.ndim >= 1 and v.value.shape[-1] == first.shape[max(first.ndim - 2, 0)]]
        else:
            fitting = [v for v in known if TESTS[kind](v.value)]
        if family not in ("elementwise", "binary", "product"):  # a NumPy array is not indexed by what is traced, and takes no Tensor
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
        check(value, self.problem)
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


def bid(vars: list[Var], key: str) -> Var:
    """One of some values: the more eager and the later it is, the likelier."""
    bids = [_unit(f"{key}.{v.key}") ** (1 / (v.weight * 0.9**age)) for age, v in enumerate(reversed(vars))]
    return vars[-1 - bids.index(max(bids))]


def _unit(text: str) -> float:
    return (zlib.crc32(text.encode()) * 2654435761 % 2**32 + 0.5) / 2**32


def check(value: Any, problem: Problem) -> None:
    """Values that programs should have: few, finite, small and of few axes."""
    if value.size > 300 or value.ndim > 4 or value.dtype.kind not in "fibc":
        raise Unfit
    if value.size == 0 and not ({"empty"} & set(problem.flags) or problem.length == 0):
        raise Unfit
    if value.dtype.kind in "fc" and not (np.isfinite(value).all() and (np.abs(value) < 30).all()):
        raise Unfit


from .loops import LoopWriter  # noqa: E402
