"""Devices are chosen at run time, known to every Tensor, and never mixed."""

from __future__ import annotations

import subprocess
import sys
from contextvars import copy_context
from typing import Any

import array_api_strict
import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import ROOT
from xgrad.backends import Backend, find_device, register


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def has_cuda() -> bool:
    try:
        find_device("cuda")
    except xg.DeviceError:
        return False
    return True


def test_a_tensor_knows_its_device(device: str) -> None:
    x = xg.ones(2)
    assert x.device == xg.current_device()
    assert (x * 2).device is x.device
    assert str(x.device).startswith(device)


def test_mixing_devices_names_both() -> None:
    a, b = xg.ones(2, device="cpu"), xg.ones(2, device="strict:1")
    with pytest.raises(xg.DeviceError, match=r"'\+'.*cpu and strict:1.*\.to\(device\)"):
        a + b
    with pytest.raises(xg.DeviceError, match=r"strict:0 and strict:1|strict:1 and strict:0"):
        xg.ones(2, device="strict:0") @ b
    with pytest.raises(xg.DeviceError, match=r"cpu beside a Tensor on strict:1; use xg\.asarray"):
        b + np.ones(2)
    with pytest.raises(xg.DeviceError, match="cpu"):
        np.ones(2) + b
    assert (b * np.float64(3)).numpy().tolist() == [3, 3]


def test_moving_and_gradients_across() -> None:
    x = xg.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 3).to("strict:1")
    z = (y * y).to("strict:2")
    (z * z).to("cpu").backward(np.ones(2))
    assert y.device == "strict:1"
    np.testing.assert_allclose(x.grad.numpy(), 4 * 81 * np.array([1.0, 8.0]))
    assert x.grad.device == "cpu"
    second = xg.grad(lambda a: xg.grad(lambda b: (b.to("strict:1") ** 3).to("cpu"))(a))(2.0)
    assert second.item() == 12


def test_arrays_are_known_by_their_library() -> None:
    with xg.device("strict:0"):
        x = xg.asarray(array_api_strict.ones(2, device=array_api_strict.Device("device2")))
    assert x.device == "strict:0"
    assert xg.tanh(array_api_strict.ones(2)).device == "cpu"


def test_the_current_device() -> None:
    assert xg.current_device() == "cpu"
    with xg.device("strict:2") as here:
        assert xg.zeros(1).device is here
        with xg.device("cpu"):
            assert xg.zeros(1).device == "cpu"
        assert xg.zeros(1).device is here


def test_a_device_set_by_the_program() -> None:
    def elsewhere() -> None:
        xg.set_device("strict:1")
        assert xg.zeros(1).device == "strict:1"

    copy_context().run(elsewhere)
    assert xg.zeros(1).device == "cpu"


def test_unknown_devices() -> None:
    for name in ("gpu", "cuda:x", "cpu:-1", ""):
        with pytest.raises(xg.DeviceError, match="unknown device"):
            xg.set_device(name)
    with pytest.raises(xg.DeviceError, match="there are 3 strict devices"):
        xg.set_device("strict:3")
    with pytest.raises(xg.DeviceError, match="there is 1 cpu device"):
        xg.ones(1, device="cpu:1")


def test_the_environment_chooses() -> None:
    assert python("import xgrad as xg; print(xg.zeros(1).device)", XGRAD_DEVICE="cpu").stdout == "cpu\n"
    failed = python("import xgrad as xg; print('imported'); xg.zeros(1)", XGRAD_DEVICE="tpu")
    assert failed.stdout == "imported\n"
    assert "unknown device 'tpu'" in failed.stderr


@pytest.mark.skipif(has_cuda(), reason="CUDA is here")
def test_cuda_that_is_not_there_says_what_is_missing() -> None:
    with pytest.raises(xg.DeviceError, match=r"(CuPy.*pip install|driver)"):
        xg.set_device("cuda")
    assert find_device("auto") == "cpu"


def test_importing_imports_no_cupy_and_little_else() -> None:
    modules = python("import xgrad, sys; print(*sys.modules)").stdout.split()
    assert not {"cupy", "array_api_compat", "torch", "matplotlib", "opt_einsum", "scipy"} & {
        m.partition(".")[0] for m in modules
    }


class _Minimal(Backend):
    """NumPy under another name: the minimum that a custom backend needs."""

    name = "minimal"
    xp = np

    def handle(self, index: int) -> str:
        return "cpu"

    def to_host(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def scatter_add(self, target: Any, key: Any, values: Any) -> None:
        np.add.at(target, key, values)

    def memory(self, index: int) -> dict[str, int]:
        return {"used": 0, "total": 0}


def test_a_backend_of_ones_own() -> None:
    register("minimal", _Minimal, library="no_such_library")
    with xg.device("minimal"):
        x = xg.tensor([1.0, 2.0], requires_grad=True)
        xg.sum(x[xg.asarray([0, 0])] * 2).backward()
    assert x.grad.numpy().tolist() == [4, 0]
    assert str(x.device) == "minimal:0"


def test_memory_figures() -> None:
    memory = find_device("cpu").memory()
    assert 0 < memory["used"] < memory["total"]


def test_layout_has_no_top_level_package_named_backends() -> None:
    code = (
        "import importlib.util, sys; sys.path = [p for p in sys.path if p]; "
        "print(importlib.util.find_spec('backends'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True, check=True
    )
    assert result.stdout == "None\n"
