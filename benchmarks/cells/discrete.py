"""Cells with indices, choices, counters and dynamic programming."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from .cell import Sizes, cell, constant, integers, normal, uniform

ALONE = Sizes(64, 1, 32, 32), Sizes(64, 1, 64, 128)  # no batch: H is the size of the problem


@cell(
    "adaptive computation time",
    carry=("B,H", uniform("B,1", 0, 0.1), constant("B,1", False)),
    W="H,H",
    U="I,H",
    w="H,1",
)
def adaptive(xp: Any, carry: Any, x: Any, W: Any, U: Any, w: Any) -> Any:
    """Ponder until the halting sum passes one, then start again. A. Graves 2016."""
    h, total, halted = carry
    new = xp.tanh(h @ W + x @ U)
    p = xp.sigmoid(new @ w)
    over = xp.logical_and(total + p > 0.99, xp.logical_not(halted))
    rest = xp.where(over, 1 - total, p)
    running = xp.logical_or(over, xp.logical_not(halted))
    h = xp.where(running, rest * new + (1 - rest) * h, h)
    total = xp.where(over, xp.zeros_like(total), total + p)
    return (h, total, over), h


@cell("embedding", carry="B,H", reads=integers("B", "H"), E=normal("H,I", 1.0), W="H,H", U="I,H")
def embedding(xp: Any, h: Any, token: Any, E: Any, W: Any, U: Any) -> Any:
    """Embedding lookup by index."""
    h = xp.tanh(h @ W + xp.take(E, token, axis=0) @ U)
    return h, h


@cell(
    "teacher forcing",
    carry=("B,H", integers("B", "H", "int64")),
    reads=(integers("B", "H"), uniform("B", 0, 1)),
    E=normal("H,I", 1.0),
    W="H,H",
    U="I,H",
    V="H,H",
)
def teacher_forcing(xp: Any, carry: Any, reads: Any, E: Any, W: Any, U: Any, V: Any) -> Any:
    """Scheduled sampling: the given token, or the argmax of the last step. S. Bengio et al. 2015."""
    (h, guess), (given, coin) = carry, reads
    h = xp.tanh(h @ W + xp.take(E, xp.where(coin < 0.5, given, guess), axis=0) @ U)
    logits = h @ V
    log_p = logits - xp.logsumexp(logits, axis=-1, keepdims=True)
    one_hot = xp.astype(xp.arange(V.shape[1]) == given[:, None], h.dtype)
    return (h, xp.argmax(logits, axis=-1)), xp.sum(one_hot * log_p, axis=-1)


@cell("Viterbi", carry=("B,H", integers("B", "H", "int64")), reads="B,H", A=normal("H,H", 1.0))
def viterbi(xp: Any, carry: Any, x: Any, A: Any) -> Any:
    """The best path's score, and back-pointers. A. Viterbi 1967."""
    score, _ = carry
    every = score[:, :, None] + A
    back = xp.argmax(every, axis=1)
    score = xp.max(every, axis=1) + x
    score = score - xp.max(score, axis=-1, keepdims=True)
    return (score, xp.argmax(score, axis=-1)), (score, back)


@cell("CTC forward", carry="B,H", reads="B,H", skip=integers("H", "2"), scale=uniform("H", 0.5, 1))
def ctc(xp: Any, alpha: Any, log_p: Any, skip: Any, scale: Any) -> Any:
    """Paths that stay, advance or skip a blank. A. Graves et al. 2006."""
    low = xp.full_like(alpha[:, :1], -1e4)
    one = xp.concat((low, alpha[:, :-1]), axis=1)
    two = xp.concat((low, low, alpha[:, :-2]), axis=1)
    two = xp.where(skip == 1, two, xp.full_like(two, -1e4))
    alpha = xp.logaddexp(xp.logaddexp(alpha, one), two) + scale * log_p - log(3)
    return alpha, alpha


@cell("HMM forward", carry="B,H", reads="B,H", A=normal("H,H", 1.0))
def hmm(xp: Any, alpha: Any, log_p: Any, A: Any) -> Any:
    """The forward algorithm in the log domain. L. Rabiner 1989."""
    log_A = A - xp.logsumexp(A, axis=1, keepdims=True)
    alpha = xp.logsumexp(alpha[:, :, None] + log_A, axis=1) + log_p
    return alpha, alpha


