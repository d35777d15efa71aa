"""Tests of schedules on a device: run, recorded and replayed.

They also cover the choice between the two ways of running a loop, and the engine on the emulated device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.emulated.device import EmulatedLauncher
from tests.helpers.cuda_plans import CHIP, emulator, lowered, outputs_of
from xgrad.backends import find_device
from xgrad.backends.cuda.launching import ONCE, STEPWISE, LoopRun, Scheduled
from xgrad.backends.schedules import HostCall
from xgrad.compiler.codegen.cuda.schedule import schedule
from xgrad.compiler.lowering.lower import Lowered

pytestmark = emulator


class Tape(EmulatedLauncher):
    """A device that records as a GPU does.

    While it records it runs nothing. A replay repeats the calls at the same addresses.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(CHIP, **options)
        self.current: Any = 0
        self.recordings = 0
        self.copies = 0
        self.measured: list[float] = []
        self._tape: list[Callable[[], None]] | None = None

    def _do(self, work: Callable[[], None]) -> None:
        work() if self._tape is None else self._tape.append(work)

    def launch(self, kernel: Any, launch: Any, arguments: Sequence[int]) -> None:
        self._do(lambda: super(Tape, self).launch(kernel, launch, arguments))

    def product(self, product: Any, addresses: Sequence[int], precision: str) -> None:
        self._do(lambda: super(Tape, self).product(product, addresses, precision))

    def copy(self, target: int, source: int, size: int) -> None:
        self.copies += 1
        super().copy(target, source, size)

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recordings += 1
        self._tape = tape = []
        try:
            work()
        finally:
            self._tape = None
        return lambda: [again() for again in tape] and None

    def seconds(self, work: Callable[[], None]) -> float:
        self.measured.append(super().seconds(work))
        return self.measured[-1]

    def stream(self) -> Any:
        return self.current


@pytest.fixture(autouse=True)
def _kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_CACHE_DIR", str(tmp_path / "kept"))


def recurrent(W: Any, xs: Any, h: Any) -> Any:
    return xg.scan(lambda h, x: ((h := xg.tanh(x + h @ W)), h), h, xs)[1]


def inputs(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.array(rng.normal(size=shape) / 2, "float32") for shape in ((8, 8), (6, 4, 8), (4, 8))]


def wanted(arrays: Sequence[np.ndarray]) -> np.ndarray:
    W, xs, h = arrays
    ys = []
    for x in xs:
        h = np.tanh(x + h @ W)
        ys.append(h)
    return np.stack(ys).reshape(-1)


@cache
def plan() -> Lowered:
    with xg.device("cpu"):
        return lowered(recurrent, *map(xg.asarray, inputs()))


def ready(launcher: EmulatedLauncher) -> Scheduled:
    return Scheduled(schedule(plan().plan, CHIP), launcher)


def check(on: Scheduled, arrays: Sequence[np.ndarray]) -> np.ndarray:
    (found,) = outputs_of(plan(), on.run(arrays))
    np.testing.assert_allclose(found.reshape(-1), wanted(arrays), 1e-5, 1e-6)
    return found


