"""Gated cells, and plain recurrent ones."""

from __future__ import annotations

from typing import Any

from .cell import cell, constant, uniform

GRU: dict[str, Any] = {
    f"{kind}_{gate}": s for gate in "zrh" for kind, s in (("W", "H,H"), ("U", "I,H"), ("b", "H"))
}
LSTM: dict[str, Any] = {
    f"{kind}_{gate}": s for gate in "ifog" for kind, s in (("W", "H,H"), ("U", "I,H"), ("b", "H"))
}
TWO: dict[str, Any] = {
    f"{kind}_{gate}": s for gate in "fh" for kind, s in (("W", "H,H"), ("U", "I,H"), ("b", "H"))
}


@cell("RNN", carry="B,H", W="H,H", U="I,H", b="H")
def rnn(xp: Any, h: Any, x: Any, W: Any, U: Any, b: Any) -> Any:
    """J. Elman 1990."""
    h = xp.tanh(h @ W + x @ U + b)
    return h, h


@cell("GRU", carry="B,H", **GRU)
def gru(xp: Any, h: Any, x: Any, **W: Any) -> Any:
    """K. Cho et al. 2014, the reset gate after the product."""
    z = xp.sigmoid(h @ W["W_z"] + x @ W["U_z"] + W["b_z"])
    r = xp.sigmoid(h @ W["W_r"] + x @ W["U_r"] + W["b_r"])
    h_tilde = xp.tanh(r * (h @ W["W_h"]) + x @ W["U_h"] + W["b_h"])
    h = (1 - z) * h + z * h_tilde
    return h, h


def _gate(W: Any, gate: str, h: Any, x: Any) -> Any:
    return h @ W[f"W_{gate}"] + x @ W[f"U_{gate}"] + W[f"b_{gate}"]


@cell("coupled LSTM", carry=("B,H", "B,H"), **{k: s for k, s in LSTM.items() if not k.endswith("i")})
def coupled_lstm(xp: Any, carry: Any, x: Any, **W: Any) -> Any:
    """Input and forget gates add to one. K. Greff et al. 2017."""
    h, c = carry
    f = xp.sigmoid(_gate(W, "f", h, x))
    c = f * c + (1 - f) * xp.tanh(_gate(W, "g", h, x))
    h = xp.sigmoid(_gate(W, "o", h, x)) * xp.tanh(c)
    return (h, c), h


@cell("multiplicative LSTM", carry=("B,H", "B,H"), W_m="H,H", U_m="I,H", **LSTM)
def multiplicative_lstm(xp: Any, carry: Any, x: Any, **W: Any) -> Any:
    """B. Krause et al. 2016."""
    h, c = carry
    m = (x @ W["U_m"]) * (h @ W["W_m"])
    i, f, o = (xp.sigmoid(_gate(W, gate, m, x)) for gate in "ifo")
    c = f * c + i * _gate(W, "g", m, x)
    h = xp.tanh(c) * o
    return (h, c), h


@cell("LayerNorm LSTM", carry=("B,H", "B,H"), W="H,4H", U="I,4H", b="4H", gain="4H", gain_c="H")
def layer_norm_lstm(xp: Any, carry: Any, x: Any, W: Any, U: Any, b: Any, gain: Any, gain_c: Any) -> Any:
    """J. L. Ba et al. 2016."""

    def normalised(a: Any) -> Any:
        return (a - xp.mean(a, axis=-1, keepdims=True)) / xp.sqrt(xp.var(a, axis=-1, keepdims=True) + 1e-5)

    h, c = carry
    H = h.shape[-1]
    a = gain * normalised(h @ W) + x @ U + b
    i, f, o = (xp.sigmoid(a[..., k * H : (k + 1) * H]) for k in range(3))
    c = f * c + i * xp.tanh(a[..., 3 * H :])
    h = o * xp.tanh(gain_c * normalised(c))
    return (h, c), h


@cell("JANET", carry="B,H", **TWO)
def janet(xp: Any, c: Any, x: Any, **W: Any) -> Any:
    """Only a forget gate. J. van der Westhuizen and J. Lasenby 2018."""
    s = _gate(W, "f", c, x)
    c = xp.sigmoid(s) * c + (1 - xp.sigmoid(s - 1.0)) * xp.tanh(_gate(W, "h", c, x))
    return c, c


@cell("UGRNN", carry="B,H", **TWO)
def ugrnn(xp: Any, h: Any, x: Any, **W: Any) -> Any:
    """Update gate RNN. J. Collins et al. 2017."""
    g = xp.sigmoid(_gate(W, "f", h, x) + 1.0)
    h = g * h + (1 - g) * xp.tanh(_gate(W, "h", h, x))
    return h, h


