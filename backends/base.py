"""The interface of a backend, and the devices that it offers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Generic

import numpy as np

from . import summation
from .dtypes import canonical, is_bfloat16, is_complex, kind_of
from .namespace import extended
from .sources import HostSource, Seed, Source
from .transfers import counted
from .types import Array, ArrayLike, ArrayT, DTypeLike, HostArray, Index, Namespace


class DeviceError(RuntimeError):
    """A device is unknown or unavailable, or one op mixes devices."""


#: Arrays of more elements than this are shown by their corners. NumPy's default, 1000, fills several screens.
LARGE = 200


class Backend(ABC, Generic[ArrayT]):
    """One array library. Subclass it, supply the abstract parts, and hand the class to `register`.

    To type checkers it is generic in the type of its arrays.

    `xp` is the library's namespace as defined by the Python Array API standard. `promotes` says that its
    operators follow NumPy 2's promotion; if not, xgrad casts the operands before each op.
    """

    name: str
    xp: Any
    on_host = False  # whether its arrays are in the host's memory
    promotes = False
    # whether an array of shape () can be used as an integer index; if not, its value is copied to the host
    indexes_by_scalars = False
    # whether complex functions keep a tiny imaginary part exact, as complex-step gradient checking requires
    complex_steps = True
    native: Any = None  # the module that compiles and launches native code, if any
    laid: Any = None  # runs a plan written as Python source, if supported

    def __init_subclass__(cls) -> None:
        """Wrap the methods that copy between host and device, to count transfers."""
        super().__init_subclass__()
        for name in () if cls.on_host else ("to_host", "from_host"):
            copy = getattr(cls, name)
            if not hasattr(copy, "counted"):
                setattr(cls, name, counted(name, copy))

    def count(self) -> int:
        """Number of devices.

        Raises DeviceError, saying what is missing, if none can be used.
        """
        return 1

    @abstractmethod
    def handle(self, index: int) -> Any:
        """Value of the `device=` argument of the namespace's creation functions."""

    def index_of(self, array: ArrayT) -> int:
        """Index of the device that holds `array`."""
        return 0

    def from_host(self, array: HostArray, index: int) -> Array:
        """Copy `array` to device `index`; memory may be shared if the device is the host."""
        xp: Namespace = self.xp
        return xp.asarray(array, device=self.handle(index))

    @abstractmethod
    def to_host(self, array: ArrayT) -> HostArray:
        """Copy to a NumPy array; memory may be shared if the device is the host."""

    def is_view(self, array: ArrayT, others: Sequence[ArrayT]) -> bool:
        """Whether `array` may be a view of one of the others; the standard has no such query."""
        return True

    def moved(self, array: ArrayT, index: int) -> Array:
        """Copy to another device of this library; by default through the host."""
        return self.from_host(self.to_host(array), index)

    @abstractmethod
    def scatter_add(self, target: ArrayT, key: Index, values: ArrayT) -> None:
        """`target[key] += values` in place; repeated indices accumulate."""

    def assign(self, target: ArrayT, key: Index, values: ArrayLike) -> None:
        """`target[key] = values` in place; for repeated indices the last value wins.

        The standard does not support integer arrays in `key`.
        """
        target[key] = values

    def einsum(self, subscripts: str, *operands: ArrayT) -> Array:
        """Einstein summation; `subscripts` has one letter per axis, and an explicit output."""
        return summation.einsum(self.xp, subscripts, *operands)

    def eig(self, x: ArrayT) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors of square matrices, always complex.

        The standard lacks this function; the default is NumPy's, on the host.
        """
        host = self.to_host(x)
        w, v = np.linalg.eig(host)
        kind = np.result_type(host.dtype, np.complex64)
        return self.from_host(w.astype(kind), self.index_of(x)), self.from_host(
            v.astype(kind), self.index_of(x)
        )

    def eigh(self, x: ArrayT, UPLO: str) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors of hermitian matrices.

        `UPLO` selects the triangle that is read, "L" or "U"; the standard always reads the lower.
        """
        xp: Namespace = self.xp
        w, v = xp.linalg.eigh(
            x if UPLO == "L" else xp.matrix_transpose(xp.conj(x) if is_complex(x.dtype) else x)
        )
        return w, v

    def pow(self, x: Any, y: Any) -> Any:
        """x ** y.

        For a scalar exponent of 0.5, NumPy and its derivatives compute a square root, which gives NaN for
        -inf and -0 for -0.
        """
        xp: Namespace = self.xp
        if isinstance(y, int | float) and is_complex(getattr(x, "dtype", None)):
            return x**y
        one = isinstance(y, float) or (y.size == 1 and kind_of(self.dtype_of(y)) == "f")
        if not one or not hasattr(x, "shape") or kind_of(self.dtype_of(x)) != "f":
            return x**y if isinstance(y, float) else xp.pow(x, y)
        # without reading the exponent, which would copy it to the host
        if not isinstance(y, float) and not self.on_host:
            root = y == 0.5
            z = xp.pow(xp.where(root & (x == -math.inf), math.inf, x), y)
            return xp.where(root, z + 0.0, z)
        if y == 0.5:
            return xp.pow(xp.where(x == -math.inf, math.inf, x), y) + 0.0
        return x**y if isinstance(y, float) else xp.pow(x, y)

    def as_complex(self, pairs: ArrayT) -> Array:
        """Convert pairs of real and imaginary parts along the last axis to complex numbers.

        The standard lacks this function; the default runs on the host.
        """
        host = np.ascontiguousarray(self.to_host(pairs))
        kind = np.result_type(host.dtype, np.complex64)
        return self.from_host(host.view(kind)[..., 0], self.index_of(pairs))

    def as_pairs(self, array: ArrayT) -> Array:
        """Convert complex numbers to pairs of real and imaginary parts along a new last axis."""
        xp: Namespace = self.xp
        return xp.stack([xp.real(array), xp.imag(array)], axis=-1)

    def slide(self, x: ArrayT, y: ArrayT, *, full: bool) -> Array:
        """Sliding dot product of `y` along `x`, which is at least as long; see the op."""
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
        """The dtype of `array` as a NumPy dtype, which xgrad uses on every device."""
        return array.dtype if isinstance(array.dtype, np.dtype) else _numpys(array.dtype)

    def native_dtype(self, dtype: DTypeLike) -> Any:
        """Convert a dtype of NumPy or of the library to the library's own.

        Raises TypeError if it has no equivalent.
        """
        found = getattr(self.xp, canonical(dtype).name, None)
        if found is None:
            raise TypeError(f"{self.name} has no dtype {canonical(dtype).name}")
        return found

    def can_cast(self, old: np.dtype[Any], new: np.dtype[Any]) -> bool:
        """Whether values of dtype `old` can be assigned to an array of dtype `new` in place."""
        return kind_of(old) == kind_of(new) or np.can_cast(old, new, "same_kind")

    def checked(self, array: ArrayT) -> ArrayT:
        """Return `array` if it holds numbers; raise TypeError for strings and objects."""
        if kind_of(self.dtype_of(array)) not in "biufc":
            raise TypeError(f"a Tensor holds numbers, not dtype {array.dtype}{_instead(array.dtype)}")
        return array

    def show(self, array: ArrayT, prefix: str) -> str:
        """The values of `array` as text, its lines indented below `prefix`.

        Of an array with more than LARGE elements, or another `threshold` of NumPy's print options, it has
        the corners, and only these are copied to the host.
        """
        set_by_user = np.get_printoptions()
        options: dict[str, Any] = {"precision": set_by_user["precision"]}
        if array.size > (LARGE if set_by_user["threshold"] == 1000 else set_by_user["threshold"]):
            edge = {0: 3, 1: 3, 2: 3, 3: 2}.get(len(array.shape), 1)
            options = {"precision": min(4, options["precision"]), "threshold": 0, "edgeitems": edge}
            options["max_line_width"] = max(100, set_by_user["linewidth"])
            with self.guard(self.index_of(array)) or nullcontext():
                array = _corners(self.xp, array, edge)
        host = self.to_host(array)
        # NumPy does not format these like numbers; six digits distinguish any two
        if is_bfloat16(host.dtype):
            host, options["precision"] = host.astype(np.float32), min(6, options["precision"])
        return np.array2string(host, separator=", ", prefix=prefix, **options)

    def generator(self, seed: Seed, index: int, native: bool) -> Source:
        """Source of random numbers for device `index`; with `native`, the library's own on that device.

        By default numbers are drawn on the host, so that a seed gives the same numbers on every device.
        Raises DeviceError for `native` if the library has no generator.
        """
        if native:
            raise DeviceError(
                f"the {self.name} backend has no random number generator of its own; leave native=True out"
            )
        return HostSource(seed)

    def normal_cdf(self, array: ArrayT) -> Array:
        """Standard normal distribution function, accurate in the left tail too."""
        values = np.asarray(self.to_host(array), np.float64)
        found = np.asarray(
            np.frompyfunc(lambda x: math.erfc(-x / math.sqrt(2)) / 2, 1, 1)(values), np.float64
        )
        return self.from_host(found, self.index_of(array))

    def normal_quantile(self, array: ArrayT) -> Array:
        """Standard normal quantile function: the inverse of `normal_cdf`."""
        from statistics import NormalDist  # slow to import

        values = np.clip(np.asarray(self.to_host(array), np.float64), math.ulp(0.0), 1 - 2**-53)
        found = np.asarray(np.frompyfunc(NormalDist().inv_cdf, 1, 1)(values), np.float64)
        return self.from_host(found, self.index_of(array))

    def launcher(self, index: int) -> Any:
        """The `Launcher` that runs kernels on device `index`, or None."""
        return None

    def synchronize(self, index: int) -> None:
        """Wait until device `index` has finished all queued work."""

    def stream(self, index: int) -> AbstractContextManager[Any]:
        """Context manager that runs work on device `index` on a new stream.

        It is ordered after earlier and before later work on the current stream.
        """
        return nullcontext()

    @abstractmethod
    def memory(self, index: int) -> dict[str, int]:
        """Bytes `used` by this process and `total` on device `index`.

        If the library pools freed memory, `pool` is the bytes it holds, used or freed.
        """

    def release(self, index: int) -> None:
        """Return pooled free memory of device `index` to the system."""

    def facts(self, index: int) -> dict[str, str]:
        """Human-readable properties of the library and of device `index`."""
        return {}

    def guard(self, index: int) -> AbstractContextManager[Any] | None:
        """Context manager required around work on device `index`, or None."""
        return None


