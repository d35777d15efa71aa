"""Debugging: find where a NaN comes from, and where a gradient stops."""

from __future__ import annotations

import ast
import linecache
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..backends.dtypes import is_floating
from ..core.context import MODE, mode, where_in_time
from ..core.dispatch import Value
from ..core.graph import Node
from ..core.recording import Recorded, is_ours, names_from_variables, source_line
from ..ops import Op
from ..ops.rules import shape_of


@contextmanager
def detect_nan() -> Iterator[None]:
    """Raise FloatingPointError at the first NaN, or infinity from finite operands, inside a `with` block.

    The message names the op, the stage, the line, the time step and the shapes of the operands. If the data
    contain a NaN, it names the first op that reads it. Branches that `where` does not choose count too. The
    backward pass and tangents are checked as well, if they run inside the block. Loops and compiled functions
    run op by op, and all values are kept: use it to find an error, not for training.

    >>> import xgrad as xg
    >>> x = xg.tensor([1.0, 0.0], requires_grad=True)
    >>> with xg.detect_nan():
    ...     xg.sum(xg.sqrt(x)).backward()
    Traceback (most recent call last):
    FloatingPointError: Inf in the gradient of operand 1 of 'sqrt', ...
    """
    with warnings.catch_warnings(), mode(record=True, hooks=_NaN()), names_from_variables():
        warnings.simplefilter("ignore", RuntimeWarning)  # the array library warns of the same
        yield


class Cut(NamedTuple):
    """A place where a gradient stops: the cause, the line, the time step and the Tensor's shape."""

    what: str
    source: str
    when: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"the gradient of a Tensor of shape {self.shape} stops {self.what}{self.when}"


@contextmanager
def detect_cuts() -> Iterator[list[Cut]]:
    """Warn of each line in a `with` block where the gradient of a Tensor stops, and list them.

    A gradient stops where a value is taken out (`float(t)`, `t.numpy()`, `if t:`), at `detach` and
    `stop_gradient`, at a conversion to an integer, at an op without derivative (`floor`), and at computations
    under `no_grad`, except the steps of optimisers. Comparisons and indices, which never have a gradient, are
    not listed. Loops and compiled functions run op by op.

    >>> import xgrad as xg, warnings
    >>> x = xg.tensor(2.0, requires_grad=True)
    >>> with warnings.catch_warnings(), xg.detect_cuts() as cuts:
    ...     warnings.simplefilter("ignore")
    ...     z = xg.floor(3 * x) * x.detach()
    >>> for cut in cuts:
    ...     print(cut)
    the gradient of a Tensor of shape () stops at 'floor', which has no derivative
    the gradient of a Tensor of shape () stops at detach()
    """
    hooks = _Cuts()
    with mode(record=True, hooks=hooks), names_from_variables():
        yield hooks.found


class _NaN:
    """Hooks that check every value and every gradient."""

    def on_op(
        self, op: Op, operands: Sequence[Any], arrays: Sequence[Any], z: Any, device: Any, needs: bool
    ) -> None:
        what = _bad(device, z)
        if what is None:
            return
        given = [_bad(device, v) for v in arrays]
        if what == "Inf" and any(given):
            return
        with_nan = [str(i) for i, v in enumerate(given, 1) if v == "NaN"]
        already = f"; operand {' and '.join(with_nan)} was already NaN" if with_nan else ""
        stage = written_at(source_line(), None)
        raise FloatingPointError(
            f"{what} from {op.name!r}, {stage}{where_in_time()}: operands of shape "
            f"{_shapes(operands)}{already}"
        )

    def on_sweep(self, node: Node, given: Sequence[Any], found: Sequence[Any], what: str) -> None:
        """Check what a sweep computed at `node`: `found`, from `given`."""
        for i, g in enumerate(found, 1):
            bad = _bad(node.device, g)
            if bad is None or (bad == "Inf" and any(_bad(node.device, v) for v in given)):
                continue
            assert node.op is not None
            which = f"{what} of operand {i} of" if what == "the gradient" else f"{what} of"
            source, steps = getattr(node, "source", "?"), getattr(node, "steps", ())
            when = f" at step t={', '.join(map(str, steps))}" if steps else ""
            operands = [v.value if isinstance(v, Recorded) else v for v in getattr(node, "operands", ())]
            shapes = f": operands of shape {_shapes(operands)}" if operands else ""
            raise FloatingPointError(
                f"{bad} in {which} {node.op.name!r}, "
                f"{written_at(source, getattr(node, 'name', None))}{when}{shapes}"
            )

    def on_cut(self, x: Any) -> bool:
        """Ignored: a value that leaves the graph is not an error."""
        return False


