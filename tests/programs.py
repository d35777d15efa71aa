"""Random functions as data, a list of instructions, so that hypothesis can make them shorter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import xgrad as xg
from xgrad.program.stages import Program
from xgrad.program.tracing import Tracer, tracing

#: Their values stay between -2 and 2, so that no tolerance has to.
UNARY = {
    "tanh": xg.tanh,
    "sigmoid": lambda a: 2 * xg.sigmoid(a),
    "sin": xg.sin,
    "cos": xg.cos,
    "exp": lambda a: xg.exp(a) / 8,
    "log1p": lambda a: xg.log1p(a * a),
    "sqrt": lambda a: xg.sqrt(1.0 + a * a) - 1,
    "neg": lambda a: -a,
    "abs": lambda a: xg.abs(a),
    "relu": lambda a: xg.relu(a),
    "square": lambda a: a**2 / 2,
    "power": lambda a: (1 + a * a) ** 0.25,
    "half": lambda a: 0.5 * a + 0.25,
    "same": lambda a: a * 1 + 0,
    "transpose": lambda a: a.T,
    "flat": lambda a: xg.reshape(a, (-1,)),
    "first": lambda a: a[0] if a.ndim else a,
    "last": lambda a: a[..., -1] if a.ndim else a,
    "some": lambda a: a[::2] if a.ndim else a,
    "back": lambda a: a[..., ::-1] if a.ndim else a,
    "row": lambda a: a[None],
    "column": lambda a: a[..., None],
    "spread": lambda a: xg.broadcast_to(a, (2, *a.shape)),
    "softmax": lambda a: xg.softmax(a, axis=-1) if a.ndim else a,
    "logsumexp": lambda a: xg.tanh(xg.logsumexp(a, axis=-1)) if a.ndim else a,
    "sum": lambda a: xg.tanh(xg.sum(a)),
    "sum rows": lambda a: xg.tanh(xg.sum(a, axis=0, keepdims=True)) if a.ndim else a,
    "mean": lambda a: xg.mean(a, axis=-1, keepdims=True) if a.ndim else a,
    "mean first": lambda a: xg.mean(a, axis=0) if a.ndim else a,
    "max": lambda a: xg.max(a, axis=-1) if a.ndim else a,
    "min": lambda a: xg.min(a, axis=0, keepdims=True) if a.ndim else a,
    "ones": lambda a: xg.ones_like(a) * a,
    "norm": lambda a: xg.tanh((a - xg.mean(a)) / xg.sqrt(xg.mean((a - xg.mean(a)) ** 2) + 1)),
}

BINARY = {
    "+": lambda a, b: 0.5 * (a + b),
    "-": lambda a, b: 0.5 * (a - b),
    "*": lambda a, b: 0.5 * (a * b),
    "/": lambda a, b: a / (1 + b * b),
    "maximum": lambda a, b: xg.maximum(a, b + 0.0371),
    "minimum": lambda a, b: xg.minimum(a, b + 0.0173),
    "where": lambda a, b: xg.where(a < b - 0.0219, a, b),
    "mix": lambda a, b: xg.sigmoid(a) * b + (1 - xg.sigmoid(a)) * a,
}

SHAPES = [(3,), (2, 3), (3, 3), (), (1, 3), (2, 1), (4, 2, 3), (1,), (3, 2)]

Instruction = tuple[Any, ...]


def _instructions(depth: int, most: int) -> st.SearchStrategy[list[Instruction]]:
    place = st.integers(0, 11)
    gates: list[st.SearchStrategy[Any]] = [
        st.tuples(st.sampled_from(list(UNARY)), place),
        st.tuples(st.sampled_from(list(BINARY)), place, place),
        st.tuples(st.sampled_from(["@", "concat", "stack"]), place, place),
    ]
    if depth:
        inside = _instructions(depth - 1, 6)
        carries = st.lists(place, min_size=1, max_size=3)
        scan = st.tuples(st.just("scan"), place, place, carries, st.sampled_from(["all", "none", "two"]), st.booleans(), inside)
        gates.append(scan)
    return st.lists(st.one_of(gates), min_size=5 if depth == 2 else 1, max_size=most)


#: Shapes of the arguments, seed of their values, and what is done with them.
problems = st.tuples(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3), st.integers(0, 99), _instructions(2, 30))


def arguments(shapes: list[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    """Values that differ from each other."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1.5, 1.5, shape) for shape in shapes]


def build(instructions: list[Instruction], *, compiled: bool = True) -> Callable[..., Any]:
    """The function that a list of instructions describes: from arrays to a tuple of Tensors."""

    def f(*arrays: Any) -> Any:
        values = _run(instructions, [xg.asarray(a) for a in arrays], compiled)
        return tuple(values[-3:])

    return f


