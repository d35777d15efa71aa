"""The devices on which the tests of the engine run."""

from __future__ import annotations

import os

DEVICES = ["cpu", "strict:1", "cuda:0", *os.environ.get("XGRAD_TEST_DEVICES", "").split()]
