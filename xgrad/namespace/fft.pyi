# Made from the table of functions by `python docs/generate.py`.
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
from .gates import (
    fft as fft,
    ifft as ifft,
    irfft as irfft,
    rfft as rfft,
)


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
