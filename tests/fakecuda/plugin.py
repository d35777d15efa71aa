"""The pytest plugin that puts the stand-in in CUDA's place: `pytest -p tests.fakecuda.plugin -m cuda`.

A test that needs a missing feature of the stand-in is skipped with that reason. Only this module decides
that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from . import NotCovered, asked_for, install

install()

#: Ends of test names, without the device, of tests where the host behaves differently from a GPU.
OTHERWISE = {
    "test_values_are_numpys[bitwise_and-3]": (
        "the host shifts by the rest of 64, where a GPU shifts all bits out"
    )
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        why = OTHERWISE.get(re.sub(r"cuda:\d-", "", item.name))
        if why is not None:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    outcome = yield
    report, asked = outcome.get_result(), asked_for()
    why = _not_covered(call.excinfo.value, asked) if report.failed and call.excinfo else None
    if why is not None:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: {why}")


def _not_covered(error: BaseException | None, asked: str | None) -> str | None:
    """Return the missing feature of the stand-in that caused an error, if any."""
    while error is not None:
        if isinstance(error, NotCovered):
            return str(error)
        if asked is not None and type(error).__name__ in ("CUBLASError", "CUDARuntimeError"):
            return f"the stand-in for CUDA has no {asked}"
        error = error.__cause__ or error.__context__
    return None
