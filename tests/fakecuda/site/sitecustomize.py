"""Install the stand-in for CUDA at the start of every Python process with this folder on PYTHONPATH."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

sys.path.append(str(ROOT))
try:
    if importlib.util.find_spec("numpy") is not None:  # not in isolated environments created by tools
        import tests.fakecuda

        tests.fakecuda.install()
finally:
    sys.path.remove(str(ROOT))  # otherwise `backends` could be imported from there
