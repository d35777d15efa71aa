"""What an array library must supply to be a backend, and the devices it offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Generic

import numpy as np

from . import summation
from .dtypes import canonical, is_bfloat16, is_complex, kind_of
from .sources import HostSource, Seed, Source
from .transfers import counted
from .types import Array, ArrayLike, ArrayT, DTypeLike, HostArray, Index, Namespace


class DeviceError(RuntimeError):
    """A device that is unknown, not present, or mixed with another in one op."""


class Backend(ABC, Generic[ArrayT]):
    """One array library. Subclass it, supply the abstract parts, and hand the class to `register`.

    To type checkers it is generic in the type of its arrays.

    `xp` is the library's namespace in the sense of the Python Array API standard. `promotes` says that its
    operators follow NumPy 2's promotion by themselves; where they do not, xgrad casts the operands before
    each op.
    """

    name: str
    xp: Any
    on_host = False  # whether its arrays are in the host's memory
    promotes = False
    # whether an array of shape () may be the integer in an index as it is; else its value is copied to the
    # host
    indexes_by_scalars = False
    # whether its complex functions keep a tiny imaginary part exact, as the check of gradients by a complex
    # step wants
    complex_steps = True
    native: Any = None  # the module that compiles and launches native code, where there is one
    laid: Any = None  # what runs a plan that was written as Python text, where there is one

    def __init_subclass__(cls) -> None:
        """Count every copy between the memories, whoever asks for it."""
        super().__init_subclass__()
        for name in () if cls.on_host else ("to_host", "from_host"):
            copy = getattr(cls, name)
            if not hasattr(copy, "counted"):
                setattr(cls, name, counted(name, copy))

    def count(self) -> int:
        """Number of devices. Raises DeviceError, saying what is missing, where none can be used."""
        return 1

    @abstractmethod
    def handle(self, index: int) -> Any:
        """What the namespace's creation functions take as `device=`."""

    def index_of(self, array: ArrayT) -> int:
        """Number of the device that holds `array`."""
        return 0

    def from_host(self, array: HostArray, index: int) -> Array:
        """`array` on device `index`; it may share memory where the device is the host."""
        xp: Namespace = self.xp
        return xp.asarray(array, device=self.handle(index))

    @abstractmethod
    def to_host(self, array: ArrayT) -> HostArray:
        """`array` as a NumPy array; it may share memory where the device is the host."""

    def is_view(self, array: ArrayT, others: Sequence[ArrayT]) -> bool:
        """Whether `array` may be a view of one of the others. The standard cannot tell."""
        return True

    def moved(self, array: ArrayT, index: int) -> Array:
        """`array` on another device of this library: through the host, where the library knows no shorter
        way."""
        return self.from_host(self.to_host(array), index)

    @abstractmethod
    def scatter_add(self, target: ArrayT, key: Index, values: ArrayT) -> None:
        """`target[key] += values` in place, an index that occurs twice counting twice."""

    def assign(self, target: ArrayT, key: Index, values: ArrayLike) -> None:
        """`target[key] = values` in place, where the last of several for one place counts; the standard has
        no arrays of integers in `key`."""
        target[key] = values

    def einsum(self, subscripts: str, *operands: ArrayT) -> Array:
        """Einstein's summation. `subscripts` has one letter per axis, and an output."""
        return summation.einsum(self.xp, subscripts, *operands)

    def eig(self, x: ArrayT) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors of square matrices, complex always.

        The standard has none: NumPy's, on the host.
        """
        host = self.to_host(x)
        w, v = np.linalg.eig(host)
        kind = np.result_type(host.dtype, np.complex64)
        return self.from_host(w.astype(kind), self.index_of(x)), self.from_host(
            v.astype(kind), self.index_of(x)
        )

    def eigh(self, x: ArrayT, UPLO: str) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors of hermitian matrices, of which one triangle is read, "L" or "U"; the
        standard has the lower."""
        xp: Namespace = self.xp
        w, v = xp.linalg.eigh(
            x if UPLO == "L" else xp.matrix_transpose(xp.conj(x) if is_complex(x.dtype) else x)
        )
        return w, v

    def pow(self, x: Any, y: Any) -> Any:
        """x ** y.

        The root that NumPy, and what is made on it, takes for one exponent of 0.5 is NaN of -inf and -0 of
        -0.
        """
        xp: Namespace = self.xp
        if isinstance(y, int | float) and is_complex(getattr(x, "dtype", None)):
            return x**y
        one = isinstance(y, float) or (y.size == 1 and kind_of(self.dtype_of(y)) == "f")
        if not one or not hasattr(x, "shape") or kind_of(self.dtype_of(x)) != "f":
            return x**y if isinstance(y, float) else xp.pow(x, y)
        # without a look at the exponent, which would be a copy
        if not isinstance(y, float) and not self.on_host:
            root = y == 0.5
            z = xp.pow(xp.where(root & (x == -math.inf), math.inf, x), y)
            return xp.where(root, z + 0.0, z)
        if y == 0.5:
            return xp.pow(xp.where(x == -math.inf, math.inf, x), y) + 0.0
        return x**y if isinstance(y, float) else xp.pow(x, y)

    def as_complex(self, pairs: ArrayT) -> Array:
        """Pairs of real and imaginary parts along the last axis, as complex numbers. The standard cannot: on
        the host."""
        host = np.ascontiguousarray(self.to_host(pairs))
        kind = np.result_type(host.dtype, np.complex64)
        return self.from_host(host.view(kind)[..., 0], self.index_of(pairs))

    def as_pairs(self, array: ArrayT) -> Array:
        """Complex numbers as pairs of their parts along a new last axis."""
        xp: Namespace = self.xp
        return xp.stack([xp.real(array), xp.imag(array)], axis=-1)

    def slide(self, x: ArrayT, y: ArrayT, *, full: bool) -> Array:
        """The sums of the products of `y` and what it lies on as it slides along `x`, which is no shorter:
        see the op."""
        xp: Namespace = self.xp
        m = y.shape[0]
        if full:
            ends = xp.zeros((m - 1,), dtype=x.dtype, device=self.handle(self.index_of(x)))
            along: Array = xp.concat([ends, x, ends])
        else:
            along = x
        n = along.shape[0] - m + 1
        z = along[:n] * y[0]
        for j in range(1, m):
            z = z + along[j : n + j] * y[j]
        return z

    def dtype_of(self, array: ArrayT) -> np.dtype[Any]:
        """The dtype of `array` as a NumPy dtype, which is what xgrad shows on every device."""
        return array.dtype if isinstance(array.dtype, np.dtype) else _numpys(array.dtype)

    def native_dtype(self, dtype: DTypeLike) -> Any:
        """A dtype of NumPy's, or one of the library's own, as the library writes it.

        Raises TypeError where it has none like it.
        """
        found = getattr(self.xp, canonical(dtype).name, None)
        if found is None:
            raise TypeError(f"{self.name} has no dtype {canonical(dtype).name}")
        return found

    def can_cast(self, old: np.dtype[Any], new: np.dtype[Any]) -> bool:
        """Whether a value of dtype `old` may be put into an array of dtype `new` in place."""
        return kind_of(old) == kind_of(new) or np.can_cast(old, new, "same_kind")

    def checked(self, array: ArrayT) -> ArrayT:
        """`array`, if it holds numbers. Raises TypeError for strings and objects."""
        if kind_of(self.dtype_of(array)) not in "biufc":
            raise TypeError(f"a Tensor holds numbers, not dtype {array.dtype}{_instead(array.dtype)}")
        return array

    def show(self, array: ArrayT, prefix: str) -> str:
        """The values of `array` as text, its lines indented below `prefix`."""
        host = self.to_host(array)
        precision = np.get_printoptions()["precision"]
        # NumPy does not write these as it writes numbers; six digits tell any two apart
        if is_bfloat16(host.dtype):
            host, precision = host.astype(np.float32), min(6, precision)
        return np.array2string(host, separator=", ", prefix=prefix, precision=precision)

    def generator(self, seed: Seed, index: int, native: bool) -> Source:
        """Source of random numbers for device `index`; with `native`, the library's own on that device.

        By default they are drawn on the host, so that every device has the same numbers for the same seed.
        Raises DeviceError where the library has no generator of its own.
        """
        if native:
            raise DeviceError(f"{self.name} has no random numbers of its own to offer: leave native=True out")
        return HostSource(seed)

    def normal_cdf(self, array: ArrayT) -> Array:
        """The probability that a standard normal number is below `array`, to the last digits in its left tail
        too."""
        values = np.asarray(self.to_host(array), np.float64)
        found = np.asarray(
            np.frompyfunc(lambda x: math.erfc(-x / math.sqrt(2)) / 2, 1, 1)(values), np.float64
        )
        return self.from_host(found, self.index_of(array))

    def normal_quantile(self, array: ArrayT) -> Array:
        """Where `normal_cdf` is `array`, which is between 0 and 1."""
        from statistics import NormalDist  # which takes a while to import

        values = np.clip(np.asarray(self.to_host(array), np.float64), math.ulp(0.0), 1 - 2**-53)
        found = np.asarray(np.frompyfunc(NormalDist().inv_cdf, 1, 1)(values), np.float64)
        return self.from_host(found, self.index_of(array))

    def launcher(self, index: int) -> Any:
        """The `Launcher` that runs kernels on device `index`, None where there is none."""
        return None

    def synchronize(self, index: int) -> None:
        """Wait until device `index` has done what was asked of it."""

    def stream(self, index: int) -> AbstractContextManager[Any]:
        """A block whose work on device `index` goes to a stream of its own, after what was asked before and
        before what is asked after."""
        return nullcontext()

    @abstractmethod
    def memory(self, index: int) -> dict[str, int]:
        """Bytes `used` by this process and `total` on device `index`; `pool`, where the library holds freed
        memory as well, with that."""

    def release(self, index: int) -> None:
        """Give memory of device `index` that was freed, and is held for later, back to the system."""

    def facts(self, index: int) -> dict[str, str]:
        """What the library knows of device `index` and of itself, for people to read."""
        return {}

    def guard(self, index: int) -> AbstractContextManager[Any] | None:
        """What must be entered around work on device `index`; None where nothing must."""
        return None


