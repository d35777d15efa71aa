"""The table of ops: one entry per op, with its forward and its derivatives side by side.

A derivative rule is a function that selects its arguments by name:

    dz                  gradient of the output
    x, y, z             first operand, second operand, output
    x_shape, y_shape    the shape of that operand, in its rule, so that the operand itself is not kept alive
    xp                  the array namespace: of raw arrays, or of Tensors, which are recorded and so give
        second derivatives
    and the op's parameters, after a `*`

The op saves only what its rules name. A rule is plain calculus: for all rules, `deriv` sums over broadcast
axes, casts to the operand's dtype, and conjugates for complex numbers.

A variadic op has one rule, `dx`, which returns a tuple with a gradient (or None) for each operand. In it, `x`
is the tuple of operands, `x_shape` that of their shapes, `first` that of the first alone, and `rest` that of
the others. `needs[i]` is false if the gradient of operand i is not needed, so that an expensive rule can skip
it.

Forward mode mostly needs no rules of its own. The derivative of an elementwise op is a diagonal matrix, which
is its own transpose, so its rules serve both modes. The tangent of a `linear` op is the op applied to the
tangents. For other ops the rule is transposed. Only where that would be expensive, an op has a rule `jvp`,
which receives `t` instead of `dz`: a tuple with the tangent of each operand, None for zero. In it, `needs[k]`
says whether the tangent of output k is needed.

Further properties of an op are keywords of its entry, the fields of three records: of its derivative
(`linear`, `analytic`, ...), for the compiler (`scalar`, `view`, `batch`, ...), and where it appears (`doc`,
`numpy`, ...). See `records.py`.

The scalar of an elementwise op is an expression for one element, in the operand names of its forward (see
`scalars.py`). Code generators print it, and the cost of the op follows from it.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from ..errors import ShapeError, UnknownOpError
from . import scalars
from .records import Calculus, Kernel, Listing, record
from .rules import Given, Rule, Saved, asked_for, fit, forward_rule, reverse_rule, saver
from .scalars import Scalar


class Op:
    """One op: `forward(xp, *operands, **params)`, a rule per operand, and further properties.

    Attributes:
        name: its name in `deriv` and listings, such as "+" or "tanh".
        function: its name in the array standard, such as "add" or "tanh".

        arity: the number of operands, None for any number.
        variadic: whether it takes any number of operands, with one rule for all.
        operands: the operands' names, as in `forward`.
        parameters: the names of its parameters; `defaults`: the values of those that may be omitted.
        elementwise: whether operands broadcast against each other.
        promotion: the NumPy ufunc whose dtype promotion it follows, "result_type", or None for no promotion.

        rules: the vjp rule of each operand, None for no derivative; or one rule for all operands.
        tangent: the jvp rule, or None.
        saves: indexed by the bits of the operands that need a gradient, functions from (None, z, *operands)
            to the saved (z, x, y); None if nothing is saved.
        shapes: whether it saves the shapes of its operands instead of the operands.
        uses_z: whether a rule uses the output.

        calculus, kernel, listing: properties of its derivative, for the compiler, and where it appears: see
            `records`.
    """

    __slots__ = (
        "arity",
        "calculus",
        "defaults",
        "elementwise",
        "forward",
        "function",
        "kernel",
        "listing",
        "name",
        "operands",
        "parameters",
        "promotion",
        "rules",
        "saves",
        "shapes",
        "tangent",
        "uses_z",
        "variadic",
        "__weakref__",
    )

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        *,
        function: str | None = None,
        arity: int | None = None,
        variadic: bool = False,
        elementwise: bool = False,
        promotion: str | None = None,
        dx: Callable[..., Any] | None = None,
        dy: Callable[..., Any] | None = None,
        jvp: Callable[..., Any] | None = None,
        **known: Any,
    ) -> None:
        self.name, self.forward = name, forward
        self.function = function or name
        self.variadic, self.elementwise, self.promotion = variadic, elementwise, promotion
        self._read_signature(arity)
        self._read_rules(dx, dy, jvp)
        if elementwise:
            known = {"pointwise": True, "diagonal": True, **known}
        known["numpy"] = tuple((known.get("numpy") or self.function).split())
        known |= _element(self.operands, known)
        self.calculus = record(Calculus, known)
        self.kernel = record(Kernel, known)
        self.listing = record(Listing, known)
        if known:
            raise TypeError(f"op {name!r} has no attributes {', '.join(known)}")

    def _read_signature(self, arity: int | None) -> None:
        """Read the operands (positional, after the namespace) and parameters (keyword-only) of `forward`."""
        signature = inspect.signature(self.forward).parameters.values()
        parameters = [p for p in signature if p.kind is p.KEYWORD_ONLY]
        self.operands = tuple(p.name for p in signature if p.kind is p.POSITIONAL_OR_KEYWORD)[1:]
        self.arity = None if self.variadic else arity or len(self.operands)
        self.parameters = tuple(p.name for p in parameters)
        self.defaults = {p.name: p.default for p in parameters if p.default is not p.empty}

    def _read_rules(self, dx: Any, dy: Any, jvp: Any) -> None:
        """Prepare the rules, and determine from their arguments what the op saves."""
        variadic = self.variadic
        if self.arity is not None and self.arity > 2 and (dx or dy):
            raise TypeError(
                f"op {self.name!r} takes {self.arity} operands: for more than two, pass variadic=True, and "
                f"let dx return the gradients of all operands"
            )
        if jvp is not None and not variadic:
            raise TypeError(
                f"op {self.name!r} has a jvp rule, which only variadic ops have: pass variadic=True"
            )
        rules = (dx, dy)[: self.arity or 1]
        self.rules: tuple[Rule | None, ...] = (
            tuple([reverse_rule(rule, variadic) for rule in rules]) if any(rules) else ()
        )
        self.tangent = forward_rule(jvp)
        uses = [asked_for(rule) for rule in (*rules, jvp)]
        asked = [
            set().union(*(used for i, used in enumerate(uses) if variadic or bits >> i & 1))
            for bits in range(4)
        ]
        self.saves = tuple(saver(names, variadic) for names in asked)
        self.shapes = variadic and "x_shape" in asked[3]
        self.uses_z = "z" in asked[3]

    @property
    def differentiable(self) -> bool:
        """Whether any operand has a derivative."""
        return bool(self.rules)

    def implement(self, forward: Callable[..., Any], **rules: Any) -> None:
        """Implement an op that was only declared: one that runs programs, which this layer does not know."""
        declared: dict[str, Any] = {
            "variadic": self.variadic,
            "linear": self.calculus.linear,
            "internal": self.listing.internal,
        }
        made = Op(self.name, forward, **declared, **rules)
        for name in Op.__slots__:
            if name != "__weakref__":
                setattr(self, name, getattr(made, name))

    def save(self, z: Any, operands: Sequence[Any]) -> Saved:
        """The parts of the output and the operands that the rules need."""
        save = self.saves[3]
        return (None, None, None) if save is None else save((None, z, *operands))

    def vjp(
        self, given: Given, targets: Sequence[Any], params: dict[str, Any], rules: Sequence[Rule | None] = ()
    ) -> Sequence[Any]:
        """Vector-Jacobian product: the gradient of each operand, by the op's rules or by `rules` instead.

        It is None for an operand without a rule or with None as target. A target has the shape and dtype
        that the gradient must have.
        """
        if self.variadic:
            return self._vjp_of_all(given, targets, params)
        found: list[Any] = []
        for target, rule in zip(targets, rules or self.rules):
            if target is None or rule is None:
                found.append(None)
                continue
            function, pick = rule
            given.shape = target.shape
            args = (given.dz,) if pick is None else pick(given)
            g = function(*args, **params) if params else function(*args)
            if g.shape != target.shape or g.dtype is not target.dtype:
                if self.elementwise and g.shape != target.shape and g.shape != given.dz.shape:
                    shapes = (
                        f"but must have that of its operand, {target.shape}, or that of dz, {given.dz.shape}"
                    )
                    raise ShapeError(f"the derivative of {self.name!r} has shape {g.shape}, {shapes}")
                g = fit(given.xp, g, target)
            found.append(g)
        return found

    def _vjp_of_all(self, given: Given, targets: Sequence[Any], params: dict[str, Any]) -> Sequence[Any]:
        """As `vjp`, for a variadic op, by its one rule."""
        function, pick = self.rules[0]  # type: ignore[misc]
        given.needs = targets
        found = function(*((given.dz,) if pick is None else pick(given)), **params)
        if len(found) < len(targets):
            raise TypeError(
                f"the derivative of {self.name!r} returns {len(found)} gradient{'s' * (len(found) != 1)} for "
                f"{len(targets)} operands; return None for an operand without a gradient"
            )
        return [None if g is None or t is None else fit(given.xp, g, t) for g, t in zip(found, targets)]

    def jvp(self, given: Given, tangents: Sequence[Any], params: dict[str, Any]) -> Any:
        """Jacobian-vector product: the tangent of the output, from those of the operands (None for zero).

        It uses the op's jvp rule or, for an elementwise op, its vjp rules, as a diagonal matrix is its own
        transpose.
        """
        if self.tangent is not None:
            function, pick = self.tangent
            given.t = tuple(tangents)
            return function(*pick(given), **params)  # type: ignore[misc]
        total: Any = None
        for t, rule in zip(tangents, self.rules):
            if t is not None and rule is not None:
                function, pick = rule
                given.dz, given.shape = t, None
                args = (t,) if pick is None else pick(given)
                part = function(*args, **params) if params else function(*args)
                total = part if total is None else total + part
        return total

    def __repr__(self) -> str:
        return f"Op({self.name!r})"


OPS: dict[str, Op] = {}


def _scalar_of(name: str) -> tuple[tuple[str, ...], Scalar] | None:
    """The operands of an op, and its scalar expression for floating-point numbers."""
    entry = OPS.get(name)
    return None if entry is None or entry.kernel.scalar is None else (entry.operands, entry.kernel.scalar)


def _element(operands: Sequence[str], known: dict[str, Any]) -> dict[str, Any]:
    """Parse an op's scalar expressions, and derive its primitives and cost."""
    texts = known.get("scalar"), known.get("integers")
    scalar, integers = (None if t is None else scalars.parse(t, operands, _scalar_of) for t in texts)
    parts = [call.name for s in (scalar, integers) if s is not None for call in scalars.calls(s)]
    cost = known.get("cost", 0 if known.get("view") else None)
    return {
        "scalar": scalar,
        "integers": scalar if integers is None else integers,
        "primitives": frozenset(parts),
        "cost": cost if scalar is None else scalars.cost(scalar),
    }


