"""Registered backends, and the current device."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from .base import Backend, Device, DeviceError
from .cpu.half import Half


def _numpy() -> Backend[Any]:
    from .cpu.backend import NumPy

    return NumPy()


def _cupy() -> Backend[Any]:
    from .cuda.backend import CuPy

    return CuPy()


_factories: dict[str, Callable[[], Backend[Any]]] = {}
_libraries: dict[str, str] = {}  # top-level module of an array's type -> name of its backend
_backends: dict[str, Backend[Any]] = {}
_devices: dict[tuple[str, int], Device] = {}
_current: ContextVar[Device | None] = ContextVar("xgrad_device", default=None)


def register(name: str, factory: Callable[[], Backend[Any]], *, library: str) -> None:
    """Register a backend under `name`; `factory` is called when one of its devices is first used.

    `library` is the module that defines its arrays. Registering a name again replaces its backend.

    >>> import xgrad.backends
    >>> xgrad.backends.register("mine", MyBackend, library="my_arrays")     # doctest: +SKIP
    """
    _factories[name] = factory
    _libraries[library] = name
    _backends.pop(name, None)
    for key in [key for key in _devices if key[0] == name]:
        del _devices[key]
    forget()


def forget() -> None:
    """Forget which devices were found for names and types of arrays, as a backend has changed."""
    _named.cache_clear()
    _first_device.cache_clear()


def find_device(spec: str | Device) -> Device:
    """Find the device named `cpu`, `cuda`, `cuda:N` or `auto` (CUDA if it works, else the CPU).

    Raises DeviceError for an unknown name, and for an unavailable device, saying what is missing.
    """
    if isinstance(spec, Device):
        return spec
    if spec == "auto":
        try:
            return find_device("cuda")
        except DeviceError:
            return find_device("cpu")
    return _named(spec)


@lru_cache(64)
def _named(spec: Any) -> Device:
    name, _, number = str(spec).partition(":")
    if name not in _factories or (number and not number.isdecimal()):
        raise DeviceError(
            f"unknown device {spec!r}; the devices are {', '.join(_factories)}, also with an index such as "
            f"'cuda:1', and 'auto'"
        )
    index = int(number or 0)
    if (name, index) not in _devices:
        if name not in _backends:
            _backends[name] = _factories[name]()
        count = _backends[name].count()
        if index >= count:
            raise DeviceError(
                f"no device {spec!r}: there {'is' if count == 1 else 'are'} {count} {name} "
                f"device{'s' * (count != 1)}, numbered from 0"
            )
        _devices[name, index] = Device(_backends[name], index)
    return _devices[name, index]


# A device is pickled by name, so that unpickling gives the same object; it raises DeviceError in a process
# where the device is unavailable.
copyreg.pickle(Device, lambda d: (find_device, (d.name,)))


def devices() -> list[Device]:
    """All available devices, the CPU first.

    This initialises every backend, including CUDA.
    """
    found = []
    for name in _factories:
        try:
            first = find_device(name)
        except DeviceError:
            continue
        found += [find_device(f"{name}:{i}") for i in range(first.backend.count())]
    return found


def device_of(array: Any) -> Device | None:
    """The device that holds `array`; None if it is not an array of a registered library."""
    first = _first_device(type(array))  # type: ignore[arg-type]  # mypy: a type is hashable
    if first is None:
        return None
    index = first.backend.index_of(array)
    return first if index == 0 else find_device(f"{first.backend.name}:{index}")


@lru_cache(1024)
def _first_device(kind: type) -> Device | None:
    """The first device whose library defines this type of arrays."""
    name = "cpu" if kind is Half else _libraries.get(kind.__module__.partition(".")[0])
    return None if name is None else find_device(name)


def current_device() -> Device:
    """The device of new Tensors.

    It is set by `set_device` or `device`, else by the environment variable XGRAD_DEVICE, else the CPU.
    """
    return _current.get() or find_device(os.environ.get("XGRAD_DEVICE") or "cpu")


def set_device(spec: str | Device) -> None:
    """Set the device of new Tensors in this thread or asynchronous task; see `find_device`."""
    _current.set(find_device(spec))


@contextmanager
def device(spec: str | Device) -> Iterator[Device]:
    """Context manager that sets the device of new Tensors.

    >>> import xgrad as xg
    >>> with xg.device("cpu"):
    ...     xg.zeros(2).device
    device('cpu')
    """
    token = _current.set(find_device(spec))
    try:
        yield current_device()
    finally:
        _current.reset(token)


register("cpu", _numpy, library="numpy")
register("cuda", _cupy, library="cupy")