def loss_of(instructions: list[Instruction], *, compiled: bool = True) -> Callable[..., Any]:
    """A function that gives a scalar made of the outputs, and the outputs."""
    f = build(instructions, compiled=compiled)

    def loss(*arrays: Any) -> Any:
        z = f(*arrays)
        total = xg.sum(xg.sin(z[0]))
        for v in z[1:]:
            total = total + xg.sum(v * v) / v.size
        return total, z

    return loss


def loss_and_gradients(instructions: list[Instruction], *, compiled: bool = True) -> Callable[..., Any]:
    """A function that gives the loss, its gradients, and the outputs, as one flat tuple."""
    loss = loss_of(instructions, compiled=compiled)

    def both(*arrays: Any) -> Any:
        (value, z), g = xg.value_and_grad(loss, argnums=tuple(range(len(arrays))), has_aux=True)(*arrays)
        return (value, *g, *z)

    return both


def traced(f: Callable[..., Any], arrays: list[np.ndarray]) -> tuple[Program, list[Any]]:
    """The program of `f`, and the values of what it captured."""
    tracer = Tracer()
    with tracing(tracer, grad=True):
        outputs = [tracer.output(z) for z in f(*(tracer.input(xg.asarray(a)) for a in arrays))]
    captured = [v.data for _, v in tracer.captured.values()]
    return tracer.program(outputs), captured


def _run(instructions: list[Instruction], values: list[Any], compiled: bool, scans: int = 2) -> list[Any]:
    for name, *rest in instructions:
        if name == "scan":
            if scans:  # more of them take long, and find no more
                values = [*values, *_scan(values, *rest, compiled=compiled, scans=scans - 1)]
            scans -= scans > 0
        else:
            values = [*values, _small(_applied(name, [_at(values, i) for i in rest]))]
    return values


def _at(values: list[Any], i: int) -> Any:
    """The i-th from the end, round and round."""
    return values[-1 - i % len(values)]


def _applied(name: str, operands: list[Any]) -> Any:
    if name in UNARY:
        return UNARY[name](*operands)
    a, b = operands
    if name == "@":
        return _product(a, b)
    if name in ("concat", "stack"):
        b = _fitted(b, a)
        return getattr(xg, name)([a, b], axis=-1) if a.ndim else xg.stack([a, b])
    return BINARY[name](a, b if _broadcast(a, b) else xg.mean(b))


def _product(a: Any, b: Any) -> Any:
    if not a.ndim:
        return a * b
    if b.ndim >= 2 and b.shape[-2] == a.shape[-1] and (b.ndim == 2 or a.ndim == 1):
        return xg.tanh(a @ b)
    if b.ndim == 2 and b.shape[1] == a.shape[-1]:
        return xg.tanh(a @ b.T)
    if b.ndim == 1 and b.shape[0] == a.shape[-1]:
        return xg.tanh(a @ b)
    return xg.tanh(a @ xg.sin(a).T) if a.ndim <= 2 else xg.tanh(a @ a.mT)


def _broadcast(a: Any, b: Any) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a.shape), reversed(b.shape)))


def _fitted(v: Any, like: Any) -> Any:
    """`v` in the shape of `like`."""
    if v.ndim <= like.ndim and all(m in (1, n) for m, n in zip(reversed(v.shape), reversed(like.shape))):
        return xg.broadcast_to(v, like.shape)
    return xg.broadcast_to(xg.mean(v), like.shape)


def _small(v: Any) -> Any:
    """At most three axes and few elements, however long the program is."""
    while v.ndim > 3 or v.size > 200:
        v = xg.mean(v, axis=0)
    return v


def _scan(values: list[Any], i: int, k: int, carries: list[int], written: str, reverse: bool, inside: list[Instruction], *, compiled: bool, scans: int) -> list[Any]:
    """Carries that begin as values of before, slices of one or two values, and the body's own instructions."""
    x = _at(values, i)
    x = x[:4] if x.ndim else xg.reshape(x, (1,))
    other = _at(values, k)
    xs = (x, other) if other.ndim and other.shape[0] == x.shape[0] else (x,)
    init = [_at(values, c) for c in carries]

    def body(carry: Any, x: Any) -> Any:
        found = _run(inside, [*values, *carry, *x], compiled, scans)
        after = []
        for place, (index, h) in enumerate(zip(carries, carry)):
            v = _at(found, place)
            if index == 11:
                after.append(h)  # a carry that stays as it is
            elif v.shape == h.shape and index % 3 == 0:
                after.append(v)
            else:
                after.append(xg.tanh(0.7 * h + _fitted(v, h)))
        ys = {"all": (found[-1], after[0]), "none": None, "two": (carry[0], found[-1])}
        return tuple(after), ys[written]

    last, ys = xg.scan(body, tuple(init), xs, reverse=reverse, compiled=compiled)
    return [*last, *map(_small, ys or ())]
