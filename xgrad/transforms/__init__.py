"""Functions of functions: gradients, loops through time, graphs, and their checks."""

from .checks import check_grads
from .compiling import compile
from .gates import Gate, gate, register_op, unregister_op
from .recorded import Graph, GraphNode, graph, record
from .reverse_mode import grad, value_and_grad, vjp
from .through_time import scan

__all__ = [
    "Gate",
    "Graph",
    "GraphNode",
    "check_grads",
    "compile",
    "gate",
    "grad",
    "graph",
    "record",
    "register_op",
    "scan",
    "unregister_op",
    "value_and_grad",
    "vjp",
]
