"""Array libraries behind one small interface: NumPy on the CPU, CuPy on CUDA, others by `register`.

This package does not depend on the rest of xgrad. Backends are loaded on first use; importing this package
imports only NumPy.
"""

from .base import Backend, Device, DeviceError
from .precision import current_matmul_precision, matmul_precision
from .registry import current_device, device, device_of, devices, find_device, register, set_device
from .transfers import Copies, Transfers, count_transfers
from .types import Array

__all__ = [
    "Array",
    "Backend",
    "Copies",
    "Device",
    "DeviceError",
    "Transfers",
    "count_transfers",
    "current_device",
    "current_matmul_precision",
    "device",
    "device_of",
    "devices",
    "find_device",
    "matmul_precision",
    "register",
    "set_device",
]
