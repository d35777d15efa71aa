"""With this folder on PYTHONPATH a process of Python has the stand-in in CUDA's place from its beginning."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

sys.path.append(str(ROOT))
try:
    if (
        importlib.util.find_spec("numpy") is not None
    ):  # not in the environments that tools build for themselves
        import tests.fakecuda

        tests.fakecuda.install()
finally:
    sys.path.remove(str(ROOT))  # from there `backends` could be imported too