@cell("SRU", carry="B,H", W="I,H", W_f="I,H", W_r="I,H", v_f="H", v_r="H", b_f="H", b_r="H", S="I,H")
def sru(xp: Any, c: Any, x: Any, **W: Any) -> Any:
    """Simple recurrent unit. T. Lei et al. 2018."""
    f = xp.sigmoid(x @ W["W_f"] + W["v_f"] * c + W["b_f"])
    r = xp.sigmoid(x @ W["W_r"] + W["v_r"] * c + W["b_r"])
    c = f * c + (1 - f) * (x @ W["W"])
    return c, r * c + (1 - r) * (x @ W["S"])


@cell("QRNN", carry=("B,H", "B,I"), W_z="2I,H", W_f="2I,H", W_o="2I,H")
def qrnn(xp: Any, carry: Any, x: Any, W_z: Any, W_f: Any, W_o: Any) -> Any:
    """Quasi-recurrent network, a window of two. J. Bradbury et al. 2017."""
    c, before = carry
    window = xp.concat((before, x), axis=-1)
    z, f, o = xp.tanh(window @ W_z), xp.sigmoid(window @ W_f), xp.sigmoid(window @ W_o)
    c = f * c + (1 - f) * z
    return (c, x), o * c


@cell("IndRNN", carry="B,H", u=uniform("H", -1, 1), W="I,H", b="H")
def indrnn(xp: Any, h: Any, x: Any, u: Any, W: Any, b: Any) -> Any:
    """Independent neurons. S. Li et al. 2018."""
    h = xp.maximum(x @ W + u * h + b, 0.0)
    return h, h


@cell("RHN", carry="B,H", U_h="I,H", U_t="I,H", R_h="3,H,H", R_t="3,H,H", b_h="3,H", b_t="3,H")
def rhn(xp: Any, s: Any, x: Any, U_h: Any, U_t: Any, R_h: Any, R_t: Any, b_h: Any, b_t: Any) -> Any:
    """Recurrent highway network, three layers deep. J. G. Zilly et al. 2017."""
    for layer in range(3):
        a, t = s @ R_h[layer] + b_h[layer], s @ R_t[layer] + b_t[layer]
        if layer == 0:
            a, t = a + x @ U_h, t + x @ U_t
        t = xp.sigmoid(t)
        s = xp.tanh(a) * t + s * (1 - t)
    return s, s


@cell("nBRC", carry="B,H", U_a="I,H", W_a="H,H", U_c="I,H", W_c="H,H", U="I,H")
def nbrc(xp: Any, h: Any, x: Any, U_a: Any, W_a: Any, U_c: Any, W_c: Any, U: Any) -> Any:
    """Neuromodulated bistable cell. N. Vecoven et al. 2021."""
    a = 1 + xp.tanh(x @ U_a + h @ W_a)
    c = xp.sigmoid(x @ U_c + h @ W_c)
    h = c * h + (1 - c) * xp.tanh(x @ U + a * h)
    return h, h


@cell("antisymmetric RNN", carry="B,H", W="H,H", V="I,H", V_z="I,H", b="H")
def antisymmetric(xp: Any, h: Any, x: Any, W: Any, V: Any, V_z: Any, b: Any) -> Any:
    """B. Chang et al. 2019, with a gate."""
    A = W - W.T - 0.1 * xp.eye(W.shape[0], dtype=W.dtype)
    a = h @ A
    h = h + 0.1 * xp.sigmoid(a + x @ V_z) * xp.tanh(a + x @ V + b)
    return h, h


@cell("liquid time constant", carry="B,H", W="H,H", U="I,H", b="H", A="H", tau=uniform("H", 1, 2))
def ltc(xp: Any, h: Any, x: Any, W: Any, U: Any, b: Any, A: Any, tau: Any) -> Any:
    """R. Hasani et al. 2021: six steps of the fused solver."""
    a = x @ U + b
    for _ in range(6):
        f = xp.sigmoid(h @ W + a)
        h = (h + 0.1 * f * A) / (1 + 0.1 * (1 / tau + f))
    return h, h


@cell("CfC", carry="B,H", reads=("B,I", uniform("B,1", 0, 1)), W="H,H", U="I,H", F="H,H", G="H,H", A="H,H")
def cfc(xp: Any, h: Any, reads: Any, W: Any, U: Any, F: Any, G: Any, A: Any) -> Any:
    """Closed-form continuous time. R. Hasani et al. 2022."""
    x, t = reads
    backbone = xp.tanh(h @ W + x @ U)
    gate = xp.sigmoid(-(backbone @ A) * t)
    h = gate * xp.tanh(backbone @ F) + (1 - gate) * xp.tanh(backbone @ G)
    return h, h


