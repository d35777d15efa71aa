"""NumPy on the CPU."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import summation
from ..base import Backend
from ..dtypes import canonical
from ..schedules import HostCall
from ..sources import HostSource, Seed
from ..types import ArrayLike, DType, DTypeLike, HostArray, Index
from . import half, native


class NumPy(Backend[HostArray]):
    """The CPU. NumPy 2 is its own standard namespace."""

    name = "cpu"
    xp = half.namespace()
    on_host = True
    promotes = True
    native = native

    def __init__(self) -> None:
        _keep_freed_memory()

    def handle(self, index: int) -> str:
        return "cpu"

    def assign(self, target: HostArray, key: Index, values: ArrayLike) -> None:
        """`target[key] = values` in place; for repeated indices the last value wins.

        NumPy assigns in the order in which its index arrays lie in memory, so they are made contiguous.
        """
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(k, np.ndarray) and k.ndim > 1 for k in parts):
            key = tuple(np.ascontiguousarray(k) if isinstance(k, np.ndarray) and k.ndim else k for k in parts)
        target[key] = values  # type: ignore[index]

    def laid(self, buffers: Sequence[Any], text: str, calls: Sequence[HostCall]) -> Laid:
        """Make the runner of a plan written as Python source."""
        return Laid(buffers, text, calls)

    def from_host(self, array: HostArray, index: int) -> HostArray:
        return half.classed(array)

    def to_host(self, array: HostArray) -> HostArray:
        return np.asarray(array)

    def as_complex(self, pairs: HostArray) -> HostArray:
        return np.ascontiguousarray(pairs).view(np.result_type(pairs.dtype, np.complex64))[..., 0]

    def as_pairs(self, array: HostArray) -> HostArray:
        array = np.ascontiguousarray(array, canonical(array.dtype)).reshape(array.shape)
        return array[..., None].view(array.real.dtype)

    def is_view(self, array: HostArray, others: Sequence[HostArray]) -> bool:
        return array.base is not None and any(np.may_share_memory(array, x) for x in others)

    def scatter_add(self, target: HostArray, key: Any, values: HostArray) -> None:
        index = key[0] if len(key) == 1 else None
        if (
            isinstance(index, np.ndarray)
            and index.ndim == 1
            and index.dtype.kind in "iu"
            and values.ndim > 1
            and index.size
        ):
            # sort rows by index and sum each group: np.add.at works element by element
            index = np.where(index < 0, index + len(target), index)
            order = np.argsort(index, kind="stable")
            rows = index[order]
            starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
            target[rows[starts]] += np.add.reduceat(values[order], starts, axis=0)
        else:
            np.add.at(target, key, values)

    def einsum(self, subscripts: str, *operands: HostArray) -> HostArray:
        # matrix products, if large enough to repay finding them
        if len(operands) < 3:
            return np.einsum(  # type: ignore[no-any-return]
                subscripts, *operands, optimize=len(operands) > 1 and max(x.size for x in operands) > 1000
            )
        return np.einsum(  # type: ignore[no-any-return]
            subscripts, *operands, optimize=_by_pairs(subscripts, tuple([x.shape for x in operands]))
        )

    def eigh(self, x: HostArray, UPLO: Any) -> tuple[HostArray, HostArray]:
        w, v = np.linalg.eigh(x, UPLO)
        return w, v

    def slide(self, x: HostArray, y: HostArray, *, full: bool) -> HostArray:
        return np.correlate(x, np.conj(y), "full" if full else "valid")

    def generator(self, seed: Seed, index: int, native: bool) -> HostSource:
        return HostSource(seed)  # also the library's own

    def checked(self, array: HostArray) -> HostArray:
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(
                "a Tensor has no mask: fill the masked array first, with array.filled(value), and use "
                "xg.where(mask, 0.0, z) afterwards"
            )
        if not array.dtype.isnative:
            # otherwise its dtype would not equal any known one
            array = array.astype(array.dtype.newbyteorder("="))
        return half.classed(
            super().checked(array if type(array) is np.ndarray or array.shape == () else np.asarray(array))
        )

    def native_dtype(self, dtype: DTypeLike) -> Any:
        return dtype

    def dtype_of(self, array: HostArray) -> DType:
        return array.dtype  # type: ignore[no-any-return]

    def memory(self, index: int) -> dict[str, int]:
        page = os.sysconf("SC_PAGE_SIZE")
        resident = (
            int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
        )
        return {"used": resident * page, "total": os.sysconf("SC_PHYS_PAGES") * page}

    def facts(self, index: int) -> dict[str, str]:
        built: Any = np.show_config(mode="dicts")
        blas = built["Build Dependencies"].get("blas", {})
        return {"BLAS": blas.get("name", "unknown"), "BLAS version": blas.get("version", "unknown")}


@lru_cache(4096)
def _by_pairs(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> Any:
    """Contraction order in the format of NumPy's einsum; False for sums so small that one pass is faster."""
    lengths: dict[str, int] = {}
    for subscript, shape in zip(subscripts.partition("->")[0].split(","), shapes):
        lengths.update((c, max(n, lengths.get(c, 1))) for c, n in zip(subscript, shape))
    return math.prod(lengths.values()) > 10_000 and ["einsum_path", *summation.path(subscripts, shapes)]


