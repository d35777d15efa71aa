"""Gradient cases of Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg

rng = np.random.default_rng(4)
NORMS = ["backward", "ortho", "forward"]


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def cnormal(*shape: int) -> np.ndarray:
    return normal(*shape) + 1j * normal(*shape)


def transform(name: str, **params: Any) -> Any:
    return lambda x: getattr(xg.fft, name)(x, **params)


def of(name: str, *kinds: Any) -> list[tuple[Any, tuple[Any, ...]]]:
    forms = [
        ((5,), None, -1),
        ((4,), 3, 0),
        ((4,), 7, -1),
        ((3, 4), None, 0),
        ((2, 3, 4), 6, 1),
        ((2, 5), 4, -2),
        ((1, 3), 1, 1),
        ((0, 3), 4, 1),
    ]
    return [
        (transform(name, n=n, axis=axis, norm=NORMS[i % 3]), (kind(*shape),))
        for i, (shape, n, axis) in enumerate(forms)
        for kind in kinds
    ]


GRADIENT_CASES: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "fft": of("fft", normal, cnormal),
    "ifft": of("ifft", normal, cnormal),
    "rfft": of("rfft", normal),
    "irfft": of("irfft", normal, cnormal),
}

COMPOSED = {
    "fftn": [
        (transform("fftn"), (cnormal(2, 3),)),
        (transform("fftn", s=(3, 2), norm="ortho"), (normal(2, 2, 3),)),
    ],
    "ifftn": [(transform("ifftn", axes=(0, 2)), (cnormal(2, 3, 2),))],
    "rfftn": [(transform("rfftn", s=(2, 4), axes=(1, 0)), (normal(2, 3),))],
    "irfftn": [(transform("irfftn"), (cnormal(2, 3),)), (transform("irfftn", s=(3, 3)), (cnormal(2, 3),))],
    "hfft": of("hfft", cnormal),
    "ihfft": of("ihfft", normal),
    "fftshift": [(transform("fftshift", axes=axes), (normal(3, 4),)) for axes in (None, 0, (0, -1))],
    "ifftshift": [(transform("ifftshift"), (normal(3, 4),))],
}
