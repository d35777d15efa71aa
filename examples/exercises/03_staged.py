"""Exercise 3: values that are used twice.

    f(x, y) = (x + sigmoid(y)) / (sigmoid(x) + (x + y)²)

This is the staged computation of https://cs231n.github.io/optimization-2/. Both `x` and `y` are used more
than once. What becomes of the gradients that come back on each way? One line of the backward pass below is
wrong. Run this file, mend the line, and run it again, until all gradients are right.
"""

import math

import xgrad as xg


def forward(x, y):
    sigy = xg.sigmoid(y)  # (1)
    num = x + sigy  # (2)
    sigx = xg.sigmoid(x)  # (3)
    xpy = x + y  # (4)
    xpysqr = xpy**2  # (5)
    den = sigx + xpysqr  # (6)
    invden = 1.0 / den  # (7)
    f = num * invden  # (8)
    return f


def backward(x, y):
    sigy = 1.0 / (1 + math.exp(-y))
    num = x + sigy
    sigx = 1.0 / (1 + math.exp(-x))
    xpy = x + y
    den = sigx + xpy**2
    invden = 1.0 / den

    df = 1.0
    # f = num * invden  (8)
    dnum = invden * df
    dinvden = num * df
    # invden = 1.0 / den  (7)
    dden = -1.0 / den**2 * dinvden
    # den = sigx + xpysqr  (6)
    dsigx = dden
    dxpysqr = dden
    # xpysqr = xpy**2  (5)
    dxpy = 2 * xpy * dxpysqr
    # xpy = x + y  (4)
    dx = dxpy
    dy = dxpy
    # sigx = sigmoid(x)  (3)
    dx += (1 - sigx) * sigx * dsigx
    # num = x + sigy  (2)
    dx = dnum
    dsigy = dnum
    # sigy = sigmoid(y)  (1)
    dy += (1 - sigy) * sigy * dsigy
    return {
        "df": df,
        "dnum": dnum,
        "dinvden": dinvden,
        "dden": dden,
        "dsigx": dsigx,
        "dxpysqr": dxpysqr,
        "dxpy": dxpy,
        "dx": dx,
        "dsigy": dsigy,
        "dy": dy,
    }


print(xg.check_derivation(forward, (3.0, -4.0), backward))
