"""Checkpoints: named Tensors in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backends import Device
from ..backends.dtypes import bfloat16
from ..core.tensor import Tensor
from ..namespace import asarray
from .whole import write_whole

#: The format's names of the dtypes that both it and xgrad support.
DTYPES = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
}

#: Metadata keys for the digest's algorithm and the digest. A file written by xgrad has both, other files have
#: neither. With one key only, a flipped bit in its name would make a damaged file look like one without a
#: digest.
METHOD, DIGEST = "xgrad.digest_method", "xgrad.digest"

#: Maximum size in bytes of the header, which has the metadata and describes the Tensors; the format's own
#: limit is 100 MB. It bounds the memory used for a malicious file.
LONGEST_HEADER = 16_000_000


def save(path: str | Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write named Tensors and text metadata to a safetensors file, atomically.

    The data is written to a temporary file beside the target, which then replaces it. An existing file keeps
    its permissions, and is unchanged if anything fails; symbolic links are followed. The metadata includes a
    digest of the content, so that `load` detects a flipped bit; other readers of the format ignore it.

    Args:
        path: the file. Missing parent folders are created.
        tensors: Tensors, arrays or numbers, by name. The format lacks complex128: TypeError.
        metadata: text by name, which `load` returns. Names that begin with "xgrad." are reserved for the
            digest.

    Raises TypeError and ValueError for data that would not be restored exactly, and OSError, which names the
    file, if writing fails.

    >>> import xgrad as xg, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp(), "weights.safetensors")
    >>> xg.io.save(path, {"w": xg.ones(2)}, {"step": "7"})
    >>> xg.io.load(path)
    ({'w': tensor([1., 1.])}, {'step': '7'})
    """
    from safetensors.numpy import save as to_bytes

    words = _checked_words({} if metadata is None else metadata)
    arrays = {name: _on_host(name, value) for name, value in _checked_names(tensors, "tensors").items()}
    content = to_bytes(arrays, metadata={**words, METHOD: "sha256", DIGEST: _digest(arrays, words)})
    if _header_length(content) > LONGEST_HEADER:
        raise ValueError(
            f"save: the header of names and metadata is longer than the limit of {LONGEST_HEADER:,} bytes; "
            f"save long metadata as a Tensor"
        )
    write_whole(path, content)


def load(path: str | Path, *, device: str | Device | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read `(tensors, metadata)` from a safetensors file, written by `save` or by another library.

    Raises FileNotFoundError for a missing file, another OSError for an unreadable one, and ValueError, which
    names the file, if it is truncated, damaged or in another format, or has dtypes that xgrad does not
    support. bfloat16 needs ml_dtypes: ImportError without it.
    """
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no checkpoint at {path}") from None
    if not stat.S_ISREG(mode):
        raise ValueError(
            f"{path} is not a valid safetensors file: it is a "
            f"{'folder' if stat.S_ISDIR(mode) else 'device, pipe or socket'}"
        )
    arrays, words = _read(path)
    if METHOD in words or DIGEST in words:
        method, digest = words.pop(METHOD, None), words.pop(DIGEST, None)
        if (method, digest) != ("sha256", _digest(arrays, words)):
            raise ValueError(
                f"{path} is not a valid safetensors file: it is damaged, as its content does not match its "
                f"digest"
            )
    return {name: asarray(array, device=device) for name, array in arrays.items()}, words


def _read(path: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the arrays and metadata of a file, on the host.

    Raises ValueError for any error of the library.
    """
    from safetensors import safe_open

    try:
        header = _header(path)
        with safe_open(path, framework="numpy") as file:
            _check_names_once(header)
            names = list(file.keys())
            for name in names:
                dtype = file.get_slice(name).get_dtype()
                if dtype not in DTYPES.values():
                    raise ValueError(f"{name!r} has dtype {dtype}, which xgrad does not support")
                if dtype == "BF16":
                    bfloat16()  # registers bfloat16 with NumPy
            arrays = {name: file.get_tensor(name) for name in names}
            words = dict(file.metadata() or {})
    except (ImportError, MemoryError, PermissionError):
        raise
    except Exception as error:  # the library may raise anything for a malicious file
        raise ValueError(f"{path} is not a valid safetensors file: {error}") from error
    for name, array in arrays.items():
        if array.dtype == bool and array.size and array.view("uint8").max() > 1:
            raise ValueError(
                f"{path} is not a valid safetensors file: {name!r} is boolean, but has bytes other than 0 "
                f"and 1"
            )
    return arrays, words


def _header(path: str | Path) -> bytes:
    """Read the JSON header of a file.

    Raises ValueError if it is too long, before allocating memory for it.
    """
    with open(path, "rb") as file:
        length = _header_length(file.read(8))
        if length > LONGEST_HEADER:
            raise ValueError(
                f"its header is {length:,} bytes long, which is more than the limit of {LONGEST_HEADER:,}"
            )
        return file.read(length)


def _check_names_once(header: bytes) -> None:
    """Refuse a header with a repeated name.

    The library accepts it, but readers differ in which of the two they use.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name occurs twice in its header")
        return found

    json.loads(header, object_pairs_hook=once)


def _header_length(content: bytes) -> int:
    return int.from_bytes(content[:8], "little")


def _checked_names(named: Any, what: str) -> Mapping[str, Any]:
    """Check a mapping: its names must be text that a file can store."""
    if not isinstance(named, Mapping):
        hint = "; for a module, pass module.state_dict()" if what == "tensors" else ""
        raise TypeError(
            f"save: {what} must be a mapping from names to values, not {type(named).__name__}{hint}"
        )
    for name in named:
        if not isinstance(name, str):
            raise TypeError(f"save: the names of {what} must be strings, not {name!r}")
        if name == "__metadata__" and what == "tensors":
            raise ValueError(
                "save: the file format reserves the name '__metadata__'; give the Tensor another name"
            )
        _check_text(name)
    return named


def _checked_words(metadata: Any) -> dict[str, str]:
    """Check metadata: text that a file can store."""
    words = dict(_checked_names(metadata, "metadata"))
    for name, value in words.items():
        if not isinstance(value, str):
            raise TypeError(
                f"save: metadata must be strings, but {name!r} is {type(value).__name__}; convert it with "
                f"json.dumps(...)"
            )
        _check_text(value)
        if name in (METHOD, DIGEST) or name.startswith("xgrad."):
            raise ValueError(
                f"save: {name!r} begins with 'xgrad.', which is reserved for the digest; choose another name"
            )
    return words


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"save: {text!r} cannot be encoded in UTF-8") from None


def _on_host(name: str, value: Any) -> Any:
    """Copy a value to the host, C-contiguous and in native byte order, as the format stores it."""
    try:
        x = asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"save: {name!r} cannot become a Tensor: {error}") from error
    if x.dtype.name not in DTYPES:
        ways = (
            "xg.real(x) and xg.imag(x), or x.astype(xg.complex64)"
            if x.dtype.name == "complex128"
            else "it in another dtype"
        )
        raise TypeError(
            f"save: {name!r} has dtype {x.dtype}, which safetensors files do not support; save {ways} instead"
        )
    array = x.device.backend.to_host(x.data).copy(order="C")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _digest(arrays: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """SHA-256 of names, dtypes, shapes, values and metadata, independent of their order in the file."""
    described = [[name, array.dtype.name, array.shape] for name, array in sorted(arrays.items())]
    found = hashlib.sha256(json.dumps([sorted(words.items()), described]).encode())
    for _, array in sorted(arrays.items()):
        found.update(array.reshape(-1).view("uint8"))
    return found.hexdigest()
