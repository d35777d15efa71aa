"""Random numbers, the same for the same seed on every device."""

from __future__ import annotations

from typing import Any

from .backends import Device, current_device, find_device
from .errors import TraceError
from .modes import MODE
from .namespace import asarray
from .tensors import Tensor

Shape = int | tuple[int, ...]


class Generator:
    """A source of random Tensors; `state` is all it needs to go on from where it is.

    >>> import xgrad as xg
    >>> rng = xg.random.default_rng(0)
    >>> state = rng.state
    >>> a = rng.normal((2, 3))
    >>> rng.state = state
    >>> bool(xg.sum(rng.normal((2, 3)) - a) == 0)
    True
    """

    def __init__(self, seed: int | None = None, device: str | Device | None = None) -> None:
        self._home = current_device() if device is None else find_device(device)
        self._draw = self._home.backend.generator(seed)

    @property
    def state(self) -> dict[str, Any]:
        """The state, which can be written as JSON."""
        return self._draw.bit_generator.state  # type: ignore[return-value]

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._draw.bit_generator.state = value

    def uniform(self, low: float, high: float, shape: Shape, *, dtype: Any = None, device: str | Device | None = None) -> Tensor:
        """Evenly distributed in [low, high), float64 unless `dtype` says otherwise."""
        return self._placed(self._draw.uniform(low, high, shape), dtype, device)

    def normal(self, shape: Shape, *, dtype: Any = None, device: str | Device | None = None) -> Tensor:
        """Normally distributed, mean 0 and standard deviation 1, float64 unless `dtype` says otherwise."""
        return self._placed(self._draw.standard_normal(shape), dtype, device)

    def integers(self, low: int, high: int, shape: Shape, *, device: str | Device | None = None) -> Tensor:
        """Integers from `low` up to but not including `high`."""
        return self._placed(self._draw.integers(low, high, shape), None, device)

    def _placed(self, values: Any, dtype: Any, device: str | Device | None) -> Tensor:
        if MODE.get().trace is not None:
            raise TraceError("random numbers are drawn while a function is traced, and would be the same at every call and step: draw them before")
        with_dtype = values if dtype is None else asarray(values, dtype=dtype, device="cpu").data
        return asarray(with_dtype, device=self._home if device is None else device)


def default_rng(seed: int | None = None, *, device: str | Device | None = None) -> Generator:
    """A generator whose Tensors go to `device`, by default the current one. Without a seed, numbers differ every time."""
    return Generator(seed, device)
