"""Regression tests of kernels and their launches."""

from __future__ import annotations

import ctypes
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests import emulated
from tests.emulated.device import EmulatedLauncher
from tests.helpers.programs import traced
from xgrad.backends.cuda.cublas import Cublas, CublasError
from xgrad.backends.cuda.kernels import CudaLauncher
from xgrad.backends.cuda.launching import ONCE, Scheduled
from xgrad.backends.schedules import Repeat
from xgrad.compiler.codegen.cuda.chips import Chip
from xgrad.compiler.codegen.cuda.distribution import barriers, overlap, parts
from xgrad.compiler.codegen.cuda.grouping import grouped
from xgrad.compiler.codegen.cuda.maps import kernel
from xgrad.compiler.codegen.cuda.multiplying import MULTIPLYING
from xgrad.compiler.codegen.cuda.prelude import PRELUDE
from xgrad.compiler.codegen.cuda.schedule import schedule
from xgrad.compiler.codegen.cuda.target import CUDA
from xgrad.compiler.lowering.lower import lower
from xgrad.compiler.lowering.plan import Buffer, Gemm, Loop, Map, Plan, Ref, Step
from xgrad.compiler.passes import optimise

host = pytest.mark.skipif(emulated.available() is not None, reason=emulated.available() or "")

CHIP = Chip("small", 80, 8, 65536, 2048)


@host
def test_a_bool_from_another_block() -> None:
    """CUDA has no __ldcg for bools."""
    rng = np.random.default_rng(0)
    h, W = rng.uniform(-1, 1, (3, 39)), rng.uniform(-0.3, 0.3, (39, 39))  # odd lengths: no vectors

    def run(compiled: bool) -> Any:
        def body(carry: Any, _: Any) -> Any:
            h, positive = carry
            z = xg.tanh(h @ W)
            return (xg.where(positive, xg.softmax(z * z, axis=-1), z), z > 0.1), None

        return lambda h: xg.scan(body, (h, h > 0), None, length=4, compiled=compiled)[0]

    program, captured = traced(run(True), [h])
    plan = lower(optimise(program), target=CUDA).plan
    made = schedule(plan, CHIP)
    (loop,) = (item for item in made.body if isinstance(item, Repeat))
    assert loop.once, loop.why
    assert "load_fresh<1>" in made.source
    expected = [z.numpy() for z in run(False)(xg.asarray(h))]
    for seed in range(3):
        scheduled = Scheduled(made, EmulatedLauncher(CHIP, seed))
        found = scheduled.run([h, *captured])
        assert scheduled.loops[0].way == ONCE
        for z in expected:
            assert any(
                x.dtype == z.dtype and np.allclose(x, z.ravel(), rtol=1e-12, atol=1e-15) for x in found
            )


@host
@pytest.mark.parametrize("start", [0, 2**31 - 6, 2**32 - 6])
def test_counters_of_barriers_wrap_around(start: int) -> None:
    text = r"""
extern "C" __global__ void __launch_bounds__(32) steps(int* y, unsigned* counter, unsigned goal) {
    for (int t = 0; t < 8; ++t) {
        const int x = __ldcg(y + t * 3 + (blockIdx.x + 1) % 3);
        group_barrier(counter, goal += 3);
        if (threadIdx.x == 0) y[(t + 1) * 3 + blockIdx.x] = x + 1;
        group_barrier(counter, goal += 3);
    }
}
"""
    library = emulated.compile(PRELUDE + MULTIPLYING + text)
    for seed in range(3):
        y = np.zeros((9, 3), np.int32)
        counter = np.array([start], np.uint32)
        library.launch(
            "steps", (3,), (32,), 0, [y, counter, ctypes.c_uint(start)], cooperative=True, seed=seed
        )
        assert (y == np.arange(9)[:, None]).all()