def _instead(dtype: Any) -> str:
    """How an array of this dtype becomes one of numbers."""
    if getattr(dtype, "names", None):
        return f": take a field of it, as array[{dtype.names[0]!r}]"
    units = ": array.astype('int64') counts its units"
    return {"O": ": array.astype(float), if all in it are numbers", "M": units, "m": units}.get(
        getattr(dtype, "kind", ""), ""
    )


class Device:
    """One device of a backend, such as `cpu` or `cuda:1`.

    There is one object per device, so `is` compares them.
    """

    __slots__ = ("backend", "guard", "index", "name", "plain", "promotes", "xp")

    def __init__(self, backend: Backend[Any], index: int) -> None:
        self.backend = backend
        self.index = index
        self.name = (
            backend.name if backend.count() == 1 and backend.name == "cpu" else f"{backend.name}:{index}"
        )
        self.promotes = backend.promotes
        self.guard = backend.guard(index)
        self.plain = self.promotes and self.guard is None  # whether an op can simply be called
        self.xp = _namespace(backend)

    @property
    def handle(self) -> Any:
        """The device in the terms of its array library."""
        return self.backend.handle(self.index)

    def synchronize(self) -> None:
        """Wait until the device has done what was asked of it."""
        self.backend.synchronize(self.index)

    def memory(self) -> dict[str, int]:
        """Bytes `used` by this process and `total` on the device; on CUDA `pool` too: what CuPy holds, used
        or freed."""
        return self.backend.memory(self.index)

    def release(self) -> None:
        """Give memory that was freed, and is held for later use, back to the system, for another library or
        process to take."""
        self.backend.release(self.index)

    def stream(self) -> AbstractContextManager[Any]:
        """A `with` block whose work on this device goes to a new stream of its own; nothing where the library
        has no streams.

        The stream first waits for what the current one was asked to do, and at the end the current one waits
        for it: both on the device, the host goes on. Arrays that were made outside may be used inside, and
        the other way round. It is for work beside that of other threads, or of another library on the current
        stream.

        >>> import xgrad as xg
        >>> with xg.current_device().stream():
        ...     z = xg.ones(2) * 3
        """
        return self.backend.stream(self.index)

    def __repr__(self) -> str:
        return f"device({self.name!r})"

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, str) and other == self.name)

    def __hash__(self) -> int:
        return hash(self.name)


