"""The protocol of a device that runs kernels, and schedules of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cupy import ndarray as Array

STREAMS = 8  # for which memory and recordings are kept, besides the default ones
# CUDA's handle of the per-thread default stream; smaller handles are per device, larger ones addresses
PER_THREAD = 2


class KernelError(RuntimeError):
    """The device's compiler rejected kernels; the message is its log."""


def make_room(by_stream: dict[Hashable, Any]) -> None:
    """Evict the entry of the oldest of STREAMS streams, but never of a default stream.

    Programs may create a new stream for each step.
    """
    made = [stream for stream in list(by_stream) if isinstance(stream, int) and stream > PER_THREAD]
    for stream in made[: max(0, len(made) - STREAMS + 1)]:
        by_stream.pop(stream, None)


class Launcher(ABC):
    """What a device must provide to run schedules.

    All work goes to the current stream, asynchronously.

    `errors` are the exceptions raised when the device refuses a launch or a recording.
    """

    errors: tuple[type[Exception], ...] = ()

    def missing(self) -> str | None:
        """What is missing to run schedules, as text; None if nothing is."""
        return None

    def entered(self) -> AbstractContextManager[Any]:
        """Context manager that makes this device current in the thread."""
        return nullcontext()

    @abstractmethod
    def chip(self) -> tuple[str, int, int, int, int, int]:
        """Properties of the GPU.

        Name, compute capability (90 for 9.0), number of multiprocessors, bytes of shared memory per block,
        threads and registers per multiprocessor.
        """

    @abstractmethod
    def load(self, source: str) -> Callable[[str], Any]:
        """Compile source; return a function that finds its kernels by name.

        Raises KernelError if the compiler rejects it.
        """

    @abstractmethod
    def launch(self, kernel: Any, launch: Any, arguments: Sequence[int]) -> None:
        """Run a kernel with 64-bit arguments."""

    @abstractmethod
    def product(self, product: Any, addresses: Sequence[int], precision: str) -> None:
        """Run a matrix product on the addresses of a, b and the result."""

    @abstractmethod
    def memory(self, size: int) -> Array:
        """Allocate `size` bytes of device memory as an array."""

    @abstractmethod
    def address(self, array: Array) -> int:
        """Address of the first element of an array."""

    @abstractmethod
    def ready(self, array: Array, dtype: str) -> Array:
        """The array, or a copy that is contiguous, of that dtype and 16-byte aligned.

        The widest loads require that alignment.
        """

    @abstractmethod
    def view(self, memory: Array, size: int, dtype: str) -> Array:
        """View a block of memory as an array of `size` elements."""

    @abstractmethod
    def array(self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str) -> Array:
        """View the memory at an address as an array; strides are in bytes."""

    @abstractmethod
    def copy(self, target: int, source: int, size: int) -> None:
        """Copy bytes from one address to another."""

    @abstractmethod
    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record `work`; return a function that replays it in one launch, at the same addresses."""

    @abstractmethod
    def seconds(self, work: Callable[[], None]) -> float:
        """Time that `work` takes on the device."""

    @abstractmethod
    def stream(self) -> Hashable:
        """Key of the current stream, distinct from those of other threads."""
