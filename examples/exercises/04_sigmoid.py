"""Exercise 4: a neuron.

    dot = w0 * x0 + w1 * x1 + w2
    f = sigmoid(dot)

The derivative of the sigmoid is easy to write with a helper `sigdx`. Which value does the helper take: the
one that goes into the sigmoid, or the one that comes out? One line of the backward pass below is wrong. Run
this file, mend the line, and run it again, until all gradients are right.
"""

import math

import xgrad as xg


def forward(w0, w1, w2, x0, x1):
    p0 = w0 * x0
    p1 = w1 * x1
    total = p0 + p1
    dot = total + w2
    f = xg.sigmoid(dot)
    return f


def sigdx(f):
    """Return the derivative of the sigmoid where the sigmoid is `f`."""
    return f * (1 - f)


def backward(w0, w1, w2, x0, x1):
    dot = w0 * x0 + w1 * x1 + w2
    f = 1.0 / (1 + math.exp(-dot))

    df = 1.0
    # f = sigmoid(dot)
    ddot = sigdx(dot) * df
    # dot = w0 * x0 + w1 * x1 + w2
    dw0, dx0 = x0 * ddot, w0 * ddot
    dw1, dx1 = x1 * ddot, w1 * ddot
    dw2 = ddot
    return {"df": df, "ddot": ddot, "dw0": dw0, "dx0": dx0, "dw1": dw1, "dx1": dx1, "dw2": dw2}


print(xg.check_derivation(forward, (2.0, -3.0, -2.0, -1.0, -2.0), backward))
