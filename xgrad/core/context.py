"""Context of the running code, by thread or asynchronous task: recording, and the time step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from ..backends import Device
    from ..ops import Op
    from .graph import Node
    from .tensor import Tensor


class Hooks(Protocol):
    """Called for all that is recorded, and for what the sweeps find."""

    def on_op(
        self, op: Op, operands: Sequence[Any], arrays: Sequence[Any], z: Any, device: Device, needs: bool
    ) -> None:
        """An op gave `z`; `needs` says whether a gradient flows to an operand."""

    def on_sweep(self, node: Node, given: Sequence[Any], found: Sequence[Any], what: str) -> None:
        """The rule of a node, given cotangents or tangents, found others: `what` names them."""

    def on_cut(self, x: Tensor) -> bool:
        """The value of `x`, to which a gradient flows, leaves the graph; whether the user was told."""


class Mode(NamedTuple):
    """How ops run.

    Attributes:
        grad: ops on Tensors that need a gradient are recorded.
        record: every op is, with its value.
        trace: the tracer that ops are written down by instead of being run; with `stop`, as what no gradient
            flows through.
        steps: the time step of each scan that is under way, outermost first.
        hooks: called for all that is recorded: `on_op`, `on_sweep`, `on_cut`; None for none.
        lifted: a function runs whose arguments a transform differentiates it with respect to.
        check: compares compiled code with plainer ways to compute the same.
        blocks: the `with` blocks that made it so, outermost first.
    """

    grad: bool = True
    record: bool = False
    trace: Any = None
    stop: bool = False
    steps: tuple[int, ...] = ()
    hooks: Hooks | None = None
    lifted: bool = False
    check: Any = None
    blocks: tuple[Any, ...] = ()


MODE: ContextVar[Mode] = ContextVar("xgrad_mode", default=Mode())  # noqa: B039 - a NamedTuple is immutable


class mode:
    """Change parts of the mode inside a `with` block.

    Blocks need not end in the order in which they began: those of generators that are run in turns do not.
    Each undoes its own change.
    """

    __slots__ = ("_before", "_changes")
    _before: Mode

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def __enter__(self) -> None:
        self._before = MODE.get()
        MODE.set(self._inside())

    def __exit__(self, *error: object) -> None:
        now = MODE.get()
        if now.blocks and now.blocks[-1] is self:
            MODE.set(self._before)
        elif self in now.blocks:  # and others that began later go on without it
            without = self._before
            for later in now.blocks[now.blocks.index(self) + 1 :]:
                later._before = without
                without = later._inside()
            MODE.set(without)

    def _inside(self) -> Mode:
        return self._before._replace(**self._changes, blocks=(*self._before.blocks, self))


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside a `with` block: results need no gradient, and leaves may be changed in place.

    It holds for the thread or the asynchronous task in which it was entered. A generator that waits inside of
    one leaves it on for whoever asked it for a value: take values out of the block before they are yielded.

    >>> import xgrad as xg
    >>> w = xg.tensor(2.0, requires_grad=True)
    >>> with xg.no_grad():
    ...     w -= 0.5
    >>> w
    tensor(1.5, requires_grad=True)
    """
    with mode(grad=False, stop=True):
        yield


def where_in_time() -> str:
    """` at step t=3` inside a scan, else nothing."""
    steps = MODE.get().steps
    return f" at step t={', '.join(map(str, steps))}" if steps else ""
