"""Linear attention, matrix memories, state spaces, and cells with lookups."""

from __future__ import annotations

from math import sqrt
from typing import Any

from .cell import cell, constant, normal, uniform

QKV: dict[str, Any] = {"W_q": "I,H", "W_k": "I,H", "W_v": "I,H"}
HEADS: dict[str, Any] = {"W_q": "I,4,8", "W_k": "I,4,8", "W_v": "I,4,8"}


@cell("fast weights", carry=("B,H", normal("B,H,H", 0.05)), W="H,H", U="I,H")
def fast_weights(xp: Any, carry: Any, x: Any, W: Any, U: Any) -> Any:
    """J. Ba et al. 2016, with layer normalisation and one inner step."""
    h, A = carry
    A = 0.95 * A + 0.5 * h[:, :, None] * h[:, None, :]
    a = h @ W + x @ U
    h = a + xp.squeeze(xp.tanh(a)[:, None, :] @ A, axis=1)
    h = h - xp.mean(h, axis=-1, keepdims=True)
    h = xp.tanh(h / xp.sqrt(xp.mean(h**2, axis=-1, keepdims=True) + 1e-5))
    return (h, A), h


@cell("DeltaNet", carry=normal("B,H,H", 0.05), w_b="I,1", **QKV)
def delta_net(xp: Any, S: Any, x: Any, W_q: Any, W_k: Any, W_v: Any, w_b: Any) -> Any:
    """The delta rule on a matrix memory. I. Schlag et al. 2021."""
    q, k, v, beta = x @ W_q, x @ W_k, x @ W_v, xp.sigmoid(x @ w_b)
    k = k / xp.sqrt(xp.sum(k**2, axis=-1, keepdims=True) + 1e-6)
    old = xp.sum(S * k[:, None, :], axis=-1)
    S = S + (beta * (v - old))[:, :, None] * k[:, None, :]
    return S, xp.sum(S * q[:, None, :], axis=-1)


@cell("gated DeltaNet", carry=normal("B,H,H", 0.05), w_a="I,1", w_b="I,1", **QKV)
def gated_delta_net(xp: Any, S: Any, x: Any, W_q: Any, W_k: Any, W_v: Any, w_a: Any, w_b: Any) -> Any:
    """S. Yang et al. 2024: the memory also decays; products of matrices and vectors."""
    q, k, v = x @ W_q, x @ W_k, x @ W_v
    k = k / xp.sqrt(xp.sum(k**2, axis=-1, keepdims=True) + 1e-6)
    alpha, beta = xp.sigmoid(x @ w_a)[:, :, None], xp.sigmoid(x @ w_b)[:, :, None]
    S = alpha * S
    old = S @ k[:, :, None]
    S = S + beta * (v[:, :, None] - old) @ k[:, None, :]
    return S, (S @ q[:, :, None])[..., 0]


@cell("linear attention, heads", carry=(normal("B,4,8,8", 0.1), uniform("B,4,8", 1, 2)), W_o="4,8,H", **HEADS)
def linear_attention(xp: Any, carry: Any, x: Any, W_q: Any, W_k: Any, W_v: Any, W_o: Any) -> Any:
    """A. Katharopoulos et al. 2020: four heads, feature map elu + 1, in index notation."""
    S, n = carry

    def features(W: Any) -> Any:
        a = xp.einsum("bi,ihd->bhd", x, W)
        return xp.where(a > 0, a + 1, xp.exp(xp.minimum(a, 0.0)))

    q, k, v = features(W_q), features(W_k), xp.einsum("bi,ihd->bhd", x, W_v)
    S, n = S + xp.einsum("bhd,bhe->bhde", k, v), n + k
    y = xp.einsum("bhd,bhde->bhe", q, S) / xp.einsum("bhd,bhd->bh", q, n)[..., None]
    return (S, n), xp.einsum("bhe,heo->bo", y, W_o)


@cell("RetNet", carry=normal("B,4,8,8", 0.1), W_o="4,8,H", gamma=uniform("4,1,1", 0.8, 0.99), **HEADS)
def retnet(xp: Any, S: Any, x: Any, W_q: Any, W_k: Any, W_v: Any, W_o: Any, gamma: Any) -> Any:
    """Retention. Y. Sun et al. 2023."""
    q, k, v = (xp.einsum("bi,ihd->bhd", x, W) for W in (W_q, W_k, W_v))
    S = gamma * S + k[..., :, None] * v[..., None, :]
    return S, xp.einsum("bhd,bhde,heo->bo", q, S, W_o)


