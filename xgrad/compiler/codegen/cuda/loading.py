"""From a schedule to an executable on a device."""

from __future__ import annotations

from collections.abc import Sequence

from ....backends.cuda.launching import Scheduled
from ....backends.cuda.protocol import KernelError, Launcher
from ....backends.schedules import HostCall, Schedule
from ...lowering.plan import Unsupported


def loaded(schedule: Schedule, launcher: Launcher, calls: Sequence[HostCall]) -> Scheduled:
    """Compile and load the schedule's kernels.

    Raises Unsupported if the device rejects them.
    """
    refusals: tuple[type[Exception], ...] = (KernelError, *launcher.errors)
    try:
        return Scheduled(schedule, launcher, calls)
    except refusals as error:
        raise Unsupported(str(error)) from error
