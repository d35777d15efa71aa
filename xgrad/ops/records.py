"""Properties of an op beside its forward and its rules, in three records.

Table entries pass them as keywords of `op` and `elementwise`; `Op` sorts them into the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from .scalars import HEAVY, Scalar

Kind = TypeVar("Kind")

#: The change of the parameters when the operand gets a new leading axis: see `batching`.
Batch = Callable[[dict[str, Any], int, int], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Calculus:
    """Properties of the derivative beside the rules.

    Attributes:
        linear: "jointly" if linear in all floating operands together, as a sum; "each" if linear in each, as
            a product; "first" if linear in the first only, as a quotient; else "".
        analytic: whether it is holomorphic, so that a complex step gives its derivative to the last digit.
        diagonal: whether each element of the output depends only on the corresponding elements of the
            operands, so that the vjp rules serve forward mode too.
        spectrum: for a decomposition whose derivative has a limit at equal values, the functions by which the
            engine computes that limit; else None.
    """

    linear: Literal["jointly", "each", "first", ""] = ""
    analytic: bool = False
    diagonal: bool = False
    spectrum: Any = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """Properties that the compiler uses.

    Attributes:
        scalar: one element of the output as an expression of the operands' elements, for real numbers; or
            None.
        integers: the same for integers and truth values, where it differs.
        primitives: the names of the primitives in both expressions.
        cost: the approximate number of instructions per element, at least HEAVY if expensive ones are among
            them; 0 for a view, unless it must not be recomputed; None if the op has no cost per element.
        pointwise: whether each element of the output depends only on the elements at the same index: an
            elementwise op, a selection, a cast.
        view: whether its output is a view of its first operand, without work.
        moves: whether its elements are elements of its operands, rearranged, with zeros in the gaps.
        composite: whether the compiler expands its forward into simpler ops; or another forward to expand.
        batch: how its parameters change when its operand gets a new leading axis; None if unknown.
        forms: for an op that runs programs, the shape and dtype of each output, from its parameters; None if
            they follow from its forward.
        at_once: whether it is worth the memory to compute it for all steps of a loop at once: a product, a
            lookup.
        in_numpy: the NumPy function that does exactly the same, with the operands by position and the
            parameters by name; or None.
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
        """Whether recomputing it costs no more than storing it."""
        return self.cost is not None and 2 * self.cost <= HEAVY

    @property
    def heavy(self) -> bool:
        """Whether an element takes more than a few instructions."""
        return self.cost is not None and self.cost >= HEAVY


@dataclass(frozen=True, slots=True)
class Listing:
    """Where the op appears: in the namespace, in NumPy's namespace, in messages.

    Attributes:
        doc: the docstring, for an op that is a function of the namespace exactly as in the table; else None.
        numpy: the names of the equivalent NumPy functions, such as "arccos" or "linalg.inv".
        internal: whether it is only used inside others, so that it is no suggestion for a misspelt name.
        registered: whether a user added it, so that its name says nothing about what it does.
    """

    doc: str | None = None
    numpy: tuple[str, ...] = ()
    internal: bool = False
    registered: bool = False


def record(kind: type[Kind], known: dict[str, Any]) -> Kind:
    """Make a record from the keywords that are its fields, and remove them from `known`."""
    return kind(**{f.name: known.pop(f.name) for f in fields(kind) if f.name in known})  # type: ignore[arg-type]
