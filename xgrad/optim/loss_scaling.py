"""Loss scaling: gradients that float16 would round to 0 are computed times a large number, which follows what
it can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..backends import Device
from ..backends.types import ArrayLike
from ..core.context import no_grad
from ..core.pytree import Tree, flatten, unflatten
from ..core.tensor import Tensor
from ..namespace import all as all_of
from ..namespace import asarray, finfo, isfinite, logical_and, where
from ..namespace.creation import number
from ..ops.axes import integer
from ..state_dicts import fitting

if TYPE_CHECKING:
    from .optimisers import Optimizer


def all_finite(tree: Tree) -> Tensor:
    """Whether all elements of the Tensors of a tree are finite, as a boolean Tensor on their device.

    >>> import xgrad as xg
    >>> xg.optim.all_finite([xg.ones(2), xg.asarray(float("inf"))])
    tensor(False)
    """
    found: Any = None
    with no_grad():
        for leaf in flatten(tree)[0]:
            here = all_of(isfinite(leaf))
            found = here if found is None else logical_and(found, here)
    return asarray(True) if found is None else found


class LossScale:
    """A number by which a loss is multiplied, so that no gradient is lost in float16, whose least number is
    6e-8.

    The scale falls where a gradient has overflowed, and that step is left out; it grows after many steps
    without. Both it and the count of these steps are Tensors, changed on their device.

    Args:
        init_scale: the scale at the start.
        growth_factor, growth_interval: after so many good steps in succession, the scale is multiplied by the
            factor.
        backoff_factor: what it is multiplied by when a gradient is not finite.
        device: where it is, default the current device.

    Raises ValueError for a scale that is not above 0, and for factors that would not let it grow or fall.

    >>> import xgrad as xg
    >>> w = xg.tensor(1.0, requires_grad=True, dtype=xg.float32)
    >>> optimizer, scale = xg.optim.SGD(w, lr=0.5), xg.optim.LossScale(1024.0)
    >>> grads = xg.grad(lambda w: scale.scale(w.astype(xg.float16) ** 2))(w)
    >>> grads
    tensor(2048., dtype=float32)
    >>> scale.step(optimizer, scale.unscale(grads))
    True
    >>> w
    tensor(0., dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        *,
        device: str | Device | None = None,
    ) -> None:
        for name, value in (
            ("init_scale", init_scale),
            ("growth_factor", growth_factor),
            ("backoff_factor", backoff_factor),
        ):
            number(f"LossScale: {name}", value)
        integer("LossScale: growth_interval", growth_interval)
        if not 0 < init_scale < float("inf"):
            raise ValueError(f"init_scale is a number above 0, not {init_scale}")
        if not (growth_factor >= 1 and 0 < backoff_factor < 1 and growth_interval >= 1):
            factors = (
                f"growth_factor={growth_factor}, backoff_factor={backoff_factor}, "
                f"growth_interval={growth_interval}"
            )
            raise ValueError(
                f"a scale grows by a factor of 1 or more, falls by one below 1, after 1 or more "
                f"steps; got {factors}"
            )
        self.growth_factor, self.backoff_factor, self.growth_interval = (
            growth_factor,
            backoff_factor,
            growth_interval,
        )
        self.value = asarray(init_scale, dtype="float32", device=device)
        self.good_steps = asarray(0, dtype="int32", device=device)

    def scale(self, loss: ArrayLike) -> Tensor:
        """`loss` times the scale, in float32 at least."""
        z: Tensor = loss * self.value
        return z

    def unscale(self, grads: Tree) -> Any:
        """A tree of gradients of the scaled loss, divided by the scale, in float32 at least."""
        leaves, structure = flatten(grads)
        with no_grad():
            found = {id(g): asarray(g) / self.value for g in leaves}  # the gradient of what is tied stays one
        return unflatten(structure, [found[id(g)] for g in leaves])

    def step(self, optimizer: Optimizer, grads: Tree = None) -> bool:
        """Let `optimizer` take a step with these gradients, unless one is not finite, and `update`.

        Whether it did.

        Args:
            grads: as `unscale` gave them, clipped or not; None takes the `.grad` of the parameters, as
                `backward` of the scaled loss left them, and divides it by the scale.

        On CUDA this waits for the gradients, to look at one boolean: the count of steps is the optimiser's,
        on the host.
        """
        if not hasattr(optimizer, "params"):
            raise TypeError(f"LossScale.step takes an optimiser, not {type(optimizer).__name__}")
        if grads is None:
            for p in optimizer.params:
                p.grad = None if p.grad is None else self.unscale(p.grad).astype(p.dtype, copy=False)
        finite = all_finite([p.grad for p in optimizer.params] if grads is None else grads)
        self.update(finite)
        good = bool(finite)
        if good:
            optimizer.step(grads)
        return good

    def update(self, finite: Tensor | bool) -> None:
        """Let the scale grow or fall, after a step whose gradients were all `finite` or not: a boolean, or a
        Tensor of one."""
        with no_grad():
            finite = asarray(finite, device=None if isinstance(finite, Tensor) else self.value.device)
            if finite.shape != () or finite.dtype.kind != "b":
                raise TypeError(
                    f"LossScale.update takes one boolean, not shape {finite.shape} and dtype {finite.dtype}"
                )
            count = self.good_steps + 1
            due = count >= self.growth_interval
            room = self.value <= finfo("float32").max / self.growth_factor
            growth = where(logical_and(due, room), self.growth_factor, 1.0)
            # in place: a compiled step reads it at each call
            self.value *= where(finite, growth, self.backoff_factor)
            self.good_steps[...] = where(logical_and(finite, ~due), count, 0)

    def state_dict(self) -> dict[str, Tensor]:
        """What is to be saved."""
        return {"scale": self.value.detach(), "good_steps": self.good_steps.detach()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave.

        Raises KeyError, ShapeError, TypeError or ValueError, before anything changes, where it is nothing of
        the kind.
        """
        values = fitting("LossScale", self.state_dict(), state)
        scale, good_steps = float(values["scale"]), int(values["good_steps"])
        if not 0 < scale < float("inf") or good_steps < 0:
            raise ValueError(
                f"LossScale: a scale is above 0, and a count of steps not below; it is given "
                f"{scale:g} and {good_steps}"
            )
        self.value[...], self.good_steps[...] = values["scale"], values["good_steps"]

    def __repr__(self) -> str:
        return f"LossScale({float(self.value):g})"