@cell("linear-chain CRF", carry="B,H", reads=("B,H", uniform("B,1", 0, 1)), A=normal("H,H", 1.0))
def crf(xp: Any, alpha: Any, reads: Any, A: Any) -> Any:
    """The partition function with padding, stabilised by hand. J. Lafferty et al. 2001."""
    x, there = reads
    m = xp.max(alpha, axis=-1, keepdims=True)
    new = xp.log(xp.exp(alpha - m) @ xp.exp(A)) + m + x
    alpha = xp.where(there < 0.9, new, alpha)
    return alpha, alpha


@cell(
    "edit distance",
    carry="H",
    reads=integers("", "I"),
    sizes=ALONE,
    word=integers("H", "I"),
    cost=uniform("3", 0.5, 1.5),
)
def edit_distance(xp: Any, row: Any, letter: Any, word: Any, cost: Any) -> Any:
    """Rows of the soft edit distance; the chain along a row by a cumulative sum."""
    change = xp.where(word == letter, xp.zeros_like(row), cost[0] * xp.ones_like(row))
    diagonal = xp.roll(row, 1) + change
    up = row + cost[1]
    best = xp.minimum(diagonal, up)
    along = cost[2] * xp.cumulative_sum(xp.ones_like(row))
    row = -xp.log(xp.cumulative_sum(xp.exp(-(best - along) * 0.1))) * 10 + along
    row = row - xp.min(row)
    return row, row


