"""The standard's extension `fft`: Fourier transforms of Tensors."""

from . import fourier  # noqa: F401 - which fills the table
from .table import extension

globals().update(extension("fft"))
__all__ = list(extension("fft"))
