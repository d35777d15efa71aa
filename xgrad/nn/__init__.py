"""Modules with weights, and losses. float32 unless a module is told otherwise."""

from .layers import Embedding, Linear
from .losses import cross_entropy
from .modules import Module, cast
from .recurrent import GRU

__all__ = ["GRU", "Embedding", "Linear", "Module", "cast", "cross_entropy"]
