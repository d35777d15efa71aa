"""The text of a loop in a random program: its carries, inputs and outputs."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from .problems import Scan
from .values import MOST, Unfit, Var, bid, broadcasts, check, is_float


class LoopWriter:
    """Writes one scan: initial values, body, next values, outputs of each step, and the call."""

    def __init__(self, writer: Any, item: Scan, known: list[Var], depth: int) -> None:
        self.w, self.item, self.known, self.depth = writer, item, known, depth
        self.n = writer.count
        writer.count += 1
        self.r = random.Random(item.seed)
        self.steps = item.length
        # a plain loop without steps runs its body once, for the shapes of its outputs
        self.changes = "outside" in item.flags and item.length > 0

    def written(self) -> tuple[list[str], list[Var]]:
        w, n, item = self.w, self.n, self.item
        inits = self.inits()
        xs = [] if "no xs" in item.flags else [self.read(seed) for seed in item.xs]
        hs = [
            Var(f"h{n}_{i}", np.asarray(v), f"{seed}.h", 2.0)
            for i, ((_, v), seed) in enumerate(zip(inits, item.carries))
        ]
        slices = [self.slice_of(f"x{n}_{i}", v, seed) for i, ((_, v), seed) in enumerate(zip(xs, item.xs))]
        outside = self.outside(hs) if self.changes else []
        for v in (*hs, *slices, *outside):
            w.env[v.name] = v.value
        outer = [v._replace(weight=0.3) for v in self.known]
        lines, inner = w.block([*outer, *hs, *slices, *outside], item.body, self.depth)
        self.hs, self.xs, self.slices = hs, xs, slices
        after = [self.next(h, seed, inner, lines) for h, seed in zip(hs, item.carries)]
        ys = [self.kept(seed, after, inner) for seed in item.ys]
        for v in outside:
            lines.insert(0, f"{v.name} = xg.asarray(outside{n}, copy=True)")
            lines.append(f"outside{n}[...] = {self.next(v, item.seed, inner, lines).name}")
        return self.call(lines, inits, xs, hs, slices, after, ys)

    # Before the loop

    def outside(self, hs: list[Var]) -> list[Var]:
        """A Tensor from outside that the body changes in place: its value in a step, where that begins."""
        return [hs[0]._replace(name=f"o{self.n}", key=f"{self.item.seed}.outside")]

    def inits(self) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        base: Any = None
        for seed in self.item.carries:
            r = random.Random(seed)
            if base is None or ("many forms" in self.item.flags and r.random() < 0.7) or r.random() < 0.25:
                text, value = self.other_form(r, seed)
            else:
                text, value = self.like(base, r, seed)
            base = value if base is None else base
            found.append((text, value))
        return found

    def other_form(self, r: random.Random, seed: int) -> tuple[str, Any]:
        if self.w.rows is not None:
            states = [v for v in self.known if v.value.shape == self.w.rows[:2] and is_float(v.value)]
            if states:
                v = bid(states, f"{seed}.init")
                return v.name, v.value
        complex_, calls = 6 if "complex" in self.w.problem.flags else 1, "calls" in self.w.problem.flags
        kind = r.choices(
            ("var", "number", "count", "int32", "bool", "complex", "float32"),
            (12, 2, 8, 3, 3, complex_, 0.5) if calls else (12, 2, 1, 1, 1, complex_, 0.5),
        )[0]
        shape = r.choice([v.value.shape for v in self.known] or [()])
        choices = {
            "number": ["0.0", "0.5", f"xg.zeros({shape})", f"xg.full({shape}, 0.2)", f"xg.ones({shape}) / 2"],
            "count": ["0", "xg.asarray(1)", f"xg.zeros({shape}, dtype=xg.int64)", "np.arange(3)"],
            "int32": ["xg.asarray(2, dtype=xg.int32)", f"xg.zeros({shape}, dtype=xg.int32)"],
            "bool": ["xg.asarray(True)", f"xg.zeros({shape}, dtype=xg.bool)", "False"],
            "complex": ["xg.asarray(0.5 + 0.2j)", f"xg.zeros({shape}, dtype=xg.complex128) + 0.3j"],
            "float32": [f"xg.zeros({shape}, dtype=xg.float32)"],
        }
        if kind == "var":
            fitting = [
                v for v in self.known if v.value.size and (is_float(v.value) or r.random() < 0.5)
            ] or self.known
            if not fitting:
                raise Unfit
            v = bid(fitting, f"{seed}.init")
            return v.name, v.value
        return self.value(r.choice(choices[kind]))

    def like(self, base: Any, r: random.Random, seed: int) -> tuple[str, Any]:
        fitting = [v for v in self.known if v.value.shape == base.shape and v.value.dtype == base.dtype]
        if fitting and r.random() < 0.7:
            v = bid(fitting, f"{seed}.init")
            return v.name, v.value
        dtype = f"xg.{base.dtype.name}"
        return self.value(
            r.choice(
                [
                    f"xg.zeros({base.shape}, dtype={dtype})",
                    f"xg.ones({base.shape}, dtype={dtype})",
                    f"xg.astype(xg.ones({base.shape}) / 2, {dtype})",
                ]
            )
        )

    def value(self, text: str) -> tuple[str, Any]:
        v = np.asarray(eval(text, self.w.env))
        if v.size > MOST:
            raise Unfit
        return text, v

    def read(self, seed: int) -> tuple[str, Any]:
        """Return an input of the loop, sliced at each step."""
        r, T = random.Random(seed), self.steps
        fitting = [v for v in self.known if v.value.ndim and v.value.shape[0] == T]
        longer = [v for v in self.known if v.value.ndim and v.value.shape[0] > T]
        if fitting and r.random() < 0.75:
            v = bid(fitting, f"{seed}.x")
            return (v.name, v.value) if r.random() < 0.7 else self.value(r.choice(lying_otherwise(v)))
        if longer and r.random() < 0.6:
            v = bid(longer, f"{seed}.x")
            return self.value(f"{v.name}[:{T}]" if r.random() < 0.7 or not T else f"{v.name}[-{T}:]")
        floats = [v for v in self.known if is_float(v.value) and v.value.size * T < MOST]
        if floats and r.random() < 0.7:
            v = bid(floats, f"{seed}.x")
            ramp = (T, *(1,) * v.value.ndim)
            return self.value(f"{v.name} * xg.reshape(xg.linspace(0.2, 0.9, {T}), {ramp})")
        return self.value(
            r.choice([f"np.linspace(-1.0, 1.0, {T})", f"xg.arange({T})", f"np.arange({T}) % 2 == 0"])
        )

    def slice_of(self, name: str, xs: Any, seed: int) -> Var:
        value = xs[0] if len(xs) else np.zeros(xs.shape[1:], xs.dtype)
        return Var(name, np.asarray(value), f"{seed}.x", 1.5)

    # At the end of a step

    def next(self, h: Var, seed: int, inner: list[Var], lines: list[str]) -> Var:
        """Return the next value of a carry: an expression of its shape and dtype, sometimes given a name."""
        r = random.Random(seed + 1)
        for attempt in range(8):
            rules = RULES if self.w.rows is None else CELL_RULES
            if "calls" in self.w.problem.flags:
                rules = CALL_RULES
            rule = r.choices(list(rules), list(rules.values()))[0]
            before, known = len(lines), len(inner)
            try:
                text = getattr(self, f"next_{rule}")(h, r, f"{seed}.{attempt}", inner, lines)
                value = np.asarray(eval(text, self.w.env))
                if value.shape != h.value.shape:
                    raise Unfit
                if value.dtype != h.value.dtype:
                    if value.dtype.kind == "c":
                        raise Unfit
                    text = f"xg.astype({text}, xg.{h.value.dtype.name})"
                    value = value.astype(h.value.dtype)
                check(value, self.w.empty)
            except Exception:
                del lines[before:], inner[known:]
                continue
            return self.named(text, value, r, lines, f"{seed}.next")
        return h._replace(key=f"{seed}.next")

    def named(self, text: str, value: Any, r: random.Random, lines: list[str], key: str) -> Var:
        if r.random() < 0.5 or text.isidentifier():
            return Var(text, value, key, 2.0)
        name = f"n{self.w.count}"
        self.w.count += 1
        lines.append(f"{name} = {text}")
        self.w.env[name] = value
        return Var(name, value, key, 2.0)

    def floats(self, h: Var, key: str, inner: list[Var]) -> str:
        """Return a floating value of the body, in the shape of `h`."""
        if not is_float(h.value):
            raise Unfit
        return fitted(bid([v for v in inner if is_float(v.value)], key), h.value.shape)

    def next_lag(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        others = [v for v in self.hs if v.form == h.form and v is not h]
        return bid(others, key).name if others else ""

    def next_new(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        known = [v.name for v in self.known]
        return bid(
            [v for v in inner if v.form == h.form and v.name not in known and v.name != h.name], key
        ).name

    def next_outer(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        return bid([v for v in self.known if v.form == h.form], key).name

    def next_same(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        return h.name

    def next_cell(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        v = self.floats(h, key, inner)
        return r.choice(
            [
                f"xg.tanh(0.7 * {h.name} + {v})",
                f"0.8 * {h.name} + 0.2 * {v}",
                f"xg.tanh({v})",
                f"xg.sin({h.name}) * {v}",
            ]
        )

    def next_sum(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        if h.value.dtype.kind == "c":
            return f"{h.name} * (0.6 + 0.8j) + 0.1 * {fitted(bid(inner, key), h.value.shape)}"
        v = self.floats(h, key, inner)
        return r.choice(
            [
                f"{h.name} + 0.2 * {v}",
                f"{h.name} + {v} / 4",
                f"{h.name} + 0.1 * xg.sum({bid(inner, key).name} ** 2)",
                f"{h.name} - 0.2 * xg.sin({v})",
            ]
        )

    def next_gated(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        z, v = self.floats(h, key, inner), self.floats(h, key + "z", inner)
        truths = [
            b.name for b in inner if b.value.dtype.kind == "b" and broadcasts(b.value.shape, h.value.shape)
        ]
        if truths and r.random() < 0.5:
            return f"xg.where({r.choice(truths)}, {h.name}, {v})"
        return f"xg.sigmoid({z}) * {h.name} + (1 - xg.sigmoid({z})) * {v}"

    def next_turned(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        """Return a view of the old value, or of another carry's."""
        o = bid([v for v in self.hs if v.value.size == h.value.size and v.value.dtype == h.value.dtype], key)
        if o.form != h.form:
            return f"xg.reshape({o.name}, {h.value.shape})"
        if not h.value.ndim:
            return o.name
        row = f"xg.concat([{o.name}[1:], {o.name}[:1]])"
        rows = [v for v in inner if v.form == (h.value.shape[1:], h.value.dtype.name)]
        if rows:
            new = bid(rows, key).name
            row = r.choice(
                [f"xg.concat([{o.name}[1:], {new}[None]])", f"xg.concat([{new}[None], {o.name}[:-1]])"]
            )
        views = [f"{o.name}[::-1]", f"{o.name}[..., ::-1]", f"xg.roll({o.name}, 1, axis=0)", row]
        if h.value.ndim > 1:
            views += [f"{o.name}.T"] * 3
        view = r.choice(views)
        return (
            r.choice([f"xg.sin({view})", f"0.9 * {view}", f"0.5 * {view} + 0.4 * {h.name}"])
            if is_float(h.value) and r.random() < 0.4
            else view
        )

    def next_part(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        """Return a part of a larger value, which may be created for it."""
        shape = h.value.shape
        parts = [
            (v, e) for v in inner if v.value.dtype == h.value.dtype for e in views_of(v.value.shape, shape)
        ]
        if parts and r.random() < 0.5:
            v, view = r.choice(parts)
            return view.format(v.name)
        same = [v for v in inner if v.form == h.form]
        a, b = bid(same, key), bid(same, key + "b")
        if shape and shape[-1]:
            whole = r.choice(
                [
                    f"xg.concat([{a.name}, {b.name}])",
                    f"xg.stack([{a.name}, {b.name}])",
                    f"xg.concat([{a.name}, {b.name}], axis=-1)",
                ]
            )
        else:
            whole = f"xg.stack([{a.name}, {b.name}])"
        if is_float(h.value) and r.random() < 0.5:
            whole = f"xg.tanh({whole})"
        made = self.named_line(whole, lines)
        inner.append(made)
        return r.choice(list(views_of(made.value.shape, shape))).format(made.name)

    def named_line(self, text: str, lines: list[str]) -> Var:
        name = f"n{self.w.count}"
        self.w.count += 1
        lines.append(f"{name} = {text}")
        self.w.env[name] = np.asarray(eval(text, self.w.env))
        return Var(name, self.w.env[name], name, 2.0)

    def next_assigned(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        if not h.value.ndim or not len(h.value):
            raise Unfit
        name = f"n{self.w.count}"
        self.w.count += 1
        rows = [v for v in inner if v.form == (h.value.shape[1:], h.value.dtype.name)]
        new = bid(rows, key).name if rows else f"{h.name}[0]"
        counts = [v.name for v in inner if v.value.dtype.kind == "i" and not v.value.ndim]
        at = r.choice(["0", "-1", *(f"{c} % {len(h.value)}" for c in counts)])
        text = [f"{name} = +{h.name}", f"{name}[{at}] = {new}"]
        exec("\n".join(text), self.w.env)
        lines += text
        return name

    def next_learned(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        """Return a Hebbian update."""
        if h.value.ndim != 2 or not is_float(h.value):
            raise Unfit
        m, n = h.value.shape
        left = [v for v in inner if is_float(v.value) and v.value.ndim == 2 and v.value.shape[1] == m]
        pairs = [
            (a, b)
            for a in left
            for b in inner
            if is_float(b.value) and b.value.ndim == 2 and b.value.shape == (a.value.shape[0], n)
        ]
        if pairs and r.random() < 0.7:
            a, b = r.choice(pairs)
            return f"0.8 * {h.name} + 0.1 * ({a.name}.T @ {b.name})"
        a = bid([v for v in inner if is_float(v.value) and v.value.shape == (m,)], key)
        b = bid([v for v in inner if is_float(v.value) and v.value.shape == (n,)], key)
        return f"{h.name} + 0.1 * {a.name}[:, None] * {b.name}[None, :]"

    def next_product(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        """Return a product added to a value of the same shape.

        The product may accumulate in place if nothing else reads that value.
        """
        if h.value.ndim not in (1, 2) or not is_float(h.value):
            raise Unfit
        matrices = [v for v in inner if v.value.ndim == 2 and v.value.dtype == h.value.dtype]
        like = [
            v
            for v in inner
            if v.value.dtype == h.value.dtype and v.value.shape[:-1] == h.value.shape[:-1] and v.value.ndim
        ]
        pairs = [
            (a.name, b.name + t)
            for a in like
            for b in matrices
            for t, at in (("", 0), (".T", 1))
            if a.value.shape[-1:] == b.value.shape[at : at + 1] and b.value.shape[1 - at] == h.value.shape[-1]
        ]
        if h.value.ndim == 2:
            pairs += [
                (a.name + ".T", b.name)
                for a in matrices
                for b in matrices
                if (a.value.shape[1], b.value.shape[1]) == h.value.shape
                and a.value.shape[0] == b.value.shape[0]
            ]
        if not pairs:
            raise Unfit
        a, b = r.choice(pairs)
        base = (
            self.read_for(h, r, key)
            if r.random() < 0.6
            else bid([v for v in inner if v.form == h.form], key).name
        )
        text = r.choice([f"{a} @ {b} + {base}", f"{base} + {a} @ {b}", f"{base} - {a} @ {b}"])
        return r.choice([f"xg.tanh({text})", f"0.3 * ({text})", text])

    def read_for(self, h: Var, r: random.Random, key: str) -> str:
        """Add an input with the shape and dtype of a carry that nothing else reads."""
        T, ramp = self.steps, (self.steps, *(1,) * h.value.ndim)
        if "no xs" in self.item.flags:
            raise Unfit
        fitting = [
            v for v in self.known if v.value.shape == (T, *h.value.shape) and v.value.dtype == h.value.dtype
        ]
        like = [v for v in self.known if v.form == h.form]
        text = (
            bid(fitting, key).name
            if fitting
            else f"{bid(like, key).name} * xg.reshape(xg.linspace(0.2, 0.9, {T}), {ramp})"
        )
        made, value = self.value(r.choice(lying_otherwise(Var(f"({text})", self.value(text)[1], key, 1.0))))
        x = self.slice_of(f"x{self.n}_{len(self.xs)}", value, self.item.seed)
        self.xs.append((made, value))
        self.slices.append(x)
        self.w.env[x.name] = x.value
        return x.name

    def next_counted(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        kind = h.value.dtype.kind
        if kind == "i":
            v = bid(
                [v for v in inner if v.value.dtype.kind in "bi" and broadcasts(v.value.shape, h.value.shape)],
                key,
            ).name
            return r.choice(
                [
                    f"{h.name} + 1",
                    f"({h.name} * 3 + 1) % 5",
                    f"{h.name} + {v}",
                    f"xg.where({h.name} > 2, 0, {h.name} + 1)",
                    f"{h.name} - {v} % 2",
                ]
            )
        if kind == "b":
            v = bid([v for v in inner if v.value.dtype.kind == "b"], key).name
            floats = [v.name for v in inner if is_float(v.value) and not v.value.ndim]
            return r.choice(
                [
                    f"~{h.name}",
                    f"{h.name} ^ {v}",
                    f"{h.name} | {v}",
                    *(f"{h.name} ^ xg.greater({f}, 0.117)" for f in floats[-1:]),
                ]
            )
        if kind == "c":
            return r.choice([f"xg.conj({h.name})", f"{h.name} * 1j", f"{h.name} * {h.name} / 2"])
        raise Unfit

    def next_chosen(self, h: Var, r: random.Random, key: str, inner: list[Var], lines: list[str]) -> str:
        """Return elements in another order, or an index computed from elements."""
        kind, name, shape = h.value.dtype.kind, h.name, h.value.shape
        counts = [v.name for v in inner if v.value.dtype.kind == "i" and v.value.shape in ((), shape[:1])]
        found = []
        if shape and kind in "fib":
            found += [f"{name}[(xg.arange({shape[0]}) + {c}) % {shape[0]}]" for c in counts]
            found += [f"{name}[-1 - (xg.arange({shape[0]}) * {c}) % {shape[0]}]" for c in counts]
        if shape and kind in "fi":
            axis = r.randrange(-len(shape), len(shape))
            found += [
                f"xg.sort({name}, axis={axis})",
                f"xg.take_along_axis({name}, xg.argsort(-{name}, axis={axis}), axis={axis})",
                f"xg.cumulative_sum({name}[::-1], axis={axis}) {'/ 3' if kind == 'f' else '% 7'}",
            ]
        if kind == "i":
            floats = [v.name for v in inner if is_float(v.value) and v.value.size and v.value.ndim]
            found += [f"({name} + xg.argmax({f})) % 5" for f in floats]
            found += [f"xg.argmin({f}) + 0 * {name}" for f in floats]
            found += [f"xg.clip({name} + 1, 0, 4)", f"xg.clip({name} - 2, 0, 3)"]
            found += [f"xg.argsort({name} % 3, axis=-1)"] if shape else []
        return r.choice(found)

    # Outputs of each step

    def kept(self, seed: int, after: list[Var], inner: list[Var]) -> str:
        r = random.Random(seed)
        kind = r.choices(("after", "before", "value", "number", "outer"), (4, 3, 6, 0.4, 0.5))[0]
        if kind == "number":
            return "0.5"
        own = [v for v in inner if v not in self.known]
        candidates = {"after": after, "before": self.hs, "outer": self.known}.get(kind) or own
        name = bid(candidates, f"{seed}.y").name
        value = np.asarray(eval(name, self.w.env))
        if r.random() < 0.75 or not value.ndim:
            return name
        return r.choice([f"({name}).T", f"({name})[::-1]", f"({name})[:1]", f"({name})[-1]", f"1 * ({name})"])

    # The call

    def call(
        self, lines: list[str], inits: Any, xs: Any, hs: Any, slices: Any, after: Any, ys: list[str]
    ) -> tuple[list[str], list[Var]]:
        n, flags = self.n, self.item.flags
        asked = [f"length={self.steps}"] if not xs or self.r.random() < 0.3 else []
        asked += ["reverse=True"] if "reverse" in flags else []
        asked += [f"checkpoint_every={self.r.choice((1, 2, 3))}"] if "every" in flags else []
        step = f"xg.checkpoint(step{n})" if "checkpoint" in flags else f"step{n}"
        last, stacked = [f"r{n}_{i}" for i in range(len(hs))], [f"y{n}_{i}" for i in range(len(ys))]
        body = []
        if "dict" in flags:
            body += [f"{h.name} = carry['{i}']" for i, h in enumerate(hs)]
            shaped = lambda parts: "{" + ", ".join(f"'{i}': {part}" for i, part in enumerate(parts)) + "}"
        elif "single" in flags and len(hs) == 1:
            body.append(f"{hs[0].name} = carry")
            shaped = lambda parts: parts[0]
        else:
            body.append(f"{_tuple([h.name for h in hs])} = carry")
            shaped = _tuple
        read = (
            "None"
            if not xs
            else xs[0][0]
            if len(xs) == 1 and "single" in flags
            else _tuple([text for text, _ in xs])
        )
        if slices:
            body.append(f"{slices[0].name if read == xs[0][0] else _tuple([x.name for x in slices])} = x")
        y = "None" if not ys else ys[0] if len(ys) == 1 else _tuple(ys)
        body += [*lines, f"return {shaped([v.name for v in after])}, {y}"]
        text = [f"def step{n}(carry, x):", *("    " + line for line in body)]
        call = f"xg.scan({step}, {shaped([t for t, _ in inits])}, {', '.join([read, *asked])}, **options)"
        if self.changes:
            text.append(f"outside{n} = xg.asarray({inits[0][0]}, copy=True)")
        text.append(f"last{n}, kept{n} = {call}")
        if "dict" in flags:
            text += [f"{name} = last{n}['{i}']" for i, name in enumerate(last)]
        else:
            text.append(f"{last[0] if 'single' in flags and len(hs) == 1 else _tuple(last)} = last{n}")
        if self.changes:
            text.append(f"r{n}_out = xg.asarray(outside{n}, copy=True)")
            last = [*last, f"r{n}_out"]
        if ys:
            text.append(f"{stacked[0] if len(ys) == 1 else _tuple(stacked)} = kept{n}")
        return text, self.results(text, last, stacked)

    def results(self, text: list[str], last: list[str], stacked: list[str]) -> list[Var]:
        env = self.w.env
        env["options"] = {}
        try:
            exec("\n".join(text), env)
        except Exception as error:
            raise Unfit from error
        found = [
            Var(name, np.asarray(env[name]), f"{self.item.seed}.{name[0]}{i}", 3.0)
            for names in (last, stacked)
            for i, name in enumerate(names)
        ]
        for v in found:
            env[v.name] = v.value
            if v.value.size:
                check(v.value, self.w.empty)
        return [v for v in found if v.value.size < MOST]


RULES = {
    "lag": 3,
    "new": 3,
    "outer": 0.5,
    "same": 0.7,
    "cell": 4,
    "sum": 3,
    "gated": 2,
    "turned": 2,
    "part": 2,
    "assigned": 0.7,
    "learned": 1,
    "product": 2,
    "counted": 2,
}


CALL_RULES = RULES | {"counted": 4, "chosen": 10}
CELL_RULES = {"lag": 1, "new": 6, "cell": 2, "sum": 1, "gated": 2, "product": 6, "same": 0.3, "turned": 0.2}


def _tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def fitted(v: Var, shape: tuple[int, ...]) -> str:
    """Return a value in another shape: a view if possible."""
    if v.value.shape == shape:
        return v.name
    if v.value.ndim <= len(shape) and all(
        m in (1, n) for m, n in zip(reversed(v.value.shape), reversed(shape))
    ):
        return v.name
    size = int(np.prod(shape))
    if 0 < size <= v.value.size and v.value.ndim:
        part = f"xg.reshape({v.name}, (-1,))[:{size}]"
        return part if len(shape) == 1 else f"xg.reshape({part}, {shape})"
    return f"xg.mean({v.name})" if v.value.size and v.value.dtype.kind == "f" else "0.5"


def lying_otherwise(v: Var) -> list[str]:
    """Return views, of the same shape, of a value or of one computed from it.

    They are reversed, transposed, repeat one row or column, or take every second element.
    """
    name, shape, n = v.name, v.value.shape, v.value.ndim
    made = f"xg.sin({name})" if is_float(v.value) else name
    found = [
        f"{name}[::-1]",
        f"{made}[::-1]",
        f"xg.flip({made}, axis={n - 1})",
        f"xg.concat([{made}, {made}])[::2]",
        f"xg.concat([{made}, {made}], axis={n - 1})[..., ::2]",
    ]
    found += [f"xg.broadcast_to({made}[..., :1], {shape})"] if shape[-1] else []
    found += [f"xg.broadcast_to({made}[:1], {shape})"] if shape[0] else []
    for a, b in ((0, n - 1), (n - 2, n - 1)):
        if 0 <= a < b and shape[a] == shape[b]:
            axes = list(range(n))
            axes[a], axes[b] = b, a
            found.append(f"xg.permute_dims({made}, {tuple(axes)})")
    return found


def views_of(whole: tuple[int, ...], part: tuple[int, ...]) -> list[str]:
    """Return expressions, with a placeholder for the name, that turn a value of one shape into another."""
    found = []
    if whole == part:
        return found
    if len(whole) == len(part) + 1 and whole[1:] == part and whole[0]:
        found += ["{0}[0]", "{0}[-1]"]
    if len(whole) == len(part) + 1 and whole[:-1] == part and whole[-1]:
        found += ["{0}[..., 0]", "{0}[..., -1]"]
    if len(whole) == len(part) and part:
        if whole[1:] == part[1:] and whole[0] > part[0] > 0:
            found += [f"{{0}}[:{part[0]}]", f"{{0}}[-{part[0]}:]"]
        if whole[:-1] == part[:-1] and whole[-1] > part[-1] > 0:
            found += [f"{{0}}[..., :{part[-1]}]", f"{{0}}[..., -{part[-1]}:]"]
    if len(whole) == 2 and whole[::-1] == part:
        found.append("{0}.T")
    if int(np.prod(whole)) == int(np.prod(part)):
        found.append(f"xg.reshape({{0}}, {part})")
    return found
