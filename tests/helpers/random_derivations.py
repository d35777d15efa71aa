"""Random staged computations, derived by hand in NumPy, with one slip planted.

A computation is a list of stages. Each has its text in terms of `xg`, its value and rules in NumPy, and
slips: wrong rules of a known kind. Nothing here uses xgrad.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

Array = Any
Rule = Callable[..., Array]  # (dz, z, *operands) -> the contribution to one operand


@dataclass(frozen=True)
class Gate:
    """An op: how it is written, its value, its rules by operand, and slips by operand: (kind, wrong rule)."""

    text: str
    value: Callable[..., Array]
    rules: tuple[Rule, ...]
    slips: tuple[tuple[tuple[str, Rule], ...], ...]


def unbroadcast(g: Array, shape: tuple[int, ...], reduce: Callable[..., Array] = np.sum) -> Array:
    g = np.asarray(g)
    while g.ndim > len(shape):
        g = reduce(g, axis=0)
    for i, n in enumerate(shape):
        if n == 1 and g.shape[i] != 1:
            g = reduce(g, axis=i, keepdims=True)
    return g


def unary(text: str, value: Rule, slope: Rule, *slips: tuple[str, Rule]) -> Gate:
    """An elementwise function of one operand; slopes take its output and its input."""
    make = lambda s: lambda dz, z, x: dz * s(z, x)
    wrong = [
        ("sign", lambda dz, z, x: -dz * slope(z, x)),
        ("factor", lambda dz, z, x: dz),
        ("factor", lambda dz, z, x: slope(z, x) * np.ones_like(dz)),
        *((kind, make(s)) for kind, s in slips),
    ]
    return Gate(text, value, (make(slope),), (tuple(wrong),))


def binary(text: str, value: Rule, slopes: tuple[Rule, Rule], *slips: tuple[int, str, Rule]) -> Gate:
    """An elementwise function of two operands, which broadcast; slopes take the output and both."""
    full = lambda k, s: lambda dz, z, x, y: unbroadcast(dz * s(z, x, y), np.shape((x, y)[k]))
    averaged = lambda k, s: lambda dz, z, x, y: unbroadcast(dz * s(z, x, y), np.shape((x, y)[k]), np.mean)
    wrong: list[list[tuple[str, Rule]]] = [[], []]
    for k, slope in enumerate(slopes):
        wrong[k] += [
            ("sign", full(k, lambda z, x, y, s=slope: -s(z, x, y))),
            ("broadcast", averaged(k, slope)),
        ]
    for k, kind, s in slips:
        wrong[k].append((kind, full(k, s)))
    return Gate(text, value, (full(0, slopes[0]), full(1, slopes[1])), (tuple(wrong[0]), tuple(wrong[1])))


sigmoid = lambda x: 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def along(dz: Array, x: Array) -> Array:
    """The gradient of a reduction over the last axis, at each element."""
    return np.broadcast_to(dz[..., None], x.shape)


def largest(x: Array) -> Array:
    return np.arange(x.shape[-1]) == x.argmax(axis=-1)[..., None]


def dleft(dz: Array, z: Array, x: Array, y: Array) -> Array:
    """The gradient of x in x @ y: dz @ yᵀ, summed over a batch that x lacks."""
    return unbroadcast(np.einsum("...ij,...kj->...ik", dz, y), x.shape)


def dright(dz: Array, z: Array, x: Array, y: Array) -> Array:
    return unbroadcast(np.einsum("...ki,...kj->...ij", x, dz), y.shape)


ELEMENTWISE = [
    unary(
        "xg.tanh({0})",
        np.tanh,
        lambda z, x: 1 - z**2,
        ("point", lambda z, x: 1 - x**2),
        ("formula", lambda z, x: 1 - z),
        ("point", lambda z, x: 1 - np.tanh(z) ** 2),
    ),
    unary(
        "xg.sigmoid({0})",
        sigmoid,
        lambda z, x: z * (1 - z),
        ("point", lambda z, x: x * (1 - x)),
        ("formula", lambda z, x: z),
        ("formula", lambda z, x: 1 - z),
        ("formula", lambda z, x: z * (1 - z) * (1 - z * (1 - z))),
    ),
    unary("xg.exp({0})", np.exp, lambda z, x: z, ("point", lambda z, x: x)),
    unary("xg.sin({0})", np.sin, lambda z, x: np.cos(x), ("point", lambda z, x: np.cos(z))),
    unary(
        "{0}**2",
        lambda x: x**2,
        lambda z, x: 2 * x,
        ("factor", lambda z, x: x),
        ("point", lambda z, x: 2 * z),
    ),
    unary(
        "{0}**3",
        lambda x: x**3,
        lambda z, x: 3 * x**2,
        ("factor", lambda z, x: x**2),
        ("formula", lambda z, x: 3 * z),
    ),
    unary("1 - {0}", lambda x: 1 - x, lambda z, x: -1.0),
    unary("2.5 * {0}", lambda x: 2.5 * x, lambda z, x: 2.5),
    unary("-{0}", lambda x: -x, lambda z, x: -1.0),
]
POSITIVE = [  # of operands that are positive
    unary(
        "xg.log({0})", np.log, lambda z, x: 1 / x, ("point", lambda z, x: 1 / z), ("formula", lambda z, x: x)
    ),
    unary(
        "xg.sqrt({0})",
        np.sqrt,
        lambda z, x: 0.5 / z,
        ("factor", lambda z, x: 1 / z),
        ("point", lambda z, x: 0.5 / x),
    ),
]
PAIRS = [
    binary("{0} + {1}", lambda x, y: x + y, (lambda z, x, y: 1.0, lambda z, x, y: 1.0)),
    binary("{0} - {1}", lambda x, y: x - y, (lambda z, x, y: 1.0, lambda z, x, y: -1.0)),
    binary(
        "{0} * {1}",
        lambda x, y: x * y,
        (lambda z, x, y: y, lambda z, x, y: x),
        (0, "operand", lambda z, x, y: x),
        (1, "operand", lambda z, x, y: y),
        (0, "factor", lambda z, x, y: 1.0),
    ),
    binary(
        "{0} / {1}",
        lambda x, y: x / y,
        (lambda z, x, y: 1 / y, lambda z, x, y: -x / y**2),
        (0, "formula", lambda z, x, y: y),
        (1, "formula", lambda z, x, y: -x / y),
        (1, "factor", lambda z, x, y: -1 / y**2),
    ),
    binary(
        "xg.maximum({0}, {1})",
        np.maximum,
        (lambda z, x, y: 1.0 * (x > y), lambda z, x, y: 1.0 * (y > x)),
        (0, "operand", lambda z, x, y: 1.0 * (y > x)),
        (1, "formula", lambda z, x, y: 1.0),
    ),
]
MATMUL = Gate(
    "{0} @ {1}",
    lambda x, y: x @ y,
    (dleft, dright),
    (
        (
            ("sign", lambda dz, z, x, y: -dleft(dz, z, x, y)),
            ("transpose", lambda dz, z, x, y: dz @ y),
            ("transpose", lambda dz, z, x, y: y @ dz),
            ("transpose", lambda dz, z, x, y: np.swapaxes(dleft(dz, z, x, y), -1, -2)),
        ),
        (
            ("sign", lambda dz, z, x, y: -dright(dz, z, x, y)),
            ("transpose", lambda dz, z, x, y: x @ dz),
            ("transpose", lambda dz, z, x, y: dz @ x),
        ),
    ),
)
VECTOR_MATRIX = Gate(
    "{0} @ {1}",
    lambda x, y: x @ y,
    (lambda dz, z, x, y: y @ dz, lambda dz, z, x, y: np.outer(x, dz)),
    (
        (("sign", lambda dz, z, x, y: -y @ dz), ("transpose", lambda dz, z, x, y: y.T @ dz)),
        (("sign", lambda dz, z, x, y: -np.outer(x, dz)), ("transpose", lambda dz, z, x, y: np.outer(dz, x))),
    ),
)
MATRIX_VECTOR = Gate(
    "{0} @ {1}",
    lambda x, y: x @ y,
    (lambda dz, z, x, y: np.outer(dz, y), lambda dz, z, x, y: x.T @ dz),
    (
        (("sign", lambda dz, z, x, y: -np.outer(dz, y)), ("transpose", lambda dz, z, x, y: np.outer(y, dz))),
        (("sign", lambda dz, z, x, y: -x.T @ dz), ("transpose", lambda dz, z, x, y: x @ dz)),
    ),
)
DOT = Gate(
    "{0} @ {1}",
    lambda x, y: x @ y,
    (lambda dz, z, x, y: dz * y, lambda dz, z, x, y: dz * x),
    (
        (("sign", lambda dz, z, x, y: -dz * y), ("operand", lambda dz, z, x, y: dz * x)),
        (("sign", lambda dz, z, x, y: -dz * x), ("operand", lambda dz, z, x, y: dz * y)),
    ),
)
PRODUCTS = {(1, 2): VECTOR_MATRIX, (2, 1): MATRIX_VECTOR, (1, 1): DOT}
WHERE = Gate(
    "xg.where({0} > 0, {0}, {1})",
    lambda x, y: np.where(x > 0, x, y),
    (lambda dz, z, x, y: dz * (x > 0), lambda dz, z, x, y: dz * (x <= 0)),
    (
        (("sign", lambda dz, z, x, y: -dz * (x > 0)), ("operand", lambda dz, z, x, y: dz * (x <= 0))),
        (("sign", lambda dz, z, x, y: -dz * (x <= 0)), ("factor", lambda dz, z, x, y: dz)),
    ),
)
FLAT = Gate(
    "{0}.reshape(-1)",
    lambda x: x.reshape(-1),
    (lambda dz, z, x: dz.reshape(x.shape),),
    ((("sign", lambda dz, z, x: -dz.reshape(x.shape)),),),
)
REDUCTIONS = [
    Gate(
        "xg.sum({0}, axis=-1)",
        lambda x: x.sum(-1),
        (lambda dz, z, x: along(dz, x),),
        (
            (
                ("sign", lambda dz, z, x: -along(dz, x)),
                ("formula", lambda dz, z, x: along(dz, x) / x.shape[-1]),
            ),
        ),
    ),
    Gate(
        "xg.mean({0}, axis=-1)",
        lambda x: x.mean(-1),
        (lambda dz, z, x: along(dz, x) / x.shape[-1],),
        (
            (
                ("sign", lambda dz, z, x: -along(dz, x) / x.shape[-1]),
                ("formula", lambda dz, z, x: along(dz, x)),
            ),
        ),
    ),
    Gate(
        "xg.max({0}, axis=-1)",
        lambda x: x.max(-1),
        (lambda dz, z, x: along(dz, x) * largest(x),),
        (
            (
                ("sign", lambda dz, z, x: -along(dz, x) * largest(x)),
                ("formula", lambda dz, z, x: along(dz, x)),
            ),
        ),
    ),
]
SOFTMAX = Gate(
    "xg.softmax({0})",
    softmax,
    (lambda dz, z, x: (dz - (dz * z).sum(-1, keepdims=True)) * z,),
    (
        (
            ("formula", lambda dz, z, x: dz * z * (1 - z)),
            ("formula", lambda dz, z, x: dz * z),
            ("factor", lambda dz, z, x: dz),
        ),
    ),
)


def _row(dz: Array, x: Array, at: Any) -> Array:
    g = np.zeros_like(x)
    g[at] = dz
    return g


FIRST_ROW = Gate(
    "{0}[0]",
    lambda x: x[0],
    (lambda dz, z, x: _row(dz, x, 0),),
    ((("sign", lambda dz, z, x: -_row(dz, x, 0)),),),
)
ROWS = Gate(
    "xg.concat([{0}, {1}])",
    lambda x, y: np.concatenate([x, y]),
    (lambda dz, z, x, y: dz[: len(x)], lambda dz, z, x, y: dz[len(x) :]),
    (
        (("sign", lambda dz, z, x, y: -dz[: len(x)]), ("operand", lambda dz, z, x, y: dz[len(x) :])),
        (("sign", lambda dz, z, x, y: -dz[len(x) :]), ("operand", lambda dz, z, x, y: dz[: len(x)])),
    ),
)
TRANSPOSE = Gate(
    "{0}.mT",
    lambda x: np.swapaxes(x, -1, -2),
    (lambda dz, z, x: np.swapaxes(dz, -1, -2),),
    ((("sign", lambda dz, z, x: -np.swapaxes(dz, -1, -2)), ("transpose", lambda dz, z, x: dz)),),
)
TOTAL = Gate(
    "xg.sum({0})",
    np.sum,
    (lambda dz, z, x: dz * np.ones_like(x),),
    ((("sign", lambda dz, z, x: -dz * np.ones_like(x)),),),
)


@dataclass(frozen=True)
class Stage:
    name: str
    gate: Gate
    operands: tuple[str, ...]


@dataclass(frozen=True)
class Slip:
    """A wrong contribution of a stage to one of its operands; "overwritten" and "forgotten" have no rule."""

    stage: Stage
    operand: int
    kind: str
    rule: Rule | None = None
    reads: str = ""  # the value that is used instead of the other operand's
    dz: str = ""  # the stage whose gradient is used instead of this one's

    @property
    def gradient(self) -> str:
        return f"d{self.stage.operands[self.operand]}"

    def __str__(self) -> str:
        stage = f"{self.stage.name} = {self.stage.gate.text.format(*self.stage.operands)}"
        rules = [rule for _, rule in self.stage.gate.slips[self.operand]]
        number = rules.index(self.rule) if self.rule else ""
        return f"{self.kind} {number}{self.reads}{self.dz} in {self.gradient} of {stage}"


_numbers = count()


@dataclass
class Computation:
    """A random computation: values by name, the names of the inputs, and stages."""

    values: dict[str, Array]
    inputs: list[str]
    stages: list[Stage] = field(default_factory=list)

    def function(self) -> Callable[..., Any]:
        """The computation as a function of the inputs, in terms of `xg`, with one line for each stage."""
        lines = [f"    {s.name} = {s.gate.text.format(*s.operands)}" for s in self.stages]
        source = "\n".join(
            [f"def f({', '.join(self.inputs)}):", *lines, f"    return {self.stages[-1].name}", ""]
        )
        file = f"<computation {next(_numbers)}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        namespace: dict[str, Any] = {}
        exec(compile("import xgrad as xg\n" + source, file, "exec"), namespace)
        linecache.cache[file] = (len(source), None, ["import xgrad as xg\n", *source.splitlines(True)], file)
        return namespace["f"]

    def derive(self, *slips: Slip) -> dict[str, Array]:
        """The gradients of all values by hand; a slip makes everything that depends on it wrong."""
        made = {(slip.stage.name, slip.operand): slip for slip in slips}
        grads: dict[str, Array] = {self.stages[-1].name: np.float64(1.0)}
        for stage in reversed(self.stages):
            if stage.name not in grads:
                continue
            dz, z = grads[stage.name], self.values[stage.name]
            operands = [self.values[name] for name in stage.operands]
            for k, name in enumerate(stage.operands):
                slip = made.get((stage.name, k), Slip(stage, k, "none"))
                if slip.kind == "forgotten":
                    continue
                rule, adds, read = slip.rule or stage.gate.rules[k], slip.kind != "overwritten", [*operands]
                if slip.reads:
                    read[1 - k] = self.values[slip.reads]
                g = np.asarray(rule(grads[slip.dz] if slip.dz else dz, z, *read))
                grads[name] = grads[name] + g if adds and name in grads else g
        return {f"d{name}": g for name, g in grads.items()}

    def uses(self) -> dict[str, list[tuple[Stage, int]]]:
        """The stages that use each value, and as which operand, in the order of the backward pass."""
        found: dict[str, list[tuple[Stage, int]]] = {}
        reached = {self.stages[-1].name}
        for stage in reversed(self.stages):
            if stage.name in reached:
                reached |= set(stage.operands)
                for k, name in enumerate(stage.operands):
                    found.setdefault(name, []).append((stage, k))
        return found

    def slips(self) -> list[Slip]:
        """All slips that can be made."""
        found = []
        for uses in self.uses().values():
            for i, (stage, k) in enumerate(uses):
                found += [Slip(stage, k, kind, rule) for kind, rule in stage.gate.slips[k]]
                found += [Slip(stage, k, "overwritten")] if i else []
                found += [Slip(stage, k, "forgotten")] if len(uses) > 1 else []
                found += self._mistaken(stage, k)
        return found

    def _mistaken(self, stage: Stage, k: int) -> list[Slip]:
        """Slips that use the value or the gradient of another stage of the same shape."""
        uses = self.uses()  # other values are in no graph
        like = lambda name: [v for v in uses if v != name and same_shape(self.values, v, name)][:2]
        later = [s.name for s in self.stages[self.stages.index(stage) + 1 :] if s.name in uses]
        found = [Slip(stage, k, "operand", dz=v) for v in like(stage.name) if v in later]
        if len(stage.operands) == 2 and stage.gate not in (PAIRS[-1], WHERE, ROWS):
            found += [Slip(stage, k, "operand", reads=v) for v in like(stage.operands[1 - k])]
        return found


def same_shape(values: dict[str, Array], x: str, y: str) -> bool:
    return np.shape(values[x]) == np.shape(values[y])


def random_computation(rng: np.random.Generator, length: int) -> Computation:
    """Draw a computation of about `length` stages, whose values are neither large nor close to a kink."""
    shapes = [(3, 4), (4, 4), (4,), (3, 1), (2, 3, 4), (4, 4), (3, 4), ()]
    inputs = [f"x{i}" for i in range(5)]
    values = {name: rng.normal(size=shapes[rng.integers(len(shapes))]) for name in inputs}
    made = Computation(values, inputs)
    for _ in range(20 * length):
        if len(made.stages) == length:
            break
        _extend(made, rng)
    last = made.stages[-1].name if made.stages else "x0"
    made.values["total"] = np.sum(made.values[last])
    made.stages.append(Stage("total", TOTAL, (last,)))
    return made


def _extend(made: Computation, rng: np.random.Generator) -> None:
    """Add a stage, if one that is drawn fits."""
    names = list(made.values)
    recent = names[-4:] if rng.random() < 0.8 else names
    x, y = (str(rng.choice(recent)), str(rng.choice(names)))
    if rng.random() < 0.5:
        x, y = y, x
    a, b = made.values[x], made.values[y]
    gates: list[Gate] = [*ELEMENTWISE] if rng.random() < 0.5 else []
    gates += POSITIVE if np.all(a > 0.05) else []
    if rng.random() < 0.3:
        gates += REDUCTIONS if a.ndim >= 1 else []
        gates += [SOFTMAX] if a.ndim >= 1 else []
        gates += [FIRST_ROW] if a.ndim >= 1 else []
        gates += [TRANSPOSE, FLAT] if a.ndim >= 2 else []
    gate = gates[rng.integers(len(gates))] if gates and rng.random() < 0.5 else None
    if gate is not None:
        _add(made, gate, (x,))
        return
    pairs: list[Gate] = [g for g in PAIRS if g is not PAIRS[3] or np.all(abs(b) > 0.2)]
    if a.ndim >= 2 and b.ndim >= 2 and a.shape[-1] == b.shape[-2]:
        pairs = [MATMUL]
    elif (a.ndim, b.ndim) in PRODUCTS and a.shape[-1] == b.shape[0] and rng.random() < 0.7:
        pairs = [PRODUCTS[a.ndim, b.ndim]]
    elif x != y and a.shape == b.shape and np.all(abs(a) > 1e-2) and rng.random() < 0.2:
        pairs = [WHERE]
    elif a.ndim >= 1 and a.shape[1:] == b.shape[1:] and b.ndim == a.ndim and rng.random() < 0.2:
        pairs = [ROWS]
    _add(made, pairs[rng.integers(len(pairs))], (x, y))


def _add(made: Computation, gate: Gate, operands: tuple[str, ...]) -> None:
    values = [made.values[name] for name in operands]
    try:
        with np.errstate(all="ignore"):
            z = np.asarray(gate.value(*values), dtype=np.float64)
    except ValueError:  # the shapes do not fit
        return
    kink = gate is PAIRS[4] and bool(np.any(abs(values[0] - values[1]) < 1e-2))
    if kink or not np.all(np.isfinite(z)) or np.max(abs(z)) > 30 or z.size > 400 or np.max(abs(z)) < 1e-2:
        return
    name = f"s{len(made.stages)}"
    made.values[name] = z
    made.stages.append(Stage(name, gate, operands))
