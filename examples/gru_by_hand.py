"""A GRU by hand: 17 forward equations, their backward pass through `deriv`, and the loop through time.

The notation follows the note "Computational graphs for backprop" (@bhaprayan, 2020): inputs and states are
column vectors, here with one column per element of the batch, and z_t weighs the new state. Run the file to
see that the engine gives the same gradients from the forward equations alone.
"""

from __future__ import annotations

import xgrad as xg
from xgrad import deriv, sigmoid, tanh

Tensors = dict[str, xg.Tensor]


def forward(W: Tensors, h: xg.Tensor, x: xg.Tensor) -> list[xg.Tensor]:
    """Compute one time step from the state h (H, B) and the input x (I, B): z1 to z17, at these indices."""
    z1 = W["zh"] @ h
    z2 = W["zx"] @ x
    z3 = z1 + z2
    z4 = sigmoid(z3)  # z_t
    z5 = W["rh"] @ h
    z6 = W["rx"] @ x
    z7 = z5 + z6
    z8 = sigmoid(z7)  # r_t
    z9 = z8 * h
    z10 = W["h"] @ z9
    z11 = W["x"] @ x
    z12 = z10 + z11
    z13 = tanh(z12)  # h_tilde
    z14 = 1 - z4
    z15 = z14 * h
    z16 = z4 * z13
    z17 = z15 + z16  # the next h
    return [h, z1, z2, z3, z4, z5, z6, z7, z8, z9, z10, z11, z12, z13, z14, z15, z16, z17]


def backward(
    dz17: xg.Tensor, W: Tensors, x: xg.Tensor, z: list[xg.Tensor]
) -> tuple[Tensors, xg.Tensor, xg.Tensor]:
    """Go through the equations in reverse, with one `deriv` each; return the gradients of W, h and x."""
    h, z1, z2, z3, z4, z5, z6, z7, z8, z9, z10, z11, z12, z13, z14, z15, z16, _ = z

    # z17 = z15 + z16
    dz15, dz16 = deriv(dz17, z15, z16, "+")
    # z16 = z4 * z13
    dz4, dz13 = deriv(dz16, z4, z13, "*")
    # z15 = z14 * h
    dz14, dh = deriv(dz15, z14, h, "*")
    # z14 = 1 - z4
    ret = deriv(dz14, 1.0, z4, "-")
    dz4 += ret[1]
    # z13 = tanh(z12)
    (dz12,) = deriv(dz13, z12, None, "tanh", z=z13)
    # z12 = z10 + z11
    dz10, dz11 = deriv(dz12, z10, z11, "+")
    # z11 = Wx @ x
    dWx, dx = deriv(dz11, W["x"], x, "@")
    # z10 = Wh @ z9
    dWh, dz9 = deriv(dz10, W["h"], z9, "@")
    # z9 = z8 * h
    ret = deriv(dz9, z8, h, "*")
    dz8 = ret[0]
    dh += ret[1]
    # z8 = sigmoid(z7)
    (dz7,) = deriv(dz8, z7, None, "sigmoid", z=z8)
    # z7 = z5 + z6
    dz5, dz6 = deriv(dz7, z5, z6, "+")
    # z6 = Wrx @ x
    ret = deriv(dz6, W["rx"], x, "@")
    dWrx = ret[0]
    dx += ret[1]
    # z5 = Wrh @ h
    ret = deriv(dz5, W["rh"], h, "@")
    dWrh = ret[0]
    dh += ret[1]
    # z4 = sigmoid(z3)
    (dz3,) = deriv(dz4, z3, None, "sigmoid", z=z4)
    # z3 = z1 + z2
    dz1, dz2 = deriv(dz3, z1, z2, "+")
    # z2 = Wzx @ x
    ret = deriv(dz2, W["zx"], x, "@")
    dWzx = ret[0]
    dx += ret[1]
    # z1 = Wzh @ h
    ret = deriv(dz1, W["zh"], h, "@")
    dWzh = ret[0]
    dh += ret[1]

    return {"zh": dWzh, "zx": dWzx, "rh": dWrh, "rx": dWrx, "h": dWh, "x": dWx}, dh, dx


def through_time(W: Tensors, h: xg.Tensor, xs: list[xg.Tensor]) -> list[list[xg.Tensor]]:
    """Run the forward pass over all steps; return the stages of each step."""
    steps = []
    for x in xs:
        steps.append(forward(W, h, x))
        h = steps[-1][17]
    return steps


def back_through_time(
    dhs: list[xg.Tensor], W: Tensors, xs: list[xg.Tensor], steps: list[list[xg.Tensor]]
) -> tuple[Tensors, xg.Tensor, list[xg.Tensor]]:
    """Run the backward pass over all steps; return the gradients of W, h0 and every x.

    `dhs` are the gradients of the loss with respect to each state, without the path through later states.
    """
    dW = {name: xg.zeros_like(w) for name, w in W.items()}
    dh = xg.zeros_like(dhs[0])
    dxs = []
    for dh_loss, x, z in zip(reversed(dhs), reversed(xs), reversed(steps), strict=True):
        dW_t, dh, dx = backward(dh + dh_loss, W, x, z)
        dxs.append(dx)
        for name in dW:
            dW[name] += dW_t[name]
    return dW, dh, dxs[::-1]


def by_engine(
    W: Tensors, h: xg.Tensor, xs: list[xg.Tensor], dhs: list[xg.Tensor]
) -> tuple[Tensors, xg.Tensor, list[xg.Tensor]]:
    """Compute the gradients of `back_through_time` with the engine, from the forward equations alone."""

    def loss(W: Tensors, h: xg.Tensor, xs: list[xg.Tensor]) -> xg.Tensor:
        states = [z[17] for z in through_time(W, h, xs)]
        return xg.sum(xg.stack(states) * xg.stack(dhs))

    gradients: tuple[Tensors, xg.Tensor, list[xg.Tensor]] = xg.grad(loss, argnums=(0, 1, 2))(W, h, xs)
    return gradients


def random_problem(
    T: int, B: int, I: int, H: int, seed: int = 0
) -> tuple[Tensors, xg.Tensor, list[xg.Tensor], list[xg.Tensor]]:
    """Draw weights, h0, inputs, and a gradient of the loss for each state."""
    rng = xg.random.default_rng(seed)
    W = {name: rng.normal(size=(H, H)) * H**-0.5 for name in ("zh", "rh", "h")}
    W |= {name: rng.normal(size=(H, I)) * I**-0.5 for name in ("zx", "rx", "x")}
    return (
        W,
        rng.normal(size=(H, B)),
        [rng.normal(size=(I, B)) for _ in range(T)],
        [rng.normal(size=(H, B)) for _ in range(T)],
    )


def main() -> None:
    """Compare the gradients by hand and by the engine on a small problem."""
    W, h, xs, dhs = random_problem(T=5, B=3, I=4, H=6)
    dW, dh, dxs = back_through_time(dhs, W, xs, through_time(W, h, xs))
    dW_engine, dh_engine, dxs_engine = by_engine(W, h, xs, dhs)
    print("largest difference between the gradients by hand and by the engine")
    for name in dW:
        print(f"  W{name:<3} {float(xg.max(abs(dW[name] - dW_engine[name]))):.1e}")
    print(f"  h0   {float(xg.max(abs(dh - dh_engine))):.1e}")
    print(f"  xs   {float(xg.max(abs(xg.stack(dxs) - xg.stack(dxs_engine)))):.1e}")


if __name__ == "__main__":
    try:
        main()
    except xg.DeviceError as error:
        raise SystemExit(f"gru_by_hand.py: {error}") from None
