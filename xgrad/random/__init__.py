"""Random numbers, equal on every device for one seed, differentiable in their parameters where possible."""

from .generators import Generator, default_rng

__all__ = ["Generator", "default_rng"]
