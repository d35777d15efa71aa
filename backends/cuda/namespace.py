"""CuPy's array namespace: array_api_compat's, with some functions replaced."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import matmul

if TYPE_CHECKING:
    from cupy import ndarray as Array


def namespace(cupy: ModuleType, standard: Any) -> SimpleNamespace:
    """The namespace `standard` (`array_api_compat.cupy`) with some functions replaced."""
    public = [name for name in (*dir(cupy), *dir(standard), "fft", "linalg") if not name.startswith("_")]
    names = {name: getattr(standard, name) for name in public if hasattr(standard, name)}
    for name in ("arange", "empty", "eye", "full", "linspace", "ones", "zeros"):
        names[name] = _on_its_device(cupy, names[name])
    for name in ("empty_like", "full_like", "ones_like", "zeros_like"):
        names[name] = _like(names[name])

    def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
        """The standard's `asarray`.

        A copy of an array is made on its own device, not on the current one.
        """
        home = obj.device if device is None and isinstance(obj, cupy.ndarray) else device
        return standard.asarray(obj, dtype=dtype, device=home, copy=copy)

    def sign(x: Array, /) -> Array:
        """Sign of a real array.

        NaN is preserved; assigning it at a mask, as array_api_compat does, would wait for the device.
        """
        return cupy.where(x != x, x, cupy.sign(x)) if x.dtype.kind == "f" else cupy.sign(x)

    names |= {
        "asarray": asarray,
        "sign": sign,
        "matmul": partial(matmul.matmul, cupy),
        "linalg": _linalg(standard.linalg),
    }
    return SimpleNamespace(**names)


def _on_its_device(cupy: ModuleType, make: Callable[..., Array]) -> Callable[..., Array]:
    """Wrap a creation function to respect `device`, which array_api_compat only checks."""

    @wraps(make)
    def made(*args: Any, device: Any = None, **options: Any) -> Array:
        with cupy.cuda.Device(device):
            return make(*args, **options)

    return made


def _like(make: Callable[..., Array]) -> Callable[..., Array]:
    """Wrap `make` to run on the device of its first argument."""

    @wraps(make)
    def made(x: Array, /, *args: Any, device: Any = None, **options: Any) -> Array:
        with x.device if device is None else device:
            return make(x, *args, **options)

    return made


def _linalg(standard: Any) -> SimpleNamespace:
    """The functions of `linalg`, raising LinAlgError for a singular matrix as NumPy does.

    CuPy omits that check, as it has to wait for the GPU.
    """

    def raising(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def called(*args: Any, **options: Any) -> Any:
            from cupyx import errstate

            with errstate(linalg="raise"):
                return function(*args, **options)

        return called

    public = {name: getattr(standard, name) for name in dir(standard) if not name.startswith("_")}
    return SimpleNamespace(
        **public | {name: raising(public[name]) for name in ("cholesky", "inv", "solve") if name in public}
    )
