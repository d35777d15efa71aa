"""`check_derivation`: a person's own gradients against the staged backward pass."""

from __future__ import annotations

import difflib
import linecache
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import hypot
from typing import Any

from ..backends.dtypes import is_floating
from ..compiler.printing.spelling import shown
from ..core.context import no_grad
from ..core.pytree import flatten, paths
from ..core.tensor import Tensor
from ..namespace import asarray, cos
from .backward_stages import BackwardStage, is_part
from .graph_text import expression
from .graph_view import Graph, GraphNode, graph
from .lifting import parameter_names
from .slip_search import Cause, SlipSearch, count_like
from .variants import with_dz


@dataclass(frozen=True)
class Difference:
    """A gradient that is wrong: its name, the index of the worst element, and both numbers there.

    The index is None if the shape is wrong: then `given` and `right` are the shapes. `steps` are the calls of
    `deriv` that contribute to it, and `causes` the slips that would give it, the likeliest first.
    """

    name: str
    index: tuple[int, ...] | None
    given: Any
    right: Any
    steps: tuple[BackwardStage, ...]
    causes: tuple[Cause, ...]

    @property
    def cause(self) -> Cause | None:
        """The likeliest cause; None if no single slip gives these numbers."""
        return self.causes[0] if self.causes else None

    @property
    def source(self) -> str:
        """File and line of the stage whose derivative is wrong."""
        steps = [self.causes[0].step] if self.causes else self.steps
        return steps[0].stage.source if steps else "?"

    def __str__(self) -> str:
        name, at = shown(self.name), f"at {self.index} " if self.index else ""
        first = (
            f"{name} is wrong: it has shape {self.given}, but must have {self.right}"
            if self.index is None
            else f"{name} is wrong: {at}it is {self.given:.6g}, but must be {self.right:.6g}"
        )
        steps = [self.causes[0].step] if self.causes else self.steps
        where = list(dict.fromkeys(line for step in steps for line in _where(step)))
        lines = [first, *(f"    {line}" for line in where[:8]), *(["    ..."] if len(where) > 8 else [])]
        if self.causes:
            lines.append(f"Likely cause: {self.causes[0].text}.")
            lines += [f"    or: {cause.text}" for cause in self.causes[1:3]]
        else:
            lines.append(self._remark())
        return "\n".join(lines)

    def _remark(self) -> str:
        """What can be said where no cause was found."""
        if not self.steps:
            return "The backward pass starts here: this gradient is 1, or the dz that is passed."
        if self.index is not None and self.given != self.given:
            return "It is NaN: look for 0 / 0, inf - inf, or a function outside its domain."
        if self.index is not None and abs(self.given - self.right) < 1e-2 * abs(self.right):
            return "It is nearly right: if you rounded your numbers, pass a tolerance, such as rtol=1e-3."
        return "Cause unknown: no single slip of the usual kinds gives these numbers."


