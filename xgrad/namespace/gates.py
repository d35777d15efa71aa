"""The functions that are ops just as they stand in the table: made from their entries."""

from typing import Any

from ..ops import OPS
from .calling import function_of
from .table import enter

for _op in dict.fromkeys(OPS.values()):
    if _op.listing.doc:
        _extension, _, _name = _op.function.rpartition(".")
        globals()[_name] = enter(function_of(_op, __name__), " ".join(_op.listing.numpy), _extension or None)


def __getattr__(name: str) -> Any:
    """For type checkers, which cannot see what is made above."""
    raise AttributeError(f"no op is the function {name!r} just as it stands")
