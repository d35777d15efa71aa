"""Functions that are single ops, generated from their entries in the op table.

The stub beside this file has their signatures.
"""

from ..ops import OPS
from .calling import function_of
from .table import enter

for _op in dict.fromkeys(OPS.values()):
    if _op.listing.doc:
        _extension, _, _name = _op.function.rpartition(".")
        globals()[_name] = enter(function_of(_op, __name__), " ".join(_op.listing.numpy), _extension or None)