@cell("GLA", carry=normal("B,H,H", 0.05), W_a="I,H", **QKV)
def gla(xp: Any, S: Any, x: Any, W_q: Any, W_k: Any, W_v: Any, W_a: Any) -> Any:
    """Gated linear attention: each key feature decays by itself. S. Yang et al. 2024."""
    q, k, v, a = x @ W_q, x @ W_k, x @ W_v, xp.sigmoid(x @ W_a) ** 0.0625
    S = a[:, :, None] * S + k[:, :, None] * v[:, None, :]
    return S, xp.vecdot(xp.matrix_transpose(S), q[:, None, :])


@cell(
    "mLSTM",
    carry=(normal("B,H,H", 0.05), uniform("B,H", 1, 2), "B,1"),
    w_i="I,1",
    w_f="I,1",
    W_o="I,H",
    **QKV,
)
def mlstm(xp: Any, carry: Any, x: Any, W_q: Any, W_k: Any, W_v: Any, w_i: Any, w_f: Any, W_o: Any) -> Any:
    """Matrix memory with exponential gates. M. Beck et al. 2024."""
    C, n, m = carry
    q, k, v = x @ W_q, (x @ W_k) / sqrt(n.shape[-1]), x @ W_v
    log_i, log_f = x @ w_i, -xp.logaddexp(xp.zeros_like(m), -(x @ w_f))
    m_new = xp.maximum(log_f + m, log_i)
    i, f = xp.exp(log_i - m_new), xp.exp(log_f + m - m_new)
    C = f[:, :, None] * C + i[:, :, None] * v[:, :, None] * k[:, None, :]
    n = f * n + i * k
    scale = xp.maximum(xp.abs(xp.sum(n * q, axis=-1, keepdims=True)), 1.0)
    h = xp.sigmoid(x @ W_o) * (C @ q[:, :, None])[..., 0] / scale
    return (C, n, m_new), h


@cell(
    "RWKV",
    carry=("B,H", uniform("B,H", 1, 2), "B,H", "B,I"),
    w=uniform("H", -1, 1),
    u="H",
    mix=uniform("3,I", 0, 1),
    W_r="I,H",
    W_k="I,H",
    W_v="I,H",
    W_o="H,H",
)
def rwkv(
    xp: Any, carry: Any, x: Any, w: Any, u: Any, mix: Any, W_r: Any, W_k: Any, W_v: Any, W_o: Any
) -> Any:
    """Time mixing of B. Peng et al. 2023, with the running maximum p."""
    a, b, p, before = carry
    r, k, v = ((mix[i] * x + (1 - mix[i]) * before) @ W for i, W in enumerate((W_r, W_k, W_v)))
    q = xp.maximum(p, u + k)
    e1, e2 = xp.exp(p - q), xp.exp(u + k - q)
    wkv = (e1 * a + e2 * v) / (e1 * b + e2)
    decay = -xp.exp(w)
    q = xp.maximum(p + decay, k)
    e1, e2 = xp.exp(p + decay - q), xp.exp(k - q)
    return (e1 * a + e2 * v, e1 * b + e2, q, x), (xp.sigmoid(r) * wkv) @ W_o


@cell(
    "Mamba",
    carry=normal("B,H,8", 0.1),
    W_in="I,H",
    W_dt="H,H",
    b_dt=uniform("H", -3, -1),
    A_log=uniform("H,8", 0, 1.5),
    W_B="H,8",
    W_C="H,8",
    D="H",
)
def mamba(
    xp: Any, h: Any, x: Any, W_in: Any, W_dt: Any, b_dt: Any, A_log: Any, W_B: Any, W_C: Any, D: Any
) -> Any:
    """Selective state spaces, softplus steps. A. Gu and T. Dao 2023."""
    u = x @ W_in
    u = u * xp.sigmoid(u)
    a = u @ W_dt + b_dt
    dt = xp.logaddexp(a, xp.zeros_like(a))[..., None]
    h = xp.exp(-dt * xp.exp(A_log)) * h + dt * (u @ W_B)[:, None, :] * u[..., None]
    return h, xp.sum(h * (u @ W_C)[:, None, :], axis=-1) + D * u


@cell("bilinear RNN", carry="B,H", T=normal("H,8,I", 0.1), P="8,H", W="H,H", b="H")
def bilinear(xp: Any, h: Any, x: Any, T: Any, P: Any, W: Any, b: Any) -> Any:
    """A tensor product of state and input. I. Sutskever et al. 2011, low rank."""
    h = xp.tanh(xp.einsum("bh,hri,bi,ro->bo", h, T, x, P) + h @ W + b)
    return h, h


@cell("mixture of experts", carry="B,H", W="4,H,H", U="4,I,H", W_g="H,4", U_g="I,4")
def experts(xp: Any, h: Any, x: Any, W: Any, U: Any, W_g: Any, U_g: Any) -> Any:
    """Four cells and a softmax gate. R. Jacobs et al. 1991."""
    g = xp.softmax(h @ W_g + x @ U_g, axis=-1)
    each = xp.tanh(xp.einsum("bh,eho->beo", h, W) + xp.einsum("bi,eio->beo", x, U))
    h = xp.einsum("be,beo->bo", g, each)
    return h, h


