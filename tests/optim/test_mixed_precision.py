"""Mixed precision: float32 weights, arithmetic in float16 or bfloat16, and loss scaling."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests import emulated
from tests.helpers import precision
from tests.helpers.paths import ROOT

PAGE = ROOT / "docs" / "13-precision.md"
half = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


# Casting models


class Reader(xg.nn.Module):
    """A small language model."""

    def __init__(self, vocabulary: int, hidden: int, rng: Any) -> None:
        self.embed = xg.nn.Embedding(vocabulary, hidden, rng=rng)
        self.gru = xg.nn.GRU(hidden, hidden, rng=rng)
        self.read = xg.nn.Linear(hidden, vocabulary, rng=rng)

    def __call__(self, ids: Any) -> xg.Tensor:
        return self.read(self.gru(self.embed(ids))[0])


@half
def test_cast_keeps_the_structure_and_lets_gradients_through(dtype: str) -> None:
    model = Reader(5, 4, xg.random.default_rng(0))
    tree = {
        "model": model,
        "ids": xg.asarray([1, 2]),
        "rate": 0.5,
        "more": (np.ones(2), None, xg.asarray([True])),
    }
    found = xg.nn.cast(tree, dtype)
    assert type(found["model"]) is Reader
    assert {p.dtype.name for p in found["model"].parameters()} == {dtype}
    assert (
        found["ids"].dtype,
        found["rate"],
        found["more"][0].dtype,
        found["more"][1],
        found["more"][2].dtype,
    ) == ("int64", 0.5, dtype, None, "bool")
    assert {p.dtype.name for p in model.parameters()} == {"float32"}
    for g in xg.grad(lambda m: xg.sum(xg.nn.cast(m, dtype)(xg.asarray([[1, 2]])).astype("float32")))(
        model
    ).parameters():
        assert g.dtype == "float32"
    xg.sum(xg.nn.cast(model, dtype)(xg.asarray([[1, 2]]))).backward()
    assert all(p.grad is not None and p.grad.dtype == "float32" for p in model.parameters())


@pytest.mark.parametrize("dtype", ["int32", "bool"])
def test_cast_refuses_what_lets_no_gradient_through(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"floating-point dtype, not {dtype}"):
        xg.nn.cast(xg.nn.Linear(3, 2), dtype)


def test_cast_to_the_same_dtype_is_the_same_tensors_and_complex_numbers_are_refused() -> None:
    model = xg.nn.Linear(2, 2)
    assert xg.nn.cast(model, "float32").weight is model.weight
    with pytest.raises(TypeError, match="complex"):
        xg.nn.cast([xg.ones(2, dtype="complex64")], "bfloat16")


@half
def test_layers_run_where_model_and_input_agree_and_say_what_to_do_elsewhere(dtype: str) -> None:
    x = xg.ones((3, 2, 4), dtype=dtype)
    for layer in (
        xg.nn.Linear(4, 4, dtype=dtype),
        xg.nn.GRU(4, 4, dtype=dtype),
        xg.nn.cast(xg.nn.GRU(4, 4, reset="after"), dtype),
    ):
        z = layer(x)
        assert (z if isinstance(z, xg.Tensor) else z[0]).dtype == dtype
    assert xg.nn.Embedding(3, 2, dtype=dtype)([1]).dtype == dtype
    assert xg.nn.cross_entropy(x[0], xg.asarray([0, 1])).dtype == dtype
    for layer in (xg.nn.Linear(4, 4), xg.nn.GRU(4, 4)):
        with pytest.raises(
            TypeError,
            match=(
                rf"float32 weights, but its input is {dtype}; use x.astype\(xg.float32\).* "
                rf"xg.nn.cast\(model, xg.{dtype}\)"
            ),
        ):
            layer(x)


# Optimisers


@half
def test_optimisers_of_half_precision_remember_in_float32(dtype: str) -> None:
    for make in (lambda p: xg.optim.Adam(p, lr=0.25), lambda p: xg.optim.SGD(p, lr=0.25, momentum=0.5)):
        p, full = (xg.tensor([1.0, 2.0, 3.0], dtype=d, requires_grad=True) for d in (dtype, "float32"))
        optimizers = make(p), make(full)
        for g in ([1e-3, 0.0, 2.0], [2e-3, 0.0, 1.0]):
            for optimizer, d in zip(optimizers, (dtype, "float32"), strict=True):
                optimizer.step(xg.asarray(g, dtype=d))
        assert p.dtype == dtype
        assert {v.dtype.name for slots in optimizers[0]._slots().values() for v in slots} == {"float32"}
        np.testing.assert_allclose(p.numpy().astype(float), full.numpy(), rtol=0.02)


def test_the_norm_of_float16_gradients_does_not_overflow() -> None:
    (clipped,), norm = xg.optim.clip_by_global_norm([xg.asarray([3e4, 4e4], dtype="float16")], 1.0)
    assert abs(float(norm) / 5e4 - 1) < 1e-3
    assert clipped.dtype == "float16"
    np.testing.assert_allclose(clipped.numpy(), [0.6, 0.8], rtol=2e-3)


# Loss scaling


def test_a_gradient_that_float16_loses_is_kept_by_scaling() -> None:
    w, x = xg.asarray(1.0, dtype="float32"), xg.asarray(2.0**-14, dtype="float16")

    def loss(w: xg.Tensor) -> xg.Tensor:
        return (w.astype("float16") * x).astype("float32") * 2.0**-12

    assert xg.grad(loss)(w).item() == 0, "2^-26 is half the least float16"
    scale = xg.optim.LossScale(2.0**10)
    assert scale.unscale(xg.grad(lambda w: scale.scale(loss(w)))(w)).item() == 2.0**-26
    assert (
        xg.grad(lambda w: (w.astype("bfloat16") * x.astype("bfloat16")).astype("float32") * 2.0**-12)(
            w
        ).item()
        == 2.0**-26
    )


def test_the_scale_falls_where_a_gradient_is_not_finite_and_grows_after_good_steps() -> None:
    w = xg.tensor([1.0, 2.0], dtype="float32", requires_grad=True)
    optimizer = xg.optim.Adam(w, lr=0.5)
    scale = xg.optim.LossScale(8.0, growth_interval=2)
    good, bad = xg.ones(2, dtype="float32"), xg.asarray([1.0, float("nan")], dtype="float32")
    seen = []
    for g in (bad, good, good, good, xg.asarray([float("inf"), 0.0]), good, good):
        before, count = w.tolist(), optimizer.count
        taken = scale.step(optimizer, g)
        assert taken == bool(xg.all(xg.isfinite(g)))
        assert (w.tolist() != before) == (optimizer.count == count + 1) == taken
        seen.append(float(scale.value))
    assert seen == [4, 4, 8, 8, 4, 4, 8]
    assert np.isfinite(w.tolist()).all()
    assert repr(scale) == "LossScale(8)"


def test_the_scale_stays_finite() -> None:
    scale = xg.optim.LossScale(2.0**127, growth_interval=1)
    scale.update(True)
    assert float(scale.value) == 2.0**127
    scale.update(xg.asarray(False))
    assert float(scale.value) == 2.0**126


def test_a_step_from_the_gradients_that_backward_left() -> None:
    a, b, unused = (
        xg.tensor(v, dtype=d, requires_grad=True)
        for v, d in ((1.0, "float32"), (3.0, "float64"), (1.0, "float32"))
    )
    scale = xg.optim.LossScale(16.0)
    optimizer = xg.optim.SGD([a, b, unused], lr=0.5)
    scale.scale((a.astype("float16") * 2.0).astype("float32") + b).backward()
    assert scale.step(optimizer)
    assert (a.item(), b.item(), unused.item()) == (0.0, 2.5, 1.0)
    assert (a.grad.item(), b.grad.dtype) == (2.0, "float64")  # type: ignore[union-attr]
    optimizer.zero_grad()
    scale.scale((a.astype("float16") + 6e4).astype("float16").astype("float32") * 1e6).backward()
    assert not scale.step(optimizer)
    assert (a.item(), float(scale.value)) == (0.0, 8.0)


def test_a_compiled_step_reads_the_scale_as_it_is() -> None:
    scale = xg.optim.LossScale(4.0)
    slope = xg.compile(xg.grad(lambda w: scale.scale(w * w)))
    w = xg.asarray(3.0, dtype="float32")
    assert slope(w).item() == 24
    scale.update(False)
    assert slope(w).item() == 12
    assert scale.unscale([slope(w)])[0].item() == 6


def test_its_state_can_be_saved(tmp_path: Path) -> None:
    scale = xg.optim.LossScale(64.0, growth_interval=3)
    for finite in (True, True, False, True, True):
        scale.update(finite)
    xg.io.save(tmp_path / "s.safetensors", scale.state_dict())
    other = xg.optim.LossScale(growth_interval=3)
    other.load_state_dict(xg.io.load(tmp_path / "s.safetensors")[0])
    for s in (scale, other):
        s.update(True)
        assert (float(s.value), int(s.good_steps)) == (64.0, 0)
    good = other.state_dict()
    for bad, error, message in [
        ({"scale": good["scale"]}, KeyError, r"LossScale: missing \['good_steps'\]"),
        (
            {**good, "scale": xg.ones(2, dtype="float32")},
            xg.ShapeError,
            r"scale has shape \(\), but the state dict has \(2,\)",
        ),
        ({**good, "scale": 3.0}, TypeError, "scale has dtype float32, but the state dict has float64"),
        (
            {**good, "good_steps": xg.asarray(1.5)},
            TypeError,
            "good_steps has dtype int32, but the state dict has float64",
        ),
        *(
            (
                {**good, "scale": xg.asarray(v, dtype="float32")},
                ValueError,
                "scale must be positive and finite",
            )
            for v in (0, -1, np.inf, np.nan)
        ),
        ({**good, "good_steps": xg.asarray(-1, dtype="int32")}, ValueError, "good_steps at least 0"),
    ]:
        with pytest.raises(error, match=message):
            other.load_state_dict(bad)
    assert (float(other.value), int(other.good_steps)) == (64.0, 0)


def test_bad_arguments_are_refused() -> None:
    for options in ({"init_scale": 0.0}, {"init_scale": float("inf")}, {"init_scale": float("nan")}):
        with pytest.raises(ValueError, match="init_scale"):
            xg.optim.LossScale(**options)
    for options in (
        {"growth_factor": 0.5},
        {"backoff_factor": 1.0},
        {"backoff_factor": 0.0},
        {"growth_interval": 0},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            xg.optim.LossScale(**options)


def test_all_finite() -> None:
    assert xg.optim.all_finite([]).item() is True
    assert xg.optim.all_finite({"a": xg.ones(2), "b": [xg.zeros(0), None]}).item() is True
    assert xg.optim.all_finite([xg.ones(2), xg.asarray([0.0, float("nan")])]).item() is False


def test_the_scale_is_on_a_device_of_its_own(device: str) -> None:
    with xg.device("cpu"):
        scale = xg.optim.LossScale(4.0, device=device)
    w = xg.tensor(3.0, dtype="float32", requires_grad=True)
    optimizer = xg.optim.SGD(w, lr=0.5)
    for good in (True, False):
        g = scale.unscale(xg.grad(lambda w: scale.scale(w * w))(w)) if good else xg.asarray(float("inf"))
        assert scale.step(optimizer, g) == good
    assert (scale.value.device, scale.good_steps.device) == (device, device)
    assert (w.item(), float(scale.value)) == (0.0, 2.0)


# Training


def _trained(dtype: str, scale: xg.optim.LossScale | None = None, steps: int = 60) -> float:
    """Return the loss after learning to repeat.

    The next symbol of a sequence always equals that of three steps before.
    """
    rng = xg.random.default_rng(1)
    model = Reader(6, 24, rng)
    optimizer = xg.optim.Adam(model, lr=0.02)
    ids = xg.asarray(np.tile(np.random.default_rng(0).integers(0, 6, size=(3, 16)), (5, 1)))

    def loss(model: Reader) -> xg.Tensor:
        logits = xg.nn.cast(model, dtype)(ids[:-1])
        nats = xg.nn.cross_entropy(logits.astype("float32"), ids[1:])
        return nats if scale is None else scale.scale(nats)

    last = float("nan")
    for _ in range(steps):
        value, grads = xg.value_and_grad(loss)(model)
        if scale is None:
            last = float(value)
            optimizer.step(grads)
        else:
            last = float(scale.unscale(value))
            scale.step(optimizer, scale.unscale(grads))
    return last


@pytest.mark.slow
def test_training_in_half_precision_ends_near_float32() -> None:
    full = _trained("float32")
    scale = xg.optim.LossScale(2.0**24, growth_interval=20)
    assert 0.1 < full < 1.2, "it has learned, and is not done"
    assert abs(_trained("bfloat16") / full - 1) < 0.05
    assert abs(_trained("float16", scale, steps=70) / full - 1) < 0.1, (
        "a few steps are left out until the scale fits"
    )
    assert 2.0**8 < float(scale.value) < 2.0**24


# The docs


@pytest.mark.slow
def test_the_errors_in_the_docs_are_those_measured() -> None:
    shown = {
        name: [float(n) for n in numbers.split("|")]
        for name, numbers in re.findall(
            r"^\| (\w+) \| (\d\S+ \| \S+ \| \S+) \|$", PAGE.read_text(), re.MULTILINE
        )
    }
    measured = precision.measured()
    assert shown.keys() == {*measured, *precision.PRODUCTS}
    if emulated.available() is None:
        measured |= precision.products()
    for name, errors in measured.items():
        np.testing.assert_allclose(np.log2(errors), np.log2(shown[name]), atol=0.6)