class Laid:
    """A plan as Python code, and the means to run it.

    Several threads may call `run` at once.

    `buffers` are the plan's (kind, size, dtype), `text` the output of `codegen.numpy.plan.write`, and `calls`
    the ops left to NumPy.
    """

    def __init__(self, buffers: Sequence[Any], text: str, calls: Sequence[HostCall] = ()) -> None:
        space: dict[str, Any] = {}
        exec(compile(text, "<a plan>", "exec"), space)
        self._bind, self._buffers = space["bind"], buffers
        self._calls = [call.run for call in calls]
        self._given = [(i, canonical(b.dtype)) for i, b in enumerate(buffers) if b.kind == "input"]
        self._made = [(i, b.size, canonical(b.dtype)) for i, b in enumerate(buffers) if b.kind == "output"]
        self._free: list[Any] = []  # runners, each with scratch memory of its own

    def run(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Run; return the outputs, flat, in new memory."""
        run = self._free.pop() if self._free else self._bound()
        buffers: list[Any] = [None] * len(self._buffers)
        for (i, dtype), x in zip(self._given, inputs, strict=True):
            buffers[i] = np.ascontiguousarray(x, dtype).reshape(-1)
        for i, size, dtype in self._made:
            buffers[i] = half.classed(np.empty(size, dtype))
        run(buffers)
        self._free.append(run)
        return [buffers[i] for i, _, _ in self._made]

    def _bound(self) -> Any:
        """Make a runner, with new scratch memory."""
        scratch = [
            np.empty(b.size, canonical(b.dtype)) if b.kind == "scratch" else None for b in self._buffers
        ]
        return self._bind(np, _view, np.empty, scratch, self._calls)


def _view(buffer: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> HostArray:
    """View of a flat array; offset and strides are in elements."""
    size = buffer.itemsize
    if 0 in shape:  # the offset may be out of range
        return half.classed(np.empty(shape, buffer.dtype))
    strides = tuple(s * size for s in strides)
    return half.classed(np.ndarray(shape, buffer.dtype, buffer, offset * size, strides))


def _keep_freed_memory() -> None:
    """Let glibc keep up to a gigabyte of freed memory instead of returning it to the system.

    Every training step allocates and frees the same arrays; getting their pages from the system again costs
    more than the arithmetic on them. Other allocators do not need this. MALLOC_TRIM_THRESHOLD_ in the
    environment takes precedence.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        mallopt(-1, 2**30)  # M_TRIM_THRESHOLD
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the largest value that glibc accepts
