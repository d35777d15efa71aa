"""Tensors on disk."""

from .checkpoints import load, save

__all__ = ["load", "save"]
