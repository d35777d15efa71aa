"""The training text."""

from __future__ import annotations

import bz2
import hashlib
import lzma
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train_options import fail

import xgrad as xg


@dataclass
class Text:
    """A text as character ids, with its last tenth held out."""

    characters: str
    vocabulary: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.vocabulary = sorted(set(self.characters))
        number = {c: i for i, c in enumerate(self.vocabulary)}
        cut = len(self.characters) - len(self.characters) // 10
        self.held_out = self.characters[cut:]
        self.train_ids = xg.asarray([number[c] for c in self.characters[:cut]])
        self.held_out_ids = xg.asarray([number[c] for c in self.held_out])

    @property
    def digest(self) -> str:
        """Return a hash that identifies the text."""
        return hashlib.sha256(self.characters.encode()).hexdigest()[:16]

    def compressed(self) -> dict[str, float]:
        """Return the bits per character that each compressor needs for the held-out text."""
        xz = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
        compressors: dict[str, Any] = {
            "gzip": zlib.compressobj(9, wbits=31),
            "bz2": bz2.BZ2Compressor(9),
            "xz": xz,
        }
        raw = self.held_out.encode()
        sizes = dict.fromkeys(compressors, 0)
        for start in range(0, len(raw), 2**16):  # in parts, so that a signal is handled in between
            for name, compressor in compressors.items():
                sizes[name] += len(compressor.compress(raw[start : start + 2**16]))
        return {
            name: 8 * (sizes[name] + len(compressor.flush())) / len(self.held_out)
            for name, compressor in compressors.items()
        }


def read_text(path: str | None) -> str:
    """Read the text of a file, or the reference pages that come with Python."""
    if path is None:
        try:
            from pydoc_data.topics import topics
        except ImportError:
            fail(
                "this Python does not include pydoc_data.topics, the default text; choose a text with --data "
                "FILE"
            )
        return "\n".join(topics[name] for name in sorted(topics))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        fail(f"{path} is not UTF-8 text")
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}")
    if not text.strip():
        fail(f"{path} is empty")
    if "\0" in text:
        fail(f"{path} is not text: it contains zero bytes")
    return text


def streams(ids: xg.Tensor, count: int) -> xg.Tensor:
    """Cut the text into streams that are read side by side, of shape (characters per stream, count)."""
    length = len(ids) // count
    return xg.reshape(ids[: length * count], (count, length)).T
