"""User-defined gates: a function as one named gate, and a class with forward and backward."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ClassVar

from ..backends import device_of
from ..backends.dtypes import is_floating
from ..compiler.printing.listing import argument
from ..core.context import MODE, mode
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import zeros_like
from ..namespace.calling import call
from ..ops import Op
from ..ops.table import GATES
from .boxing import as_gradient, boxed, on_arrays, refuse_closure
from .reverse_mode import vjp

Function = Callable[..., Any]


def gate(f: Function | None = None, *, dx: Function | None = None, dy: Function | None = None) -> Any:
    """Make a function one named gate in graphs and listings.

    Without `dx`, the engine differentiates the function. `dx` (and `dy`, for two operands) gives the
    derivative by hand: a function of any of `dz`, `x`, `y`, `z`, by these names, and of nothing else.
    Everything that needs a gradient must be an operand.

    >>> import xgrad as xg
    >>> @xg.gate(dx=lambda dz, z: dz * (1 - z) * z)
    ... def logistic(x):
    ...     return 1 / (1 + xg.exp(-x))
    >>> xg.grad(logistic)(0.0)
    tensor(0.25)
    """
    if f is None:
        return lambda function: gate(function, dx=dx, dy=dy)
    function = f

    def engine_dx(xp: Any, dz: Any, x: tuple[Any, ...]) -> tuple[Any, ...]:
        return _engine_derivative(function, dz, x)

    by_hand = dx is not None or dy is not None
    count = len(inspect.signature(function).parameters)
    if by_hand and count == 2 and (dx is None or dy is None):
        raise TypeError(f"{function.__name__} has two operands: give both derivatives, dx and dy")
    variadic = not by_hand or count > 2
    rules = {"dx": _of_arrays_too(dx), "dy": _of_arrays_too(dy)} if by_hand else {"dx": engine_dx}
    entry = Op(
        function.__name__,
        _Forward(function),
        **rules,
        variadic=variadic,
        arity=None if variadic else count,
        promotion="result_type",
    )
    GATES[entry.name] = entry

    @wraps(function)
    def named(*operands: Any) -> Any:
        if not by_hand and not MODE.get().record:
            return function(*operands)  # not shown in a graph: record the ops inside
        refuse_closure(function)
        if not operands:
            raise TypeError(
                f"the gate {function.__name__!r} needs operands: pass every Tensor that needs a gradient "
                f"as one"
            )
        return call(entry, operands)

    named.entry = entry  # type: ignore[attr-defined]
    return named


class _Forward:
    """The forward of a gate: it runs `function`, which a picture shows inside of the gate, on arrays."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __call__(self, xp: Any, *operands: Any) -> Any:
        return on_arrays(self.function, operands)


class Gate(ABC):
    """A gate as a class, as in https://cs231n.github.io/optimization-2/.

    Subclasses define `forward(self, x, y, ...)`, which may store what it needs on `self`, and
    `backward(self, dz)`, which returns one gradient per operand (None for none). Both receive Tensors. Each
    call works on a copy of the instance.

    >>> import xgrad as xg
    >>> class MultiplyGate(xg.Gate):
    ...     def forward(self, x, y):
    ...         self.x, self.y = x, y
    ...         return x * y
    ...     def backward(self, dz):
    ...         return self.y * dz, self.x * dz
    >>> xg.grad(MultiplyGate())(3.0, -4.0)
    tensor(-4.)
    """

    _op: ClassVar[Op]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = GATES[cls.__name__] = _class_op(cls)

    @abstractmethod
    def forward(self, *operands: Any) -> Any:
        """Compute the output."""

    @abstractmethod
    def backward(self, dz: Any) -> Any:
        """Return one gradient per operand, given that of the output."""

    def __call__(self, *operands: Any) -> Any:
        if not operands:
            raise TypeError(
                f"{type(self).__name__} needs operands: pass every Tensor that needs a gradient as one"
            )
        return call(self._op, operands, {"use": _Use(self)})

    def __repr__(self) -> str:
        attributes = ", ".join(f"{name}={argument(name, v)}" for name, v in vars(self).items())
        return f"{type(self).__name__}({attributes})"

    @property
    def entry(self) -> Op:
        """The op that `deriv` uses for it."""
        return self._op

    @property
    def use(self) -> dict[str, Any]:
        """The parameters of a call, as `deriv` needs them."""
        return {"use": _Use(self)}