def _corners(xp: Namespace, array: Any, edge: int) -> Any:
    """The first and last `edge` items along each long axis, and one between, which "..." stands for."""
    for axis, length in sorted(enumerate(array.shape), key=lambda item: -item[1]):
        if length > 2 * edge:
            before = (slice(None),) * axis
            first, last = (slice(edge + 1), slice(length - edge, None))
            array = xp.concat([array[(*before, first, ...)], array[(*before, last, ...)]], axis=axis)
    return array


def _instead(dtype: Any) -> str:
    """Advice on converting an array of this dtype to numbers."""
    if getattr(dtype, "names", None):
        return f"; pass one of its fields, such as array[{dtype.names[0]!r}]"
    units = "; array.astype('int64') gives the number of units"
    return {"O": "; use array.astype(float) if all elements are numbers", "M": units, "m": units}.get(
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
        self.plain = self.promotes and self.guard is None  # whether ops can be called directly
        self.xp = extended(backend)

    @property
    def handle(self) -> Any:
        """The array library's own object for this device."""
        return self.backend.handle(self.index)

    def synchronize(self) -> None:
        """Wait until the device has finished all queued work."""
        self.backend.synchronize(self.index)

    def memory(self) -> dict[str, int]:
        """Bytes `used` by this process and `total` on the device.

        On CUDA there is also `pool`: the bytes that CuPy holds, used or freed.
        """
        return self.backend.memory(self.index)

    def release(self) -> None:
        """Return pooled free memory to the system, for other libraries or processes."""
        self.backend.release(self.index)

    def stream(self) -> AbstractContextManager[Any]:
        """Context manager that runs work on a new stream; no effect for libraries without streams.

        The new stream first waits for the current one, and at the end the current one waits for it. Both
        waits happen on the device; the host continues. Arrays made outside may be used inside, and vice
        versa. Use it to overlap work with that of other threads, or of another library on the current stream.

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


@lru_cache(256)
def _numpys(dtype: Any) -> np.dtype[Any]:
    """Convert a library's dtype to NumPy's, by its name."""
    return np.dtype(str(dtype).rpartition(".")[2])
