"""Exercise 1: a multiply gate.

    q = x + y
    f = q * z

What does a multiply gate hand to each of its inputs? One line of the backward pass below is wrong. Run this
file, read what it says, mend the line, and run it again, until all gradients are right.
"""

import xgrad as xg


def forward(x, y, z):
    q = x + y
    f = q * z
    return f


def backward(x, y, z):
    q = x + y

    df = 1.0  # the gradient of the output with respect to itself
    # f = q * z
    dq = q * df
    dz = q * df
    # q = x + y
    dx = dq
    dy = dq
    return {"df": df, "dq": dq, "dz": dz, "dx": dx, "dy": dy}


print(xg.check_derivation(forward, (-2.0, 5.0, -4.0), backward))
