"""Random numbers, equal on every device for one seed, differentiable in their parameters where possible."""

from .generators import Generator, default_rng
from .philox import Philox, philox

__all__ = ["Generator", "Philox", "default_rng", "philox"]
