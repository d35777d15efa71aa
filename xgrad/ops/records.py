"""What is known of an op beside its forward and its rules, in three records.

Entries give their fields as keywords of `op` and `elementwise`; `Op` sorts them into the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from .scalars import HEAVY, Scalar

Kind = TypeVar("Kind")

#: What changes in the parameters where the operand has a new axis in front: see `batching`.
Batch = Callable[[dict[str, Any], int, int], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Calculus:
    """What is known of the derivative beside the rules.

    Attributes:
        linear: "jointly" in all its floating operands together, as a sum; in "each", as a product; in the
            "first" alone, as a quotient; or "".
        analytic: whether it is holomorphic, so that a complex step gives its derivative to the last digit.
        diagonal: whether each element of the output depends on that of the operands alone, so that its rules
            serve forward mode.
        spectrum: for a decomposition whose derivative has a limit where values are equal, what the engine
            finds that by; else None.
    """

    linear: Literal["jointly", "each", "first", ""] = ""
    analytic: bool = False
    diagonal: bool = False
    spectrum: Any = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the compiler knows.

    Attributes:
        scalar: the value of an element as an expression of the operands, real numbers; None where there is
            none.
        integers: the same for integers and truths, where it is another.
        primitives: the names of the primitives that both are made of.
        cost: about how many instructions an element takes, from HEAVY on with dear ones among them; 0 for a
            view, unless that is never to be computed again, and None where the op is no matter of single
            elements.
        pointwise: whether each element of the output depends on those at its place alone: an elementwise op,
            a choice, a cast.
        view: whether its output is its first operand seen otherwise, and takes no work.
        moves: whether its elements are those of its operands, moved, and zeros where there are none.
        composite: whether its forward is to be written out as the simpler ops that it is made of; or another
            forward for that.
        batch: how its parameters change where its operand has a new axis in front; None where nothing is
            known of that.
        forms: for an op that runs programs, the shape and dtype of each of its outputs, from its parameters;
            None where they are found from its forward.
        at_once: whether doing it for all steps of a loop at once is worth the memory: a product, a lookup.
        in_numpy: the function of NumPy's that is this very op, called with its operands by position and its
            parameters by name; None where there is none.
    """

    scalar: Scalar | None = None
    integers: Scalar | None = None
    primitives: frozenset[str] = frozenset()
    cost: int | None = None
    pointwise: bool = False
    view: bool = False
    moves: bool = False
    composite: bool | Callable[..., Any] = False
    batch: Batch | None = None
    forms: Callable[[dict[str, Any]], Iterable[tuple[tuple[int, ...], Any]]] | None = None
    at_once: bool = False
    in_numpy: str | None = None

    @property
    def cheap(self) -> bool:
        """Whether computing it again costs no more than keeping it."""
        return self.cost is not None and 2 * self.cost <= HEAVY

    @property
    def heavy(self) -> bool:
        """Whether an element takes more than a few instructions."""
        return self.cost is not None and self.cost >= HEAVY


@dataclass(frozen=True, slots=True)
class Listing:
    """Where it is met: in the namespace, in NumPy's, in messages.

    Attributes:
        doc: what it computes, for an op that is a function of the namespace just as it stands in the table;
            else None.
        numpy: the names of the NumPy functions that mean the same, as "arccos" or "linalg.inv".
        internal: whether it is part of others, so that nobody means it who misspells a name.
        registered: whether a user added it, so that nothing but its own functions says what it does, whatever
            it is called.
    """

    doc: str | None = None
    numpy: tuple[str, ...] = ()
    internal: bool = False
    registered: bool = False


def record(kind: type[Kind], known: dict[str, Any]) -> Kind:
    """A record of the keywords that it has fields for, which are taken out of `known`."""
    return kind(**{f.name: known.pop(f.name) for f in fields(kind) if f.name in known})  # type: ignore[arg-type]
