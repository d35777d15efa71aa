"""Exercise 5: tanh, and a square.

    a = w * x
    h = tanh(a)
    error = h - target
    loss = error²

What is the derivative of tanh, in terms of its output `h`? One line of the backward pass below is wrong. Run
this file, mend the line, and run it again, until all gradients are right.
"""

import math

import xgrad as xg


def forward(w, x, target):
    a = w * x
    h = xg.tanh(a)
    error = h - target
    loss = error**2
    return loss


def backward(w, x, target):
    a = w * x
    h = math.tanh(a)
    error = h - target

    dloss = 1.0
    # loss = error**2
    derror = 2 * error * dloss
    # error = h - target
    dh = derror
    dtarget = -derror
    # h = tanh(a)
    da = (1 - h) * dh
    # a = w * x
    dw = x * da
    dx = w * da
    return {
        "dloss": dloss,
        "derror": derror,
        "dh": dh,
        "dtarget": dtarget,
        "da": da,
        "dw": dw,
        "dx": dx,
    }


print(xg.check_derivation(forward, (0.4, 1.5, 1.0), backward))