def aligned(launcher: EmulatedLauncher, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return copies aligned so that the launcher uses them in place."""
    return [launcher.ready(np.array(x), "float32") for x in arrays]


def test_the_second_run_is_recorded_and_later_ones_replay_it() -> None:
    device = Tape()
    on, given = ready(device), aligned(device, inputs())
    check(on, given)
    recordings = device.recordings  # from measuring the two ways of the loop
    assert recordings == 2
    for _ in range(3):
        check(on, given)
    assert device.recordings == recordings + 1


def test_an_input_that_changes_where_it_is_is_read_anew() -> None:
    device = Tape()
    on, given = ready(device), aligned(device, inputs())
    for seed in range(4):
        for x, new in zip(given, inputs(seed)):
            x[...] = new
        check(on, given)
    assert device.recordings == 3


def test_an_input_that_moves_gets_a_place_of_its_own() -> None:
    device = Tape()
    on, kept = ready(device), [aligned(device, inputs(seed)) for seed in range(5)]
    weights = kept[0][0]
    for arrays in kept:  # the weights stay in place
        check(on, [weights, *arrays[1:]])
    assert device.recordings == 2 + 2  # once at the original addresses, and once from buffers of the schedule
    before = device.copies
    check(on, [weights, *kept[0][1:]])
    assert device.copies - before == 2 + 1  # two inputs and the output
    check(on, kept[3])  # now the weights move as well
    check(on, kept[2])
    assert device.recordings == 2 + 3


def test_outputs_are_in_memory_of_their_own() -> None:
    device = Tape()
    on = ready(device)
    first = check(on, inputs(0))
    kept = first.copy()
    second = check(on, inputs(1))
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)


def test_each_stream_has_memory_and_recordings_of_its_own() -> None:
    device = Tape()
    on, one, two = ready(device), aligned(device, inputs(0)), aligned(device, inputs(1))
    for _ in range(3):
        device.current = 1
        check(on, one)
        device.current = 2
        check(on, two)
    assert device.recordings == 2 + 2  # measured once for both streams; nothing moved within a stream


def test_arrays_of_another_dtype_or_order_are_made_ready() -> None:
    device = Tape()
    on, (W, xs, h) = ready(device), inputs()
    for _ in range(3):
        check(on, [np.asfortranarray(W), xs.astype("float64"), h])


def test_wrong_inputs_are_refused() -> None:
    on, (W, xs, h) = ready(Tape()), inputs()
    with pytest.raises(ValueError, match="expected 3 inputs, got 2"):
        on.run([W, xs])
    with pytest.raises(ValueError, match="input 1 must have size 192, but has 160"):
        on.run([W, xs[:5], h])
    check(on, [W, xs, h])  # the failure left no trace


# Choices


@pytest.mark.parametrize(("slower", "way"), [(STEPWISE, ONCE), (ONCE, STEPWISE)])
def test_a_loop_is_run_in_the_way_that_is_faster(slower: str, way: str) -> None:
    on = ready(Tape(slower=slower))
    assert on.loops == [LoopRun(6, ONCE, {}, "")]
    for seed in range(3):
        check(on, inputs(seed))
    (loop,) = on.loops
    assert (loop.way, loop.seconds, loop.why) == (way, {slower: 1.0, way: 0.0}, "")


def test_a_choice_is_remembered_on_disk(tmp_path: Path) -> None:
    first = Tape(slower=ONCE)
    check(ready(first), inputs())
    assert len(first.measured) == 2
    assert len(list((tmp_path / "kept").glob("*.json"))) == 1
    again = Tape(slower=STEPWISE)
    on = ready(again)
    check(on, inputs())
    assert again.measured == []
    assert on.loops[0].way == STEPWISE  # the choice of the first device
    for path in (tmp_path / "kept").glob("*.json"):
        path.write_bytes(path.read_bytes()[:-1])  # truncate the file
    check(ready(again), inputs())
    assert len(again.measured) == 2


# The engine on the emulated device


def _mixing(h: Any, xs: Any) -> Any:
    return xg.scan(lambda h, x: ((h := xg.tanh(x + (h @ h.T) @ h)), h), h, xs)[1]


def test_explain_says_how_loops_are_run() -> None:
    f, given = xg.compile(recurrent), inputs()
    with xg.device("emulated"):
        on = [xg.asarray(x) for x in given]
        z = f(*on)
        assert z.device.name.startswith("emulated")
        np.testing.assert_allclose(z.numpy().reshape(-1), wanted(given), 1e-5, 1e-6)
        made = f.executable(*on)
        assert made.kind == "CUDA kernels"
        assert [loop.length for loop in made.loops] == [6]
        text = f.explain(*on)
        assert "run by      CUDA kernels" in text
        assert "loop        6 steps: one launch (one launch 0 ms, step by step 1e+03 ms)" in text
        mixed, tensors = xg.compile(_mixing), [xg.asarray(given[2]), xg.asarray(given[1])]
        mixed(*tensors)
        assert (
            "loop        6 steps: step by step, because there is no kernel for the whole loop: an array of"
            in mixed.explain(*tensors)
        )


def test_kernels_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", "0")
    f, given = xg.compile(recurrent), inputs()
    with xg.device("emulated"):
        on = [xg.asarray(x) for x in given]
        z = f(*on)
        made = f.executable(*on)
        assert made.loops == ()
        assert made.why == "XGRAD_NATIVE=0 is set"
        np.testing.assert_allclose(z.numpy().reshape(-1), wanted(given), 1e-5, 1e-6)


def test_what_has_no_kernel_runs_through_the_array_library() -> None:
    with xg.device("emulated"):
        f, x = xg.compile(lambda x: 2 * xg.sort(x)), xg.arange(100.0, 0.0, -1.0)
        np.testing.assert_array_equal(f(x).numpy(), np.arange(2, 202, 2))
        assert f.executable(x).why is None
        assert "1 call of 'sort' of (100,)" in f.explain(x)


def test_what_kernels_do_alone_is_recorded_and_what_the_array_library_does_is_not() -> None:
    def step(h: Any, i: Any) -> Any:
        return xg.tanh(xg.take(xg.cumulative_sum(h, axis=0), i, axis=0)), xg.argmax(h)

    h, ids = np.linspace(-1, 1, 5), np.array([[0, 4, 4, 2, 1], [3, 3, 0, 1, 2]])
    with xg.device("cpu"):
        found = [
            lowered(f, xg.asarray(h), xg.asarray(ids))
            for f in (lambda h, ids: xg.scan(step, h, ids), lambda h, ids: xg.linalg.svdvals(h[ids]))
        ]
    for of, recorded in zip(found, (1, 0)):
        launcher = Tape()
        on = Scheduled(schedule(of.plan, CHIP), launcher, [HostCall(lambda *_: None, (), ())] * 2)
        given = [launcher.ready(x, x.dtype.name) for x in (h, ids)]
        for _ in range(3):
            flat = on.run(given)
        assert launcher.recordings == recorded
        if recorded:
            wanted, picks = h, []
            for i in ids:
                picks.append(np.argmax(wanted))
                wanted = np.tanh(np.cumsum(wanted)[i])
            last, places = outputs_of(of, flat)
            np.testing.assert_allclose(last, wanted, rtol=1e-14)
            np.testing.assert_array_equal(places, picks)
            assert "has kernels of its own" in on.loops[0].why


def _trained(device: str, optimiser: Callable[..., Any], reset: str) -> tuple[list[float], list[np.ndarray]]:
    """Return the losses and weights after a few steps of training."""
    rng = np.random.default_rng(0)
    with xg.device(device):
        gru = xg.nn.GRU(3, 8, reset=reset)
        for p in gru.parameters():
            p.data[...] = np.random.default_rng(p.size).normal(size=p.shape) / 3
        xs, targets = (xg.asarray(rng.normal(size=shape).astype("float32")) for shape in ((5, 4, 3), (4, 8)))
        steps = optimiser(gru)

        @xg.compile
        def loss(xs: Any, targets: Any) -> Any:
            return xg.mean((gru(xs)[1] - targets) ** 2)

        losses = []
        for _ in range(4):
            value = loss(xs, targets)
            value.backward()
            losses.append(float(value))
            steps.step()
            steps.zero_grad()
        return losses, [p.numpy() for p in gru.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["before", "after"])
@pytest.mark.parametrize(
    "optimiser",
    [lambda p: xg.optim.Adam(p, lr=0.01), lambda p: xg.optim.SGD(p, lr=0.1, momentum=0.9)],
    ids=["Adam", "SGD"],
)
def test_training_is_what_it_is_on_the_cpu(
    optimiser: Callable[..., Any], reset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", "1")  # compile at the first call
    launches = find_device("emulated").backend.launcher(0).launches
    before = len(launches)
    (ours, weights), (cpu, on_cpu) = _trained("emulated", optimiser, reset), _trained("cpu", optimiser, reset)
    assert len(launches) - before > 20
    assert ours[-1] < ours[0]
    np.testing.assert_allclose(ours, cpu, 1e-5)
    for a, b in zip(weights, on_cpu, strict=True):
        np.testing.assert_allclose(a, b, 1e-3, 1e-5)