@pytest.mark.parametrize(("stride", "kind"), [(64, "int"), (2**29, "long long")])
def test_few_elements_far_apart(stride: int, kind: str) -> None:
    """An index times a stride may need 64 bits even if the number of elements does not."""
    near, far = Ref(0, 0, (3, 5), (5, 1)), Ref(1, 0, (3, 5), (stride, 2))
    text = kernel(
        [Map((3, 5), ((0, far),), (), ((0, near),))],
        [Buffer("output", 15, "float32"), Buffer("input", 2 * stride + 9, "float32")],
    ).text
    assert f"const {kind} n = " in text


def test_a_loop_whose_rows_lie_too_far_apart_goes_step_by_step() -> None:
    far = 2**29
    product = Gemm(
        Ref(0, 0, (4, 8), (far, 1), (0,)),
        Ref(1, 0, (4, 8), (8, 1), (32,)),
        Ref(2, 0, (8, 8), (8, 1), (0,)),
        False,
    )
    buffers = (
        Buffer("output", 3 * far + 8, "float32"),
        Buffer("input", 64, "float32"),
        Buffer("input", 64, "float32"),
    )
    (loop,) = schedule(Plan(buffers, (Loop(2, False, (product,)),)), CHIP).body
    assert isinstance(loop, Repeat)
    assert not loop.once
    assert "32 bits" in loop.why


def test_columns_backwards_and_with_gaps_reach_as_far_as_they_do() -> None:
    """The range of a row that is read determines where blocks wait."""
    buffers = [Buffer("scratch", 48, "float32") for _ in range(2)] + [
        Buffer("input", 64, "float32"),
        Buffer("input", 144, "float32"),
    ]

    def accesses(read: Ref) -> Any:
        last = Ref(0, 8, (4, 4), (12, 1), (0,))  # the last four columns of twelve
        product = Gemm(last, Ref(2, 0, (4, 12), (12, 1), (0,)), Ref(3, 0, (12, 4), (4, 1), (0,)), False)
        store = Ref(1, 0, read.shape, (12, *((4, 1) if len(read.shape) == 3 else (1,))), (0,))
        found = parts(
            [
                product,
                [Map(read.shape, ((0, read),), (Step(1, "tanh", (0,), (False,), "float32"),), ((1, store),))],
            ],
            4,
            buffers,
        )
        return found, found[0].writes[0], found[1].reads[0]

    gap = Ref(0, 0, (4, 2, 4), (12, 8, 1), (0,))  # columns 0 to 3 and 8 to 11
    backwards = Ref(0, 11, (4, 12), (12, -1), (0,))
    before = Ref(0, 7, (4, 8), (12, -1), (0,))
    for read, touched in ((gap, True), (backwards, True), (before, False)):
        found, write, of = accesses(read)
        assert overlap(write, of) == touched
        assert (1 in barriers(found)) == touched


class Entered(EmulatedLauncher):
    depth = most = 0

    def entered(self) -> Any:
        return self

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *args: object) -> None:
        self.depth -= 1

    def memory(self, size: int) -> Any:
        assert self.depth
        return super().memory(size)

    def launch(self, *args: Any) -> None:
        assert self.depth
        super().launch(*args)

    def load(self, source: str) -> Any:
        assert self.depth
        return super().load(source)


@host
def test_all_is_done_on_the_launchers_own_device() -> None:
    program, captured = traced(lambda x: (xg.tanh(x),), [np.ones(3)])
    launcher = Entered(CHIP)
    (z,) = Scheduled(schedule(lower(optimise(program), target=CUDA).plan, CHIP), launcher).run(
        [np.ones(3), *captured]
    )
    assert launcher.depth == 0
    np.testing.assert_allclose(z, np.tanh(np.ones(3)))


class Pretended:
    """An array with only an address."""

    def __init__(self, address: int) -> None:
        self.data = SimpleNamespace(ptr=address)

    def copy(self) -> Pretended:
        return Pretended(512)


@pytest.mark.parametrize(("address", "ready"), [(1024, 1024), (1040, 1040), (1028, 512), (1032, 512)])
def test_an_input_that_is_not_aligned_is_copied(address: int, ready: int) -> None:
    """A slice of an array may start anywhere, but kernels load 16 bytes at once."""
    cupy = SimpleNamespace(ascontiguousarray=lambda array, dtype: array)
    launcher = SimpleNamespace(cupy=cupy)
    assert CudaLauncher.ready(launcher, Pretended(address), "float32").data.ptr == ready  # type: ignore[arg-type]