class _Cuts:
    """Hooks that find ops and methods where a gradient stops."""

    def __init__(self) -> None:
        self.found: list[Cut] = []

    def on_op(
        self, op: Op, operands: Sequence[Any], arrays: Sequence[Any], z: Any, device: Any, needs: bool
    ) -> None:
        if not needs:
            return
        moving = [v for v in operands if isinstance(v, Value) and v.node is not None and v.node.needs]
        if not MODE.get().grad:
            self._report(f"at {op.name!r}, computed under no_grad", source_line(), moving[0])
        elif not op.rules and (op.name == "round_to" or (not isinstance(z, tuple) and is_floating(z.dtype))):
            what = (
                "where it is converted to an integer"
                if op.name == "round_to"
                else f"at {op.name!r}, which has no derivative"
            )
            self._report(what, source_line(), moving[0])

    def on_sweep(self, node: Node, given: Sequence[Any], found: Sequence[Any], what: str) -> None:
        """Ignored: sweeps cut no gradient."""

    def on_cut(self, x: Any) -> bool:
        """Report a method that returns the value of `x`, if the user called it and not the library."""
        frame, entry = sys._getframe(1), ""
        while frame.f_back is not None and is_ours(frame):
            frame, entry = frame.f_back, frame.f_code.co_name
        if entry in _TAKES:
            self._report(f"at {_TAKES[entry]}", f"{frame.f_code.co_filename}:{frame.f_lineno}", x)
        return entry in _TAKES

    def _report(self, what: str, source: str, x: Any) -> None:
        cut = Cut(what, source, where_in_time(), tuple(x.data.shape))
        if any(c.what == what and c.source == source for c in self.found):
            return
        self.found.append(cut)
        file, _, line = source.rpartition(":")
        warnings.warn_explicit(str(cut), UserWarning, file or "?", int(line) if line.isdecimal() else 0)


#: Functions that take a value out of the graph, and how to show them in messages.
_TAKES = {
    **{name: f"{name}()" for name in ("detach", "numpy", "to_numpy", "item", "tolist")},
    **{f"__{name}__": f"{name}()" for name in ("float", "int", "complex")},
    "__bool__": "a branch, or bool()",
    "stop_gradient": "stop_gradient",
    "tensor": "xg.tensor, which copies",
}


def _bad(device: Any, v: Any) -> str | None:
    """ "NaN" or "Inf", if there is one in an array, a Tensor, a number or a tuple of them."""
    if isinstance(v, tuple | list):
        return next(filter(None, (_bad(device, part) for part in v)), None)
    v = getattr(v, "data", v) if isinstance(v, Value) else v
    if isinstance(v, float | complex) and not hasattr(v, "dtype"):
        return "NaN" if v != v else "Inf" if v in (float("inf"), -float("inf")) else None
    if v is None or not hasattr(v, "dtype") or not is_floating(v.dtype):
        return None
    xp = device.xp
    if bool(xp.any(xp.isnan(v))):
        return "NaN"
    return None if bool(xp.all(xp.isfinite(v))) else "Inf"


def _shapes(operands: Sequence[Any]) -> str:
    return " and ".join(str(tuple(shape_of(v.data if isinstance(v, Value) else v))) for v in operands)


def written_at(source: str, name: str | None = None) -> str:
    """Describe a stage by its name, its source text and its line."""
    file, _, line = source.rpartition(":")
    text = linecache.getline(file, int(line)).strip() if line.isdecimal() else ""
    name = name or _assigned(text)
    if source == "?":
        return "computed outside the block (run the forward pass inside it to see the line)"
    return f"{f'stage {name!r}, ' if name else ''}{f'in `{text}` ' if text else ''}at {source}"


def _assigned(text: str) -> str | None:
    """The variable that a line assigns to."""
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError):  # the line is only part of a statement
        return None
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None
