"""Pictures: of computations, `xg.draw`, and of training, such as `xg.viz.gradient_flow`."""

from .drawing import Drawing, draw
from .flow import GradientFlow, gradient_flow
from .losses import Curves, curves
from .units import Activations, activations

__all__ = [
    "Activations",
    "Curves",
    "Drawing",
    "GradientFlow",
    "activations",
    "curves",
    "draw",
    "gradient_flow",
]
