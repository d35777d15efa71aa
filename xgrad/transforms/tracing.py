"""`trace`: a function as a program."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..compiler.ir import Program
from ..compiler.trace import trace_to_ir
from ..compiler.variables import Spec
from ..core.pytree import flatten, paths, unflatten
from ..core.recording import names_from_variables
from ..core.tensor import Tensor
from ..namespace import asarray
from .lifting import parameter_names, returned
from .reverse_mode import name_of


def trace(f: Callable[..., Any], *args: Any) -> Program:
    """Trace `f(*args)` to a program: its stages in order, in single assignment, with shapes and dtypes.

    The program is plain data.

    Args:
        f: a function of arrays, Tensors, numbers and nested containers of them. It runs once, on Tensors
            without values.
        args: its arguments; only their shapes and dtypes matter, not their values.

    Returns:
        A Program, to print, compare, pickle, or write out as `source`. Its inputs are the leaves of the
        arguments, named after the parameters, followed by the Tensors that `f` uses from outside. Its outputs
        are the leaves of the result of `f`. Values are named after the variables that hold them, others are
        z1, z2, ... in order.

    Raises:
        TraceError: `f` branches on a value, takes one out, draws random numbers, or changes a Tensor from
            outside in place. The message names the line.

    >>> import xgrad as xg
    >>> def neuron(w, x):
    ...     dot = w @ x
    ...     return xg.sigmoid(dot)
    >>> print(xg.trace(neuron, xg.zeros(2), xg.zeros(2)))
    w   = input           (2,) float64
    x   = input           (2,) float64
    dot = w @ x           () float64
    z2  = sigmoid(dot)    () float64
    return z2
    """
    inspect.signature(f).bind(*args)  # raises the same TypeError as the call would
    leaves, structure = flatten(args)
    names = [
        f"{name}{path}"
        for arg, name in zip(args, parameter_names(f, len(args)), strict=True)
        for path in paths(arg)
    ]
    specs = [
        Spec(x.shape, x.dtype, x.device, name) for x, name in zip(map(asarray, leaves), names, strict=True)
    ]

    def flat(*x: Tensor) -> list[Tensor]:
        inputs = unflatten(structure, x)
        with names_from_variables():
            result = f(*inputs)
        return returned(flatten(result)[0], "a function that is traced")

    traced = trace_to_ir(flat, specs, grad=True, remember=True, user=f)
    program = replace(traced.program(), name=name_of(f))
    traced.close()
    return program
