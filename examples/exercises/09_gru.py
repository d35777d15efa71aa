"""Exercise 9: one step of a GRU, in 17 stages.

    z_t     = sigmoid(Wzh @ h + Wzx @ x)
    r_t     = sigmoid(Wrh @ h + Wrx @ x)
    h_tilde = tanh(Wh @ (r_t * h) + Wx @ x)
    new h   = (1 - z_t) * h + z_t * h_tilde

States and inputs are columns, one for each element of the batch. A listing that circulates says for the
sigmoid: return dz * sigdx(x) * (1 - sigdx(x)). What is it? One line of the backward pass below is wrong. Run
this file, mend the line, and run it again, until all gradients are right.
"""

import numpy as np

import xgrad as xg


def stages(Wzh, Wzx, Wrh, Wrx, Wh, Wx, h, x):
    z1 = Wzh @ h
    z2 = Wzx @ x
    z3 = z1 + z2
    z4 = xg.sigmoid(z3)  # z_t
    z5 = Wrh @ h
    z6 = Wrx @ x
    z7 = z5 + z6
    z8 = xg.sigmoid(z7)  # r_t
    z9 = z8 * h
    z10 = Wh @ z9
    z11 = Wx @ x
    z12 = z10 + z11
    z13 = xg.tanh(z12)  # h_tilde
    z14 = 1 - z4
    z15 = z14 * h
    z16 = z4 * z13
    z17 = z15 + z16  # the new h
    return z1, z2, z3, z4, z5, z6, z7, z8, z9, z10, z11, z12, z13, z14, z15, z16, z17


def forward(Wzh, Wzx, Wrh, Wrx, Wh, Wx, h, x):
    return stages(Wzh, Wzx, Wrh, Wrx, Wh, Wx, h, x)[-1]


def sigdx(z):
    """Return the derivative of the sigmoid where the sigmoid is `z`."""
    return z * (1 - z)


def tanhdx(z):
    """Return the derivative of tanh where tanh is `z`."""
    return 1 - z**2


def backward(Wzh, Wzx, Wrh, Wrx, Wh, Wx, h, x, dz17):
    _, _, _, z4, _, _, _, z8, z9, _, _, _, z13, z14, _, _, _ = stages(Wzh, Wzx, Wrh, Wrx, Wh, Wx, h, x)

    # z17 = z15 + z16
    dz15 = dz17
    dz16 = dz17
    # z16 = z4 * z13
    dz4 = dz16 * z13
    dz13 = dz16 * z4
    # z15 = z14 * h
    dz14 = dz15 * h
    dh = dz15 * z14
    # z14 = 1 - z4
    dz4 = dz4 - dz14
    # z13 = tanh(z12)
    dz12 = dz13 * tanhdx(z13)
    # z12 = z10 + z11
    dz10 = dz12
    dz11 = dz12
    # z11 = Wx @ x
    dWx = dz11 @ x.T
    dx = Wx.T @ dz11
    # z10 = Wh @ z9
    dWh = dz10 @ z9.T
    dz9 = Wh.T @ dz10
    # z9 = z8 * h
    dz8 = dz9 * h
    dh = dh + dz9 * z8
    # z8 = sigmoid(z7)
    dz7 = dz8 * sigdx(z8) * (1 - sigdx(z8))
    # z7 = z5 + z6
    dz5 = dz7
    dz6 = dz7
    # z6 = Wrx @ x
    dWrx = dz6 @ x.T
    dx = dx + Wrx.T @ dz6
    # z5 = Wrh @ h
    dWrh = dz5 @ h.T
    dh = dh + Wrh.T @ dz5
    # z4 = sigmoid(z3)
    dz3 = dz4 * sigdx(z4)
    # z3 = z1 + z2
    dz1 = dz3
    dz2 = dz3
    # z2 = Wzx @ x
    dWzx = dz2 @ x.T
    dx = dx + Wzx.T @ dz2
    # z1 = Wzh @ h
    dWzh = dz1 @ h.T
    dh = dh + Wzh.T @ dz1

    return {name: value for name, value in locals().items() if name.startswith("d")}


rng = np.random.default_rng(0)
H, I, B = 4, 3, 2  # sizes of the state, the input and the batch
Wzh, Wrh, Wh = rng.normal(size=(3, H, H)) / 2
Wzx, Wrx, Wx = rng.normal(size=(3, H, I)) / 2
h, x, dz17 = rng.normal(size=(H, B)), rng.normal(size=(I, B)), rng.normal(size=(H, B))
print(xg.check_derivation(forward, (Wzh, Wzx, Wrh, Wrx, Wh, Wx, h, x), backward, dz17))
