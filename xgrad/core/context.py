"""The mode in which code runs, per thread or asynchronous task: recording, tracing, and the time step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from ..backends import Device
    from ..ops import Op
    from .graph import Node
    from .tensor import Tensor


class Hooks(Protocol):
    """Callbacks for every recorded op and for the results of the sweeps."""

    def on_op(
        self, op: Op, operands: Sequence[Any], arrays: Sequence[Any], z: Any, device: Device, needs: bool
    ) -> None:
        """Called after an op computed `z`; `needs` says whether a gradient flows to an operand."""

    def on_sweep(self, node: Node, given: Sequence[Any], found: Sequence[Any], what: str) -> None:
        """Called after a node's rule mapped cotangents or tangents `given` to `found`; `what` names them."""

    def on_cut(self, x: Tensor) -> bool:
        """Called when the value of `x` leaves the graph: return whether the user was told."""


class Scope(NamedTuple):
    """What a picture draws as one box: a call of a module, a scan, one of its steps."""

    kind: str
    label: str
    number: int


_scopes = count(1)


class Mode(NamedTuple):
    """How ops run.

    Attributes:
        grad: record ops on Tensors that need a gradient.
        record: record every op, with its value.
        trace: the tracer, which records ops instead of running them.
        stop: traced ops let no gradient through.
        steps: the time step of each running scan, outermost first.
        scopes: the scopes that ops are recorded in, outermost first.
        hooks: callbacks for every recorded op: `on_op`, `on_sweep`, `on_cut`; None for none.
        lifted: a transform is running a function that it differentiates, or a graph is recorded, so that a
            value that leaves the graph is warned of.
        check: compares compiled code with a plainer computation of the same values.
        on_step: called with the carry after each step of a recorded scan; None for none.
        blocks: the `with` blocks that set this mode, outermost first.
    """

    grad: bool = True
    record: bool = False
    trace: Any = None
    stop: bool = False
    steps: tuple[int, ...] = ()
    scopes: tuple[Scope, ...] = ()
    hooks: Hooks | None = None
    lifted: bool = False
    check: Any = None
    on_step: Callable[[Any], None] | None = None
    blocks: tuple[Any, ...] = ()


MODE: ContextVar[Mode] = ContextVar("xgrad_mode", default=Mode())  # noqa: B039 - a NamedTuple is immutable


class mode:
    """Change parts of the mode inside a `with` block.

    Blocks need not end in reverse order: those of interleaved generators do not. Each block undoes only its
    own change.
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
        elif self in now.blocks:  # ends before blocks that began later: those go on without it
            without = self._before
            for later in now.blocks[now.blocks.index(self) + 1 :]:
                later._before = without
                without = later._inside()
            MODE.set(without)

    def _inside(self) -> Mode:
        return self._before._replace(**self._changes, blocks=(*self._before.blocks, self))


def within(kind: str, label: str) -> mode:
    """A block whose ops are recorded in a new scope."""
    return mode(scopes=(*MODE.get().scopes, Scope(kind, label, next(_scopes))))


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside a `with` block: results need no gradient, and leaves may be changed in place.

    The block applies to the thread or asynchronous task that entered it. A generator that yields inside the
    block leaves it on for its caller: leave the block before yielding.

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
