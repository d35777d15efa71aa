"""Filters and estimators: Kalman filters and variants, recursive least squares, difference equations."""

from __future__ import annotations

from typing import Any

from .cell import Sizes, cell, near_identity, normal, positive_definite, uniform

ALONE = Sizes(64, 1, 4, 8), Sizes(64, 1, 8, 32)
STACK = Sizes(64, 4, 4, 8), Sizes(64, 16, 4, 8)


def _cholesky(xp: Any, S: Any) -> Any:
    """Cholesky factor of (S + S^T) / 2, so that the gradient does not depend on the triangle read."""
    return xp.linalg.cholesky(0.5 * (S + S.T))


def _updated(xp: Any, inverse: Any, P: Any, C: Any, R: Any) -> tuple[Any, Any]:
    """The Kalman gain and the updated covariance; `inverse` computes S^-1 C P."""
    S = C @ P @ xp.matrix_transpose(C) + R
    K = xp.matrix_transpose(inverse(S, C @ P))
    return K, P - K @ C @ P


KALMAN: dict[str, Any] = {
    "A": near_identity("H,H"),
    "C": "I,H",
    "Q": positive_definite("H,H", 0.1),
    "R": positive_definite("I,I"),
}


@cell("Kalman filter, solve", carry=("H", positive_definite("H,H")), reads="I", sizes=ALONE, **KALMAN)
def kalman_solve(xp: Any, carry: Any, y: Any, A: Any, C: Any, Q: Any, R: Any) -> Any:
    """R. Kalman 1960; one system."""
    m, P = carry
    m, P = A @ m, A @ P @ A.T + Q
    K, P = _updated(xp, xp.linalg.solve, P, C, R)
    m = m + K @ (y - C @ m)
    return (m, P), m


@cell("Kalman filter, inv", carry=("H", positive_definite("H,H")), reads="I", sizes=ALONE, **KALMAN)
def kalman_inv(xp: Any, carry: Any, y: Any, A: Any, C: Any, Q: Any, R: Any) -> Any:
    """The same by an explicit inverse, in Joseph form."""
    m, P = carry
    m, P = A @ m, A @ P @ A.T + Q
    K = P @ C.T @ xp.linalg.inv(C @ P @ C.T + R)
    m = m + K @ (y - C @ m)
    left = xp.eye(P.shape[0], dtype=P.dtype) - K @ C
    P = left @ P @ left.T + K @ R @ K.T
    return (m, P), m


@cell(
    "Kalman filters, a stack",
    carry=("B,H,1", positive_definite("B,H,H")),
    reads="B,I,1",
    sizes=STACK,
    **KALMAN,
)
def kalman_stack(xp: Any, carry: Any, y: Any, A: Any, C: Any, Q: Any, R: Any) -> Any:
    """One filter for each row of the batch."""
    m, P = carry
    m, P = A @ m, A @ P @ A.T + Q
    K, P = _updated(xp, xp.linalg.solve, P, C, R)
    m = m + K @ (y - C @ m)
    return (m, P), m


@cell("Kalman likelihood, cholesky", carry=("H", positive_definite("H,H")), reads="I", sizes=ALONE, **KALMAN)
def kalman_cholesky(xp: Any, carry: Any, y: Any, A: Any, C: Any, Q: Any, R: Any) -> Any:
    """Log likelihood by a Cholesky factor of S."""
    m, P = carry
    m, P = A @ m, A @ P @ A.T + Q
    L = _cholesky(xp, C @ P @ C.T + R)
    e = xp.linalg.solve(L, y - C @ m)
    half = xp.linalg.solve(L, C @ P)
    m, P = m + half.T @ e, P - half.T @ half
    return (m, P), -0.5 * xp.sum(e**2) - xp.sum(xp.log(xp.linalg.diagonal(L)))


@cell("Kalman likelihood, slogdet", carry=("H", positive_definite("H,H")), reads="I", sizes=ALONE, **KALMAN)
def kalman_slogdet(xp: Any, carry: Any, y: Any, A: Any, C: Any, Q: Any, R: Any) -> Any:
    """The same by a determinant."""
    m, P = carry
    m, P = A @ m, A @ P @ A.T + Q
    S = C @ P @ C.T + R
    e = y - C @ m
    K, P = _updated(xp, xp.linalg.solve, P, C, R)
    m = m + K @ e
    return (m, P), -0.5 * (e @ xp.linalg.solve(S, e)) - 0.5 * xp.linalg.slogdet(S)[1]


@cell("square-root filter, qr", carry=("H", positive_definite("H,H", 0.7)), reads="I", sizes=ALONE, **KALMAN)
def square_root(xp: Any, carry: Any, y: Any, A: Any, C: Any, Q: Any, R: Any) -> Any:
    """A factor of the covariance, by QR. P. Kaminski et al. 1971."""
    m, L = carry
    m = A @ m
    L = xp.linalg.qr(xp.concat((L.T @ A.T, _cholesky(xp, Q).T), axis=0))[1].T
    S = C @ L @ L.T @ C.T + R
    K = xp.linalg.solve(S, C @ L @ L.T).T
    m = m + K @ (y - C @ m)
    left = L.T - L.T @ C.T @ K.T
    L = xp.linalg.qr(xp.concat((left, _cholesky(xp, R).T @ K.T), axis=0))[1].T
    return (m, L), m


