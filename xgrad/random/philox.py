"""Philox: a generator whose state is a Tensor, so that it draws inside of compiled functions and loops."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, prod
from typing import Any, Self

from ..backends import Device, current_device, find_device
from ..backends.dtypes import canonical
from ..backends.sources import Seed, entropy
from ..backends.types import DType, DTypeLike
from ..core import pytree
from ..core.context import MODE, mode
from ..core.tensor import Tensor
from ..namespace import (
    arange,
    argsort,
    asarray,
    astype,
    concat,
    cos,
    cumulative_sum,
    float64,
    inf,
    int64,
    log,
    log1p,
    reshape,
    searchsorted,
    sin,
    sqrt,
    tan,
    uint64,
    where,
)
from .generators import Generator

_WORD = 0xFFFFFFFF  # words of 32 bits are kept in uint64, so that products do not overflow


def philox4x32(counter: tuple[Any, Any, Any, Any], key: tuple[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """Encrypt a counter of four words with a key of two: the block cipher Philox4x32-10.

    J. Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011).
    """
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        low, high = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (high >> 32) ^ b ^ k, high & _WORD, (low >> 32) ^ d ^ m, low & _WORD
        k, m = (k + 0x9E3779B9) & _WORD, (m + 0xBB67AE85) & _WORD
    return a, b, c, d


class PhiloxSource:
    """The numbers of a `Philox`: block `i` is the counter `position + i`, encrypted with the key.

    Attributes:
        key, position: uint64 Tensors of one number. Drawing adds to `position`, in place.
    """

    def __init__(self, key: Tensor, position: Tensor) -> None:
        self.key, self.position = key, position
        self.place = position.device.name

    @property
    def state(self) -> dict[str, Any]:
        """The key and the position, as text, since JSON's numbers may not hold 64 bits."""
        return {
            "bit_generator": "Philox4x32-10",
            "key": str(self.key.item()),
            "position": str(self.position.item()),
        }

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        if value.get("bit_generator") != "Philox4x32-10":
            raise ValueError(f"this is the state of {value.get('bit_generator')}, not of Philox4x32-10")
        for name in ("key", "position"):
            getattr(self, name)[...] = int(value[name])

    def spawn(self, count: int) -> list[PhiloxSource]:
        """Sources with new keys, which are drawn from this one."""
        keys = self._words64(count)
        return [PhiloxSource(+keys[i], 0 * self.position) for i in range(count)]

    def draw(self, name: str, params: tuple[Any, ...], size: tuple[int, ...], dtype: DTypeLike) -> Tensor:
        """Draw from a distribution in its standard form."""
        if name == "integers":
            low, high = params
            return self._integers(low, high, size, canonical(dtype))
        if name not in _FROM_UNIFORM and name != "standard_normal":
            raise NotImplementedError(
                f"Philox has no {name}, whose number of draws depends on the values drawn; use "
                f"xg.random.default_rng outside of the compiled function, and pass its numbers in"
            )
        dtype = canonical(dtype)
        count = prod(size)
        if name == "standard_normal":
            return reshape(self._normal(count, dtype), size)
        return reshape(_FROM_UNIFORM[name](self._uniform(count, dtype)), size)

    def permutation(self, n: int) -> Tensor:
        """Random permutation of the integers below `n`: the order of random words of 64 bits."""
        return argsort(self._words64(n))

    def permuted(self, shape: tuple[int, ...], axis: int) -> Tensor:
        """Flat indices into an array of `shape`, shuffled along `axis`, each line independently."""
        order = argsort(reshape(self._words64(prod(shape)), shape), axis=axis)
        step = prod(shape[axis + 1 :])
        flat = reshape(arange(prod(shape), device=self.position.device), shape)
        line = reshape(arange(shape[axis], device=flat.device), (-1,) + (1,) * (len(shape) - axis - 1))
        return flat + (order - line) * step

    def choice(self, n: int, size: tuple[int, ...], replace: bool, p: Any, shuffle: bool) -> Tensor:
        """Draw integers below `n`, with or without replacement, with probabilities `p` (None: uniform)."""
        count = prod(size)
        if not replace:
            times = -log1p(-self._uniform(n, float64))
            if p is not None:  # the first of a race, in which each has the rate p
                times = where(p > 0, times / where(p > 0, p, 1.0), inf)
            return reshape(argsort(times)[:count], size)
        if p is None:
            return self._integers(0, n, size, canonical(int64))
        total = cumulative_sum(p)
        u = self._uniform(count, float64) * total[-1]
        return reshape(astype(searchsorted(total, u, side="right"), int64), size)

    def _blocks(self, count: int) -> tuple[Any, Any, Any, Any]:
        """Four words each of the next `count` blocks."""
        position, key = +self.position, self.key
        self.position += count
        i = position + arange(count, dtype=uint64, device=position.device)
        zero = 0 * key
        return philox4x32((i & _WORD, i >> 32, zero, zero), (key & _WORD, key >> 32))

    def _words32(self, count: int) -> Tensor:
        """`count` words of 32 bits."""
        return concat(self._blocks(-(-count // 4)))[:count]

    def _words64(self, count: int) -> Tensor:
        """`count` words of 64 bits."""
        a, b, c, d = self._blocks(-(-count // 2))
        return concat([a << 32 | b, c << 32 | d])[:count]

    def _uniform(self, count: int, dtype: DTypeLike) -> Tensor:
        """Uniform numbers in [0, 1): multiples of 2⁻⁵³, or of 2⁻²⁴ in float32."""
        if canonical(dtype).itemsize < 8:
            return astype(self._words32(count) >> 8, dtype) * 2.0**-24
        return astype(self._words64(count) >> 11, dtype) * 2.0**-53

    def _normal(self, count: int, dtype: DType) -> Tensor:
        """Normal numbers, in pairs: G. Box and M. Muller (1958)."""
        half = -(-count // 2)
        u = self._uniform(2 * half, dtype)
        radius, angle = sqrt(-2 * log(1 - u[:half])), 2 * pi * u[half:]
        return concat([radius * cos(angle), radius * sin(angle)])[:count]

    def _integers(self, low: Any, high: Any, size: tuple[int, ...], dtype: DType) -> Tensor:
        """Integers from `low` to below `high`; the bias is at most (high - low) / 2⁶⁴."""
        span = astype(asarray(high, device=self.position.device) - low, uint64)
        drawn = astype(reshape(self._words64(prod(size)), size) % span, int64) + low
        return astype(drawn, dtype)


#: The standard form of each distribution, from uniform numbers in [0, 1).
_FROM_UNIFORM: dict[str, Callable[[Tensor], Tensor]] = {
    "random": lambda u: u,
    "standard_exponential": lambda u: -log1p(-u),
    "laplace": lambda u: where(u < 0.5, log(2 * u + _tiny(u)), -log(2 - 2 * u)),
    "logistic": lambda u: log(u + _tiny(u)) - log1p(-u),
    "gumbel": lambda u: -log(-log1p(-u) + _tiny(u)),
    "standard_cauchy": lambda u: tan(pi * (u - 0.5)),
}


def _tiny(u: Tensor) -> float:
    """Half of the least positive number that `u` may be, so that no logarithm of 0 is taken."""
    return 2.0**-54 if u.dtype.itemsize == 8 else 2.0**-25


class Philox(Generator):
    """A generator that is a value, as `philox` makes it: a tree of two Tensors, its key and its position.

    It has the methods of `Generator`, except for distributions that draw until a value is accepted: gamma,
    beta, Student's t, F, Wald, Poisson, binomial and others, which raise NotImplementedError. Integers and
    uniform numbers are the same on every device, other numbers up to rounding.

    >>> import xgrad as xg
    >>> rng = xg.random.philox(0)
    >>> rng.integers(10, size=5), rng.position
    (tensor([9, 5, 5, 8, 2]), tensor(3, dtype=uint64))
    """

    _source: Any

    def __init__(self, seed: Seed = None, device: str | Device | None = None) -> None:
        home = current_device() if device is None else find_device(device)
        self._home, self._source = home, _source(home, entropy(seed), 0)

    @property
    def key(self) -> Tensor:
        """The key, which seed and `spawn` choose: a uint64 Tensor of one number."""
        found: Tensor = self._source.key
        return found

    @property
    def position(self) -> Tensor:
        """The number of blocks drawn: a uint64 Tensor of one number."""
        found: Tensor = self._source.position
        return found

    def spawn(self, n_children: int) -> list[Self]:
        """Make generators independent of this one and of each other; their keys are drawn from this one.

        >>> import xgrad as xg
        >>> a, b = xg.random.philox(0).spawn(2)
        >>> a.random().item() == b.random().item()
        False
        """
        with mode(grad=False, record=False):
            return [
                _rebuilt(type(self), self._home, (s.key, s.position)) for s in self._source.spawn(n_children)
            ]

    def __getstate__(self) -> dict[str, Any]:
        return {"device": self._home.name, "state": self.state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._home, kept = find_device(state["device"]), state["state"]
        self._source = _source(self._home, int(kept["key"]), int(kept["position"]))

    def __repr__(self) -> str:
        return f"Philox(device={self._home.name!r})"

    def _untraced(self) -> None:
        """Nothing to refuse: in a trace its draws are stages."""

    def _refuse(self, method: str, what: str, bad: Callable[..., Any], *params: Tensor | float) -> None:
        """Check the parameters, if they have values."""
        if MODE.get().trace is None or not any(isinstance(p, Tensor) for p in params):
            super()._refuse(method, what, bad, *params)

    def _draw(self, name: str, size: tuple[int, ...], dtype: DTypeLike, *params: Tensor | float) -> Tensor:
        with mode(grad=False, record=False):
            return super()._draw(name, size, dtype, *params)

    def _raw(self, value: Tensor | float | None) -> Any:
        return value.detach() if isinstance(value, Tensor) else value


def _source(home: Device, key: int, position: int) -> PhiloxSource:
    return PhiloxSource(*[asarray(v, dtype=uint64, device=home) for v in (key, position)])


def _rebuilt(kind: type[Philox], home: Device, children: Any) -> Any:
    key, position = children
    rng = object.__new__(kind)
    rng._home = home
    rng._source = PhiloxSource(key, position)
    return rng


for now in (False, True):
    pytree.register(
        Philox,
        lambda rng: ((rng.key, rng.position), rng._home, ("key", "position")),
        lambda home, children: _rebuilt(Philox, home, children),
        now=now,
    )


def philox(seed: Seed = None, *, device: str | Device | None = None) -> Philox:
    """Make a generator that draws inside of compiled functions and loops too.

    Its state is two Tensors. As an argument of a compiled function, or in the carry of `scan`, it gives new
    numbers at every call and every step, the same ones for one seed: each block of numbers is a counter,
    encrypted by Philox4x32-10. As with every carry, the generator that `scan` returns goes on from there, and
    the one that it was given stays as it was.

    Args:
        seed: an integer, or a sequence of integers; None gives different numbers every time.
        device: where it draws, by default the current device.

    >>> import xgrad as xg
    >>> rng = xg.random.philox(0)
    >>> noisy = xg.compile(lambda x, rng: x + rng.normal(size=x.shape))
    >>> a, b = noisy(xg.zeros(3), rng), noisy(xg.zeros(3), rng)
    >>> bool(xg.any(a == b))
    False
    >>> def walk(carry, _):
    ...     h, rng = carry
    ...     return (h + rng.normal(), rng), h
    >>> (h, rng), path = xg.scan(walk, (0.0, rng), None, length=100)
    """
    return Philox(seed, device)