@cell("minGRU, log space", carry="B,H", W_z="I,H", W_h="I,H")
def min_gru(xp: Any, log_h: Any, x: Any, W_z: Any, W_h: Any) -> Any:
    """L. Feng et al. 2024: the state's logarithm, and log g(x) for g(x) = x + 0.5 or sigmoid(x)."""
    k, a = x @ W_z, x @ W_h
    zero = xp.zeros_like(k)
    log_g = xp.where(a >= 0, xp.log(xp.maximum(a, 0.0) + 0.5), -xp.logaddexp(zero, -a))
    log_h = xp.logaddexp(-xp.logaddexp(zero, k) + log_h, -xp.logaddexp(zero, -k) + log_g)
    return log_h, xp.exp(log_h)


@cell("minLSTM", carry="B,H", W_f="I,H", W_i="I,H", W_h="I,H")
def min_lstm(xp: Any, h: Any, x: Any, W_f: Any, W_i: Any, W_h: Any) -> Any:
    """L. Feng et al. 2024."""
    f, i = xp.sigmoid(x @ W_f), xp.sigmoid(x @ W_i)
    h = (f * h + i * (x @ W_h)) / (f + i)
    return h, h


@cell("ordered neurons", carry=("B,H", "B,H"), W_a="H,H", U_a="I,H", W_b="H,H", U_b="I,H", **LSTM)
def ordered_neurons(xp: Any, carry: Any, x: Any, **W: Any) -> Any:
    """Y. Shen et al. 2019: master gates by a cumulative sum of a softmax."""
    h, c = carry
    master_f = xp.cumulative_sum(xp.softmax(h @ W["W_a"] + x @ W["U_a"], axis=-1), axis=-1)
    master_i = 1 - xp.cumulative_sum(xp.softmax(h @ W["W_b"] + x @ W["U_b"], axis=-1), axis=-1)
    i, f, o = (xp.sigmoid(_gate(W, gate, h, x)) for gate in "ifo")
    both = master_f * master_i
    f, i = f * both + (master_f - both), i * both + (master_i - both)
    c = f * c + i * xp.tanh(_gate(W, "g", h, x))
    h = o * xp.tanh(c)
    return (h, c), h


@cell("stick-breaking gates", carry="B,H", W="H,H", U="I,H", W_g="H,H", U_g="I,H")
def stick_breaking(xp: Any, h: Any, x: Any, W: Any, U: Any, W_g: Any, U_g: Any) -> Any:
    """Gates that sum to 1 by a cumulative product, as in sigmoid stick breaking."""
    v = xp.sigmoid(h @ W_g + x @ U_g)
    g = v * xp.cumulative_prod(1 - 0.5 * v, axis=-1)
    h = (1 - g) * h + g * xp.tanh(h @ W + x @ U)
    return h, h


@cell("clockwork RNN", carry=("B,H", constant("", 0)), W="H,H", U="I,H", b="H")
def clockwork(xp: Any, carry: Any, x: Any, W: Any, U: Any, b: Any) -> Any:
    """Neurons of periods 1, 2, 4, 8. J. Koutnik et al. 2014."""
    h, t = carry
    H = h.shape[-1]
    period = 2 ** (xp.arange(H, dtype=xp.int64) % 4)
    h = xp.where(t % period == 0, xp.tanh(h @ W + x @ U + b), h)
    return (h, t + 1), h


@cell(
    "phased LSTM",
    carry=("B,H", "B,H"),
    reads=("B,I", uniform("B,1", 0, 100)),
    tau=uniform("H", 2, 30),
    s=uniform("H", 0, 1),
    **LSTM,
)
def phased_lstm(xp: Any, carry: Any, reads: Any, tau: Any, s: Any, **W: Any) -> Any:
    """A time gate that opens in one part of each period. D. Neil et al. 2016."""
    (h, c), (x, t) = carry, reads
    phase = ((t - s) % tau) / tau
    whole = (t - s) // tau
    k = xp.where(phase < 0.1, 20 * phase, xp.where(phase < 0.2, 4 - 20 * phase, 0.001 * phase))
    k = xp.where(whole % 2 == 0, k, 0.9 * k)
    i, f, o = (xp.sigmoid(_gate(W, gate, h, x)) for gate in "ifo")
    c_new = f * c + i * xp.tanh(_gate(W, "g", h, x))
    h_new = o * xp.tanh(c_new)
    h, c = k * h_new + (1 - k) * h, k * c_new + (1 - k) * c
    return (h, c), h
