"""Pictures: of computations, `xg.draw`, and of training, such as `xg.viz.gradient_flow`."""

from .drawing import Drawing, draw
from .flow import GradientFlow, gradient_flow

__all__ = ["Drawing", "GradientFlow", "draw", "gradient_flow"]
