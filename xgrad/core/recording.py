"""Recorded nodes, which `graph` shows: with value, operands, variable name and source line."""

from __future__ import annotations

import contextlib
import linecache
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import optree

from .context import MODE
from .graph import Node

_PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"
_MODULES = f"{_PACKAGE}nn{os.sep}"
_STANDARD = f"{Path(os.__file__).parent}{os.sep}"
_TREES = f"{Path(optree.__file__).parent}{os.sep}"  # its functions call ours

#: Array libraries whose Python frames may lie between the user's and ours, as in `np.vectorize` of a Tensor
#: or `cupy.asnumpy`.
_LIBRARIES = frozenset(("numpy", "cupy", "cupyx", "array_api_compat", "array_api_strict"))
#: Libraries that convert arrays only to show them.
_PLOTTING = frozenset(("matplotlib", "mpl_toolkits"))


class Recorded(Node):
    """A node with its value; made also for ops through which no gradient flows."""

    __slots__ = ("grad", "name", "needs", "operands", "scopes", "source", "steps", "value")

    def remember(self, value: Any, operands: list[Any], *, needs: bool, name: str | None = None) -> None:
        """Fill in what only `graph` needs. `operands` are nodes, arrays and numbers."""
        self.value = value
        self.operands = operands
        self.needs = needs
        self.name = name
        self.grad: Any = None
        mode = MODE.get()
        self.steps, self.scopes = mode.steps, mode.scopes
        self.source = source_line()


def is_ours(frame: FrameType) -> bool:
    """Whether a frame runs code of this library, of optree or contextlib, or of an array library."""
    return _is_ours(frame.f_code.co_filename, frame.f_globals.get("__name__"))


@lru_cache(4096)
def _is_ours(filename: str, module: Any) -> bool:
    if filename.startswith((_PACKAGE, _TREES, contextlib.__file__)):
        return True
    return str(module).partition(".")[0] in _LIBRARIES


def _has_names(frame: FrameType) -> bool:
    """Whether the variables of a frame name its values: in the user's code, and in the methods of modules."""
    file = frame.f_code.co_filename
    if file.startswith(_MODULES):
        return frame.f_code.co_varnames[:1] == ("self",)
    standard = file.startswith(("<frozen", _STANDARD)) and f"-packages{os.sep}" not in file
    return not standard and not is_ours(frame)


def is_library(filename: str) -> bool:
    """Whether a file belongs to a library, this one or another, and not to the user's own code."""
    return filename.startswith((_PACKAGE, _STANDARD, "numpy/")) or f"-packages{os.sep}" in filename


def _user_frame(frame: FrameType | None = None) -> FrameType | None:
    """The innermost frame of the user's code, from `frame` outwards."""
    frame = frame or sys._getframe(1)
    # as `is_ours`, without a call per frame: this runs for every stage that is traced
    while frame is not None and _is_ours(frame.f_code.co_filename, frame.f_globals.get("__name__")):
        frame = frame.f_back
    return frame


def is_plotted() -> bool:
    """Whether the call comes from a plotting library, which shows values and returns none to the user."""
    if _PLOTTING.isdisjoint(sys.modules):
        return False
    frame = _user_frame()
    return frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _PLOTTING


def source_line() -> str:
    """File and line of the innermost frame of the user's code."""
    frame = _user_frame()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"


def called_of_math() -> str:
    """The function of `math` that the current line of the user's code calls; "" if it calls none."""
    frame = _user_frame()
    line = "" if frame is None else linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    found = re.search(r"\bmath\.(\w+)\(", line)
    return found[1] if found else ""


def warn(message: str) -> None:
    """Warn at the current line of the user's code, once a line."""
    frame = _user_frame()
    if frame is None:
        warnings.warn(message, UserWarning, stacklevel=2)
        return
    seen = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        message, UserWarning, frame.f_code.co_filename, frame.f_lineno, frame.f_globals.get("__name__"), seen
    )


#: The names of constants, which have no node to keep them: by the identity of an array, it and its name.
Constants = dict[int, tuple[Any, str]]


def _name(variables: Mapping[str, Any], constants: Constants) -> None:
    """Name recorded nodes and constants that have no name yet after the variables that hold them."""
    for name, value in variables.items():
        if not type(value).__module__.startswith("xgrad") or not hasattr(value, "node"):
            continue
        if value.node is None:
            constants.setdefault(id(value.data), (value.data, name))
        for holder in (getattr(value, "node", None), getattr(value, "data", None)):  # in a graph, in a trace
            if (isinstance(holder, Recorded) or hasattr(holder, "tracer")) and getattr(
                holder, "name", None
            ) is None:
                setattr(holder, "name", name)  # noqa: B010 - a node's or a variable's


@contextlib.contextmanager
def names_from_variables() -> Iterator[Constants]:
    """Name recorded nodes after the user's variables, and yield the names of constants.

    The variables of a function are read when it returns, and when it calls another function, so that a value
    is named where it was computed, not after the parameter that it is passed to. Those of the surrounding
    code are read at the end of the block. Where graphs are recorded they are read at every op, so that a
    variable that is bound again and again, as in a loop, names each of its values.
    """
    every_op, constants = MODE.get().record, Constants()

    def on_event(frame: FrameType, event: str, arg: object) -> None:
        if every_op and event == "call" and (caller := frame.f_back) is not None and _has_names(caller):
            _name(caller.f_locals, constants)
            return
        if event not in ("call", "return") or not _has_names(frame):
            return
        if event == "return":
            _name(frame.f_locals, constants)
        elif (caller := _user_frame(frame.f_back)) is not None and _has_names(caller):
            _name(caller.f_locals, constants)

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        yield constants
    finally:
        sys.setprofile(before if callable(before) else None)  # cProfile's cannot be put back
        frame = _user_frame()
        if frame is not None:
            _name(frame.f_locals, constants)
