"""Pointers to the inputs and outputs of native code, all set by one compiled function.

Pointers are computed at each call, and no input is kept afterwards: an array object may get other memory by
`resize`, or another shape or dtype. Asking NumPy would cost half a microsecond per array, which doubles the
time of some small programs.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import canonical
from .half import classed

#: Size limit in bytes of small outputs that share a block of memory.
SHARED = 64 * 1024
#: Flags of an array that can be read in place: NumPy's C_CONTIGUOUS and ALIGNED.
_READY = 0x0001 | 0x0100
#: Size in bytes of the header of every Python object, which ends with its type.
_HEAD = object.__basicsize__

_ALIGN = 64

# After the header, an array object has: data, the number of axes as an int, lengths, strides, base, dtype,
# and flags as an int. This is part of NumPy's ABI (`PyArrayObject_fields` in ndarraytypes.h).
_TEXT = f"""
define i64 @run(ptr %objects, ptr %wanted, ptr %pointers, i64 %start) nounwind {{
entry:
  %count = load i64, ptr %wanted
  %array.at = getelementptr i64, ptr %wanted, i64 1
  %array = load i64, ptr %array.at
  br label %input
input:
  %i = phi i64 [ %start, %entry ], [ %next, %good ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %type, label %outputs
type:
  %object.at = getelementptr ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %object.at
  %type.at = getelementptr i8, ptr %object, i64 {_HEAD - 8}
  %found = load i64, ptr %type.at
  %is.array = icmp eq i64 %found, %array
  br i1 %is.array, label %form, label %end
form:
  %triple = mul i64 %i, 3
  %row = add i64 %triple, 2
  %slot.at = getelementptr i64, ptr %wanted, i64 %row
  %slot = load i64, ptr %slot.at
  %wanted.dtype.at = getelementptr i64, ptr %slot.at, i64 1
  %wanted.dtype = load i64, ptr %wanted.dtype.at
  %size.at = getelementptr i64, ptr %slot.at, i64 2
  %size = load i64, ptr %size.at
  %dtype.at = getelementptr i8, ptr %object, i64 {_HEAD + 40}
  %dtype = load i64, ptr %dtype.at
  %is.dtype = icmp eq i64 %dtype, %wanted.dtype
  %flags.at = getelementptr i8, ptr %object, i64 {_HEAD + 48}
  %flags = load i32, ptr %flags.at
  %both = and i32 %flags, {_READY}
  %is.ready = icmp eq i32 %both, {_READY}
  %is.form = and i1 %is.dtype, %is.ready
  br i1 %is.form, label %shape, label %end
shape:
  %axes.at = getelementptr i8, ptr %object, i64 {_HEAD + 8}
  %axes32 = load i32, ptr %axes.at
  %axes = zext i32 %axes32 to i64
  %lengths.at = getelementptr i8, ptr %object, i64 {_HEAD + 16}
  %lengths = load ptr, ptr %lengths.at
  br label %axis
axis:
  %a = phi i64 [ 0, %shape ], [ %a.next, %length ]
  %total = phi i64 [ 1, %shape ], [ %total.next, %length ]
  %further = icmp slt i64 %a, %axes
  br i1 %further, label %length, label %fits
length:
  %length.at = getelementptr i64, ptr %lengths, i64 %a
  %n = load i64, ptr %length.at
  %total.next = mul i64 %total, %n
  %a.next = add i64 %a, 1
  br label %axis
fits:
  %is.size = icmp eq i64 %total, %size
  br i1 %is.size, label %good, label %end
good:
  %data.at = getelementptr i8, ptr %object, i64 {_HEAD}
  %data = load i64, ptr %data.at
  %pointer.at = getelementptr i64, ptr %pointers, i64 %slot
  store i64 %data, ptr %pointer.at
  %next = add i64 %i, 1
  br label %input
outputs:
  %rows = mul i64 %count, 3
  %after = add i64 %rows, 2
  %blocks.at = getelementptr i64, ptr %wanted, i64 %after
  %blocks = load i64, ptr %blocks.at
  %first = getelementptr i64, ptr %blocks.at, i64 1
  br label %block
block:
  %j = phi i64 [ 0, %outputs ], [ %j.next, %closed ]
  %cursor = phi ptr [ %first, %outputs ], [ %c, %closed ]
  %is.block = icmp slt i64 %j, %blocks
  br i1 %is.block, label %opened, label %end
opened:
  %index = add i64 %count, %j
  %block.at = getelementptr ptr, ptr %objects, i64 %index
  %memory = load ptr, ptr %block.at
  %memory.at = getelementptr i8, ptr %memory, i64 {_HEAD}
  %begin = load i64, ptr %memory.at
  %up = add i64 %begin, {_ALIGN - 1}
  %aligned = and i64 %up, {-_ALIGN}
  %skip = sub i64 %aligned, %begin
  %skip.slot = load i64, ptr %cursor
  %skip.at = getelementptr i64, ptr %pointers, i64 %skip.slot
  store i64 %skip, ptr %skip.at
  %members.at = getelementptr i64, ptr %cursor, i64 1
  %members = load i64, ptr %members.at
  %member.first = getelementptr i64, ptr %cursor, i64 2
  br label %member
member:
  %k = phi i64 [ 0, %opened ], [ %k.next, %point ]
  %c = phi ptr [ %member.first, %opened ], [ %c.next, %point ]
  %is.member = icmp slt i64 %k, %members
  br i1 %is.member, label %point, label %closed
point:
  %out.slot = load i64, ptr %c
  %out.start.at = getelementptr i64, ptr %c, i64 1
  %out.start = load i64, ptr %out.start.at
  %out = add i64 %aligned, %out.start
  %out.at = getelementptr i64, ptr %pointers, i64 %out.slot
  store i64 %out, ptr %out.at
  %c.next = getelementptr i64, ptr %c, i64 2
  %k.next = add i64 %k, 1
  br label %member
closed:
  %j.next = add i64 %j, 1
  br label %block
end:
  ret i64 %i
}}
"""


def address(array: np.ndarray) -> int:
    """Address of the memory of a contiguous array."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):  # read-only or empty: slower, by a microsecond
        return int(array.__array_interface__["data"][0])


def places(buffers: Sequence[Any]) -> tuple[list[int], int]:
    """Aligned offset of each buffer in one block of bytes, and the size of the block."""
    starts, end = [], 0
    for b in buffers:
        starts.append(end)
        end += _bytes(b)
    return starts, end


def _bytes(buffer: Any) -> int:
    """Size of a buffer in bytes, padded to the alignment of the next."""
    return int(-(-buffer.size * canonical(buffer.dtype).itemsize // _ALIGN) * _ALIGN)


class Pointers:
    """The state of one call.

    A pointer to each buffer, the alignment offset of each block, and scratch memory.
    """

    def __init__(self, buffers: Sequence[Any], blocks: int) -> None:
        self.values = (ctypes.c_ssize_t * (len(buffers) + blocks))()
        self.address = ctypes.addressof(self.values)
        scratch = [(i, b) for i, b in enumerate(buffers) if b.kind == "scratch"]
        starts, size = places([b for _, b in scratch])
        self._scratch = np.empty(size + _ALIGN, np.uint8)
        base = address(self._scratch)
        base += -base % _ALIGN
        for (i, _), start in zip(scratch, starts):
            self.values[i] = base + start


class _Block(NamedTuple):
    """Outputs of one dtype in one block of memory, which lives as long as any of them.

    Each of `members` has the index of an output, the index of its buffer, and its offset in bytes; `size` is
    that of the block.
    """

    dtype: np.dtype[Any]
    members: list[tuple[int, int, int, int]]
    size: int


def _blocks(buffers: Sequence[Any]) -> list[_Block]:
    """Group the outputs in blocks; small ones share a block, as each block costs half a microsecond."""
    groups: list[list[tuple[int, int, Any]]] = []
    shared: dict[str, tuple[list[tuple[int, int, Any]], int]] = {}
    for n, (i, b) in enumerate((i, b) for i, b in enumerate(buffers) if b.kind == "output"):
        size = _bytes(b)
        group, room = shared.get(b.dtype, ([], 0))
        if size > room:
            group, room = [], max(size, SHARED)
        if not group:
            groups.append(group)
        group.append((n, i, b))
        if size <= SHARED:
            shared[b.dtype] = group, room - size
    found = []
    for group in groups:
        starts, end = places([b for _, _, b in group])
        members = [(n, i, start, b.size) for (n, i, b), start in zip(group, starts)]
        found.append(_Block(canonical(group[0][2].dtype), members, end))
    return found


class Arguments:
    """The inputs and outputs of a program, whose pointers are set by each call.

    `buffers` are the plan's (kind, size, dtype), `finder` is the result of `find`.
    """

    def __init__(self, buffers: Sequence[Any], finder: Any) -> None:
        self.buffers, self._finder = buffers, finder
        self._inputs = [(i, canonical(b.dtype), b.size) for i, b in enumerate(buffers) if b.kind == "input"]
        self._blocks = _blocks(buffers)
        self._memory = [
            ((block.size + _ALIGN) // block.dtype.itemsize, block.dtype) for block in self._blocks
        ]
        self._parts = []
        for cell, (dtype, members, _) in enumerate(self._blocks, len(buffers)):
            firsts = [start // dtype.itemsize for _, _, start, _ in members]
            slices = [(n, slice(first, first + size)) for (n, _, _, size), first in zip(members, firsts)]
            self._parts.append((cell, dtype.itemsize, slices))
        self._count = sum(len(block.members) for block in self._blocks)
        self._ids = struct.Struct(f"{len(self._inputs) + len(self._blocks)}Q")
        self._table = np.array(self._numbers(), np.int64)
        self._place = address(self._table)

    def _numbers(self) -> list[int]:
        """The table that the compiled function reads."""
        numbers = [len(self._inputs), id(np.ndarray)]
        for slot, dtype, size in self._inputs:
            numbers += [slot, id(dtype), size]
        numbers.append(len(self._blocks))
        for cell, block in enumerate(self._blocks, len(self.buffers)):
            numbers += [cell, len(block.members)]
            for _, slot, start, _ in block.members:
                numbers += [slot, start]
        return numbers

    def pointers(self) -> Pointers:
        """Make pointers, for one call at a time."""
        return Pointers(self.buffers, len(self._blocks))

    def point(self, inputs: Sequence[Any], pointers: Pointers) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Set the pointers to all inputs, and to new memory for the outputs.

        Returns that memory, and copies of inputs that must stay alive until they have been read. Raises
        ValueError for inputs that do not match the program.
        """
        count = len(self._inputs)
        if len(inputs) != count:
            raise ValueError(f"expected {count} inputs, got {len(inputs)}")
        memory = [classed(np.empty(size, dtype)) for size, dtype in self._memory]
        copies: list[np.ndarray] = []
        if self._finder is None:
            for n, x in enumerate(inputs):
                self._take(n, x, pointers, copies)
            self._open(memory, pointers)
            return memory, copies
        objects = self._ids.pack(*map(id, inputs), *map(id, memory))
        done = self._finder(objects, self._place, pointers.address, 0)
        while done < count:
            self._take(done, inputs[done], pointers, copies)
            done = self._finder(objects, self._place, pointers.address, done + 1)
        return memory, copies

    def outputs(self, memory: list[np.ndarray], pointers: Pointers) -> list[np.ndarray]:
        """The outputs as arrays, flat."""
        found: list[Any] = [None] * self._count
        for block, (cell, itemsize, parts) in zip(memory, self._parts):
            whole = block[pointers.values[cell] // itemsize :]
            for n, part in parts:
                found[n] = whole[part]
        return found

    def _take(self, n: int, x: Any, pointers: Pointers, copies: list[np.ndarray]) -> None:
        """Set the pointer to input `n`, or to a contiguous copy of the right dtype."""
        slot, dtype, size = self._inputs[n]
        used = np.require(x, dtype, ["C", "A"])
        if used.size != size:
            raise ValueError(f"input {n} must have size {size}, but has {used.size}")
        pointers.values[slot] = address(used)
        copies.append(used)

    def _open(self, memory: list[np.ndarray], pointers: Pointers) -> None:
        """Set the pointers to the outputs."""
        for (cell, _, _), block, array in zip(self._parts, self._blocks, memory):
            start = address(array)
            pointers.values[cell] = -start % _ALIGN
            for _, slot, place, _ in block.members:
                pointers.values[slot] = start + -start % _ALIGN + place


@cache
def find(load: Callable[[str], Any]) -> Any:
    """Compile the pointer-setting function by `load`; None if array objects have an unexpected layout.

    Its arguments are the ids of inputs and of output memory, the table of an `Arguments`, the pointers to
    set, and the input to begin with. It stops at an input that is not an array as expected, and returns its
    index. After the last input it sets the pointers to the outputs, and returns the number of inputs.
    """
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    compiled = load(_TEXT)
    kind = ctypes.PYFUNCTYPE(
        ctypes.c_ssize_t, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t
    )
    function = kind(compiled.address)
    function.code = compiled  # type: ignore[attr-defined]  # which lives as long
    for x in (np.zeros((2, 3)), np.zeros((), np.float32), np.arange(6)[2:], np.zeros(3, bool)):
        one = Arguments([_Buffer("input", x.size, x.dtype)], None)
        pointers = one.pointers()
        done = function(struct.pack("Q", id(x)), one._place, pointers.address, 0)
        if done != 1 or pointers.values[0] != x.__array_interface__["data"][0]:
            return None
    return function


class _Buffer(NamedTuple):
    """A buffer of a plan."""

    kind: str
    size: int
    dtype: Any
