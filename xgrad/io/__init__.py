"""Saving and loading Tensors."""

from .checkpoints import load, save

__all__ = ["load", "save"]
