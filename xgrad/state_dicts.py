"""State dicts: values by name, checked before they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .core.context import mode
from .core.tensor import Tensor
from .errors import ShapeError
from .namespace import tensor


def fitting(who: str, mine: Mapping[str, Tensor], state: Any) -> dict[str, Tensor]:
    """Copy the values of `state`, each to the device of its namesake in `mine`.

    Names, shapes and dtypes must match those of `mine`.

    Raises KeyError for missing or unknown names, ShapeError and TypeError for values that do not match.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"the state dict of {who} must map names to Tensors; got {type(state).__name__}")
    missing, unknown = (
        [name for name in mine if name not in state],
        [name for name in state if name not in mine],
    )
    if missing or unknown:
        said = [f"{what} {names}" for what, names in (("missing", missing), ("unexpected", unknown)) if names]
        raise KeyError(f"the names in this state dict do not match {who}: {'; '.join(said)}")
    return {name: _fitting(who, name, t, state[name]) for name, t in mine.items()}


def _fitting(who: str, name: str, t: Tensor, value: Any) -> Tensor:
    try:
        with mode(grad=False, hooks=None):  # a state is data: it needs no gradient
            found = tensor(value, device=t.device)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{who}: the value for {name} cannot become a Tensor: {error}") from error
    if found.shape != t.shape:
        raise ShapeError(f"{who}: {name} has shape {t.shape}, but the state dict has {found.shape}")
    if found.dtype != t.dtype:
        raise TypeError(f"{who}: {name} has dtype {t.dtype}, but the state dict has {found.dtype}")
    return found