def test_the_stream_that_each_thread_has_of_its_own_is_not_the_same_for_all() -> None:
    found = []
    for pointer in (0, 2, 4096):
        launcher = SimpleNamespace(_stream=lambda pointer=pointer: pointer)
        here = CudaLauncher.stream(launcher)  # type: ignore[arg-type]
        there: list[Any] = []
        thread = threading.Thread(target=lambda: there.append(CudaLauncher.stream(launcher)))  # type: ignore[arg-type]
        thread.start()
        thread.join()
        found.append(here == there[0])
    assert found == [True, False, True]


def test_cublas_is_not_given_sizes_that_it_cannot_count() -> None:
    cublas = object.__new__(Cublas)
    cublas._handle, cublas._stream = ctypes.c_void_p(), 0
    product = SimpleNamespace(
        dtype="float32",
        m=2**31,
        n=1,
        k=1,
        lead=(1, 1, 1),
        across=(False, False),
        apart=(0, 0, 0),
        stack=1,
        add=False,
    )
    with pytest.raises(CublasError, match="32 bits"):
        cublas.product(product, (0, 0, 0), "highest", 0)


def test_a_carry_is_not_overwritten_where_it_is_still_read_backwards() -> None:
    """The first map reads a row forwards and backwards, and the second writes it.

    If they were fused, some threads would read what others wrote.
    """
    row, back = Ref(0, 0, (8,), (1,), (0,)), Ref(0, 7, (8,), (-1,), (0,))
    out, other = Ref(1, 0, (8,), (1,), (0,)), Ref(2, 0, (8,), (1,), (0,))
    first = Map((8,), ((0, row), (1, back)), (Step(2, "+", (0, 1), (False, False), "float64"),), ((2, out),))
    assert len(grouped([first, Map((8,), ((0, other),), (), ((0, row),))])) == 2
    assert (
        len(
            grouped([first._replace(loads=((0, row), (1, other))), Map((8,), ((0, other),), (), ((0, row),))])
        )
        == 1
    )


@pytest.mark.parametrize("native", ["0", "1"])
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[::-1],
        lambda x: xg.broadcast_to(x[:1], x.shape),
        lambda x: xg.concat([x, x], axis=-1)[..., ::2],
    ],
    ids=["backwards", "repeated", "every other"],
)
def test_rows_that_lie_in_no_matrix_are_copied_for_a_product(
    view: Any, native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stack of single rows is read as one matrix, unless the rows are reversed, overlap, or have gaps."""
    monkeypatch.setenv("XGRAD_NATIVE", native)
    rng = np.random.default_rng(0)
    x, W = xg.asarray(rng.uniform(-1, 1, (3, 1, 4))), xg.asarray(rng.uniform(-1, 1, (4, 2)))
    f = xg.compile(lambda x, W: view(x) @ W)
    for _ in range(2):
        np.testing.assert_allclose(f(x, W).numpy(), (view(x) @ W).numpy(), rtol=1e-12)


def test_a_map_stores_nothing_that_is_stored_already() -> None:
    """A view's elements may be computed while a map that also computes them is written.

    If both stored them, one would write while others read.
    """

    def f(x: Any) -> Any:
        y = xg.tanh(x)
        return y + y[::-1], y

    program, _ = traced(f, [np.ones(8)])
    stores = [
        r
        for item in lower(optimise(program), target=CUDA).plan.body
        if isinstance(item, Map)
        for _, r in item.stores
    ]
    assert len(stores) == len(set(stores)) == 2


@host
def test_a_program_that_is_one_product() -> None:
    x, W = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    program, _ = traced(lambda x, W: (x @ W,), [x, W])
    (z,) = Scheduled(schedule(lower(optimise(program), target=CUDA).plan, CHIP), EmulatedLauncher(CHIP)).run(
        [x, W]
    )
    np.testing.assert_array_equal(z, (x @ W).ravel())
