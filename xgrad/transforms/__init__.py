"""Transforms, functions of functions: gradients, loops through time, graphs, and their checks."""

from .checkpointing import checkpoint
from .checks import check_grads
from .compiling import compile
from .custom_rules import custom_jvp, custom_vjp
from .debugging import Cut, detect_cuts, detect_nan
from .derivation import derive
from .derivation_check import check_derivation
from .forward_mode import jvp
from .graph_view import Graph, GraphNode, graph, record
from .jacobians import elementwise_grad, hessian, hvp, jacobian, stop_gradient
from .registering import register_op, unregister_op
from .reverse_mode import grad, value_and_grad, vjp
from .through_time import scan
from .tracing import trace
from .user_gates import Gate, gate

__all__ = [
    "Cut",
    "Gate",
    "Graph",
    "GraphNode",
    "check_derivation",
    "check_grads",
    "checkpoint",
    "compile",
    "custom_jvp",
    "custom_vjp",
    "derive",
    "detect_cuts",
    "detect_nan",
    "elementwise_grad",
    "gate",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "record",
    "register_op",
    "scan",
    "stop_gradient",
    "trace",
    "unregister_op",
    "value_and_grad",
    "vjp",
]
