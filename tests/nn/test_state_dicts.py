"""State dicts are validated completely before anything changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg


def model() -> xg.nn.Linear:
    return xg.nn.Linear(3, 2, rng=xg.random.default_rng(0))


def stepped(make: Callable[[Any], xg.optim.Optimizer]) -> xg.optim.Optimizer:
    """Return an optimiser that has state."""
    p = model()
    optimizer = make(p)
    optimizer.step(xg.grad(lambda p: xg.sum(p(xg.ones((1, 3), dtype="float32")) ** 2))(p))
    return optimizer


HOLDERS: dict[str, Callable[[], Any]] = {
    "module": model,
    "Adam": lambda: stepped(xg.optim.Adam),
    "SGD": lambda: stepped(lambda p: xg.optim.SGD(p, momentum=0.9)),
    "SGD without momentum": lambda: stepped(xg.optim.SGD),
    "LossScale": lambda: xg.optim.LossScale(),
}
holders = pytest.mark.parametrize("name", HOLDERS)


def values(state: dict[str, xg.Tensor]) -> dict[str, Any]:
    return {name: (t.dtype, t.shape, t.numpy().tobytes()) for name, t in state.items()}


def spoilt(good: dict[str, Any]) -> list[tuple[Any, type[Exception], str]]:
    """Return invalid states.

    The wrong value is always the last, when the others could already have been loaded.
    """
    *_, last = good
    t = good[last]
    rest = {name: value for name, value in good.items() if name != last}
    other = "float64" if t.dtype == "float32" else "float32"
    return [
        (None, TypeError, "must map names to Tensors"),
        ([*good], TypeError, "must map names to Tensors"),
        (rest, KeyError, "missing"),
        ({**good, "more": t}, KeyError, "unexpected"),
        ({**rest, 3: t}, KeyError, "unexpected"),
        ({**rest, last: None}, TypeError, last),
        ({**rest, last: "text"}, TypeError, last),
        (
            {**rest, last: t.astype(other)},
            TypeError,
            f"{last} has dtype {t.dtype}, but the state dict has {other}",
        ),
        ({**rest, last: t.astype("complex64")}, TypeError, "complex64"),
        ({**rest, last: t[None]}, xg.ShapeError, f"{last} has shape"),
        ({**rest, last: np.zeros((0, *t.shape), t.dtype)}, xg.ShapeError, f"{last} has shape"),
    ]


@holders
def test_what_does_not_fit_changes_nothing(name: str) -> None:
    holder = HOLDERS[name]()
    before = values(holder.state_dict())
    other = {key: t + 1 for key, t in holder.state_dict().items()}
    for state, error, message in spoilt(other):
        with pytest.raises(error, match=message):
            holder.load_state_dict(state)
        assert values(holder.state_dict()) == before


@holders
def test_what_fits_is_taken_by_copy(name: str) -> None:
    holder = HOLDERS[name]()
    state = {key: np.asarray(t.numpy() + 1, t.dtype) for key, t in holder.state_dict().items()}
    wanted = values({key: xg.asarray(a) for key, a in state.items()})
    wanted = {key: wanted[key] for key in holder.state_dict()}
    holder.load_state_dict(dict(reversed(state.items())))
    assert values(holder.state_dict()) == wanted
    for array in state.values():
        array[...] = 0
    assert values(holder.state_dict()) == wanted


def test_values_that_need_gradients_are_taken_without_their_graphs() -> None:
    optimizer = stepped(xg.optim.Adam)
    w = xg.tensor(2.0, requires_grad=True, dtype="float32")
    optimizer.load_state_dict(
        {key: t if key == "count" else t * w for key, t in optimizer.state_dict().items()}
    )
    assert not any(t.requires_grad for t in optimizer.state_dict().values())


def test_two_weights_can_change_places() -> None:
    class Two(xg.nn.Module):
        def __init__(self) -> None:
            self.p, self.q = xg.tensor([1.0], requires_grad=True), xg.tensor([2.0], requires_grad=True)

    m = Two()
    m.load_state_dict({"p": m.state_dict()["q"], "q": m.state_dict()["p"]})
    assert (m.p.item(), m.q.item()) == (2, 1)


def test_counts_of_steps_are_whole_and_not_negative() -> None:
    optimizer = stepped(xg.optim.Adam)
    for count, error in ((-1, ValueError), (2.0, TypeError), (True, TypeError), (np.nan, TypeError)):
        with pytest.raises(error, match="count"):
            optimizer.load_state_dict({**optimizer.state_dict(), "count": count})
    assert optimizer.count == 1
