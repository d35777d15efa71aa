"""Slips in adding up the contributions to a gradient: terms that are lost, counted twice, or subtracted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, combinations, product
from typing import Any

from ..namespace import zeros_like
from .backward_stages import BackwardStage, Contribution
from .variants import Variant, gradient_of, name_of

#: The contributions to a gradient, each with its step, in the order in which they are added.
Arriving = Sequence[tuple[BackwardStage, Contribution]]


def lost_terms(arriving: Arriving, whole: Any) -> Iterator[tuple[BackwardStage, Variant]]:
    """What is left of the gradient `whole` if some of its contributions are overwritten or forgotten."""
    values, places = [c.value for _, c in arriving], range(len(arriving))
    lost: list[tuple[Sequence[int], Callable[[], Any]]] = []
    if 2 <= len(values) <= 6:
        for n in places[1:]:
            for gone in combinations(places, n):
                lost.append((gone, partial(_sum, [v for i, v in enumerate(values) if i not in gone])))
    elif len(values) > 6:
        totals = list(accumulate(values))
        lost += [(places[:i], partial(_minus, whole, totals[i - 1])) for i in places[1:]]  # the first i
        lost += [(places[i:], partial(_sum, [totals[i - 1]])) for i in places[1:]]  # all but the first i
        lost += [([i], partial(_minus, whole, values[i])) for i in places]
    for some, value in lost:
        first = some[0] == 0 and some[-1] == len(some) - 1  # the next one may have overwritten them
        step = arriving[len(some) if first else some[0]][0]
        through = ", ".join(name_of(arriving[i][0].stage) for i in some[:3])
        more = f" and {len(some) - 3} more" if len(some) > 3 else ""
        yield step, Variant("overwritten", loss(gradient_of(arriving[0][1].stage), through + more), value)


def loss(gradient: str, through: str) -> str:
    """The description of a gradient that lacks some of its terms."""
    return f"{gradient} lacks what comes through {through}: it was overwritten (= for +=), or forgotten"


def miscounted_terms(arriving: Arriving) -> Iterator[tuple[BackwardStage, Variant]]:
    """Sums of a few contributions, some of the wrong sign or counted twice, maybe others lost."""
    if not 2 <= len(arriving) <= 4:
        return
    says = {-1: "has the wrong sign", 2: "is counted twice", 0: "is lost"}
    for factors in product((1, 0, -1, 2), repeat=len(arriving)):
        if min(factors) >= 0 and 2 not in factors:
            continue  # one of those above
        wrong = []
        for factor, what in says.items():
            through = [name_of(step.stage) for (step, _), f in zip(arriving, factors) if f == factor]
            wrong += [f"what comes through {', '.join(through)} {what}"] if through else []
        text = f"in {gradient_of(arriving[0][1].stage)}, {', and '.join(wrong)}"
        kind = "sign" if -1 in factors else "overwritten"
        step = next(step for (step, _), f in zip(arriving, factors) if f in (-1, 2))
        parts = [f * c.value if f else zeros_like(c.value) for f, (_, c) in zip(factors, arriving)]
        yield step, Variant(kind, text, partial(_sum, parts))


def _sum(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _minus(x: Any, y: Any) -> Any:
    return x - y
