"""CuPy's array namespace, where the standard's one of array_api_compat leaves things to be desired."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from . import matmul

if TYPE_CHECKING:
    from cupy import ndarray as Array


def namespace(cupy: ModuleType, standard: Any) -> SimpleNamespace:
    """The names of `standard`, which is `array_api_compat.cupy`, some of them with another function."""
    public = [name for name in (*dir(cupy), *dir(standard), "fft", "linalg") if not name.startswith("_")]
    names = {name: getattr(standard, name) for name in public if hasattr(standard, name)}
    for name in ("arange", "empty", "eye", "full", "linspace", "ones", "zeros"):
        names[name] = _on_its_device(cupy, names[name])
    for name in ("empty_like", "full_like", "ones_like", "zeros_like"):
        names[name] = _like(names[name])

    def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
        """As the standard has it. A copy of an array is where that array is, not on the current device."""
        home = obj.device if device is None and isinstance(obj, cupy.ndarray) else device
        return standard.asarray(obj, dtype=dtype, device=home, copy=copy)

    def sign(x: Array, /) -> Array:
        """Of a real array.

        NaN stays; assigning it at a mask, as array_api_compat does, would wait for the device.
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
    """A creation function that heeds `device`, which array_api_compat only checks."""

    @wraps(make)
    def made(*args: Any, device: Any = None, **options: Any) -> Array:
        with cupy.cuda.Device(device):
            return make(*args, **options)

    return made


def _like(make: Callable[..., Array]) -> Callable[..., Array]:
    """As `make`, on the device of its first argument."""

    @wraps(make)
    def made(x: Array, /, *args: Any, device: Any = None, **options: Any) -> Array:
        with x.device if device is None else device:
            return make(x, *args, **options)

    return made


def _linalg(standard: Any) -> SimpleNamespace:
    """The functions of `linalg`, which raise LinAlgError of a singular matrix as NumPy's do.

    CuPy leaves that out, as it has to wait for the GPU.
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