@cell("attention over 8 states", carry=("B,H", normal("B,8,H", 0.5)), W="H,H", U="I,H", W_q="H,H", V="H,H")
def attention(xp: Any, carry: Any, x: Any, W: Any, U: Any, W_q: Any, V: Any) -> Any:
    """A window of the last states, shifted by concat, and attention over it. J. Cheng et al. 2016."""
    h, past = carry
    scores = xp.sum(past * (h @ W_q)[:, None, :], axis=-1) / sqrt(h.shape[-1])
    context = xp.sum(xp.softmax(scores, axis=-1)[..., None] * past, axis=1)
    h = xp.tanh(h @ W + x @ U + context @ V)
    return (h, xp.concat((past[:, 1:], h[:, None]), axis=1)), h


@cell(
    "attention, ring buffer", carry=("B,H", normal("8,B,H", 0.5), constant("", 0)), W="H,H", U="I,H", V="H,H"
)
def ring_buffer(xp: Any, carry: Any, x: Any, W: Any, U: Any, V: Any) -> Any:
    """The same window as a ring buffer, updated at a cyclic index."""
    h, past, t = carry
    p = xp.softmax(xp.sum(past * h, axis=-1), axis=0)
    h = xp.tanh(h @ W + x @ U + xp.sum(p[..., None] * past, axis=0) @ V)
    return (h, xp.put(past, t % 8, h), t + 1), h


@cell(
    "neural Turing machine",
    carry=("B,H", normal("B,16,8", 0.5), uniform("B,16", 0, 0.1)),
    W="H,H",
    U="I,H",
    R="8,H",
    W_k="H,8",
    W_e="H,8",
    W_a="H,8",
    W_s="H,3",
    w_g="H,1",
)
def turing(
    xp: Any, carry: Any, x: Any, W: Any, U: Any, R: Any, W_k: Any, W_e: Any, W_a: Any, W_s: Any, w_g: Any
) -> Any:
    """Content addressing, interpolation, a circular shift, erase and add. A. Graves et al. 2014."""
    h, M, w = carry
    read = xp.sum(w[..., None] * M, axis=1)
    h = xp.tanh(h @ W + x @ U + read @ R)
    k = h @ W_k
    norms = xp.sqrt(xp.sum(M**2, axis=-1) * xp.sum(k**2, axis=-1, keepdims=True) + 1e-6)
    content = xp.softmax(4 * xp.sum(M * k[:, None, :], axis=-1) / norms, axis=-1)
    g, s = xp.sigmoid(h @ w_g), xp.softmax(h @ W_s, axis=-1)
    w = g * content + (1 - g) * w
    w = s[:, 0:1] * xp.roll(w, -1, axis=-1) + s[:, 1:2] * w + s[:, 2:3] * xp.roll(w, 1, axis=-1)
    erase, add = xp.sigmoid(h @ W_e), xp.tanh(h @ W_a)
    M = M * (1 - w[..., None] * erase[:, None, :]) + w[..., None] * add[:, None, :]
    return (h, M, w), h


@cell("stack RNN", carry=("B,H", normal("B,16,4", 0.5)), W="H,H", U="I,H", P="4,H", A="H,3", D="H,4")
def stack_rnn(xp: Any, carry: Any, x: Any, W: Any, U: Any, P: Any, A: Any, D: Any) -> Any:
    """A soft stack: push, pop or stay. A. Joulin and T. Mikolov 2015."""
    h, s = carry
    h = xp.sigmoid(h @ W + x @ U + s[:, 0] @ P)
    a = xp.softmax(h @ A, axis=-1)[:, :, None]
    pushed = xp.concat((xp.sigmoid(h @ D)[:, None], s[:, :-1]), axis=1)
    popped = xp.concat((s[:, 1:], xp.zeros_like(s[:, :1])), axis=1)
    s = a[:, 0:1] * pushed + a[:, 1:2] * popped + a[:, 2:3] * s
    return (h, s), h


@cell("pointer to memory", carry=("B,H", normal("16,H", 0.5)), W="H,H", U="I,H", W_p="H,16")
def pointer(xp: Any, carry: Any, x: Any, W: Any, U: Any, W_p: Any) -> Any:
    """A hard pointer: the cell reads a row of M; the batch's first element overwrites the row it read."""
    h, M = carry
    at = xp.argmax(h @ W_p, axis=-1)
    h = xp.tanh(h @ W + x @ U + xp.take(M, at, axis=0))
    return (h, xp.put(M, at[0], h[0])), h
