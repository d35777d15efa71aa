"""Exercise 6: a mean over a batch.

    error = prediction - target        both of shape (N,)
    square = error²
    loss = mean(square)

How much does the loss change if one element of `square` does? One line of the backward pass below is wrong.
Run this file, mend the line, and run it again, until all gradients are right.
"""

import numpy as np

import xgrad as xg


def forward(prediction, target):
    error = prediction - target
    square = error**2
    loss = xg.mean(square)
    return loss


def backward(prediction, target):
    error = prediction - target

    dloss = 1.0
    # loss = mean(square)
    dsquare = np.ones_like(error) * dloss
    # square = error**2
    derror = 2 * error * dsquare
    # error = prediction - target
    dprediction = derror
    dtarget = -derror
    return {
        "dloss": dloss,
        "dsquare": dsquare,
        "derror": derror,
        "dprediction": dprediction,
        "dtarget": dtarget,
    }


prediction = np.array([0.9, 0.2, 0.7, 0.4])
target = np.array([1.0, 0.0, 1.0, 1.0])
print(xg.check_derivation(forward, (prediction, target), backward))