@dataclass(frozen=True, repr=False)
class DerivationCheck:
    """The result of `check_derivation`, to print; it is true if all given gradients are right.

    `right` are the gradients that are right as far as they were compared, in the order of the backward pass,
    `wrong` is the first that is not, `unknown` are names that belong to no stage, and `missing` the gradients
    that were not given.
    """

    right: tuple[str, ...]
    wrong: Difference | None
    unknown: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every given gradient is right, and belongs to a stage."""
        return self.wrong is None and not self.unknown

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [str(self.wrong)] if self.wrong is not None else []
        if self.right:
            count = len(self.right)
            several = f"All {count} gradients are right" if count > 1 else "The gradient is right"
            label = "Right before it" if self.wrong is not None else several if self.ok else "Right"
            lines.append(f"{label}: {_list(self.right)}.")
        lines += [self._hint(name) for name in self.unknown]
        if self.missing:
            lines.append(f"Not given: {_list(self.missing)}.")
        return "\n".join(lines)

    __repr__ = __str__

    def _hint(self, name: str) -> str:
        """What is said of a name that belongs to no stage."""
        known = {
            n.lower(): n for n in (*self.right, *self.missing, *([self.wrong.name] if self.wrong else []))
        }
        near = difflib.get_close_matches(name.lower().replace('"', "'"), known, n=2)
        first = f"No stage has the gradient {shown(name)}"
        if near:
            return f"{first}; did you mean {' or '.join(shown(known[n]) for n in near)}?"
        return f"{first}; the gradients are called {_list(list(known.values()))}."


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 11 else ""
    return f"{', '.join(map(shown, names[: 10 if more else 11]))}{more}"


def _where(step: BackwardStage) -> Iterator[str]:
    """The stage of a step, with its line of the source, and the step as a call of `deriv`."""
    source, stage = step.stage.source, f"{shown(step.stage.name)} = {expression(step.stage)}"
    file, _, line = source.rpartition(":")
    text = linecache.getline(file, int(line)).strip() if line.isdecimal() else ""
    text = f"{text[:80]}..." if len(text) > 80 else text
    if text.partition("#")[0].strip() == stage:
        yield f"in the derivative of `{text}` at {source}"
    else:
        yield f"in the derivative of {stage}" + (f", which is in `{text}` at {source}" if text else "")
    yield f"    {step.call}"


def check_derivation(
    f: Callable[..., Any],
    args: Sequence[Any],
    gradients: Mapping[str, Any] | Callable[..., Any],
    dz: Any = None,
    *,
    rtol: float | None = None,
) -> DerivationCheck:
    """Compare gradients derived by hand with the backward pass of `f(*args)`, stage by stage.

    The first wrong gradient is named, in the order of the backward pass, with its index, both numbers, and
    the line of the stage. The usual slips are tried, to find the one that gives these numbers: a missing
    transpose, a missing sum over a broadcast axis, `=` for `+=`, a wrong sign, a wrong formula, a derivative
    taken at the output instead of the input, a forgotten factor, a wrong operand; in one stage, or in every
    run of a line in a loop.

    Args:
        f: a function that returns one Tensor. Its stages have the names of its variables, h, h_2, ... for one
            that is bound again; others z1, z2, ...
        args: a tuple of its arguments.
        gradients: a dict of gradients, "dx" for the variable or argument x, as arrays or numbers; any of them
            may be left out. Or a function that returns it, called with `args`, and `dz` if that is given. A
            tuple is taken for the gradients of the arguments.
        dz: the gradient of the output; by default 1 for a scalar, else what `gradients` says of it.
        rtol: tolerance relative to the largest element; by default 1e-6, for float32 1e-3, for float16 2e-2.

    Returns:
        A DerivationCheck: print it, or `assert` it. It raises nothing where a gradient is wrong.

    Raises:
        TypeError, ValueError: no gradients are given, or something else than a dict. GraphError: there is
        no `dz` for an output that is no scalar.

    >>> import xgrad as xg
    >>> def f(w, x):
    ...     dot = w * x
    ...     y = xg.tanh(dot)
    ...     return y * x
    >>> y = xg.tanh(6.0)
    >>> check = xg.check_derivation(f, (2.0, 3.0), {"dy": 3.0, "ddot": (1 - y * y) * 3.0, "dx": y})
    >>> check.wrong.name, check.wrong.cause.kind
    ('dx', 'overwritten')
    """
    if not isinstance(args, tuple | list):
        raise TypeError(
            f"check_derivation: args must be a tuple with one entry per argument, not {type(args).__name__}: "
            f"write (x,) for x"
        )
    g = graph(f, *args)
    if callable(gradients):
        gradients = gradients(*args) if dz is None else gradients(*args, dz)
    mine = _flat(gradients, [f"d{name}" for name in parameter_names(f, len(args))], {f"d{v.name}" for v in g})
    out = f"d{g.output.name}"
    if dz is None and g.output.shape != () and out in mine:
        dz = mine[out].T if mine[out].shape == g.output.shape[::-1] != g.output.shape else mine[out]
    steps = list(g.backward(dz))
    with no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a slip may leave the domain of a function
        return _Check(g, steps, mine, rtol).result()


def _flat(gradients: Any, arguments: Sequence[str], stages: AbstractSet[str]) -> dict[str, Tensor]:
    """The gradients by name; those of the parts of a container by name and path, as in "dW['zh']".

    `arguments` and `stages` are the names of the gradients of arguments, and of all stages.
    """
    if isinstance(gradients, tuple) and len(gradients) == len(arguments):
        gradients = dict(zip(arguments, gradients, strict=True))
    if not isinstance(gradients, Mapping):
        raise TypeError(
            f"check_derivation: gradients must be a dict such as {{'dx': ...}}, or a function that returns "
            f"one, not {type(gradients).__name__}"
        )
    found = {}
    for name, value in gradients.items():
        parts = [("", value)] if name in stages else zip(paths(value), flatten(value)[0], strict=True)
        for path, leaf in parts:
            if leaf is not None:
                try:
                    found[f"{name}{path}"] = asarray(leaf).detach()
                except (TypeError, ValueError) as error:
                    raise type(error)(f"check_derivation: {name}{path} is no gradient: {error}") from error
    if not found:
        raise ValueError("check_derivation: no gradients are given, so nothing would be checked")
    return found


class _Check:
    """One comparison: the graph, the steps of its backward pass, and the gradients by hand."""

    def __init__(
        self, g: Graph, steps: list[BackwardStage], mine: dict[str, Tensor], rtol: float | None
    ) -> None:
        self.rtol = rtol
        last = {c.stage: i for i, step in enumerate(steps) for c in step.contributions}
        with_gradient = [stage for stage in g if stage.grad is not None]
        ordered = sorted(with_gradient, key=lambda stage: last.get(stage, -1))
        self.named = {f"d{stage.name}": stage for stage in ordered}
        self.unknown = tuple(name for name in mine if name not in self.named)
        given = {stage: mine[name] for name, stage in self.named.items() if name in mine}
        self.rounded = _rounded(steps)
        self.search = SlipSearch(g.nodes, steps, given, self.close)

    def result(self) -> DerivationCheck:
        right: list[GraphNode] = []
        wrong = None
        for stage, given in self.search.given.items():
            if not self.close(given, stage.grad, stage):
                wrong = self.difference(stage, given, right)
                break
            right.append(stage)
        missing = tuple(
            name
            for name, stage in self.named.items()
            if stage not in self.search.given and not is_part(stage)
        )
        return DerivationCheck(tuple(f"d{stage.name}" for stage in right), wrong, self.unknown, missing)

    def close(self, given: Any, right: Any, stage: GraphNode) -> bool:
        """Whether two values of the gradient of `stage` agree, up to rounding; a NaN agrees with a NaN."""
        if given.shape != right.shape or not is_floating(right.dtype):
            return False
        return bool((abs(given - right) <= self.allowed(given, right, stage)).all()) or bool(
            ((given == right) | ((given != given) & (right != right))).all()
        )

    def allowed(self, given: Any, right: Any, stage: GraphNode) -> float:
        """The difference that is allowed: relative to the largest element, and what rounding may give."""
        rtol, eps = max(_precision(v) for v in (given, right))
        size = max(_largest(v) for v in (given, right))
        return (self.rtol or rtol) * size + 10 * eps * self.rounded.get(stage, 0.0)

    def difference(self, stage: GraphNode, given: Any, right: Sequence[GraphNode]) -> Difference:
        """What is wrong with the gradient `given` of `stage`, where those of `right` are right."""
        correct: Any = stage.grad
        steps = tuple(step for step, _ in self.search.arriving.get(stage, ()))
        causes = self.search.causes(stage, set(right))
        name = f"d{stage.name}"
        if given.shape != correct.shape:
            return Difference(name, None, given.shape, correct.shape, steps, causes)
        index = _worst(given, correct)
        return Difference(name, index, given[index].item(), correct[index].item(), steps, causes)


def _rounded(steps: Sequence[BackwardStage]) -> dict[GraphNode, float]:
    """The size of what is rounded in each gradient; larger than the gradient where terms cancel.

    The rounding of a step is that of its numbers, and that of the steps before, which its rule carries on.
    """
    found: dict[GraphNode, float] = {}
    for step in steps:
        if isinstance(step.dz, tuple):
            values = step.contributions
        else:
            size = hypot(found.get(step.stage, 0.0), _largest(step.dz))
            values = with_dz(step, cos(count_like(step.dz)) * size).contributions
        for old, c in zip(step.contributions, values):
            found[c.stage] = hypot(found.get(c.stage, 0.0), _largest(old.value), _largest(c.value))
    return found


def _precision(v: Any) -> tuple[float, float]:
    """The relative difference that is allowed for a dtype, and its rounding error; float64 for integers."""
    itemsize = v.dtype.itemsize // (2 if "complex" in v.dtype.name else 1)
    return {2: (2e-2, 1e-3), 4: (1e-3, 1.2e-7)}.get(itemsize if is_floating(v.dtype) else 8, (1e-6, 2.3e-16))


def _largest(v: Any) -> float:
    """The largest finite element of an array, or of a tuple of them."""
    if isinstance(v, tuple):
        return max((_largest(part) for part in v if part is not None), default=0.0)
    if not isinstance(v, Tensor) or v.size == 0:
        return 0.0
    largest = float(abs(v).max())
    return largest if largest < float("inf") else 0.0


def _worst(given: Any, right: Any) -> tuple[int, ...]:
    """The index of the element with the largest difference; of the first that is NaN in one only."""
    difference = abs(given - right)
    nan = difference != difference
    return _index_of_largest(nan.astype("float64") if bool(nan.any()) else difference)


def _index_of_largest(values: Any) -> tuple[int, ...]:
    """The index of the largest element."""
    flat = int(values.reshape(-1).argmax())
    index: list[int] = []
    for n in reversed(values.shape):
        index.insert(0, flat % n)
        flat //= n
    return tuple(index)
