# Made from the table of functions by `python docs/generate.py`.
from typing import Any
from ..core.tensor import (
    Tensor,
)
from .fourier import (
    fftfreq as fftfreq,
    fftn as fftn,
    fftshift as fftshift,
    hfft as hfft,
    ifftn as ifftn,
    ifftshift as ifftshift,
    ihfft as ihfft,
    irfftn as irfftn,
    rfftfreq as rfftfreq,
    rfftn as rfftn,
)

def fft(x: Any, /, *, n: Any = None, axis: Any = -1, norm: Any = 'backward') -> Tensor:
    """Discrete Fourier transform along `axis`: z_k is the sum of x_j e^(-2πi jk/n)."""

def ifft(x: Any, /, *, n: Any = None, axis: Any = -1, norm: Any = 'backward') -> Tensor:
    """Inverse of `fft`, with the same arguments."""

def irfft(x: Any, /, *, n: Any = None, axis: Any = -1, norm: Any = 'backward') -> Tensor:
    """Inverse of `rfft`: n real numbers, by default 2 (m - 1) of them, from m = n//2 + 1 frequencies."""

def rfft(x: Any, /, *, n: Any = None, axis: Any = -1, norm: Any = 'backward') -> Tensor:
    """The first n//2 + 1 elements of the `fft` of real numbers: the others are their conjugates."""


__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]
