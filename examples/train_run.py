"""The state of a training run: everything that a checkpoint must hold to resume it bit for bit."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xgrad as xg

WORDS = ("step", "rng", "signature")
CURVES = ("curve", "validation.steps", "validation.bits")


@dataclass
class Run:
    """The state of training after `step` steps.

    `curve` has the training loss of each step in bits per character, and `validation` pairs of a step and the
    loss on the held-out text.
    """

    model: Any
    optimizer: xg.optim.Adam
    h: xg.Tensor
    rng: xg.random.Generator
    signature: dict[str, Any]
    steps: int
    scale: xg.optim.LossScale | None = None
    step: int = 0
    curve: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the state to a checkpoint, atomically."""
        tensors = {"h": self.h, "curve": xg.asarray(self.curve, dtype="float64")}
        tensors["validation.steps"] = xg.asarray([step for step, _ in self.validation], dtype="int64")
        tensors["validation.bits"] = xg.asarray([bits for _, bits in self.validation], dtype="float64")
        for prefix, holder in self._holders().items():
            tensors |= {f"{prefix}.{name}": value for name, value in holder.state_dict().items()}
        words = {"step": self.step, "rng": self.rng.state, "signature": self.signature}
        xg.io.save(path, tensors, {name: json.dumps(value) for name, value in words.items()})

    def load(self, path: Path) -> None:
        """Restore the state that `save` wrote.

        Raises a ValueError that names the file if it is not the checkpoint of a run with this signature.
        """
        tensors, words = xg.io.load(path)
        try:
            self._take(tensors, checked(words))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path}: {said(error)}") from error

    def _take(self, tensors: dict[str, xg.Tensor], words: dict[str, Any]) -> None:
        other = different(words["signature"], self.signature)
        if other:
            raise ValueError(other)
        step = words["step"]
        if not 1 <= step <= self.steps:
            raise ValueError(f"step must be from 1 to {self.steps}, but is {step}")
        missing = [name for name in ("h", *CURVES) if name not in tensors]
        if missing:
            raise ValueError(f"it is not a checkpoint of train.py: it lacks {', '.join(missing)}")
        h = same_form("h", tensors.pop("h"), self.h.shape, self.h.dtype)
        curve, at, bits = (tensors.pop(name) for name in CURVES)
        same_form("curve", curve, (step,), "float64")
        same_form("validation.steps", at, at.shape[:1], "int64")
        same_form("validation.bits", bits, at.shape, "float64")
        places: list[int] = at.tolist()
        if any(not before < after <= step for before, after in zip([0, *places], places, strict=False)):
            raise ValueError(
                f"validation.steps must increase, from 1 to at most {step}, but are {places[:9]}"
            )
        for name, value in {"h": h, "curve": curve, "validation.bits": bits, **tensors}.items():
            if value.dtype.name not in ("int32", "int64") and not xg.optim.all_finite(value):
                raise ValueError(f"{name} has values that are not finite")
        rng = xg.random.default_rng(0)
        rng.state = words["rng"]
        if rng.state != words["rng"]:
            raise ValueError("rng is not a state of a random number generator")
        for prefix, holder in self._holders().items():
            names = [name for name in tensors if name.startswith(f"{prefix}.")]
            holder.load_state_dict({name.removeprefix(f"{prefix}."): tensors.pop(name) for name in names})
        if tensors:
            raise ValueError(f"unexpected tensors: {', '.join(tensors)}")
        self.h, self.rng.state, self.step = h, words["rng"], step
        self.curve, self.validation = curve.tolist(), list(zip(places, bits.tolist(), strict=True))

    def _holders(self) -> dict[str, Any]:
        """Return the objects with a state dict, by the prefix of their names."""
        holders = {"model": self.model, "optimizer": self.optimizer, "scale": self.scale}
        return {prefix: holder for prefix, holder in holders.items() if holder is not None}


def signature_and_step(path: Path) -> tuple[dict[str, Any], int]:
    """Return the configuration and the step of a checkpoint.

    Raises a ValueError that names the file if it is not a checkpoint.
    """
    metadata = xg.io.load(path)[1]
    try:
        words = checked(metadata)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {said(error)}") from error
    return words["signature"], words["step"]


def said(error: Exception) -> str:
    """Return the message of an error; `str` would put that of a KeyError in quotes."""
    return " ".join(map(str, error.args)) or type(error).__name__


def checked(words: dict[str, str]) -> dict[str, Any]:
    """Parse the metadata of a checkpoint, and check the types."""
    missing = [name for name in WORDS if name not in words]
    if missing:
        raise ValueError(f"it is not a checkpoint of train.py: it lacks {', '.join(missing)}")
    found = {name: parsed(name, words[name]) for name in WORDS}
    for name, kind in {"step": int, "rng": dict, "signature": dict}.items():
        if type(found[name]) is not kind:
            raise ValueError(
                f"{name} must be {'a whole number' if kind is int else 'names with values'}, but is "
                f"{words[name][:40]}"
            )
    return found


def parsed(name: str, text: str) -> Any:
    """Parse JSON as `json.dumps` writes it."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise ValueError(
            f"{name} must be a number, or names with values, in JSON, but is {text[:40]}"
        ) from None


def different(saved: dict[str, Any], mine: dict[str, Any]) -> str:
    """Describe how two configurations differ; return an empty string if they are equal."""
    names = [
        name
        for name in dict.fromkeys([*mine, *saved])
        if (name in saved, saved.get(name)) != (name in mine, mine.get(name))
    ]
    if not names:
        return ""
    its, own = ({name: side.get(name) for name in names} for side in (saved, mine))
    return (
        f"it belongs to a run with other options or another text: it has {str(its)[:300]}, this run has {own}"
    )


def same_form(name: str, value: xg.Tensor, shape: tuple[int, ...], dtype: Any) -> xg.Tensor:
    """Return `value` if it has the given shape and dtype; otherwise raise ValueError."""
    if value.shape != shape or value.dtype != dtype:
        raise ValueError(
            f"{name} must be {dtype} of shape {shape}, but is {value.dtype} of shape {value.shape}"
        )
    return value


def smooth(curve: list[float]) -> float:
    """Return the mean of the last 50 values."""
    return math.fsum(curve[-50:]) / len(curve[-50:])
