"""Check without a GPU that CuPy has the names, signatures and loops that the backend uses."""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.calls import CALLS
from tests.helpers.numpy_calls import FLAT, SMOOTH
from xgrad.backends import find_device
from xgrad.backends.cpu.backend import NumPy
from xgrad.backends.cuda.backend import CuPy
from xgrad.backends.namespace import extended

cupy: Any = pytest.importorskip("cupy", reason="CuPy is not installed")
pytestmark = pytest.mark.cuda_wheel

#: For each function of the library, its uses: the number of positional arguments, the names of keyword
#: arguments, and the dtypes of the positional ones.
Uses = dict[str, set[tuple[int, tuple[str, ...], tuple[str, ...]]]]

#: Names in the backend's namespace that are not functions of the library.
OWN = {
    "astype",
    "cofactor",
    "eig",
    "einsum",
    "normal_cdf",
    "normal_quantile",
    "pow",
    "scatter",
    "setitem",
    "sign",
    "slide",
    "to_device",
    "untake",
}


class Recording:
    """A namespace whose functions record how they are called."""

    def __init__(self, real: Any, uses: Uses, prefix: str = "") -> None:
        self._real, self._uses, self._prefix = real, uses, prefix

    def __dir__(self) -> list[str]:
        return dir(self._real)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in ("fft", "linalg") and not self._prefix:
            return Recording(found, self._uses, f"{name}.")
        if not callable(found) or isinstance(found, type):
            return found

        def noted(*args: Any, **named: Any) -> Any:
            kinds = tuple(
                v.dtype.char if isinstance(v, np.ndarray | np.generic) else type(v).__name__ for v in args
            )
            self._uses[self._prefix + name].add((len(args), tuple(sorted(named)), kinds))
            return found(*args, **named)

        return noted


@pytest.fixture(scope="module")
def uses() -> Uses:
    """Return how every function of ours and of NumPy's, and its gradient, calls the library."""
    found: Uses = defaultdict(set)

    class Recorder(NumPy):
        xp = Recording(np, found)

    device = find_device("cpu")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(device, "xp", extended(Recorder()))
        for f, arrays in _everything():
            tensors = [xg.tensor(a, requires_grad=a.dtype.kind in "fc") for a in arrays]
            try:
                z = f(*tensors)
            except (xg.GraphError, TypeError):  # functions that take no Tensor with requires_grad
                z = f(*(t.detach() for t in tensors))
            for part in z if isinstance(z, tuple | list) else (z,):
                if isinstance(part, xg.Tensor) and part.requires_grad:
                    part.backward(xg.ones_like(part), retain_graph=True)
    return found


def _everything() -> Iterator[tuple[Callable[..., Any], tuple[np.ndarray, ...]]]:
    for made in CALLS.values():
        for call in made:
            for dtype in ("float64", "float32"):
                yield (
                    lambda *a, f=call.f: f(xg, *a),
                    tuple(a.astype(dtype) if a.dtype == float else a for a in call.arrays),
                )
    for table in (SMOOTH, FLAT):
        for calls in table.values():
            yield from calls


@pytest.fixture(scope="module")
def theirs() -> Any:
    """Return the namespace of the backend, which can be made without a device."""
    from array_api_compat import cupy as standard

    from xgrad.backends.cuda.namespace import namespace

    return namespace(cupy, standard)


def function(theirs: Any, name: str) -> Any:
    part, _, last = name.rpartition(".")
    return getattr(getattr(theirs, part) if part else theirs, last)


def test_the_recording_sees_what_is_used(uses: Uses) -> None:
    assert {"matmul", "where", "linalg.svd", "fft.fft", "concat", "tanh", "argsort"} <= uses.keys()
    assert len(uses) > 80


def test_every_function_that_is_used_is_there(uses: Uses, theirs: Any) -> None:
    missing = []
    for name in uses:
        try:
            assert callable(function(theirs, name))
        except AttributeError:
            missing.append(name)
    assert not missing


def test_their_signatures_take_what_is_given(uses: Uses, theirs: Any) -> None:
    refused = []
    for name, ways in uses.items():
        f = function(theirs, name)
        for count, named, _ in ways:
            try:
                if isinstance(f, cupy.ufunc):
                    assert count == f.nin, f"{count} operands"
                    assert set(named) <= {"out", "dtype"}, named
                else:
                    inspect.signature(f).bind(*range(count), **dict.fromkeys(named))
            except (TypeError, AssertionError) as error:
                refused.append(f"{name}{count, named}: {error}")
            except ValueError:  # it has no signature
                continue
    assert not refused


