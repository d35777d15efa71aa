"""The public generator class and its constructor."""

from __future__ import annotations

from ..backends import Device
from ..backends.sources import Seed
from .discrete import Discrete
from .rounded import parameters, rounded


class Generator(Discrete):
    """A source of random Tensors with the methods of NumPy's `Generator`; `default_rng` makes it.

    The result of each method has shape `size`, by default the broadcast shape of the parameters. Its dtype is
    float64 (int64 for discrete distributions) unless `dtype` says otherwise; float16 and bfloat16 are drawn
    in float32 and rounded. It is on the generator's device, and so must be parameters that are Tensors. A
    method checks its parameters before it draws: if it raises, the state has not changed.

    Gradients flow to location and scale parameters, and to all parameters of `truncated_normal`,
    `multivariate_normal` and `gumbel_softmax`. If another parameter needs a gradient, GraphError is raised.
    Drawing in a trace (`compile`, `scan`) raises TraceError.

    >>> import xgrad as xg
    >>> rng = xg.random.default_rng(0)
    >>> state = rng.state
    >>> a = rng.normal(size=(2, 3))
    >>> rng.state = state
    >>> bool(xg.all(rng.normal(size=(2, 3)) == a))
    True
    """


for _name in dir(Generator):
    _method = getattr(Generator, _name)
    if callable(_method) and not _name.startswith("_") and "dtype" in parameters(_method):
        setattr(Generator, _name, rounded(_method))


def default_rng(seed: Seed = None, *, device: str | Device | None = None, native: bool = False) -> Generator:
    """Make a generator whose Tensors are on `device`, by default the current one.

    Args:
        seed: an integer, or a sequence of integers; None gives different numbers every time.
        native: whether the array library draws on the device itself. By default numbers are drawn on the host
        by NumPy's generator, so that one seed gives the same numbers on every device, bit-identical to
        `numpy.random.default_rng`. On CUDA, CuPy draws faster; its numbers differ, and its state can be
        neither saved nor copied.

    Raises DeviceError for `native` if the library has no generator of its own.
    """
    return Generator(seed, device, native)
