"""The modules of the layers above whose functions the methods of a Tensor call.

Those modules use Tensors, so the core cannot import them: each registers itself here when it is imported.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Literal

from .dispatch import Value

if TYPE_CHECKING:
    from .. import namespace as namespace
    from .. import numpy_api as numpy_api


def enter(name: Literal["namespace", "numpy_api"], module: ModuleType) -> None:
    """Register a module with the core under this name; the namespace also becomes `Value.xp`."""
    globals()[name] = module
    if name == "namespace":
        Value.xp = module