def test_their_loops_take_the_dtypes(uses: Uses, theirs: Any) -> None:
    refused = []
    for name, ways in uses.items():
        f = function(theirs, name)
        if not isinstance(f, cupy.ufunc):
            continue
        loops = [loop.partition("->")[0] for loop in f.types]
        for _, _, kinds in ways:
            arrays = {i: np.dtype(kind) for i, kind in enumerate(kinds) if len(kind) == 1}
            if not any(
                all(np.can_cast(dtype, _known(loop[i])) for i, dtype in arrays.items()) for loop in loops
            ):
                refused.append(f"{name}{kinds}")
    assert not refused


def _known(char: str) -> np.dtype[Any]:
    return np.dtype("float16" if char == "E" else char)  # CuPy's name for bfloat16


def test_the_backends_own_functions_are_all_there() -> None:
    backend: Any = CuPy.__new__(CuPy)
    backend.cupy, backend.xp = cupy, np
    assert vars(extended(backend)).keys() >= OWN


#: CuPy's own functions that the backend calls, as a dotted name and a sample call.
CALLED: dict[str, tuple[int, tuple[str, ...]]] = {
    "cuda.Device": (1, ()),
    "einsum": (3, ("optimize",)),
    "correlate": (3, ()),
    "broadcast_to": (2, ()),
    "asnumpy": (1, ()),
    "get_default_memory_pool": (0, ()),
    "random.default_rng": (1, ()),
    "linalg.eig": (1, ()),
    "take_along_axis": (2, ("axis",)),
    "searchsorted": (2, ("side",)),
    "argsort": (1, ("axis",)),
    "array": (1, ("copy",)),
}


@pytest.mark.parametrize("name", CALLED)
def test_what_the_backend_itself_calls(name: str) -> None:
    found = cupy
    for part in name.split("."):
        found = getattr(found, part)
    count, named = CALLED[name]
    try:
        inspect.signature(found).bind(*range(count), **dict.fromkeys(named))
    except ValueError:  # compiled, and without a signature
        assert callable(found)


def test_streams_events_and_pools_have_what_is_used() -> None:
    for kind, names in {
        cupy.cuda.Stream: ("record", "wait_event", "synchronize", "__enter__", "__exit__"),
        cupy.cuda.MemoryPool: ("used_bytes", "total_bytes", "free_all_blocks"),
        cupy.cuda.Device: ("compute_capability", "mem_info", "synchronize"),
        cupy.ndarray: (
            "real",
            "imag",
            "view",
            "device",
            "data",
            "flags",
            "nbytes",
            "T",
            "astype",
            "reshape",
            "__dlpack__",
        ),
        cupy.cuda: ("get_current_stream", "device"),
    }.items():
        assert not [name for name in names if not hasattr(kind, name)], kind
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    assert callable(cupy._core.get_compute_type)


def test_the_numbers_of_cublas() -> None:
    from cupy._core import _routines_linalg

    from xgrad.backends.cuda.matmul import _TF32

    assert _routines_linalg.COMPUTE_TYPE_TF32 == _TF32
    cublas = pytest.importorskip(
        "cupy_backends.cuda.libs.cublas", reason="cuBLAS is not installed", exc_type=ImportError
    )
    from xgrad.backends.cuda.cublas import FLOAT32, GEMM_DEFAULT

    names = {
        "highest": "CUBLAS_COMPUTE_32F",
        "tf32": "CUBLAS_COMPUTE_32F_FAST_TF32",
        "bf16": "CUBLAS_COMPUTE_32F_FAST_16BF",
    }
    assert {key: getattr(cublas, name) for key, name in names.items()} == FLOAT32
    assert cublas.CUBLAS_GEMM_DEFAULT == GEMM_DEFAULT
    assert hasattr(cublas, "gemmEx")
    assert hasattr(cublas, "gemmStridedBatchedEx")


def test_without_a_driver_the_error_says_so() -> None:
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        with pytest.raises(xg.DeviceError, match="CuPy is installed, but CUDA finds no device"):
            CuPy()
    else:
        assert CuPy().count() > 0
