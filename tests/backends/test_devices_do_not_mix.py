"""Arrays on two devices of one library never mix silently.

Every operation that combines them raises an error that names both devices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest

import xgrad as xg

HERE, THERE = "strict:1", "strict:2"


def here(*shape: int, **options: Any) -> xg.Tensor:
    return xg.tensor(np.ones(shape), device=HERE, **options)


def there(*shape: int, **options: Any) -> xg.Tensor:
    return xg.tensor(np.ones(shape), device=THERE, **options)


def raw(*shape: int) -> Any:
    """Return an array of the library itself, on the other device."""
    return array_api_strict.ones(shape, device=array_api_strict.Device("device2"))


def index() -> xg.Tensor:
    return xg.asarray([0, 1], device=THERE)


def _in_place(change: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: change(here(2))


def _set(key: Any, value: Any) -> Callable[[], Any]:
    return lambda: here(2, 2).__setitem__(
        key() if callable(key) else key, value() if callable(value) else value
    )


def _step(optimizer: Any, grads: bool) -> None:
    p = here(2, requires_grad=True)
    if grads:
        optimizer([p], lr=0.1).step([there(2)])
    else:
        p.grad = there(2)
        optimizer([p], lr=0.1).step()


def _iadd(x: Any, y: Any) -> None:
    x += y


def _imatmul(x: Any, y: Any) -> None:
    x @= y


def _compiled(*args: Any) -> Any:
    return xg.compile(lambda *a: sum(v.sum() for v in a))(*args)


def _outside() -> Any:
    w = there(2)
    return xg.compile(lambda x: x * w)(here(2))


def _scan_outside() -> Any:
    w = there()
    return xg.scan(lambda h, x: (h + x * w, None), here(), here(3))


DOORS: dict[str, Callable[[], Any]] = {
    "an operator": lambda: here(2) + there(2),
    "the library's own array": lambda: here(2) + raw(2),
    "a number's array": lambda: here(2) * there(),
    "matmul": lambda: here(2, 2) @ there(2, 2),
    "concat": lambda: xg.concat([here(2), there(2)]),
    "stack": lambda: xg.stack([here(2), there(2)]),
    "a list": lambda: xg.asarray([here(), there()]),
    "where, the condition": lambda: xg.where(there(2) > 0, here(2), here(2)),
    "where, a value": lambda: xg.where(here(2) > 0, here(2), there(2)),
    "einsum": lambda: xg.einsum("i,i", here(2), there(2)),
    "clip": lambda: xg.clip(here(2), there(2)),
    "take": lambda: xg.take(here(2), index()),
    "searchsorted": lambda: xg.searchsorted(here(2), there(2)),
    "full": lambda: here(2) + xg.full((2,), there()),
    "linspace": lambda: xg.linspace(here(), there(), 3),
    "np.add": lambda: np.add(here(2), there(2)),
    "np.where": lambda: np.where(here(2) > 0, there(2), 0.0),
    "np.concatenate": lambda: np.concatenate([here(2), there(2)]),
    "np.histogram": lambda: np.histogram(here(2), there(2)),
    "np.interp": lambda: np.interp(here(2), there(2), here(2)),
    "+=": _in_place(lambda x: _iadd(x, there(2))),
    "+= an array": _in_place(lambda x: _iadd(x, raw(2))),
    "@=": lambda: _imatmul(here(2, 2), there(2, 2)),
    "setitem, a value": _set(0, lambda: there(2)),
    "setitem, an array": _set(0, lambda: raw(2)),
    "setitem, a number's array": _set((0, 0), lambda: there()),
    "setitem, a key": _set(lambda: (index(), index()), 1.0),
    "setitem, a mask": _set(lambda: there(2, 2) > 0, 1.0),
    "getitem, a key": lambda: here(2, 2)[index(), index()],
    "getitem, a mask": lambda: here(2)[there(2) > 0],
    "getitem, an integer": lambda: here(2)[xg.asarray(1, device=THERE)],
    "scan, a carry": lambda: xg.scan(lambda h, x: (h + x, None), there(), here(3)),
    "scan, not compiled": lambda: xg.scan(lambda h, x: (h + x, None), there(), here(3), compiled=False),
    "scan, from outside": _scan_outside,
    "scan, in segments": lambda: xg.scan(lambda h, x: (h + x, None), there(), here(4), checkpoint_every=2),
    "compile": lambda: _compiled(here(2), there(2)),
    "compile, arguments that never meet": lambda: xg.compile(lambda x, y: (x * 2, y * 2))(here(2), there(2)),
    "compile, from outside": _outside,
    "checkpoint": lambda: xg.checkpoint(lambda x, y: x * y)(here(2, requires_grad=True), there(2)),
    "backward": lambda: (here(2, requires_grad=True) * 2).backward(there(2)),
    "vjp": lambda: xg.vjp(lambda x: x * 2, here(2))[1](there(2)),
    "jvp": lambda: xg.jvp(lambda x: x * 2, (here(2),), (there(2),)),
    "hvp": lambda: xg.hvp(lambda x: xg.sum(x**2), (here(2),), (there(2),)),
    "deriv": lambda: xg.deriv(here(2), here(2), there(2), "*"),
    "deriv, of arrays": lambda: xg.deriv(raw(2), here(2).data, here(2).data, "*"),
    "grad": lambda: setattr(here(2, requires_grad=True), "grad", there(2)),
    "SGD": lambda: _step(xg.optim.SGD, True),
    "Adam": lambda: _step(xg.optim.Adam, True),
    "Adam, by grad": lambda: _step(xg.optim.Adam, False),
    "clip_by_global_norm": lambda: xg.optim.clip_by_global_norm([here(2), there(2)], 1.0),
    "a module": lambda: xg.nn.Linear(2, 2, dtype=xg.float64, device=HERE)(there(1, 2)),
    "a recurrent module": lambda: xg.nn.GRU(2, 2, dtype=xg.float64, device=HERE)(there(3, 1, 2)),
    "a recurrent module's state": lambda: xg.nn.GRU(2, 2, dtype=xg.float64, device=HERE)(
        here(3, 1, 2), there(1, 2)
    ),
    "a parameter of a distribution": lambda: xg.random.default_rng(0, device=HERE).normal(there(2)),
    "out=": lambda: np.add(here(2), here(2), out=there(2)),
}


@pytest.mark.parametrize("name", DOORS)
def test_a_door_is_shut(name: str) -> None:
    with xg.device(HERE), pytest.raises((xg.DeviceError, TypeError)) as caught:
        DOORS[name]()
    assert isinstance(caught.value, xg.DeviceError) or "out" in str(caught.value)
    assert name == "out=" or THERE in str(caught.value)


def test_what_moves_on_purpose() -> None:
    x = here(2, requires_grad=True)
    (x.to(THERE) * there(2)).backward(there(2))
    assert x.grad is not None
    assert x.grad.device == HERE
    linear = xg.nn.Linear(2, 2, device=HERE)
    elsewhere = xg.nn.Linear(2, 2, device=THERE)
    linear.load_state_dict(elsewhere.state_dict())
    assert {p.device.name for p in linear.state_dict().values()} == {HERE}
    moved = linear.to(THERE)
    assert moved(xg.ones((1, 2), dtype=xg.float32, device=THERE)).device == THERE
    adam, other = xg.optim.Adam(linear), xg.optim.Adam(elsewhere)
    adam.load_state_dict(other.state_dict())
    assert adam.m[0].device == HERE


def test_a_scan_follows_its_operands_not_the_current_device() -> None:
    with xg.device(HERE):
        carry, ys = xg.scan(lambda h, x: (h + x, h), there(), there(3))
        f = xg.compile(lambda x: x * 2)
        assert {carry.device.name, ys.device.name, f(there(2)).device.name} == {THERE}
