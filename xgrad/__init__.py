"""xgrad: write the equations; get the graph, the gradients and the speed, on NumPy or CUDA unchanged.

    import xgrad as xg

`xg` is an array namespace that follows the Python Array API standard; every function on Tensors can be differentiated.
"""

from . import backends, io, nn, optim, random
from .backends import DeviceError, current_device, device, set_device
from .derivatives import deriv
from .errors import GraphError, ShapeError, TraceError, UnknownOpError
from .information import info
from .modes import no_grad
from . import namespace
from .namespace import *
from .namespace import __array_api_version__
from .tensors import Tensor
from .transforms import (
    Gate,
    Graph,
    GraphNode,
    check_grads,
    checkpoint,
    compile,
    derive,
    gate,
    grad,
    graph,
    jvp,
    record,
    register_op,
    scan,
    trace,
    unregister_op,
    value_and_grad,
    vjp,
)
from .trees import map as tree_map


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: that takes a quarter of the import's time."""
    if name != "__version__":
        raise AttributeError(f"module 'xgrad' has no attribute {name!r}")
    from importlib.metadata import version

    return version("xgrad")


__all__ = [
    "Gate",
    "Graph",
    "GraphError",
    "GraphNode",
    "DeviceError",
    "ShapeError",
    "Tensor",
    "TraceError",
    "UnknownOpError",
    "backends",
    "check_grads",
    "checkpoint",
    "compile",
    "current_device",
    "deriv",
    "derive",
    "device",
    "gate",
    "grad",
    "graph",
    "info",
    "io",
    "jvp",
    "nn",
    "no_grad",
    "optim",
    "random",
    "record",
    "register_op",
    "scan",
    "set_device",
    "trace",
    "tree_map",
    "unregister_op",
    "value_and_grad",
    "vjp",
]
__all__ += namespace.__all__
