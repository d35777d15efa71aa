"""Optimisers, which update leaf Tensors in place, from `.grad` or from given gradients."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from functools import reduce
from math import inf
from typing import Any

from ..backends import DeviceError
from ..backends.dtypes import is_complex, is_floating
from ..core.context import mode, no_grad
from ..core.pytree import Tree, flatten, unflatten
from ..core.tensor import Tensor
from ..errors import GraphError, ShapeError
from ..namespace import add, asarray, conj, minimum, real, sqrt, zeros_like
from ..state_dicts import fitting


def clip_by_global_norm(grads: Tree, max_norm: float) -> tuple[Any, Tensor]:
    """Scale a tree of gradients down to norm `max_norm` if it is larger; return `(clipped, norm)`.

    A gradient that occurs twice, as that of a tied parameter, counts once. Raises ValueError unless the norm
    is a non-negative number, TypeError for integer gradients.

    >>> import xgrad as xg
    >>> xg.optim.clip_by_global_norm([xg.asarray([3.0]), xg.asarray([4.0])], 1.0)
    ([tensor([0.6]), tensor([0.8])], tensor(5.))
    """
    if max_norm != inf:
        _refuse_number("clip_by_global_norm: max_norm", max_norm)
    leaves, structure = flatten(grads)
    given = [_gradient(g, f"clip_by_global_norm: gradient {i}") for i, g in enumerate(leaves)]
    with no_grad():
        total: Any = 0.0
        for g in {id(leaf): g for leaf, g in zip(leaves, given)}.values():
            g = _full(g)
            total = total + (real(g * conj(g)) if is_complex(g.dtype) else g * g).sum()
        norm = sqrt(asarray(total))
        scale = minimum(max_norm / (norm + 1e-30), 1.0)
        clipped = {id(leaf): g * scale.astype(g.dtype) for leaf, g in zip(leaves, given)}
        return unflatten(structure, [clipped[id(leaf)] for leaf in leaves]), norm


def _gradient(g: object, what: str) -> Tensor:
    """Convert a gradient to a Tensor; raise TypeError if it is not one."""
    found: Tensor = asarray(g)
    if not is_floating(found.dtype):
        raise TypeError(f"{what} has dtype {found.dtype}, but gradients are floating-point numbers")
    return found


def _refuse_number(what: str, value: object, below: float = inf) -> None:
    """Check that `value` is a number from 0 to below `below`, or a Tensor of one.

    Raises TypeError for other types, ValueError for numbers out of range.
    """
    if isinstance(value, Tensor) and value.shape == ():
        return
    if isinstance(value, bool | str) or not hasattr(value, "__float__") or getattr(value, "shape", ()) != ():
        raise TypeError(f"{what} must be a number, not {value!r}")
    if not 0 <= float(value) < below:
        raise ValueError(
            f"{what} must be at least 0{'' if below == inf else f' and less than {below:g}'}, not {value}"
        )


def _full(x: Tensor) -> Tensor:
    """`x`, half precision converted to float32, as squares would overflow or underflow in float16."""
    return x if x.dtype.itemsize > 2 else x.astype("float32")


def _as(g: Tensor, number: Any) -> Any:
    """A number, or a Tensor of one, rounded to the dtype of `g` as numbers are."""
    return number.astype(g.dtype) if isinstance(number, Tensor) else number


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


class Optimizer(ABC):
    """Base class of the optimisers.

    `params` is a module, or any tree of leaves that need a gradient. A leaf that occurs twice is updated
    once, with the sum of both gradients.

    For a parameter in half precision, the optimiser's state and the update are float32. Small updates are
    still lost when the parameter is rounded: keep parameters in float32, and use `nn.cast` inside the loss.

    `step` updates the parameters and keeps the state. `update` is the same as a pure function of gradients
    and state, and `apply` adds its result to the parameters: with these a whole training step compiles.

    >>> import xgrad as xg
    >>> model = xg.nn.Linear(2, 1)
    >>> optimizer = xg.optim.Adam(model)
    >>> @xg.compile
    ... def step(model, state, x, lr):
    ...     loss, grads = xg.value_and_grad(lambda model: xg.sum(model(x) ** 2))(model)
    ...     updates, state = optimizer.update(grads, state, lr=lr)
    ...     optimizer.apply(updates, model)
    ...     return loss, state
    >>> x = xg.ones((3, 2), dtype=xg.float32)
    >>> loss, optimizer.state = step(model, optimizer.state, x, 1e-3)
    >>> optimizer.count
    1
    """

    def __init__(self, params: Tree, lr: float) -> None:
        if isinstance(params, Iterator | Set | ValuesView):
            kind = type(params).__name__
            raise TypeError(
                f"an optimiser goes over its parameters at every step, but this {kind} can be read only "
                f"once, or in no fixed order: pass list(...)"
            )
        leaves, self._structure = flatten(params)
        self.lr = lr
        self.count = 0
        for p in leaves:
            if not isinstance(p, Tensor) or not p.is_leaf:
                given = (
                    "this one was made without it, or computed from others"
                    if isinstance(p, Tensor)
                    else f"got {type(p).__name__}"
                )
                raise GraphError(f"an optimiser takes Tensors made with requires_grad=True; {given}")
        if not leaves:
            raise ValueError(
                f"an optimiser needs at least one parameter, but this {type(params).__name__} has none"
            )
        self.params = list({id(p): p for p in leaves}.values())
        number = {id(p): i for i, p in enumerate(self.params)}
        self._places = [number[id(p)] for p in leaves]

    def __repr__(self) -> str:
        names = [
            name for name in inspect.signature(type(self)).parameters if name in vars(self) or name == "lr"
        ]
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in names if name != "params")
        size = _counted(sum(p.size for p in self.params), "parameter")
        return (
            f"<{type(self).__name__}({settings}) of {size} in "
            f"{_counted(len(self.params), 'Tensor')}, after {_counted(self.count, 'step')}>"
        )

    @property
    def lr(self) -> float:
        """The learning rate, a non-negative number or a Tensor of one."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        _refuse_number("the learning rate", value)
        self._lr = value

    def step(self, grads: Tree = None) -> None:
        """Update every parameter with its gradient.

        Gradients come from `grads`, a tree with the structure of the parameters, else from `.grad`. A
        parameter without a gradient stays as it is. Raises ShapeError, DeviceError or TypeError, before
        anything changes, if `grads` does not match.
        """
        given = [p.grad for p in self.params] if grads is None else self._fitting(grads)
        self.count += 1
        with no_grad(), mode(hooks=None):  # updates of leaves are not recorded
            for i, change in self._changes(given, self._slots(), self.count, self.lr):
                p = self.params[i]
                p -= change

    @property
    def state(self) -> dict[str, Any]:
        """What `update` takes: the number of steps, and lists with what is kept for each parameter."""
        return {"count": asarray(self.count), **{name: list(kept) for name, kept in self._slots().items()}}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self.count = int(state["count"])
        for name, kept in self._slots().items():
            kept[:] = state[name]

    def update(
        self, grads: Tree, state: Mapping[str, Any], lr: float | Tensor | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Return what to add to the parameters, a tree of their structure, and the state after this step.

        A pure function: the optimiser itself does not change. `lr` is the learning rate, by default the
        optimiser's own. Raises as `step` does.
        """
        with no_grad():
            given, count = self._fitting(grads), state["count"] + 1
            slots = {name: list(state[name]) for name in self._slots()}
            found = self._changes(given, slots, count, self.lr if lr is None else lr)
            changes = [-change for _, change in found]
            return unflatten(self._structure, [changes[i] for i in self._places]), {"count": count, **slots}

    def _changes(
        self, grads: Sequence[Tensor | None], slots: Mapping[str, list[Tensor]], count: Any, lr: Any
    ) -> Iterator[tuple[int, Tensor]]:
        """For each parameter with a gradient, its number and what to subtract; `slots` get its new state."""
        for i, g in enumerate(grads):
            if g is not None:
                change, *after = self._change(_full(g), [kept[i] for kept in slots.values()], count, lr)
                for kept, slot in zip(slots.values(), after, strict=True):
                    kept[i] = slot
                yield i, change

    def apply(self, updates: Tree, params: Tree = None) -> None:
        """Add updates to the parameters in place, or to those of another tree of the same structure.

        Raises ShapeError if the structures differ.
        """
        leaves, structure = flatten(updates)
        targets, other = (self.params, structure) if params is None else flatten(params)
        if structure != self._structure or other != self._structure:
            raise ShapeError(
                f"{type(self).__name__}: the updates have the structure {structure}, and the parameters that "
                f"of {self._structure if params is None else other}; pass what `update` returned, and the "
                f"tree of parameters that the optimiser was made for"
            )
        with no_grad(), mode(hooks=None):
            for i in range(len(self.params)):
                k = self._places.index(i)  # a Tensor in several places is updated once
                target = targets[i if params is None else k]
                target += leaves[k]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for p in self.params:
            p.grad = None

    def _fitting(self, grads: Tree) -> list[Tensor]:
        leaves, structure = flatten(grads)
        who = type(self).__name__
        if structure != self._structure:
            raise ShapeError(
                f"{who}: the gradients have the structure {structure}, but the parameters have "
                f"{self._structure}"
            )
        found: list[dict[int, Tensor]] = [{} for _ in self.params]
        for i, leaf in zip(self._places, leaves, strict=True):
            what = f"{who}: the gradient of parameter {i}"
            p, g = self.params[i], _gradient(leaf, what)
            if g.shape != p.shape:
                raise ShapeError(f"{what} has shape {g.shape}, but the parameter has {p.shape}")
            if g.device is not p.device:
                raise DeviceError(
                    f"{what} is on {g.device}, but the parameter is on {p.device}; move it with "
                    f".to({str(p.device)!r})"
                )
            if is_complex(g.dtype) and not is_complex(p.dtype):
                raise TypeError(
                    f"{what} has dtype {g.dtype}, but the parameter has {p.dtype}; use xg.real(gradient)"
                )
            # the gradient of one place, or the total of all places if they have the same Tensor
            found[i][id(leaf)] = g
        with no_grad():
            return [reduce(add, parts.values()) for parts in found]

    @abstractmethod
    def _change(self, g: Tensor, slots: list[Tensor], count: Any, lr: Any) -> tuple[Tensor, ...]:
        """What to subtract from a parameter with gradient `g`, followed by its slots after this step.

        `count` is the number of this step, from 1 on. Both it and `lr` are numbers or Tensors of one.
        """

    def _slots(self) -> dict[str, list[Tensor]]:
        """The state kept for each parameter, by name."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """The optimiser's state by name, for saving; training resumes from it exactly."""
        state = {f"{name}.{i}": slot for name, slots in self._slots().items() for i, slot in enumerate(slots)}
        return {"count": asarray(self.count), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a copy of a state made by `state_dict`.

        Raises KeyError, ShapeError, TypeError or ValueError, before anything changes, if it is invalid or
        belongs to other parameters.
        """
        values = fitting(type(self).__name__, self.state_dict(), state)
        if int(values["count"]) < 0:
            raise ValueError(
                f"{type(self).__name__}: count, the number of steps so far, must be at least 0; the state "
                f"dict has {int(values['count'])}"
            )
        self.count = int(values["count"])
        for name, slots in self._slots().items():
            slots[:] = [values[f"{name}.{i}"] for i in range(len(slots))]


class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum * v + g; p = p - lr * v.

    >>> import xgrad as xg
    >>> p = xg.tensor([1.0], requires_grad=True)
    >>> xg.optim.SGD([p], lr=0.1).step([xg.asarray([2.0])])
    >>> p
    tensor([0.8], requires_grad=True)
    """

    def __init__(self, params: Tree, lr: float = 0.01, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        _refuse_number("the momentum", momentum)
        self.momentum = momentum
        self.v = [zeros_like(_full(p.detach())) for p in self.params] if momentum else []

    def _slots(self) -> dict[str, list[Tensor]]:
        return {"v": self.v} if self.momentum else {}

    def _change(self, g: Tensor, slots: list[Tensor], count: Any, lr: Any) -> tuple[Tensor, ...]:
        lr = _as(g, lr)
        if not self.momentum:
            return (lr * g,)
        (v,) = slots
        v = self.momentum * v + g
        return lr * v, v


class Adam(Optimizer):
    """Adam (D. Kingma and J. Ba, Adam: a method for stochastic optimization, 2015), as torch has it.

    >>> import xgrad as xg
    >>> p = xg.tensor([1.0], requires_grad=True)
    >>> xg.optim.Adam([p], lr=0.1).step([xg.asarray([2.0])])
    >>> p
    tensor([0.9], requires_grad=True)
    """

    def __init__(
        self, params: Tree, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"Adam: betas must be a pair of numbers, not {betas!r}")
        for beta in betas:
            _refuse_number("each of betas", beta, 1.0)
        _refuse_number("eps", eps)
        self.betas, self.eps = betas, eps
        self.m = [zeros_like(_full(p.detach())) for p in self.params]
        self.v = [zeros_like(_full(p.detach())) for p in self.params]

    def _slots(self) -> dict[str, list[Tensor]]:
        return {"m": self.m, "v": self.v}

    def _change(self, g: Tensor, slots: list[Tensor], count: Any, lr: Any) -> tuple[Tensor, ...]:
        (b1, b2), (m, v) = self.betas, slots
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (g * g)
        if isinstance(count, Tensor):
            count = count.astype("float64")
        rate, correction = _as(g, lr / (1 - b1**count)), _as(g, 1 / (1 - b2**count))
        return rate * m / (sqrt(v * correction) + self.eps), m, v
