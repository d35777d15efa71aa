"""The pytest plugin that puts the stand-in in CUDA's place: `pytest -p tests.fakecuda.plugin -m cuda`.

A test that asks for what the stand-in has not got is skipped, and the reason says what that was. This is
decided here alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from . import NotCovered, install

install()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    missing = _not_covered(call.excinfo.value) if report.failed and call.excinfo else None
    if missing is not None:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"Skipped: {missing}")


def _not_covered(error: BaseException | None) -> NotCovered | None:
    """What the stand-in lacked, where that is what an error comes of."""
    while error is not None and not isinstance(error, NotCovered):
        error = error.__cause__ or error.__context__
    return error
