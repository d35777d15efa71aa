"""Recurrent layers, as equations run by `scan`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from ..backends import Device
from ..backends.types import ArrayLike, DTypeLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import asarray, float32, sigmoid, tanh, tensor, zeros
from ..random import Generator
from ..transforms import scan
from .modules import Module, checked_input, sizes, uniform_parameter


class GRU(Module):
    """Gated recurrent unit over a batch of sequences.

        z_t     = sigmoid(h @ W_zhᵀ + x_t @ W_zxᵀ + b_z)
        r_t     = sigmoid(h @ W_rhᵀ + x_t @ W_rxᵀ + b_r)
        h_tilde = tanh((r_t * h) @ W_hᵀ + x_t @ W_xᵀ + b_h)             reset="before"  (K. Cho et al. 2014)
        h_tilde = tanh(r_t * (h @ W_hᵀ + b_hh) + x_t @ W_xᵀ + b_h)      reset="after"   (cuDNN, torch)
        h       = (1 - z_t) * h + z_t * h_tilde

    Here z multiplies the new state; in torch, z multiplies the old one.

    Args:
        input_size, hidden_size: I and H. Weights on h have shape (H, H), those on x (H, I), all drawn from
            ±1/√H.
        reset: whether the reset gate acts before or after the matrix product.
        bias: whether there are b_z, b_r, b_h and, for "after", b_hh.

    >>> import xgrad as xg
    >>> ys, h = xg.nn.GRU(3, 4)(xg.zeros((7, 2, 3), dtype=xg.float32))
    >>> ys.shape, h.shape
    ((7, 2, 4), (2, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        reset: Literal["before", "after"] = "before",
        bias: bool = True,
        *,
        dtype: DTypeLike = float32,
        rng: Generator | None = None,
        device: str | Device | None = None,
    ) -> None:
        if reset not in ("before", "after"):
            raise ValueError(f"GRU: reset must be 'before' or 'after', not {reset!r}")
        sizes("GRU", input_size=input_size, hidden_size=hidden_size)
        self.reset = reset

        def weight(*shape: int) -> Tensor:
            return uniform_parameter(shape, hidden_size**-0.5, dtype, rng, device)

        self.W_zh, self.W_zx = weight(hidden_size, hidden_size), weight(hidden_size, input_size)
        self.W_rh, self.W_rx = weight(hidden_size, hidden_size), weight(hidden_size, input_size)
        self.W_h, self.W_x = weight(hidden_size, hidden_size), weight(hidden_size, input_size)
        self.b_z = weight(hidden_size) if bias else None
        self.b_r = weight(hidden_size) if bias else None
        self.b_h = weight(hidden_size) if bias else None
        self.b_hh = weight(hidden_size) if bias and reset == "after" else None

    def __call__(self, xs: ArrayLike, h0: ArrayLike | None = None) -> tuple[Tensor, Tensor]:
        """Return `(ys, h)`: the state after each step, (T, B, H), and the last one, (B, H).

        xs has shape (T, B, I), h0 (B, H); None means zeros.
        """
        xs = checked_input(xs, self.W_zx, self)
        hidden_size, input_size = self.W_zx.shape
        if xs.ndim != 3 or xs.shape[2] != input_size:
            raise ShapeError(
                f"GRU takes xs of shape (T, B, {input_size}), for T steps of a batch of B, not {xs.shape}"
            )
        batch = xs.shape[1]
        h = (
            zeros((batch, hidden_size), dtype=xs.dtype, device=xs.device)
            if h0 is None
            else checked_input(h0, self.W_zx, self)
        )
        if h.shape != (batch, hidden_size):
            raise ShapeError(
                f"GRU takes h0 of shape {(batch, hidden_size)} for xs of shape {xs.shape}, not {h.shape}"
            )
        h, ys = scan(self._step, h, xs)
        return ys, h

    def _step(self, h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """One time step: the equations."""
        z_t = sigmoid(_affine(h, self.W_zh) + _affine(x, self.W_zx, self.b_z))
        r_t = sigmoid(_affine(h, self.W_rh) + _affine(x, self.W_rx, self.b_r))
        if self.reset == "before":
            h_tilde = tanh(_affine(r_t * h, self.W_h) + _affine(x, self.W_x, self.b_h))
        else:
            h_tilde = tanh(r_t * _affine(h, self.W_h, self.b_hh) + _affine(x, self.W_x, self.b_h))
        h = (1 - z_t) * h + z_t * h_tilde
        return h, h

    @classmethod
    def from_torch(
        cls, state: Mapping[str, Any], *, dtype: DTypeLike | None = None, device: str | Device | None = None
    ) -> Self:
        """Make a GRU with reset="after" from the `state_dict()` of a one-layer `torch.nn.GRU`.

        In torch, z multiplies the old state, so its rows are negated: 1 - sigmoid(a) = sigmoid(-a).
        """
        names = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
        if not {"weight_ih_l0", "weight_hh_l0"} <= set(state) <= names:
            raise KeyError(
                f"GRU.from_torch takes the state_dict() of a torch.nn.GRU with one layer and one direction; "
                f"this one has the names {sorted(state)}"
            )
        ih, hh = (asarray(state[f"weight_{k}_l0"], dtype=dtype, device=device) for k in ("ih", "hh"))
        if ih.ndim != 2 or hh.ndim != 2 or not ih.shape[0] == hh.shape[0] == 3 * hh.shape[1]:
            raise ShapeError(
                f"GRU.from_torch takes weights of shapes (3 H, I) and (3 H, H), not {ih.shape} and {hh.shape}"
            )
        hidden_size, bias = hh.shape[1], "bias_ih_l0" in state
        gru = cls(ih.shape[1], hidden_size, "after", bias, dtype=ih.dtype, device=device)
        r, z, n = (slice(i * hidden_size, (i + 1) * hidden_size) for i in range(3))
        values = {"W_rx": ih[r], "W_zx": -ih[z], "W_x": ih[n], "W_rh": hh[r], "W_zh": -hh[z], "W_h": hh[n]}
        if bias:
            bi, bh = (asarray(state[f"bias_{k}_l0"], dtype=dtype, device=device) for k in ("ih", "hh"))
            values |= {"b_r": bi[r] + bh[r], "b_z": -(bi[z] + bh[z]), "b_h": bi[n], "b_hh": bh[n]}
        for name, value in values.items():
            setattr(gru, name, tensor(value, requires_grad=True))
        return gru


def _affine(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    """x @ Wᵀ + b."""
    return x @ W.T if b is None else x @ W.T + b
