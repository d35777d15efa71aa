"""A library's namespace, extended by the functions that ops need and the array standard lacks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from .dtypes import canonical, is_complex
from .types import Array, ArrayLike, DTypeLike, Index, Namespace

if TYPE_CHECKING:
    from .base import Backend, Device


def extended(backend: Backend[Any]) -> Namespace:
    """The library's namespace, extended by the functions that ops need and the standard lacks."""
    xp: Namespace = backend.xp

    def scatter(values: Array, *, key: Index, shape: tuple[int, ...]) -> Array:
        """zeros(shape) with `values` added at `key`."""
        key = key if isinstance(key, tuple) else (key,)
        target = xp.zeros(shape, dtype=values.dtype, device=backend.handle(backend.index_of(values)))
        if _is_basic(key):
            key = tuple(k for k in key if k is not None)  # the standard cannot assign to new axes
            target[key] = xp.reshape(values, target[key].shape)
        else:
            backend.scatter_add(target, key, values)
        return target

    def untake(values: Array, indices: Array, *, axis: int, shape: tuple[int, ...]) -> Array:
        """zeros(shape) with the slices of `values` along `axis` added at `indices`."""
        return scatter(values, key=(*(slice(None),) * (axis % len(shape)), indices), shape=shape)

    def setitem(x: Array, v: ArrayLike, *, key: Index) -> Array:
        """A copy of `x` with `v` at `key`."""
        key = key[0] if isinstance(key, tuple) and len(key) == 1 else key  # a mask must be the only index
        if (
            getattr(key, "shape", None) == x.shape
            and backend.dtype_of(key).kind == "b"
            and getattr(v, "shape", ()) == ()
        ):
            v = xp.asarray(v, dtype=x.dtype, device=backend.handle(backend.index_of(x)))
            return xp.where(key, v, x)  # a number at a mask: assignment may be slow or missing
        target = xp.asarray(x, copy=True)
        backend.assign(target, key, v)
        return target

    def astype(x: Array, dtype: DTypeLike) -> Array:
        """Convert `x` to a dtype of NumPy or of the library."""
        if is_complex(x.dtype) and canonical(dtype).kind == "b":
            return x != 0  # not every library can cast to bool
        return xp.astype(x, backend.native_dtype(dtype))

    def sign(x: Array) -> Array:
        """x / |x|, and 0 at 0.

        Complex numbers are first divided by the larger of their parts, which avoids overflow and underflow.
        """
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
        """Copy `x` to another device."""
        return (
            backend.moved(x, device.index)
            if device.backend is backend
            else device.backend.from_host(backend.to_host(x), device.index)
        )

    def cofactor(x: Array) -> Array:
        """det(x) x⁻ᵀ for square matrices, including singular ones.

        For x = U S Vh it is det(U) det(Vh) conj(U) (the products of all S but one) conj(Vh).
        """
        u, s, vh = xp.linalg.svd(x, full_matrices=False)
        i = xp.arange(s.shape[-1], device=backend.handle(backend.index_of(x)))
        others = xp.prod(xp.where(i[:, None] == i, xp.ones_like(s[..., None, :]), s[..., None, :]), axis=-1)
        conj = xp.conj if is_complex(x.dtype) else xp.positive
        return (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None] * (
            (conj(u) * others[..., None, :]) @ conj(vh)
        )

    def seal(x: Array) -> Array:
        """Zero for each row of `x`."""
        dtype = xp.real(x).dtype if is_complex(x.dtype) else x.dtype
        return xp.zeros((*x.shape[:-1], 1), dtype=dtype, device=backend.handle(backend.index_of(x)))

    extensions = [name for name in ("fft", "linalg") if hasattr(xp, name)]  # dir() may omit them
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


def _is_basic(key: tuple[Any, ...]) -> bool:
    """Whether `key` selects each element at most once: it has no index arrays."""
    return all(k is None or k is Ellipsis or isinstance(k, int | slice) for k in key)
