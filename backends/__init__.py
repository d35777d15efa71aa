"""Array libraries behind one small protocol: NumPy on the CPU, CuPy on CUDA, others by `register`.

Nothing above this package is known here. A backend is a value, found when it is needed; importing this
package imports NumPy alone.
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
