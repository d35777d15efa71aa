"""Computations that several tests draw."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg


@xg.gate
def logistic(x: Any) -> Any:
    return 1 / (1 + xg.exp(-x))


def neuron(w: Any, x: Any) -> Any:
    dot = w[0] * x[0] + w[1] * x[1] + w[2]
    return logistic(dot)


def plain_neuron(w: Any, x: Any) -> Any:
    dot = w[0] * x[0] + w[1] * x[1] + w[2]
    return 1.0 / (1.0 + xg.exp(-dot))


NEURON = ([2.0, -3.0, -3.0], [-1.0, -2.0])


def gru_loss(gru: Any, xs: Any) -> Any:
    ys, _ = gru(xs)
    return xg.sum(ys * ys)


def gru_problem(T: int) -> tuple[Any, Any]:
    """A GRU of 3 inputs and 4 states, and T steps of a batch of 2."""
    gru = xg.nn.GRU(3, 4, dtype=xg.float64, rng=xg.random.default_rng(0))
    return gru, np.random.default_rng(0).normal(size=(T, 2, 3))
