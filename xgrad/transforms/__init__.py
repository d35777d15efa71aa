"""Functions of functions: gradients, loops through time, graphs, and their checks."""

from .checkpointing import checkpoint
from .checks import check_grads
from .compiling import compile
from .forward_mode import jvp
from .gates import Gate, gate, register_op, unregister_op
from .recorded import Graph, GraphNode, graph, record
from .reverse_mode import grad, value_and_grad, vjp
from .staged import derive, trace
from .through_time import scan

__all__ = [
    "Gate",
    "Graph",
    "GraphNode",
    "check_grads",
    "checkpoint",
    "compile",
    "derive",
    "gate",
    "grad",
    "graph",
    "jvp",
    "record",
    "register_op",
    "scan",
    "trace",
    "unregister_op",
    "value_and_grad",
    "vjp",
]
