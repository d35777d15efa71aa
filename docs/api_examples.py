"""Examples of functions that have none in their docstring, as most of those made from the table of ops.

They are run when the site is built, and what they return is shown below them; a test runs them too.
"""

from __future__ import annotations

import contextlib
import contextvars
import tempfile

import numpy as np

import xgrad as xg

#: What many functions are called with, by their names.
SHARED = {
    "xg.{}(xg.asarray([-1.5, 0.0, 0.5]))": (
        "abs asinh atan ceil cos cosh exp expm1 floor isfinite isinf isnan negative positive round "
        "signbit sin sinh square tan tanh trunc"
    ),
    "xg.{}(xg.asarray([0.25, 0.5]))": "acos asin atanh log log10 log1p log2 reciprocal sqrt",
    "xg.{}(xg.asarray([5.0, 2.0]), 3.0)": (
        "add atan2 copysign divide floor_divide hypot logaddexp maximum minimum multiply nextafter "
        "pow remainder subtract"
    ),
    "xg.{}(xg.asarray([1, 2, 3]), 2)": "equal greater greater_equal less less_equal not_equal",
    "xg.{}(xg.asarray([True, True, False]), xg.asarray([True, False, False]))": (
        "logical_and logical_or logical_xor"
    ),
    "xg.{}(xg.asarray([6, 3]), 2)": (
        "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor"
    ),
    "xg.{}(xg.asarray([[1.0, 2.0], [3.0, 6.0]]), axis=1)": "argmax argmin max mean min std sum var",
    "xg.{}(xg.asarray([[0, 2], [3, 1]]), axis=1)": "all any count_nonzero",
    "xg.{}(xg.asarray([1.0 + 2.0j, -3.0j]))": "conj imag real",
    "xg.{}((2, 3))": "ones zeros",
    "xg.{}(xg.asarray([[1.0, 2.0], [3.0, 4.0]]))": (
        "matrix_transpose ones_like transpose tril triu zeros_like"
    ),
    "xg.{}(xg.asarray([[2.0, 1.0], [1.0, 3.0]]))": (
        "linalg.cholesky linalg.diagonal linalg.eigvals linalg.eigvalsh linalg.matrix_norm "
        "linalg.matrix_rank linalg.pinv linalg.qr linalg.slogdet linalg.svd linalg.svdvals "
        "linalg.trace"
    ),
    "xg.{}(xg.asarray([1.0, 2.0, 0.0, 0.0]))": (
        "fft.fftn fft.fftshift fft.hfft fft.ifft fft.ifftn fft.ifftshift fft.ihfft fft.irfft "
        "fft.irfftn fft.rfft fft.rfftn"
    ),
}

_MATRIX = "xg.asarray([[2.0, 1.0], [1.0, 3.0]])"