@cell(
    "RTS smoother",
    carry=("H", positive_definite("H,H")),
    reads=("H", positive_definite("H,H")),
    sizes=ALONE,
    A=near_identity("H,H"),
    Q=positive_definite("H,H", 0.1),
)
def smoother(xp: Any, carry: Any, reads: Any, A: Any, Q: Any) -> Any:
    """H. Rauch, F. Tung and C. Striebel 1965: smooths the output of a filter."""
    (m_s, P_s), (m, P) = carry, reads
    predicted = A @ P @ A.T + Q
    G = xp.linalg.solve(predicted, A @ P).T
    m_s = m + G @ (m_s - A @ m)
    P_s = P + G @ (P_s - predicted) @ G.T
    return (m_s, P_s), m_s


@cell(
    "unscented points",
    carry=("H", positive_definite("H,H")),
    reads="H",
    sizes=ALONE,
    W=near_identity("H,H"),
    Q=positive_definite("H,H", 0.1),
)
def unscented(xp: Any, carry: Any, u: Any, W: Any, Q: Any) -> Any:
    """Sigma points through a nonlinearity. S. Julier and J. Uhlmann 1997."""
    m, P = carry
    L = _cholesky(xp, m.shape[0] * P).T
    points = xp.tanh(xp.concat((m + L, m - L), axis=0) @ W + u)
    m = xp.mean(points, axis=0)
    e = points - m
    P = e.T @ e / e.shape[0] + Q
    return (m, P), m


@cell(
    "recursive least squares",
    carry=("H", positive_definite("H,H")),
    reads=("H", ""),
    sizes=ALONE,
    decay=uniform("", 0.9, 1),
)
def least_squares(xp: Any, carry: Any, reads: Any, decay: Any) -> Any:
    """Online regression with forgetting; a rank-one update."""
    (w, P), (x, y) = carry, reads
    Px = P @ x
    k = Px / (decay + x @ Px)
    w = w + k * (y - w @ x)
    P = (P - k[:, None] * Px[None, :]) / decay
    return (w, P), w


@cell(
    "Bayesian regression",
    carry=(positive_definite("H,H"), "H"),
    reads=("H", ""),
    sizes=ALONE,
    noise=uniform("", 0.5, 1),
)
def bayesian(xp: Any, carry: Any, reads: Any, noise: Any) -> Any:
    """A Gaussian process with features: the precision is updated, the mean solved for."""
    (precision, b), (x, y) = carry, reads
    precision, b = precision + noise * xp.linalg.outer(x, x), b + noise * y * x
    mean = xp.linalg.solve(precision, b)
    return (precision, b), mean


@cell("IIR filter", carry="B,8", reads="B,1", a=normal("8", 0.05), b=normal("8", 0.5))
def iir(xp: Any, s: Any, x: Any, a: Any, b: Any) -> Any:
    """Eight poles in direct form; the companion matrix is built in the step."""
    shift = xp.eye(8, k=-1, dtype=s.dtype)
    first = xp.astype(xp.arange(8) == 0, s.dtype)
    s = s @ shift.T + (x + xp.sum(a * s, axis=-1, keepdims=True)) * first
    return s, xp.sum(b * s, axis=-1)


@cell("HiPPO-LegS", carry="B,H", reads="B,1", log_dt=uniform("", -4, -3), C="H,H")
def hippo(xp: Any, c: Any, u: Any, log_dt: Any, C: Any) -> Any:
    """A. Gu et al. 2020: the matrix from arange and tril, a forward Euler step."""
    n = xp.astype(xp.arange(c.shape[-1]), c.dtype)
    r = xp.sqrt(2 * n + 1)
    A = xp.tril(r[:, None] * r[None, :], k=-1) + (n + 1) * xp.eye(c.shape[-1], dtype=c.dtype)
    dt = xp.exp(log_dt) * 0.1
    c = c - dt * (c @ A.T) + dt * u * r
    return c, c @ C


@cell(
    "Legendre memory",
    carry=("B,H", "B,8"),
    A=normal("8,8", 0.1),
    W="H,H",
    U="I,H",
    M="8,H",
    e_x="I,1",
    e_h="H,1",
    B=normal("8", 0.3),
)
def legendre(xp: Any, carry: Any, x: Any, A: Any, W: Any, U: Any, M: Any, e_x: Any, e_h: Any, B: Any) -> Any:
    """A. Voelker et al. 2019."""
    h, m = carry
    u = x @ e_x + h @ e_h
    m = 0.9 * m + m @ A + u * B
    h = xp.tanh(h @ W + x @ U + m @ M)
    return (h, m), h


@cell("particle filter", carry=("B,H", "B,H"), reads="B,1", sigma=uniform("", 0.5, 1), a=uniform("", 0.8, 1))
def particles(xp: Any, carry: Any, y: Any, sigma: Any, a: Any) -> Any:
    """Weights in logarithms, soft resampling by the inverse of the cumulative sum."""
    x, log_w = carry
    x = a * x + 0.1 * xp.sin(x)
    log_w = log_w - 0.5 * ((y - x) / sigma) ** 2
    log_w = log_w - xp.logsumexp(log_w, axis=-1, keepdims=True)
    edges = xp.cumulative_sum(xp.exp(xp.stop_gradient(log_w)), axis=-1)
    at = (xp.astype(xp.arange(x.shape[-1]), x.dtype) + 0.5) / x.shape[-1]
    from_ = xp.clip(xp.sum(xp.astype(edges[:, None, :] < at[:, None], xp.int64), axis=-1), 0, x.shape[-1] - 1)
    x, log_w = xp.take_along_axis(x, from_, axis=-1), 0.5 * xp.take_along_axis(log_w, from_, axis=-1)
    return (x, log_w), xp.sum(xp.exp(log_w) * x, axis=-1)
