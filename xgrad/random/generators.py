"""The generator, which is what there is to be called."""

from __future__ import annotations

from ..backends import Device
from ..backends.sources import Seed
from .discrete import Discrete
from .rounded import parameters, rounded


class Generator(Discrete):
    """A source of random Tensors with the methods of NumPy's `Generator`; `default_rng` makes it.

    The result of each method has shape `size`, by default that of the parameters together; it is float64 (of
    discrete ones int64) unless `dtype` says otherwise (float16 and bfloat16 are drawn in float32 and
    rounded), and on the generator's device, where parameters that are Tensors must be. A method looks at its
    parameters before it draws: where it raises, the state has not moved.

    Gradients flow to the parameters of location and scale, and to all of `truncated_normal`,
    `multivariate_normal` and `gumbel_softmax`. Where one would have to flow to another parameter, GraphError
    is raised. Drawing in a trace (`compile`, `scan`) raises TraceError.

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
    """A generator whose Tensors go to `device`, by default the current one.

    Args:
        seed: an integer, or a sequence of them; without one, numbers differ every time.
        native: whether the array library draws on the device itself. By default numbers are drawn on the host
            by NumPy's generator, so that one seed gives the same numbers on every device, those of
            `numpy.random.default_rng` bit for bit. On CUDA, CuPy draws faster; its numbers are others, and
            its state can be neither saved nor copied.

    Raises DeviceError for `native` where the library has no generator of its own.
    """
    return Generator(seed, device, native)
