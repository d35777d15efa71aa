"""Arrays in a drawing: small ones as numbers, larger ones as a small heat map with min, mean and max."""

from __future__ import annotations

import base64
import math
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

#: The most rows and columns of an array that is shown as numbers, and of a heat map's cells.
ROWS, COLUMNS, CELLS = 3, 4, 24

GREEN, BROWN = (10, 125, 51), (150, 90, 10)
RED, BLUE = (192, 38, 45), (40, 90, 180)
WHITE, NAN = (250, 250, 250), (255, 0, 255)


@dataclass(frozen=True)
class Summary:
    """What a drawing shows of an array: `lines` of numbers, or a heat map and its statistics.

    The cells of a heat map are relative to the largest absolute value.
    """

    shape: tuple[int, ...]
    dtype: str
    lines: tuple[str, ...] = ()
    cells: tuple[tuple[float, ...], ...] = ()
    least: float = 0.0
    mean: float = 0.0
    most: float = 0.0
    odd: str = ""

    @property
    def statistics(self) -> str:
        """Min, mean and max, and how many elements are not finite."""
        numbers = f"{number(self.least)} | {number(self.mean)} | {number(self.most)}"
        return f"{numbers}, {self.odd}" if self.odd else numbers

    @property
    def brief(self) -> str:
        """The numbers, or the statistics."""
        return "; ".join(self.lines) or self.statistics

    @property
    def text(self) -> str:
        """The array in words, for a tooltip."""
        return self.brief if self.lines else f"{self.statistics} (min | mean | max)"


def number(v: Any) -> str:
    """A number to two or three digits."""
    if isinstance(v, bool):
        return str(v)
    if isinstance(v, complex):
        return f"{number(v.real)}{'' if v.imag < 0 or v.imag != v.imag else '+'}{number(v.imag)}j"
    if isinstance(v, int):
        return str(v) if abs(v) < 10**6 else f"{v:.2e}"
    if not math.isfinite(v):
        return str(v)
    if v == 0:
        return "0.00"
    return f"{v:.2f}" if 0.01 <= abs(v) < 1000 else f"{v:.1e}"


def summary(x: Any) -> Summary:
    """What to show of a Tensor."""
    array = x.detach().numpy()
    shape, dtype = tuple(array.shape), str(x.dtype)
    if array.dtype.kind not in "biufc":
        array = array.astype("float32")
    if array.ndim == 0:
        return Summary(shape, dtype, (number(array.item()),))
    if array.size == 0:
        return Summary(shape, dtype, ("empty",))
    rows = array.reshape(-1, shape[-1])
    if array.ndim <= 2 and rows.shape[0] <= ROWS and rows.shape[1] <= COLUMNS and array.size < 10:
        lines = [" ".join(map(number, row)) for row in rows.tolist()]
        if array.ndim == 1:
            lines = [f"[{lines[0]}]"]
        return Summary(shape, dtype, tuple(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of infinite elements, whose mean is NaN
        return _heat(array, rows, shape, dtype)


def _heat(array: Any, rows: Any, shape: tuple[int, ...], dtype: str) -> Summary:
    odd = []
    if array.dtype.kind == "c":
        array, rows = abs(array), abs(rows)
        odd.append("of absolute values")
    array, rows = array.astype("float64"), rows.astype("float64")
    finite = array[abs(array) < math.inf]
    if finite.size < array.size:
        nan = int((array != array).sum())
        infinite = array.size - finite.size - nan
        odd += [f"{nan} NaN"] * (nan > 0) + [f"{infinite} infinite"] * (infinite > 0)
    largest = float(abs(finite).max()) if finite.size else 0.0
    scale = largest or 1.0  # sums of the largest numbers would overflow
    cells = tuple(tuple(map(float, row)) for row in _coarse(_coarse(rows / scale).T).T.tolist())
    least, mean, most = (
        (float(finite.min()), float((finite / scale).mean()) * scale, float(finite.max()))
        if finite.size
        else (math.nan,) * 3
    )
    return Summary(shape, dtype, (), cells, least, mean, most, ", ".join(odd))


def _coarse(rows: Any) -> Any:
    """Average neighbouring rows so that at most CELLS are left; the last block may be shorter."""
    step = -(-rows.shape[0] // CELLS)
    if step == 1:
        return rows
    whole = rows.shape[0] // step * step
    found = rows[:whole].reshape(-1, step, rows.shape[1]).mean(1)
    if whole == rows.shape[0]:
        return found
    coarse = rows[: found.shape[0] + 1] * 0
    coarse[:-1], coarse[-1] = found, rows[whole:].mean(0)
    return coarse


def heat_map(cells: tuple[tuple[float, ...], ...], gradient: bool) -> str:
    """The cells as a PNG in a data URI: white at 0, one colour for each sign, NaN and infinity magenta."""
    largest = max((abs(v) for row in cells for v in row if math.isfinite(v)), default=0.0) or 1.0
    positive, negative = (RED, BLUE) if gradient else (GREEN, BROWN)
    pixels = bytearray()
    for row in cells:
        pixels.append(0)
        for v in row:
            pixels += bytes(_colour(v / largest, positive, negative))
    return (
        f"data:image/png;base64,{base64.b64encode(_png(len(cells[0]), len(cells), bytes(pixels))).decode()}"
    )


def _colour(v: float, positive: tuple[int, ...], negative: tuple[int, ...]) -> tuple[int, ...]:
    if not math.isfinite(v):
        return NAN
    full, share = (positive if v > 0 else negative), min(abs(v), 1.0) ** 0.7
    return tuple(round(w + (c - w) * share) for w, c in zip(WHITE, full, strict=True))


def _png(width: int, height: int, pixels: bytes) -> bytes:
    """RGB pixels, each row after a 0 byte, as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
