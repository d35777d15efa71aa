"""Exercise 10: a recurrent network, back through time.

    a_t = W @ h_{t-1} + U @ x_t
    h_t = tanh(a_t)

for t = 1, 2, 3. The same W and U are used at every step, so each step adds to their gradients. Which state
does `dW` need at step t? One line of the backward pass below is wrong. Run this file, mend the line, and run
it again, until all gradients are right.
"""

import numpy as np

import xgrad as xg


def forward(W, U, h0, xs):
    h = h0
    for x in xs:
        a = W @ h + U @ x
        h = xg.tanh(a)
    return h


def backward(W, U, h0, xs, dh):
    h = [h0]  # h[t] is the state after t steps
    for x in xs:
        h.append(np.tanh(W @ h[-1] + U @ x))

    dW, dU = np.zeros_like(W), np.zeros_like(U)
    for t in (3, 2, 1):
        # h_t = tanh(a_t)
        da = dh * (1 - h[t] ** 2)
        # a_t = W @ h_{t-1} + U @ x_t
        dW += da @ h[t].T
        dU += da @ xs[t - 1].T
        dh = W.T @ da
    return {"dW": dW, "dU": dU, "dh0": dh}


rng = np.random.default_rng(0)
W, U = rng.normal(size=(4, 4)) / 2, rng.normal(size=(4, 3)) / 2
h0, xs = rng.normal(size=(4, 2)), list(rng.normal(size=(3, 3, 2)))
dh = rng.normal(size=(4, 2))
print(xg.check_derivation(forward, (W, U, h0, xs), backward, dh))
