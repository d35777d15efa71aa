"""Gates of one's own: a group of ops under one name, a class with forward and backward, a new op in the
table.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from types import EllipsisType
from typing import Any, ClassVar

from ..backends import current_device, device_of
from ..backends.dtypes import is_floating
from ..core.context import MODE, mode
from ..core.dispatch import NUMBERS
from ..core.tensor import Tensor
from ..errors import GraphError, ShapeError
from ..namespace import asarray, zeros_like
from ..namespace.calling import call
from ..ops import OPS, Op, find_op, op
from ..ops.table import GATES
from .reverse_mode import vjp

Function = Callable[..., Any]


def gate(f: Function | None = None, *, dx: Function | None = None, dy: Function | None = None) -> Any:
    """Make a function one named gate in graphs and listings.

    Without `dx`, its derivative is found by the engine from what the function does. With `dx` (and `dy`,
    where it has two operands), it is given by hand: a function of any of `dz`, `x`, `y`, `z` by these
    names, and of nothing else. Everything that needs a gradient must come in as an operand.

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

    def forward(xp: Any, *operands: Any) -> Any:
        return lowered(operands, function)

    def engine_dx(xp: Any, dz: Any, x: tuple[Any, ...]) -> tuple[Any, ...]:
        return _engine_derivative(function, dz, x)

    by_hand = dx is not None or dy is not None
    count = len(inspect.signature(function).parameters)
    if by_hand and count == 2 and (dx is None or dy is None):
        raise TypeError(f"{function.__name__} has two operands: give both derivatives, dx and dy")
    variadic = not by_hand or count > 2
    rules: dict[str, Any] = {"dx": _lowering(dx), "dy": _lowering(dy)} if by_hand else {"dx": engine_dx}
    entry = Op(
        function.__name__,
        forward,
        **rules,
        variadic=variadic,
        arity=None if variadic else count,
        promotion="result_type",
    )
    GATES[entry.name] = entry

    @wraps(function)
    def named(*operands: Any) -> Any:
        if not by_hand and not MODE.get().record:
            return function(*operands)  # nobody looks at the graph: its ops record themselves
        refuse_closure(function)
        if not operands:
            raise TypeError(
                f"the gate {function.__name__!r} needs operands: pass every Tensor that needs a gradient "
                f"as one"
            )
        return call(entry, operands)

    named.entry = entry  # type: ignore[attr-defined]
    return named


