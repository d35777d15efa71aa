"""Optimisers: they change leaf Tensors in place, from `.grad` or from gradients that are handed to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from .errors import GraphError, ShapeError
from .loss_scaling import LossScale, all_finite
from .modes import mode, no_grad
from .namespace import asarray, minimum, sqrt, sum, zeros_like
from .state_dicts import fitting
from .tensors import Tensor
from .trees import flatten, unflatten

__all__ = ["SGD", "Adam", "LossScale", "Optimizer", "all_finite", "clip_by_global_norm"]


def clip_by_global_norm(grads: Any, max_norm: float) -> tuple[Any, Tensor]:
    """`(clipped, norm)`: the tree of gradients scaled down, where its norm is greater, to have the norm `max_norm`.

    >>> import xgrad as xg
    >>> xg.optim.clip_by_global_norm([xg.asarray([3.0]), xg.asarray([4.0])], 1.0)
    ([tensor([0.6]), tensor([0.8])], tensor(5.))
    """
    leaves, structure = flatten(grads)
    with no_grad():
        total: Any = 0.0
        for g in leaves:
            g = _full(g)
            total = total + sum(g * g)
        norm = sqrt(asarray(total))
        scale = minimum(max_norm / (norm + 1e-30), 1.0)
        return unflatten(structure, [g * scale.astype(g.dtype) for g in leaves]), norm


def _full(x: Tensor) -> Tensor:
    """`x`, of half precision in float32: squares of what float16 holds would overflow in it, or vanish."""
    return x if x.dtype.itemsize > 2 else x.astype("float32")


class Optimizer(ABC):
    """Base of the optimisers. `params` is a module, or any tree of leaves that need a gradient.

    What is remembered of a parameter in half precision, and the change that is made to it, is float32. Small changes are lost all
    the same where the parameter is rounded: keep parameters in float32, and use `nn.cast` inside the loss.
    """

    def __init__(self, params: Any, lr: float) -> None:
        self.params, self._structure = flatten(params)
        self.lr = lr
        self.count = 0
        for p in self.params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                raise GraphError("an optimiser changes leaves: Tensors made with requires_grad=True")

    def step(self, grads: Any = None) -> None:
        """Change every parameter by its gradient: from `grads`, a tree of the structure of the parameters, else from `.grad`.

        A parameter without a gradient stays as it is. Raises ShapeError, before anything changes, where `grads` does not fit.
        """
        given = [p.grad for p in self.params] if grads is None else self._fitting(grads)
        self.count += 1
        with no_grad(), mode(watch=None):  # leaves are changed: no gradient that anybody wants is cut
            for i, (p, g) in enumerate(zip(self.params, given, strict=True)):
                if g is not None:
                    p -= self._change(i, _full(g))

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for p in self.params:
            p.grad = None

    def _fitting(self, grads: Any) -> list[Tensor]:
        leaves, structure = flatten(grads)
        if structure != self._structure:
            raise ShapeError(f"the gradients have the structure {structure}, the parameters {self._structure}")
        for p, g in zip(self.params, leaves, strict=True):
            if g.shape != p.shape:
                raise ShapeError(f"a gradient of shape {g.shape} for a parameter of shape {p.shape}")
        return leaves

    @abstractmethod
    def _change(self, i: int, g: Tensor) -> Tensor:
        """What to subtract from parameter `i`, whose gradient is `g`."""

    def _slots(self) -> dict[str, list[Tensor]]:
        """What it remembers of each parameter, by name."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """What it remembers, by name, to be saved: with it, training goes on as if it had not stopped."""
        state = {f"{name}.{i}": slot for name, slots in self._slots().items() for i, slot in enumerate(slots)}
        return {"count": asarray(self.count), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave, by copy.

        Raises KeyError, ShapeError, TypeError or ValueError, before anything changes, where it is of other parameters, or nothing of the kind.
        """
        values = fitting(type(self).__name__, self.state_dict(), state)
        if int(values["count"]) < 0:
            raise ValueError(f"{type(self).__name__}: count, the number of steps so far, is given {int(values['count'])}")
        self.count = int(values["count"])
        for name, slots in self._slots().items():
            slots[:] = [values[f"{name}.{i}"] for i in range(len(slots))]


class SGD(Optimizer):
    """v = momentum * v + g; p = p - lr * v

    >>> import xgrad as xg
    >>> p = xg.tensor([1.0], requires_grad=True)
    >>> xg.optim.SGD([p], lr=0.1).step([xg.asarray([2.0])])
    >>> p
    tensor([0.8], requires_grad=True)
    """

    def __init__(self, params: Any, lr: float = 0.01, momentum: float = 0.0) -> None:
        super().__init__(params, lr)
        self.momentum = momentum
        self.v = [zeros_like(_full(p.detach())) for p in self.params] if momentum else []

    def _slots(self) -> dict[str, list[Tensor]]:
        return {"v": self.v}

    def _change(self, i: int, g: Tensor) -> Tensor:
        if not self.momentum:
            return self.lr * g
        self.v[i] = self.momentum * self.v[i] + g
        return self.lr * self.v[i]


class Adam(Optimizer):
    """Adam (D. Kingma and J. Ba, Adam: a method for stochastic optimization, 2015), as torch has it.

    >>> import xgrad as xg
    >>> p = xg.tensor([1.0], requires_grad=True)
    >>> xg.optim.Adam([p], lr=0.1).step([xg.asarray([2.0])])
    >>> p
    tensor([0.9], requires_grad=True)
    """

    def __init__(self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(params, lr)
        self.betas, self.eps = betas, eps
        self.m = [zeros_like(_full(p.detach())) for p in self.params]
        self.v = [zeros_like(_full(p.detach())) for p in self.params]

    def _slots(self) -> dict[str, list[Tensor]]:
        return {"m": self.m, "v": self.v}

    def _change(self, i: int, g: Tensor) -> Tensor:
        b1, b2 = self.betas
        self.m[i] = b1 * self.m[i] + (1 - b1) * g
        self.v[i] = b2 * self.v[i] + (1 - b2) * (g * g)
        rate = self.lr / (1 - b1**self.count)
        return rate * self.m[i] / (sqrt(self.v[i] * (1 / (1 - b2**self.count))) + self.eps)
