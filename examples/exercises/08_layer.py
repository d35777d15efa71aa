"""Exercise 8: a layer with a bias, on a batch of rows.

    product = x @ W        x of shape (5, 3), W of shape (3, 4)
    a = product + b        b of shape (4,), added to each of the 5 rows
    h = tanh(a)

The same `b` goes to all rows. What comes back to it? One line of the backward pass below is wrong. Run this
file, mend the line, and run it again, until all gradients are right.
"""

import numpy as np

import xgrad as xg


def forward(x, W, b):
    product = x @ W
    a = product + b
    h = xg.tanh(a)
    return h


def backward(x, W, b, dh):
    h = np.tanh(x @ W + b)

    # h = tanh(a)
    da = dh * (1 - h**2)
    # a = product + b
    dproduct = da
    db = da
    # product = x @ W
    dx = dproduct @ W.T
    dW = x.T @ dproduct
    return {"dh": dh, "da": da, "dproduct": dproduct, "db": db, "dx": dx, "dW": dW}


rng = np.random.default_rng(0)
x, W, b = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=4)
dh = rng.normal(size=(5, 4))  # what comes from the rest of the network
print(xg.check_derivation(forward, (x, W, b), backward, dh))