#: By name: statements with ";" between, the last of which is an expression that is shown.
EXAMPLES: dict[str, str] = {
    **{name: call.format(name) for call, names in SHARED.items() for name in names.split()},
    "acosh": "xg.acosh(xg.asarray([1.0, 2.0]))",
    "arange": "xg.arange(4)",
    "argsort": "xg.argsort(xg.asarray([3.0, 1.0, 2.0]))",
    "astype": "xg.astype(xg.asarray([1, 2]), xg.float32)",
    "bitwise_invert": "xg.bitwise_invert(xg.asarray([0, 1]))",
    "broadcast_arrays": "xg.broadcast_arrays(xg.asarray([1.0, 2.0]), 3.0)",
    "broadcast_to": "xg.broadcast_to(xg.asarray([1.0, 2.0]), (2, 2))",
    "can_cast": "xg.can_cast(xg.float32, xg.float64)",
    "concat": "xg.concat([xg.zeros(2), xg.ones(1)])",
    "cumulative_prod": "xg.cumulative_prod(xg.asarray([1.0, 2.0, 3.0]))",
    "current_device": "xg.current_device()",
    "empty": "xg.empty((2, 3)).shape",
    "empty_like": "xg.empty_like(xg.ones(3)).shape",
    "expand_dims": "xg.expand_dims(xg.ones(3), axis=0).shape",
    "eye": "xg.eye(2)",
    "finfo": "xg.finfo(xg.float32).eps",
    "flip": "xg.flip(xg.asarray([1.0, 2.0, 3.0]))",
    "full": "xg.full((2,), 7.0)",
    "full_like": "xg.full_like(xg.ones(2), 7.0)",
    "Graph": "g = xg.graph(lambda x: x * x, 3.0); g.bprop(); g['x'].grad",
    "GraphNode": "node = xg.graph(lambda x: x * x, 3.0)['z1']; node.op, node.value",
    "iinfo": "xg.iinfo(xg.int8).max",
    "isdtype": "xg.isdtype(xg.float32, 'real floating')",
    "linspace": "xg.linspace(0.0, 1.0, 3)",
    "logical_not": "xg.logical_not(xg.asarray([True, False]))",
    "matmul": f"xg.matmul({_MATRIX}, xg.asarray([1.0, 2.0]))",
    "meshgrid": "xg.meshgrid(xg.asarray([1.0, 2.0]), xg.asarray([3.0, 4.0]))",
    "moveaxis": "xg.moveaxis(xg.ones((2, 3, 4)), 0, -1).shape",
    "nonzero": "xg.nonzero(xg.asarray([0.0, 5.0, 7.0]))",
    "permute_dims": "xg.permute_dims(xg.ones((2, 3, 4)), (2, 0, 1)).shape",
    "reshape": "xg.reshape(xg.arange(4), (2, 2))",
    "result_type": "xg.result_type(xg.float32, xg.int64)",
    "set_device": "xg.set_device('cpu'); xg.current_device()",
    "squeeze": "xg.squeeze(xg.ones((1, 3)), axis=0).shape",
    "stack": "xg.stack([xg.zeros(2), xg.ones(2)])",
    "take": "xg.take(xg.asarray([10.0, 20.0, 30.0]), xg.asarray([2, 0]))",
    "Tensor": "x = xg.tensor([1.0, 2.0], requires_grad=True); xg.sum(x * x).backward(); x.grad",
    "unique_all": "xg.unique_all(xg.asarray([3.0, 1.0, 3.0]))",
    "unique_counts": "xg.unique_counts(xg.asarray([3.0, 1.0, 3.0]))",
    "unique_inverse": "xg.unique_inverse(xg.asarray([3.0, 1.0, 3.0]))",
    "unique_values": "xg.unique_values(xg.asarray([3.0, 1.0, 3.0]))",
    "unregister_op": "cube = xg.register_op('cube', lambda xp, x: x**3, dx=lambda dz, x: 3 * x * x * dz); "
    "xg.unregister_op('cube')",
    "unstack": "xg.unstack(xg.asarray([[1.0, 2.0], [3.0, 4.0]]))",
    "where": "xg.where(xg.asarray([True, False]), 1.0, xg.asarray([5.0, 6.0]))",
    "__array_namespace_info__": "xg.__array_namespace_info__().default_device()",
    "backends.current_matmul_precision": "xg.backends.current_matmul_precision()",
    "backends.device_of": "xg.backends.device_of(np.ones(2))",
    "backends.devices": "xg.backends.devices()",
    "backends.find_device": "xg.backends.find_device('cpu')",
    "io.load": "xg.io.save('weights.safetensors', {'w': xg.ones(2)}); "
    "tensors, metadata = xg.io.load('weights.safetensors'); tensors['w']",
    "linalg.matrix_power": f"xg.linalg.matrix_power({_MATRIX}, 3)",
    "linalg.outer": "xg.linalg.outer(xg.asarray([1.0, 2.0]), xg.asarray([3.0, 4.0]))",
    "fft.rfftfreq": "xg.fft.rfftfreq(4)",
    "random.default_rng": "xg.random.default_rng(0).normal(size=2)",
}


def result(name: str) -> tuple[list[str], str]:
    """The statements of an example, and what the last of them returns, as Python shows it."""
    return contextvars.copy_context().run(_result, name)  # an example may choose another device


def _result(name: str) -> tuple[list[str], str]:
    *statements, last = EXAMPLES[name].split("; ")
    space = {"xg": xg, "np": np}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for statement in statements:
            exec(statement, space)
        value = eval(last, space)
    return [*statements, last], "" if value is None else repr(value)


def shown(name: str) -> list[str]:
    """The lines of an example in a docstring; none where there is no example."""
    if name not in EXAMPLES:
        return []
    statements, said = result(name)
    return ["", *(f">>> {statement}" for statement in statements), *said.splitlines(), ""]
