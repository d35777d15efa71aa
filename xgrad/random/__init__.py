"""Random numbers, the same for the same seed on every device; those that can be are differentiable in their
parameters."""

from .generators import Generator, default_rng

__all__ = ["Generator", "default_rng"]
