"""Differential equations, optimisers and iterations as loops through time."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cell import Sizes, cell, constant, near_identity, normal, positive_definite, uniform

ALONE = Sizes(64, 1, 8, 16), Sizes(64, 1, 32, 64)


def _rk4(f: Any, h: Any, dt: float) -> Any:
    k1 = f(h)
    k2 = f(h + dt / 2 * k1)
    k3 = f(h + dt / 2 * k2)
    k4 = f(h + dt * k3)
    return h + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


@cell("ODE-RNN", carry="B,H", W_1="H,H", W_2="H,H", W="H,H", U="I,H")
def ode_rnn(xp: Any, h: Any, x: Any, W_1: Any, W_2: Any, W: Any, U: Any) -> Any:
    """Runge-Kutta between observations. Y. Rubanova et al. 2019."""
    h = _rk4(lambda h: xp.tanh(h @ W_1) @ W_2, h, 0.2)
    h = xp.tanh(h @ W + x @ U)
    return h, h


@cell("Kuramoto", carry="B,H", reads=None, omega=normal("H", 1.0), K=uniform("", 0.5, 1.5))
def kuramoto(xp: Any, phase: Any, _: Any, omega: Any, K: Any) -> Any:
    """Coupled phases, all pairs. Y. Kuramoto 1975."""
    pull = xp.mean(xp.sin(phase[:, None, :] - phase[:, :, None]), axis=-1)
    phase = phase + 0.05 * (omega + K * pull)
    return phase, xp.cos(phase)


@cell(
    "Lotka-Volterra",
    carry=uniform("B,H", 0.5, 1.5),
    reads=None,
    r=uniform("H", 0.2, 1),
    A=normal("H,H", 0.02),
)
def lotka_volterra(xp: Any, n: Any, _: Any, r: Any, A: Any) -> Any:
    """Predator-prey equations, by Runge-Kutta."""
    n = _rk4(lambda n: n * (r - 0.5 * n + n @ A), n, 0.05)
    return n, n


@cell("leapfrog", carry=("B,H", "B,H"), reads=None, K=positive_definite("H,H"))
def leapfrog(xp: Any, carry: Any, _: Any, K: Any) -> Any:
    """A Hamiltonian system with a quartic term."""
    q, p = carry
    p = p - 0.05 * (q @ K + q**3)
    q = q + 0.1 * p
    p = p - 0.05 * (q @ K + q**3)
    return (q, p), q


@cell("heat equation, crank-nicolson", carry="H", reads="H", sizes=ALONE, k=uniform("", 0.2, 0.5))
def heat(xp: Any, u: Any, source: Any, k: Any) -> Any:
    """An implicit step: a tridiagonal system built and solved in the step."""
    H = u.shape[0]
    L = xp.eye(H, k=1, dtype=u.dtype) + xp.eye(H, k=-1, dtype=u.dtype) - 2 * xp.eye(H, dtype=u.dtype)
    one = xp.eye(H, dtype=u.dtype)
    u = xp.linalg.solve(one - k * L, (one + k * L) @ u + 0.1 * source)
    return u, u


@cell("wave equation", carry=("B,H", "B,H"), reads=None, c=uniform("H", 0.2, 0.5))
def wave(xp: Any, carry: Any, _: Any, c: Any) -> Any:
    """Finite differences by slices, with zeros at both ends."""
    u, before = carry
    edge = xp.zeros_like(u[:, :1])
    padded = xp.concat((edge, u, edge), axis=1)
    new = 2 * u - before + c * (padded[:, 2:] - 2 * u + padded[:, :-2])
    return (new, u), new


@cell(
    "Adam",
    carry=("H,H", constant("H,H", 0.0), constant("H,H", 0.0), constant("", 0.0)),
    reads=("B,H", "B,H"),
    log_rate=uniform("", -4, -3),
)
def adam(xp: Any, carry: Any, reads: Any, log_rate: Any) -> Any:
    """D. Kingma and J. Ba 2015 on least squares; the learning rate is differentiated."""
    (w, m, v, t), (x, y) = carry, reads
    t = t + 1
    g = x.T @ (x @ w - y)
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    w = w - xp.exp(log_rate) * (m / (1 - 0.9**t)) / (xp.sqrt(v / (1 - 0.999**t) + 1e-6) + 1e-8)
    return (w, m, v, t), xp.sum((x @ w - y) ** 2)


@cell(
    "SGD, momentum, small net",
    carry=("I,H", "H,1", constant("I,H", 0.0), constant("H,1", 0.0)),
    reads=("B,I", "B,1"),
    log_rate=uniform("", -5, -4),
)
def sgd(xp: Any, carry: Any, reads: Any, log_rate: Any) -> Any:
    """Training inside the loop, with hand-written gradients."""
    (W, V, dW, dV), (x, y) = carry, reads
    h = xp.tanh(x @ W)
    e = (h @ V - y) / x.shape[0]
    gV = h.T @ e
    gW = x.T @ ((e @ V.T) * (1 - h**2))
    rate = xp.exp(log_rate)
    dW, dV = 0.9 * dW - rate * gW, 0.9 * dV - rate * gV
    return (W + dW, V + dV, dW, dV), xp.sum(e**2)


@cell("power iteration", carry=uniform("H", 0.5, 1), reads=None, sizes=ALONE, A=positive_definite("H,H"))
def power(xp: Any, v: Any, _: Any, A: Any) -> Any:
    """The largest eigenvalue, by vector_norm."""
    v = A @ v
    v = v / xp.linalg.vector_norm(v)
    return v, v @ A @ v


@cell(
    "Newton's iteration",
    carry=uniform("H", 0.5, 1),
    reads=None,
    sizes=ALONE,
    A=near_identity("H,H"),
    b=uniform("H", 1, 2),
)
def newton(xp: Any, x: Any, _: Any, A: Any, b: Any) -> Any:
    """A root of A x + x^3 / 3 = b: one Jacobian and one solve per step, damped."""
    J = A + xp.eye(x.shape[0], dtype=x.dtype) * x**2
    x = x - 0.3 * xp.linalg.solve(J, A @ x + x**3 / 3 - b)
    return x, x


@cell(
    "Newton-Schulz",
    carry=lambda rng, n: 0.5 * np.eye(n.H),
    reads=None,
    sizes=ALONE,
    A=positive_definite("H,H", 0.8),
)
def newton_schulz(xp: Any, X: Any, _: Any, A: Any) -> Any:
    """An inverse by products only. G. Schulz 1933."""
    X = X @ (2 * xp.eye(X.shape[0], dtype=X.dtype) - A @ X)
    return X, xp.linalg.trace(X)


@cell("Sinkhorn", carry=("H", "H"), reads=None, sizes=ALONE, C=uniform("H,H", 0, 1))
def sinkhorn(xp: Any, carry: Any, _: Any, C: Any) -> Any:
    """Optimal transport in the log domain. M. Cuturi 2013."""
    f, g = carry
    M = -C / 0.5
    f = -xp.logsumexp(M + g[None, :], axis=1)
    g = -xp.logsumexp(M + f[:, None], axis=0)
    return (f, g), xp.sum(xp.exp(f[:, None] + g[None, :] + M) * C)


@cell("conjugate gradients", carry=("H", "H", "H"), reads=None, sizes=ALONE, A=positive_definite("H,H"))
def conjugate(xp: Any, carry: Any, _: Any, A: Any) -> Any:
    """M. Hestenes and E. Stiefel 1952, damped so that the residual stays above zero."""
    x, r, p = carry
    Ap = A @ p
    alpha = 0.1 * (r @ r) / (p @ Ap + 1e-3)
    x, new = x + alpha * p, r - alpha * Ap
    p = new + 0.5 * (new @ new) / (r @ r + 1e-3) * p
    return (x, new, p), x


@cell("equilibrium, inner loop", carry="B,H", W=normal("H,H", 0.05), U="I,H")
def equilibrium(xp: Any, h: Any, x: Any, W: Any, U: Any) -> Any:
    """A fixed point by eight steps of an inner scan. S. Bai et al. 2019."""
    a = x @ U

    def inner(z: Any, _: Any) -> Any:
        z = xp.tanh(z @ W + a)
        return z, None

    h, _ = xp.scan(inner, h, None, 8)
    return h, h


@cell("matrix exponential", carry="H", reads="H", sizes=ALONE, A=normal("H,H", 0.02))
def exponential(xp: Any, h: Any, x: Any, A: Any) -> Any:
    """An exact linear step: matrix exponential by a series with scaling and squaring."""
    X = (A - A.T) / 4
    one = xp.eye(A.shape[0], dtype=A.dtype)
    E = one + X @ (one + X @ (one + X / 3) / 2)
    h = 0.95 * (xp.linalg.matrix_power(E, 4) @ h) + 0.1 * x
    return h, h


@cell("Cayley RNN", carry="H", reads="H", sizes=ALONE, A=normal("H,H", 0.1))
def cayley(xp: Any, h: Any, x: Any, A: Any) -> Any:
    """Orthogonal by a solve. K. Helfrich et al. 2018."""
    S = A - A.T
    one = xp.eye(A.shape[0], dtype=A.dtype)
    h = xp.tanh(xp.linalg.solve(one + S, (one - S) @ h) + x)
    return h, h


@cell("Hopfield network", carry="B,H", reads=None, M="8,H", beta=uniform("", 1, 2))
def hopfield(xp: Any, h: Any, _: Any, M: Any, beta: Any) -> Any:
    """H. Ramsauer et al. 2021: softmax retrieval."""
    h = 0.5 * h + 0.5 * xp.softmax(beta * (h @ M.T), axis=-1) @ M
    return h, h


@cell(
    "graph network",
    carry="H,8",
    reads="H,8",
    adjacency=lambda rng, n: (rng.uniform(size=(n.H, n.H)) < 0.2).astype("int64"),
    W=normal("8,8", 0.3),
    U=normal("8,8", 0.3),
    sizes=ALONE,
)
def graph_network(xp: Any, h: Any, x: Any, adjacency: Any, W: Any, U: Any) -> Any:
    """Messages between neighbours, aggregated by maximum."""
    messages = xp.where(adjacency[:, :, None] == 1, (h @ W)[None, :, :], -4.0)
    h = xp.tanh(xp.max(messages, axis=1) + x @ U)
    return h, h