def _namespace(backend: Backend[Any]) -> Namespace:
    """The library's own namespace, and beside it what the gates need and the standard lacks."""
    xp: Namespace = backend.xp

    def scatter(values: Array, *, key: Index, shape: tuple[int, ...]) -> Array:
        """zeros(shape) with `values` added at `key`."""
        key = key if isinstance(key, tuple) else (key,)
        target = xp.zeros(shape, dtype=values.dtype, device=backend.handle(backend.index_of(values)))
        if _is_basic(key):
            key = tuple(k for k in key if k is not None)  # new axes, which the standard does not assign to
            target[key] = xp.reshape(values, target[key].shape)
        else:
            backend.scatter_add(target, key, values)
        return target

    def untake(values: Array, indices: Array, *, axis: int, shape: tuple[int, ...]) -> Array:
        """zeros(shape) with the slices of `values` along `axis` added at `indices`."""
        return scatter(values, key=(*(slice(None),) * (axis % len(shape)), indices), shape=shape)

    def setitem(x: Array, v: ArrayLike, *, key: Index) -> Array:
        """A copy of `x` with `v` at `key`."""
        key = key[0] if isinstance(key, tuple) and len(key) == 1 else key  # a mask must stand alone
        if (
            getattr(key, "shape", None) == x.shape
            and backend.dtype_of(key).kind == "b"
            and getattr(v, "shape", ()) == ()
        ):
            v = xp.asarray(v, dtype=x.dtype, device=backend.handle(backend.index_of(x)))
            return xp.where(key, v, x)  # a number at a mask, which a library may not assign, or slowly
        target = xp.asarray(x, copy=True)
        backend.assign(target, key, v)
        return target

    def astype(x: Array, dtype: DTypeLike) -> Array:
        """`x` in a dtype as NumPy or as the library writes it."""
        if is_complex(x.dtype) and canonical(dtype).kind == "b":
            return x != 0  # not every library casts that
        return xp.astype(x, backend.native_dtype(dtype))

    def sign(x: Array) -> Array:
        """x / |x|, and 0 at 0: of a complex number by its parts over the larger, whose quotients neither
        overflow nor vanish."""
        if not is_complex(x.dtype):
            return xp.sign(x)
        parts = xp.real(x), xp.imag(x)
        size = xp.maximum(*map(xp.abs, parts))
        size = xp.where(size == 0, 1, size)
        real, imag = (part / size for part in parts)
        length = xp.hypot(real, imag)
        length = xp.where(length == 0, 1, length)
        return xp.astype(real / length, x.dtype) + 1j * xp.astype(imag / length, x.dtype)

    def to_device(x: Array, device: Device) -> Array:
        """`x` in the memory of another device."""
        return (
            backend.moved(x, device.index)
            if device.backend is backend
            else device.backend.from_host(backend.to_host(x), device.index)
        )

    def cofactor(x: Array) -> Array:
        """det(x) x⁻ᵀ for square matrices, singular ones too: U S Vh has det(U) det(Vh) conj(U) (the products
        of all S but one) conj(Vh)."""
        u, s, vh = xp.linalg.svd(x, full_matrices=False)
        i = xp.arange(s.shape[-1], device=backend.handle(backend.index_of(x)))
        others = xp.prod(xp.where(i[:, None] == i, xp.ones_like(s[..., None, :]), s[..., None, :]), axis=-1)
        conj = xp.conj if is_complex(x.dtype) else xp.positive
        return (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None] * (
            (conj(u) * others[..., None, :]) @ conj(vh)
        )

    def seal(x: Array) -> Array:
        """A 0 for each row of `x`."""
        dtype = xp.real(x).dtype if is_complex(x.dtype) else x.dtype
        return xp.zeros((*x.shape[:-1], 1), dtype=dtype, device=backend.handle(backend.index_of(x)))

    extensions = [name for name in ("fft", "linalg") if hasattr(xp, name)]  # which need not be listed
    names = {name: getattr(xp, name) for name in (*dir(xp), *extensions) if not name.startswith("_")}
    of_backend = (
        backend.as_complex,
        backend.eig,
        backend.eigh,
        backend.einsum,
        backend.normal_cdf,
        backend.normal_quantile,
        backend.pow,
        backend.slide,
    )
    own = (*of_backend, astype, cofactor, scatter, seal, setitem, sign, to_device, untake)
    found: Any = SimpleNamespace(**{**names, **{f.__name__: f for f in own}})
    made: Namespace = found
    return made


@lru_cache(256)
def _numpys(dtype: Any) -> np.dtype[Any]:
    """A library's dtype as NumPy's, by its name."""
    return np.dtype(str(dtype).rpartition(".")[2])


def _is_basic(key: tuple[Any, ...]) -> bool:
    """Whether `key` names each element at most once: no index arrays in it."""
    return all(k is None or k is Ellipsis or isinstance(k, int | slice) for k in key)