def op(name: str, forward: Callable[..., Any], **attributes: Any) -> Op:
    """Add an op to the table under its name and its function's name, and return it.

    `attributes` are the keywords of `Op`: its rules, its operands, and fields of the records.
    """
    entry = Op(name, forward, **attributes)
    for key in {entry.name, entry.function}:
        if key in OPS:
            raise ValueError(f"op {key!r} is already in the table")
    OPS[entry.name] = OPS[entry.function] = entry
    return entry


def elementwise(name: str, forward: Callable[..., Any], **attributes: Any) -> Op:
    """Add an elementwise op: it broadcasts, and is the NumPy ufunc of its name by default.

    `promotion` and `in_numpy` override that.
    """
    known_as = attributes.get("numpy") or attributes.get("function") or name
    return op(name, forward, **{"promotion": known_as, "in_numpy": known_as, **attributes}, elementwise=True)


#: Users' gates that are still alive, by function name: the latest of each name.
GATES: WeakValueDictionary[str, Op] = WeakValueDictionary()


def find_op(name: Any) -> Op:
    """The op or user's gate called `name`, or `name` itself. Raises UnknownOpError, with suggestions."""
    entry = name if isinstance(name, Op) else getattr(name, "entry", None)
    if isinstance(entry, Op):
        return entry
    try:
        return OPS[name] if name in OPS else GATES[name]
    except (KeyError, TypeError):
        public = [key for key, entry in OPS.items() if not entry.listing.internal]
        near = difflib.get_close_matches(name, public, n=3, cutoff=0.6) if isinstance(name, str) else []
        what = (
            f"no op {name!r}"
            if isinstance(name, str)
            else f"an op is given by its symbol or name, such as '*' or 'tanh', not by {type(name).__name__}"
        )
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else f"there are {', '.join(sorted({*public, *GATES}))}"
        )
        raise UnknownOpError(f"{what}; {hint}") from None
