"""Exercise 7: a matrix product.

    y = W @ x        W of shape (3, 3), x a column of shape (3, 1)
    f = sum(c * y)

A listing of `deriv` that circulates says: case '@': return y @ dz, dz @ x. Which factors need a transpose,
and in which order are they? One line of the backward pass below is wrong. Run this file, mend the line, and
run it again, until all gradients are right.
"""

import numpy as np

import xgrad as xg


def forward(W, x, c):
    y = W @ x
    weighted = c * y
    f = xg.sum(weighted)
    return f


def backward(W, x, c):
    y = W @ x

    df = 1.0
    # f = sum(weighted)
    dweighted = np.ones_like(y) * df
    # weighted = c * y
    dc = dweighted * y
    dy = dweighted * c
    # y = W @ x
    dW = dy @ x.T
    dx = W @ dy
    return {"df": df, "dweighted": dweighted, "dc": dc, "dy": dy, "dW": dW, "dx": dx}


rng = np.random.default_rng(0)
W, x, c = rng.normal(size=(3, 3)), rng.normal(size=(3, 1)), rng.normal(size=(3, 1))
print(xg.check_derivation(forward, (W, x, c), backward))
