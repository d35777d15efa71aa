"""Cells with complex states, Fourier transforms, rotations or unitary matrices."""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from .cell import cell, complex_normal, integers, normal, uniform


@cell(
    "LRU",
    carry=complex_normal("B,H", 0.3),
    nu=uniform("H", -2, 0),
    theta=uniform("H", 0, pi),
    gamma=uniform("H", 0.3, 1),
    B_re="I,H",
    B_im="I,H",
    C_re="H,H",
    C_im="H,H",
    D="I,H",
)
def lru(xp: Any, h: Any, x: Any, nu: Any, theta: Any, gamma: Any, **W: Any) -> Any:
    """Linear recurrent unit. A. Orvieto et al. 2023."""
    a = xp.exp(-xp.exp(nu) + 1j * theta)
    h = a * h + gamma * (x @ (W["B_re"] + 1j * W["B_im"]))
    return h, xp.real(h @ (W["C_re"] + 1j * W["C_im"])) + x @ W["D"]


@cell(
    "S4D",
    carry=complex_normal("B,H,8", 0.3),
    reads="B,H",
    log_dt=uniform("H", -4, -1),
    log_A_re=uniform("H,8", -1, 0),
    A_im=uniform("H,8", 0, 8),
    C=complex_normal("H,8", 0.5),
    D="H",
)
def s4d(xp: Any, h: Any, u: Any, log_dt: Any, log_A_re: Any, A_im: Any, C: Any, D: Any) -> Any:
    """Diagonal state spaces, eight for each feature, by zero-order hold. A. Gu et al. 2022."""
    A = -xp.exp(log_A_re) + 1j * A_im
    a = xp.exp(A * xp.exp(log_dt)[:, None])
    h = a * h + ((a - 1) / A) * u[..., None]
    return h, 2 * xp.real(xp.sum(C * h, axis=-1)) + D * u


@cell("holographic memory", carry="B,H", reads=("B,H", "B,H"), W_k="H,H", W_v="H,H")
def holographic(xp: Any, m: Any, reads: Any, W_k: Any, W_v: Any) -> Any:
    """Pairs bound by circular convolution, and one read back. T. Plate 1995."""
    x, query = reads
    H = m.shape[-1]
    k, v = xp.fft.rfft(xp.tanh(x @ W_k)), xp.fft.rfft(xp.tanh(x @ W_v))
    m = 0.9 * m + 0.1 * xp.fft.irfft(k * v, n=H)
    return m, xp.fft.irfft(xp.conj(xp.fft.rfft(query)) * xp.fft.rfft(m), n=H)


@cell(
    "unitary RNN",
    carry=complex_normal("B,H", 0.5),
    d1=uniform("H", -pi, pi),
    d2=uniform("H", -pi, pi),
    d3=uniform("H", -pi, pi),
    r1=complex_normal("H", 0.5),
    r2=complex_normal("H", 0.5),
    order=lambda rng, n: rng.permutation(n.H),
    V_re="I,H",
    V_im="I,H",
    b=normal("H", 0.1),
)
def unitary(
    xp: Any,
    h: Any,
    x: Any,
    d1: Any,
    d2: Any,
    d3: Any,
    r1: Any,
    r2: Any,
    order: Any,
    V_re: Any,
    V_im: Any,
    b: Any,
) -> Any:
    """M. Arjovsky et al. 2016: D3 R2 F^-1 D2 P R1 F D1, and modReLU."""

    def reflected(h: Any, r: Any) -> Any:
        return h - 2 * xp.sum(h * xp.conj(r), axis=-1, keepdims=True) * r / xp.sum(xp.real(r * xp.conj(r)))

    h = xp.fft.fft(h * xp.exp(1j * d1))
    h = xp.take(reflected(h, r1), order, axis=-1)
    h = xp.fft.ifft(h * xp.exp(1j * d2))
    h = reflected(h, r2) * xp.exp(1j * d3) + x @ (V_re + 1j * V_im)
    size = xp.sqrt(xp.real(h) ** 2 + xp.imag(h) ** 2 + 1e-6)
    h = h * (xp.relu(size + b) / size)
    return h, h


@cell("complex RNN, |z|", carry=complex_normal("B,H", 0.5), W=complex_normal("H,H", 0.1), U="I,H")
def complex_rnn(xp: Any, h: Any, x: Any, W: Any, U: Any) -> Any:
    """A complex product, and an activation of the absolute value."""
    a = h @ W + x @ U
    h = a / (1 + xp.abs(a))
    return h, h


@cell("rotation, hypot and atan2", carry=("B,H", "B,H"), W_r="I,H", W_a="I,H")
def rotation(xp: Any, carry: Any, x: Any, W_r: Any, W_a: Any) -> Any:
    """Points in polar form: the input rotates them and scales their radii."""
    u, v = carry
    r, angle = xp.hypot(u, v), xp.atan2(v, u)
    r = 0.5 * r + xp.sigmoid(x @ W_r)
    angle = angle + 0.3 * xp.tanh(x @ W_a)
    u, v = r * xp.cos(angle), r * xp.sin(angle)
    return (u, v), u


@cell("goniometric rotation", carry="B,H", theta=uniform("H", -pi, pi), U="I,H", order=integers("H", "H"))
def rotated_pairs(xp: Any, h: Any, x: Any, theta: Any, U: Any, order: Any) -> Any:
    """Efficient unitary network: rotations of neighbours. L. Jing et al. 2017."""
    other = xp.roll(h, 1, axis=-1)
    h = xp.tanh(h * xp.cos(theta) - other * xp.sin(theta) + x @ U)
    return h, xp.take(h, order, axis=-1)


@cell(
    "spectral filter",
    carry="B,H",
    G=lambda rng, n: (
        np.exp(-0.1 * np.arange(n.H // 2 + 1)) * np.exp(2j * pi * rng.uniform(size=n.H // 2 + 1))
    ),
    U="I,H",
)
def spectral(xp: Any, h: Any, x: Any, G: Any, U: Any) -> Any:
    """A Fourier neural operator through time: the state is filtered by frequency. Z. Li et al. 2021."""
    H = h.shape[-1]
    h = xp.tanh(xp.fft.irfft(xp.fft.rfft(h) * G, n=H) + x @ U)
    return h, h