@cell("top-k RNN", carry="B,H", W="H,H", U="I,H", b="H")
def top_k(xp: Any, h: Any, x: Any, W: Any, U: Any, b: Any) -> Any:
    """Keeps only the largest quarter of the state, found by sorting. A. Makhzani and B. Frey 2014."""
    a = xp.tanh(h @ W + x @ U + b)
    keep = max(a.shape[-1] // 4, 1)
    least = xp.sort(a, axis=-1)[..., -keep][..., None]
    h = xp.where(a >= least, a, xp.zeros_like(a))
    return h, h


@cell("sorted state", carry="B,H", W="H,H", U="I,H")
def sorted_state(xp: Any, h: Any, x: Any, W: Any, U: Any) -> Any:
    """Order statistics, by argsort and take_along_axis."""
    a = xp.tanh(h @ W + x @ U)
    h = xp.take_along_axis(a, xp.argsort(xp.stop_gradient(a), axis=-1), axis=-1)
    return h, h


@cell("straight-through quantised", carry="B,H", W="H,H", U="I,H", b="H")
def straight_through(xp: Any, h: Any, x: Any, W: Any, U: Any, b: Any) -> Any:
    """Rounded to eighths, with the gradient of the identity. Y. Bengio et al. 2013."""
    a = xp.tanh(h @ W + x @ U + b)
    h = a + xp.stop_gradient(xp.round(a * 8) / 8 - a)
    return h, h


@cell("spiking neurons", carry=("B,H", "B,H"), W="H,H", U="I,H")
def spiking(xp: Any, carry: Any, x: Any, W: Any, U: Any) -> Any:
    """Leaky integrate and fire, surrogate gradient of a sigmoid. E. Neftci et al. 2019."""
    v, s = carry
    v = 0.9 * v * (1 - xp.stop_gradient(s)) + s @ W + x @ U
    soft = xp.sigmoid(4 * (v - 0.5))
    s = soft + xp.stop_gradient(xp.astype(v > 0.5, v.dtype) - soft)
    return (v, s), s


@cell("int8 counters", carry=(constant("B,H", 0), integers("B,H", "4", "int8")), reads="B,H", w="H")
def counters(xp: Any, carry: Any, x: Any, w: Any) -> Any:
    """Counts of positive inputs, in int64, and in int8 with wrap-around."""
    long, short = carry
    up = x > 0
    long = long + xp.astype(up, xp.int64)
    short = short + xp.astype(up, xp.int8) * xp.asarray(7, dtype=xp.int8)
    return (long, short), (w * xp.astype(long, w.dtype), short)


@cell(
    "int32 hash", carry=integers("B", "H", "int32"), reads=integers("B", "H", "int32"), E=normal("16,H", 1.0)
)
def hashed(xp: Any, state: Any, token: Any, E: Any) -> Any:
    """A hash of the past picks a row: integer products, xor, shifts, remainders."""
    state = xp.bitwise_xor(state * 31 + token, xp.bitwise_right_shift(state, 3)) % 1021
    return state, xp.take(E, state % 16, axis=0)


@cell(
    "float16 cell",
    carry=lambda rng, n: (0.5 * rng.normal(size=(n.B, n.H))).astype("float16"),
    tolerance=2e-2,
    W="H,H",
    U="I,H",
)
def half(xp: Any, h: Any, x: Any, W: Any, U: Any) -> Any:
    """A state kept in half precision, computed in full."""
    new = xp.tanh(xp.astype(h, x.dtype) @ W + x @ U)
    return xp.astype(new, xp.float16), new


@cell(
    "half-precision gates",
    carry=lambda rng, n: (0.5 * rng.normal(size=(n.B, n.H))).astype("float16"),
    tolerance=2e-2,
    u="H",
    U="I,H",
)
def half_gates(xp: Any, h: Any, x: Any, u: Any, U: Any) -> Any:
    """Elementwise work in half precision itself."""
    f = xp.sigmoid(xp.astype(u, xp.float16))
    h = f * h + (1 - f) * xp.tanh(xp.astype(x @ U, xp.float16))
    return h, xp.astype(h, x.dtype)


@cell("max-pool cell", carry="B,H", W="H,2H", U="I,2H", b="2H")
def max_pool(xp: Any, h: Any, x: Any, W: Any, U: Any, b: Any) -> Any:
    """Maxout. I. Goodfellow et al. 2013: gradients of max, min and prod."""
    a = xp.reshape(h @ W + x @ U + b, (*h.shape, 2))
    h = xp.tanh(xp.max(a, axis=-1)) - 0.1 * xp.tanh(xp.min(a, axis=-1)) + 0.1 * xp.tanh(xp.prod(a, axis=-1))
    return h, h


@cell(
    "memory by index",
    carry=(normal("H,I", 0.5), "I"),
    reads=(integers("", "H"), "I"),
    sizes=ALONE,
    W="I,I",
    U="I,I",
)
def slot_memory(xp: Any, carry: Any, reads: Any, W: Any, U: Any) -> Any:
    """A table of states: each step reads and writes one by index, as for the nodes of a graph."""
    (table, h), (at, x) = carry, reads
    h = xp.tanh(table[at] @ W + x @ U + 0.1 * h)
    return (xp.put(table, at, h), h), h


@cell("histogram by one-hot", carry="B,H", reads=integers("B", "H"), w=uniform("H", 0, 1))
def histogram(xp: Any, counts: Any, token: Any, w: Any) -> Any:
    """Decaying token counts."""
    one_hot = xp.astype(xp.arange(counts.shape[-1]) == token[:, None], counts.dtype)
    counts = w * counts + one_hot
    return counts, counts


@cell("histogram by scatter-add", carry="H", reads=(integers("B", "H"), "B"), w=uniform("H", 0, 1))
def scatter_add(xp: Any, counts: Any, reads: Any, w: Any) -> Any:
    """Decaying sums by token over a batch, with repeated tokens."""
    token, value = reads
    counts = xp.put_add(w * counts, token, value)
    return counts, counts


@cell(
    "histogram by searchsorted",
    carry="H",
    reads=("B", "B"),
    w=uniform("H", 0, 1),
    edges=lambda rng, n: np.linspace(-2, 2, n.H),
)
def searched(xp: Any, counts: Any, reads: Any, w: Any, edges: Any) -> Any:
    """Binning by binary search, and summing weights by bin with a one-hot product."""
    at, value = reads
    bins = xp.clip(xp.searchsorted(xp.stop_gradient(edges), at), 0, counts.shape[0] - 1)
    one_hot = xp.astype(xp.arange(counts.shape[0]) == bins[:, None], counts.dtype)
    counts = w * counts + value @ one_hot
    return counts, counts


@cell("cellular automaton", carry=integers("B,H", "2"), reads=None, w=normal("8", 1.0))
def automaton(xp: Any, row: Any, _: Any, w: Any) -> Any:
    """Rule 110 on a ring, with a weight for each pattern. S. Wolfram 1983."""
    pattern = 4 * xp.roll(row, 1, axis=-1) + 2 * row + xp.roll(row, -1, axis=-1)
    row = xp.bitwise_right_shift(110, pattern) % 2
    return row, xp.take(w, xp.reshape(pattern, (-1,)), axis=0)