class _Use:
    """One call of a gate, on a copy of it.

    Calls of a gate with the same attributes are equal, so that they share programs.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate = copy.copy(gate)
        self.attributes = dict(vars(gate))  # before forward stores more
        self.ran = False  # whether forward has run on this copy, as backward needs
        self._key = (type(gate), *((k, key_of(v)) for k, v in vars(gate).items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Use) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def key_of(v: Any) -> Any:
    """A value as part of a key: 1, 1.0 and True differ, as do 0.0 and -0.0, and any two objects."""
    return (type(v), repr(v)) if isinstance(v, int | float | complex | str | bytes | None) else id(v)


def _class_op(kind: type[Gate]) -> Op:
    """The op of a class of gates."""

    def by_name(**attributes: Any) -> _Use:
        if not attributes:
            return _Use(_without_arguments(kind))
        gate = object.__new__(kind)
        vars(gate).update(attributes)
        return _Use(gate)

    # calls pass `use`; the default is what `deriv` makes one with, given the name and attributes of a gate
    def forward(xp: Any, *operands: Any, use: Any = by_name) -> Any:
        if any(isinstance(v, Tensor) for v in operands):  # in a trace, the backward pass runs forward again
            return copy.copy(use.gate).forward(*operands)
        use.ran = True
        return on_arrays(use.gate.forward, operands)

    def dx(dz: Any, z: Any, x: tuple[Any, ...], *, use: _Use) -> tuple[Any, ...]:
        gate = use.gate
        if isinstance(dz, list):  # several outputs: unused ones get zeros
            dz = tuple(zeros_like(boxed(v)) if d is None else boxed(d) for d, v in zip(dz, z, strict=True))
        if any(isinstance(v, Tensor) for v in x):
            # differentiated again: the values that backward uses must be connected to the operands
            gate = copy.copy(gate)
            gate.forward(*x)
            return _per_operand(gate.backward(dz), x, dz, kind)
        with mode(grad=False, record=False):
            if not use.ran:
                gate = copy.copy(gate)
                gate.forward(*map(boxed, x))
            found = _per_operand(gate.backward(dz if isinstance(dz, tuple) else boxed(dz)), x, dz, kind)
        return tuple(None if g is None else g.data for g in found)

    return Op(kind.__name__, forward, dx=dx, variadic=True, promotion="result_type")


def _without_arguments(kind: type[Gate]) -> Gate:
    try:
        return kind()
    except TypeError as error:
        raise TypeError(
            f"{kind.__name__!r} is made with arguments: pass the gate itself to deriv, or its attributes as "
            f"keywords ({error})"
        ) from error


def _per_operand(found: Any, x: tuple[Any, ...], dz: Any, kind: type[Gate]) -> tuple[Any, ...]:
    """Check the result of `backward`, and return a gradient or None for each operand.

    A gradient may have more axes than its operand, because of broadcasting, but not more than dz as well.
    """
    gradients = tuple(found) if isinstance(found, tuple | list) else (found,)
    if len(gradients) != len(x):
        raise TypeError(f"{kind.__name__}.backward returned {len(gradients)} gradients for {len(x)} operands")
    gradients = tuple(as_gradient(g, f"{kind.__name__}.backward") for g in gradients)
    for g, v in zip(gradients, x):
        shapes = [getattr(part, "shape", ()) for part in (v, *(dz if isinstance(dz, tuple) else (dz,)))]
        if g is not None and g.ndim > max(map(len, shapes)):
            raise ShapeError(
                f"{kind.__name__}.backward returned a gradient of shape {g.shape} for an operand of "
                f"shape {shapes[0]}"
            )
    return gradients


def _of_arrays_too(rule: Function | None) -> Function | None:
    """Wrap a rule written in functions of Tensors so that, given arrays, it returns arrays."""
    if rule is None:
        return None
    names = tuple(inspect.signature(rule).parameters)
    who = f"the derivative {getattr(rule, '__name__', rule)!r} of a gate"

    def tensors(v: Any) -> Any:
        if isinstance(v, tuple):
            return tuple(map(tensors, v))
        return boxed(v) if device_of(v) is not None else v

    @wraps(rule)
    def called(*given: Any, **params: Any) -> Any:
        if any(isinstance(part, Tensor) for v in given for part in (v if isinstance(v, tuple) else (v,))):
            return checked(rule(*given, **params))
        values = [Tensor.xp if name == "xp" else tensors(v) for name, v in zip(names, given)]
        with mode(grad=False, record=False):
            found = checked(rule(*values, **params))
        if isinstance(found, tuple):
            return tuple(None if g is None else g.data for g in found)
        return found.data

    def checked(found: Any) -> Any:
        if found is None:
            raise TypeError(f"{who} must return an array shaped like its operand, but returned None")
        if isinstance(found, tuple):
            return tuple(as_gradient(g, who) for g in found)
        return as_gradient(found, who)

    return called


def _engine_derivative(f: Function, dz: Any, x: Sequence[Any]) -> tuple[Any, ...]:
    """The gradients of `f`, by running it again and differentiating it."""
    operands = [boxed(v) for v in x]
    chosen = [i for i, v in enumerate(operands) if isinstance(v, Tensor) and is_floating(v.dtype)]

    def of_chosen(*values: Any) -> Any:
        return f(*(values[chosen.index(i)] if i in chosen else v for i, v in enumerate(operands)))

    raw = not any(isinstance(v, Tensor) for v in (*(dz if isinstance(dz, list) else (dz,)), *x))
    with mode(record=False):
        z, pull = vjp(of_chosen, *(operands[i] for i in chosen))
        if isinstance(dz, list):  # several outputs: unused ones get zeros
            whole = type(z)(zeros_like(v) if d is None else boxed(d) for d, v in zip(dz, z, strict=True))
        else:
            whole = boxed(dz)
        found = dict(zip(chosen, pull(whole), strict=True))
    return tuple(None if g is None else g.data if raw else g for g in map(found.get, range(len(operands))))
