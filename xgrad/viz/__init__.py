"""Pictures of computations: `xg.draw`."""

from .drawing import Drawing, draw

__all__ = ["Drawing", "draw"]