class Gate(ABC):
    """A gate as a class, as in https://cs231n.github.io/optimization-2/. Each call works on a copy of the
    instance.

    Subclasses define `forward(self, x, y, ...)`, which may keep what it needs on `self`, and
    `backward(self, dz)`, which returns one gradient per operand (None for none). Both are handed Tensors.

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._op = GATES[cls.__name__] = _class_op(cls)

    @abstractmethod
    def forward(self, *operands: Any) -> Any:
        """Compute the output."""

    @abstractmethod
    def backward(self, dz: Any) -> Any:
        """One gradient per operand, given that of the output."""

    def __call__(self, *operands: Any) -> Any:
        if not operands:
            raise TypeError(
                f"{type(self).__name__} needs operands: pass every Tensor that needs a gradient as one"
            )
        return call(self._op, operands, {"use": _Use(self)})

    @property
    def entry(self) -> Op:
        """What `deriv` takes it for."""
        return self._op

    @property
    def use(self) -> dict[str, Any]:
        """The parameters of a call, as `deriv` needs them."""
        return {"use": _Use(self)}


class _Use:
    """One call of a gate, on a copy of it. Calls of a gate with the same attributes are equal, so that they
    share programs.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate = copy.copy(gate)
        self.ran = False  # whether this copy holds what the backward pass wants
        self._key = (type(gate), *((k, key_of(v)) for k, v in vars(gate).items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Use) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def key_of(v: Any) -> Any:
    """What stands for a value in a key: 1, 1.0 and True are not the same, nor are 0.0 and -0.0, nor two
    objects.
    """
    return (type(v), repr(v)) if isinstance(v, int | float | complex | str | bytes | None) else id(v)


def _class_op(kind: type[Gate]) -> Op:
    def forward(xp: Any, *operands: Any, use: _Use) -> Any:
        if any(isinstance(v, Tensor) for v in operands):  # without values: the backward pass runs it again
            return copy.copy(use.gate).forward(*operands)
        use.ran = True
        return lowered(operands, use.gate.forward)

    def dx(dz: Any, z: Any, x: tuple[Any, ...], *, use: _Use) -> tuple[Any, ...]:
        gate = use.gate
        if isinstance(dz, list):  # of several outputs, those that nobody used have zeros
            dz = tuple(zeros_like(raised(v)) if d is None else raised(d) for d, v in zip(dz, z, strict=True))
        if any(
            isinstance(v, Tensor) for v in x
        ):  # to be differentiated again: what backward uses must be connected to the operands
            gate = copy.copy(gate)
            gate.forward(*x)
            return _per_operand(gate.backward(dz), x, dz, kind)
        with mode(grad=False, record=False):
            if not use.ran:
                gate = copy.copy(gate)
                gate.forward(*map(raised, x))
            found = _per_operand(gate.backward(dz if isinstance(dz, tuple) else raised(dz)), x, dz, kind)
        return tuple(None if g is None else g.data for g in found)

    return Op(kind.__name__, forward, dx=dx, variadic=True, promotion="result_type")


def _per_operand(found: Any, x: tuple[Any, ...], dz: Any, kind: type[Gate]) -> tuple[Any, ...]:
    """What `backward` returned, as a gradient, or None, for each operand. More axes than it and dz have, no
    broadcasting has made.
    """
    gradients = tuple(found) if isinstance(found, tuple | list) else (found,)
    if len(gradients) != len(x):
        raise TypeError(f"{kind.__name__}.backward returned {len(gradients)} gradients for {len(x)} operands")
    gradients = tuple(_as_gradient(g, f"{kind.__name__}.backward") for g in gradients)
    for g, v in zip(gradients, x):
        shapes = [getattr(part, "shape", ()) for part in (v, *(dz if isinstance(dz, tuple) else (dz,)))]
        if g is not None and g.ndim > max(map(len, shapes)):
            raise ShapeError(
                f"{kind.__name__}.backward returned a gradient of shape {g.shape} for an operand of "
                f"shape {shapes[0]}"
            )
    return gradients


def _as_gradient(g: Any, who: str) -> Any:
    """A gradient that a rule of the user's own returned. Raises TypeError where it is none."""
    if g is None or isinstance(g, Tensor):
        return g
    if type(g) not in NUMBERS and device_of(g) is None:
        raise TypeError(
            f"{who} returned {type(g).__name__} as a gradient, which must be an array shaped like its "
            f"operand, or None for no gradient"
        )
    return asarray(g)


def register_op(
    name: str,
    forward: Function,
    *,
    dx: Function | EllipsisType | None = ...,
    dy: Function | EllipsisType | None = ...,
    variadic: bool = False,
    elementwise: bool = True,
    scalar: str | None = None,
) -> Function:
    """Add an op to the table and return it as a function of Tensors; `deriv` and graphs know it by `name`.

    Args:
        forward: `forward(xp, x)` or `forward(xp, x, y)`, with parameters after a `*`, on arrays of
        namespace `xp`. dx, dy: its derivatives, functions of any of `xp`, `dz`, `x`, `y`, `z`, `x_shape`,
        `y_shape`, by these names. They
            are written in functions of `xp`, so that they can be differentiated again. None says that there
            is none, as of `floor`: no gradient flows back there. Where nothing is said, a gradient that is
            asked for raises GraphError.
        variadic: `forward(xp, *x)` takes any number of operands, and `dx` returns a tuple of gradients.
        elementwise: its operands broadcast against each other.
        scalar: what it does to one element of real numbers, so that compiled programs, which otherwise
        leave it to `forward`, have
            kernels of it: an expression of the operands by the names that `forward` gives them, as
            "log1p(exp(x))". In it are numbers, `inf`, `nan`, `pi`, arithmetic, comparisons, `and`, `or`,
            `not`, `where(condition, a, b)`, and the functions of one element that there are in the table.
            It gives the values that `forward` gives.

    Raises ValueError for a name that is taken and for a scalar that is no such expression, TypeError for a
    derivative that asks for something else, or returns something else.

    >>> import xgrad as xg
    >>> softplus = xg.register_op("softplus", lambda xp, x: xp.log1p(xp.exp(x)),
    ...                           dx=lambda xp, dz, x: dz / (1 + xp.exp(-x)), scalar="log1p(exp(x))")
    >>> softplus(0.0), xg.grad(softplus)(0.0)
    (tensor(0.69314718), tensor(0.5))
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"the name of an op must be a string, not {name!r}")
    for what, f in (("forward", forward), ("dx", dx), ("dy", dy)):
        if not callable(f) and (f not in (None, ...) or what == "forward"):
            raise TypeError(f"register_op({name!r}): {what} must be a function of arrays, not {f!r}")
    if scalar is not None:
        if not isinstance(scalar, str):
            raise TypeError(
                f"register_op({name!r}): scalar must be a string with an expression, not {scalar!r}"
            )
        if (
            variadic
            or not elementwise
            or any(p.kind is p.KEYWORD_ONLY for p in inspect.signature(forward).parameters.values())
        ):
            raise TypeError(
                f"register_op({name!r}): an op with a scalar must be elementwise, with one or two "
                f"operands and no parameters"
            )
    forward = _giving_arrays(name, forward)
    given = (("x_shape", dx), ("y_shape", dy))
    dx, dy = (
        _unknown(name, shape, variadic) if f is ... else _giving_gradients(name, f, variadic)
        for shape, f in given
    )
    kind: dict[str, Any] = {
        "variadic": variadic,
        "elementwise": elementwise and not variadic,
        "diagonal": False,
        "scalar": scalar,
    }
    entry = op(name, forward, dx=dx, dy=dy, **kind, promotion="result_type", registered=True)

    def function(*operands: Any, **params: Any) -> Any:
        return call(entry, operands, {**entry.defaults, **params})

    function.__name__ = function.__qualname__ = name
    return function


def _giving_arrays(name: str, forward: Function) -> Function:
    """`forward`, which must return an array or a tuple of them."""

    @wraps(forward)
    def checked(*given: Any, **params: Any) -> Any:
        z = forward(*map(_sealed, given), **params)
        for part in z if type(z) is tuple else (z,):
            if not hasattr(part, "dtype") or not hasattr(part, "shape"):
                raise TypeError(
                    f"{name!r} must return an array, but returned {type(part).__name__}: compute with the "
                    f"functions of xp"
                )
        return z

    return checked


def _sealed(array: Any) -> Any:
    """An array, which its function is not to write into where that can be seen to: it is the value of a
    Tensor.
    """
    if not hasattr(array, "setflags") or not array.shape:
        return array
    view = array[...]
    view.flags.writeable = False
    return view


def _giving_gradients(name: str, rule: Function | None, variadic: bool) -> Function | None:
    """A rule that must return a gradient; for a variadic op a tuple, one or None for each operand."""
    if rule is None:
        return None
    given = rule

    @wraps(given)
    def checked(*values: Any, **params: Any) -> Any:
        found = given(*values, **params)
        if variadic and not isinstance(found, tuple | list):
            raise TypeError(
                f"the derivative of {name!r} must return a tuple with one gradient per operand, but "
                f"returned {type(found).__name__}"
            )
        for g in found if variadic else (found,):
            if not hasattr(g, "shape") and not (g is None and variadic):
                raise TypeError(
                    f"the derivative of {name!r} must return an array shaped like its operand, but "
                    f"returned {type(g).__name__}"
                )
        return found

    return checked


def _unknown(name: str, shape: str, variadic: bool) -> Function:
    """The derivative of which nothing was said: of what is floating point it is not there; integers and
    booleans have none.
    """

    def refuse(z: Any) -> None:
        if any(is_floating(part.dtype) for part in (z if isinstance(z, tuple) else (z,))):
            instead = "define one with register_op(dx=), or pass dx=None if no gradient should flow back"
            raise GraphError(f"the op {name!r} has no derivative: {instead}")

    def of_many(dz: Any, z: Any, x_shape: Any, **params: Any) -> tuple[None, ...]:
        refuse(z)
        return (None,) * len(x_shape)

    def of_x(xp: Any, dz: Any, z: Any, x_shape: tuple[int, ...], **params: Any) -> Any:
        refuse(z)
        return xp.broadcast_to(xp.zeros_like(xp.sum(dz)), x_shape)

    def of_y(xp: Any, dz: Any, z: Any, y_shape: tuple[int, ...], **params: Any) -> Any:
        return of_x(xp, dz, z, y_shape)

    return of_many if variadic else of_x if shape == "x_shape" else of_y


def unregister_op(name: str) -> None:
    """Remove a registered op from the table. Raises ValueError for one of the library's own."""
    entry = find_op(name)
    if not entry.registered:
        raise ValueError(f"the op {name!r} is built in and cannot be removed")
    del OPS[name]


def _lowering(rule: Function | None) -> Function | None:
    """A rule that is handed Tensors, as it may use functions on them: of arrays it gives arrays."""
    if rule is None:
        return None
    names = tuple(inspect.signature(rule).parameters)
    who = f"the derivative {getattr(rule, '__name__', rule)!r} of a gate"

    def risen(v: Any) -> Any:
        return tuple(map(risen, v)) if isinstance(v, tuple) else raised(v) if device_of(v) is not None else v

    @wraps(rule)
    def lowering(*given: Any, **params: Any) -> Any:
        if any(isinstance(part, Tensor) for v in given for part in (v if isinstance(v, tuple) else (v,))):
            return looked_at(rule(*given, **params))
        with mode(grad=False, record=False):
            found = looked_at(
                rule(*(Tensor.xp if name == "xp" else risen(v) for name, v in zip(names, given)), **params)
            )
        parts = tuple(
            None if g is None else g.data for g in (found if isinstance(found, tuple) else (found,))
        )
        return parts if isinstance(found, tuple) else parts[0]

    def looked_at(found: Any) -> Any:
        if found is None:
            raise TypeError(f"{who} must return an array shaped like its operand, but returned None")
        return (
            tuple(_as_gradient(g, who) for g in found)
            if isinstance(found, tuple)
            else _as_gradient(found, who)
        )

    return lowering


def raised(array: Any) -> Any:
    """An array as a Tensor on its device; numbers and Tensors stay."""
    if isinstance(array, Tensor) or type(array) in NUMBERS:
        return array
    return Tensor(array, device_of(array) or current_device())


def lowered(operands: Sequence[Any], f: Function) -> Any:
    """`f`, a function of Tensors that returns one or a tuple of them, on arrays."""
    if any(isinstance(v, Tensor) for v in operands):
        return f(*operands)
    with mode(grad=False, record=False):
        z = f(*map(raised, operands))
    for part in z if isinstance(z, tuple) else (z,):
        if not isinstance(part, Tensor) and type(part) not in NUMBERS and device_of(part) is None:
            raise TypeError(
                f"{getattr(f, '__qualname__', f)!r} must return an array, or a tuple of arrays, but "
                f"returned {type(part).__name__}"
            )
    return tuple(asarray(part).data for part in z) if isinstance(z, tuple) else asarray(z).data


def _engine_derivative(f: Function, dz: Any, x: Sequence[Any]) -> tuple[Any, ...]:
    """The gradients of `f`, found by running it again under the engine."""
    operands = [raised(v) for v in x]
    chosen = [i for i, v in enumerate(operands) if isinstance(v, Tensor) and is_floating(v.dtype)]

    def of_chosen(*values: Any) -> Any:
        return f(*(values[chosen.index(i)] if i in chosen else v for i, v in enumerate(operands)))

    raw = not any(isinstance(v, Tensor) for v in (*(dz if isinstance(dz, list) else (dz,)), *x))
    with mode(record=False):
        z, pull = vjp(of_chosen, *(operands[i] for i in chosen))
        whole = (
            type(z)(zeros_like(v) if d is None else raised(d) for d, v in zip(dz, z, strict=True))
            if isinstance(dz, list)
            else raised(dz)
        )
        found = dict(zip(chosen, pull(whole), strict=True))
    return tuple(None if g is None else g.data if raw else g for g in map(found.get, range(len(operands))))


def refuse_closure(f: Any) -> None:
    """A gate sees only its operands. Raises GraphError where a Tensor that needs a gradient comes in past
    them.
    """
    if not hasattr(f, "__code__"):
        return
    closed_over = (cell.cell_contents for cell in f.__closure__ or ())
    for value in (*closed_over, *map(f.__globals__.get, f.__code__.co_names)):
        if isinstance(value, Tensor) and value.requires_grad:
            raise GraphError(
                f"the gate {f.__name__!r} uses a Tensor of shape {value.shape} that needs a gradient but "
                f"is not an operand; pass it as an operand"
            )
