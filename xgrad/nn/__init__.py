"""Modules with weights, and losses. The default dtype is float32."""

from .layers import Embedding, Linear, dropout
from .losses import cross_entropy
from .modules import Module, cast
from .recurrent import GRU

__all__ = ["GRU", "Embedding", "Linear", "Module", "cast", "cross_entropy", "dropout"]
