"""Run every engine test on every backend.

The backends are NumPy, the strict library on its second device, and CUDA where there is one.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from importlib.util import find_spec

import hypothesis
import pytest

import xgrad as xg

from .emulated.backend import register_emulated
from .helpers.devices import DEVICES
from .helpers.strict import register_strict

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read once, when SciPy is first imported by any test
# every program is verified after each pass, and every plan against its program
os.environ.setdefault("XGRAD_VERIFY", "1")
# tests choose their own device, and printed devices are the CPU's
os.environ.pop("XGRAD_DEVICE", None)

register_strict()
register_emulated()

hypothesis.settings.register_profile("quick", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.load_profile("quick")


def pytest_configure() -> None:
    """Choose a fresh seed for random programs, shared by all processes that run tests side by side."""
    os.environ.setdefault("XGRAD_FUZZ_SEED", str(random.SystemRandom().getrandbits(31)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"random programs of XGRAD_FUZZ_SEED={os.environ['XGRAD_FUZZ_SEED']}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that run on a CUDA device; leave them out where there is no CuPy."""
    for item in items:
        if str(getattr(item, "callspec", None) and item.callspec.params.get("device")).startswith("cuda"):  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.cuda)
    if find_spec("cupy") is None:
        without = [item for item in items if item.get_closest_marker("cuda")]
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if not item.get_closest_marker("cuda")]


@pytest.fixture(params=DEVICES, autouse=False)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Provide the device under test as the default for new Tensors."""
    try:
        here = xg.device(request.param)
        here.__enter__()
    except xg.DeviceError as error:
        pytest.skip(str(error))
    yield request.param
    here.__exit__(None, None, None)


@pytest.fixture
def rng() -> xg.random.Generator:
    return xg.random.default_rng(0)
