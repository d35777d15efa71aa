"""Dynamic loss scaling, which keeps small gradients from underflowing in float16."""

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
    """Whether all elements of a tree's Tensors are finite, as a boolean Tensor on their device.

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
    """A factor for the loss that keeps gradients from underflowing in float16.

    The smallest positive float16 number is 6e-8. If a gradient overflows, the step is skipped and the scale
    falls; after many good steps it grows. The scale and the count of good steps are Tensors, updated on their
    device.

    Args:
        init_scale: the scale at the start.
        growth_factor, growth_interval: the scale is multiplied by the factor after this many good steps in a
            row.
        backoff_factor: factor for the scale when a gradient is not finite.
        device: device of the scale; default the current device.

    Raises ValueError for a scale that is not positive, and for factors that would not let it grow or fall.

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
            raise ValueError(f"LossScale: init_scale must be positive and finite, not {init_scale}")
        if not (growth_factor >= 1 and 0 < backoff_factor < 1 and growth_interval >= 1):
            factors = (
                f"growth_factor={growth_factor}, backoff_factor={backoff_factor}, "
                f"growth_interval={growth_interval}"
            )
            raise ValueError(
                f"LossScale needs growth_factor >= 1, 0 < backoff_factor < 1 and growth_interval >= 1; got "
                f"{factors}"
            )
        self.growth_factor, self.backoff_factor, self.growth_interval = (
            growth_factor,
            backoff_factor,
            growth_interval,
        )
        self.value = asarray(init_scale, dtype="float32", device=device)
        self.good_steps = asarray(0, dtype="int32", device=device)

    def scale(self, loss: ArrayLike) -> Tensor:
        """Multiply `loss` by the scale, in at least float32."""
        z: Tensor = loss * self.value
        return z

    def unscale(self, grads: Tree) -> Any:
        """Divide a tree of gradients of the scaled loss by the scale, in at least float32."""
        leaves, structure = flatten(grads)
        with no_grad():
            found = {id(g): asarray(g) / self.value for g in leaves}  # a tied gradient stays one Tensor
        return unflatten(structure, [found[id(g)] for g in leaves])

    def step(self, optimizer: Optimizer, grads: Tree = None) -> bool:
        """Let `optimizer` take a step unless a gradient is not finite, and `update`.

        Returns whether it took the step.

        Args:
            grads: as `unscale` gave them, clipped or not; None takes the `.grad` of the parameters, as
                `backward` of the scaled loss left them, and divides it by the scale.

        On CUDA this waits for the gradients, to read one boolean: the optimiser counts its steps on the host.
        """
        if not hasattr(optimizer, "params"):
            raise TypeError(
                f"LossScale.step takes an optimiser, such as xg.optim.Adam(...), not "
                f"{type(optimizer).__name__}"
            )
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
        """Let the scale grow or fall after a step.

        `finite` says whether all gradients were finite: a boolean, or a Tensor of one.
        """
        with no_grad():
            finite = asarray(finite, device=None if isinstance(finite, Tensor) else self.value.device)
            if finite.shape != () or finite.dtype.kind != "b":
                raise TypeError(
                    f"LossScale.update takes one boolean, such as xg.optim.all_finite(grads), not an array "
                    f"of shape {finite.shape} and dtype {finite.dtype}"
                )
            count = self.good_steps + 1
            due = count >= self.growth_interval
            room = self.value <= finfo("float32").max / self.growth_factor
            growth = where(logical_and(due, room), self.growth_factor, 1.0)
            # in place: a compiled step reads it at each call
            self.value *= where(finite, growth, self.backoff_factor)
            self.good_steps[...] = where(logical_and(finite, ~due), count, 0)

    def state_dict(self) -> dict[str, Tensor]:
        """The scale and the count of good steps, for saving."""
        return {"scale": self.value.detach(), "good_steps": self.good_steps.detach()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state made by `state_dict`.

        Raises KeyError, ShapeError, TypeError or ValueError for an invalid state, before anything changes.
        """
        values = fitting("LossScale", self.state_dict(), state)
        scale, good_steps = float(values["scale"]), int(values["good_steps"])
        if not 0 < scale < float("inf") or good_steps < 0:
            raise ValueError(
                f"LossScale: scale must be positive and finite, and good_steps at least 0; the state dict "
                f"has {scale:g} and {good_steps}"
            )
        self.value[...], self.good_steps[...] = values["scale"], values["good_steps"]

    def __repr__(self) -> str:
        return f"LossScale({float(self.value):g})"
