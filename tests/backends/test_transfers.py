"""Values are copied between host and device only on request.

Checked for every function, its gradient, loops and training.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import array_api_strict
import numpy as np
import pytest

import xgrad as xg
from tests.helpers.calls import CALLS, FLAT
from tests.helpers.numpy_calls import FLAT as NUMPYS_FLAT
from tests.helpers.numpy_calls import SMOOTH as NUMPYS_SMOOTH
from xgrad.backends import Backend, Copies, count_transfers, find_device

Strict = type(array_api_strict.ones(1))

#: Functions that inherently go through the host. Their documentation says so.
THROUGH_THE_HOST = {
    "linalg.eig": "the standard has no eigenvalues of matrices that are not symmetric: NumPy's are taken",
    "linalg.eigvals": "as linalg.eig",
    "from_dlpack": "takes values from elsewhere",
    "tensor": "takes values from elsewhere",
    "asarray": "takes values from elsewhere",
}

#: The methods by which values of a library's array are read.
LOOKS = (
    "__array__",
    "__bool__",
    "__buffer__",
    "__complex__",
    "__dlpack__",
    "__float__",
    "__index__",
    "__int__",
)


@contextmanager
def no_copies(*, handed_in: bool = False) -> Iterator[None]:
    """Fail if a value leaves the device in the `with` block, or enters it.

    Entering is allowed if `handed_in`. Implicit copies count as well.
    """
    looks: list[str] = []
    with pytest.MonkeyPatch.context() as patch, count_transfers() as copies:
        for name in LOOKS:
            patch.setattr(Strict, name, _noted(looks, name, vars(Strict)[name]))
        for space in (array_api_strict, find_device("strict:1").xp):

            def asarray(obj: Any, *args: Any, real: Any = space.asarray, **kwargs: Any) -> Any:
                if not isinstance(obj, Strict) and not handed_in:
                    looks.append(f"asarray({obj!r})")
                return real(obj, *args, **kwargs)

            patch.setattr(space, "asarray", asarray)
        yield
    assert not looks, f"values were looked at: {looks}"
    if handed_in:
        copies.from_host = Copies()
    assert copies == type(copies)(), copies


def _noted(looks: list[str], name: str, real: Any) -> Any:
    def look(self: Any, *args: Any, **kwargs: Any) -> Any:
        looks.append(name)
        return real(self, *args, **kwargs)

    return look


@pytest.fixture(autouse=True)
def on_strict() -> Iterator[None]:
    with xg.device("strict:1"):
        yield


def everything(z: Any) -> list[xg.Tensor]:
    """Return all Tensors in a result."""
    return (
        [part for v in z for part in everything(v)]
        if isinstance(z, tuple | list)
        else [z]
        if isinstance(z, xg.Tensor)
        else []
    )


#: Functions whose gradients test whether values are equal, because equal values need a limit.
LOOKED_AT = {"linalg.eigh", "linalg.eigvalsh", "linalg.matrix_norm", "linalg.svd", "linalg.svdvals"}

NAMES = [
    (name, k)
    for name, made in CALLS.items()
    if name not in {*THROUGH_THE_HOST, *LOOKED_AT}
    for k in range(len(made))
]


@pytest.mark.parametrize(("name", "k"), NAMES)
def test_functions_and_their_gradients(name: str, k: int) -> None:
    call = CALLS[name][k]
    arrays = [xg.tensor(a, requires_grad=a.dtype.kind in "fc") for a in call.arrays]
    with no_copies():
        outputs = everything(call.f(xg, *arrays))
        for z in outputs:
            if z.requires_grad:
                z.backward(xg.ones_like(z), retain_graph=True)
    if name not in FLAT:
        with no_copies():  # double backward, and forward mode
            moved = [x for x in arrays if x.requires_grad]

            def f(*values: xg.Tensor) -> list[xg.Tensor]:
                given = iter(values)
                return [
                    v
                    for v in everything(call.f(xg, *(next(given) if x.requires_grad else x for x in arrays)))
                    if v.dtype.kind in "fc"
                ]

            xg.jvp(f, [x.detach() for x in moved], [xg.ones_like(x.detach()) for x in moved])
            _, pull = xg.vjp(f, *(x.detach() for x in moved))
            pull([xg.ones_like(v) for v in f(*(x.detach() for x in moved))])


@pytest.mark.parametrize("name", [name for name in THROUGH_THE_HOST if name.startswith("linalg")])
def test_those_that_go_through_the_host_are_seen(name: str) -> None:
    call = CALLS[name][0]
    arrays = [xg.tensor(a) for a in call.arrays]
    with count_transfers() as copies:
        call.f(xg, *arrays)
    assert copies.to_host.count >= 1
    assert copies.from_host.bytes > 0
    assert "host" in str(getattr(xg.linalg, name.partition(".")[2]).__doc__)


#: NumPy functions that must look at values, because their result cannot be a Tensor: a Python bool, an error,
#: a warning, a shape.
LOOK_AT_VALUES = """
    allclose array_equal array_equiv average bincount delete digitize histogram histogram_bin_edges insert
    linalg.lstsq nanargmax nanargmin percentile real_if_close unique
""".split()


@pytest.mark.parametrize("name", sorted({**NUMPYS_FLAT, **NUMPYS_SMOOTH}))
def test_numpys_functions(name: str) -> None:
    seen: list[bool] = []
    for f, arrays in (*NUMPYS_SMOOTH.get(name, ()), *NUMPYS_FLAT.get(name, ())):
        tensors = [xg.tensor(a) for a in arrays]
        if name in LOOK_AT_VALUES:
            with count_transfers() as copies:
                f(*tensors)
            seen.append(copies.to_host.count > 0)
        else:
            with no_copies(handed_in=True):  # indices, weights and sections are NumPy's own
                f(*tensors)
    assert any(seen) or name not in LOOK_AT_VALUES


INDICES: dict[str, Callable[[xg.Tensor], Any]] = {
    "an integer": lambda x: 1,
    "slices": lambda x: (slice(0, 2), slice(None, None, -1)),
    "two arrays": lambda x: (xg.arange(3), xg.arange(3)),
    "an ellipsis": lambda x: (..., 1),
}


@pytest.mark.parametrize("name", INDICES)
def test_indexing(name: str) -> None:
    x = xg.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    with no_copies():
        key = INDICES[name](x)
        y = x * 1
        y[key] = x[key] * 2
        y[key] += 1.0
        y[key] = 3
        (xg.sum(y) + xg.sum(x[key] ** 2)).backward()


@pytest.mark.parametrize("allowed", [False, True])
def test_an_integer_on_the_device_is_read_where_the_library_wants_a_number(
    allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, i = xg.arange(3.0), xg.full((), 1, dtype=xg.int64)
    monkeypatch.setattr(x.device.backend, "indexes_by_scalars", allowed)
    with count_transfers() as copies:
        y = x[i]
    assert y.item() == 1
    assert copies.to_host.count == (not allowed)


def test_masks() -> None:
    x = xg.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    with no_copies():
        xg.sum(x[None, ...]).backward()
        y = x * 1
        y[y > 3] = 0.0
        xg.sum(x[x > 5] * 2).backward()
    assert y[0, 0].item() == 0


@pytest.mark.parametrize("optimizer", [xg.optim.SGD, xg.optim.Adam])
@pytest.mark.parametrize("how", ["backward", "grad", "compile"])
def test_training_a_gru(optimizer: Any, how: str) -> None:
    rng = xg.random.default_rng(0)
    gru, out = xg.nn.GRU(3, 4), xg.nn.Linear(4, 2)
    model = [gru, out]
    xs, target = rng.normal(size=(5, 2, 3), dtype=xg.float32), rng.normal(size=(5, 2, 2), dtype=xg.float32)
    steps = optimizer(model, lr=0.1)

    def loss(model: Any, xs: Any, target: Any) -> Any:
        ys, _ = model[0](xs)
        return xg.mean((model[1](ys) - target) ** 2)

    slope = xg.value_and_grad(loss)
    slope = xg.compile(slope) if how == "compile" else slope
    losses = []
    with no_copies():
        for _ in range(3):
            if how == "backward":
                z = loss(model, xs, target)
                steps.zero_grad()
                z.backward()
                steps.step()
            else:
                z, grads = slope(model, xs, target)
                grads, _ = xg.optim.clip_by_global_norm(grads, 1.0)
                steps.step(grads)
            losses.append(z)
    assert losses[-1].item() < losses[0].item()


@pytest.mark.parametrize(
    "options", [{}, {"compiled": False}, {"checkpoint_every": 2}, {"reverse": True}], ids=str
)
def test_scan(options: dict[str, Any]) -> None:
    xs = xg.tensor(np.linspace(0, 1, 5), requires_grad=True)
    with no_copies():
        carry, ys = xg.scan(lambda h, x: (xg.tanh(h * x + 0.5), h + 1), xg.zeros(()), xs, **options)
        (carry + xg.sum(ys)).backward()
    assert xs.grad is not None


def test_compile_and_checkpoint() -> None:
    x = xg.tensor(np.linspace(0, 1, 5), requires_grad=True)
    f = xg.compile(lambda x: xg.sum(xg.tanh(x) * 2.0) + xg.softmax(x)[1])
    with no_copies():
        for _ in range(2):
            f(x).backward()
        xg.checkpoint(lambda x: xg.sum(xg.exp(x)))(x).backward()
        xg.hvp(lambda x: xg.sum(xg.sin(x) ** 3), (x.detach(),), (xg.ones(5),))


ASKED: dict[str, Callable[[xg.Tensor], Any]] = {
    "numpy": lambda x: x.numpy(),
    "item": lambda x: x.item(),
    "float": float,
    "int": int,
    "bool": bool,
    "complex": complex,
    "np.asarray": np.asarray,
    "repr": repr,
    "format": lambda x: f"{x:.2f}",
    "tolist": lambda x: x.tolist(),
    "to the CPU": lambda x: x.to("cpu"),
}


@pytest.mark.parametrize("name", ASKED)
def test_asking_for_a_value_counts(name: str) -> None:
    x = xg.full((), 2.0, dtype="float32")
    with count_transfers() as copies:
        ASKED[name](x)
    assert copies.to_host == Copies(1, 4)
    assert copies.from_host == Copies()


def test_handing_in_values_counts() -> None:
    with count_transfers() as copies:
        xg.asarray([1.0, 2.0])
        xg.asarray(1.0)  # a number is passed along with the call that fills the array
        xg.tensor(np.ones(3))
        xg.ones(4) + np.float64(2)
        xg.zeros(4)
    assert copies.from_host == Copies(3, 16 + 24 + 8)
    assert copies.to_host == Copies()


def test_blocks_inside_each_other_and_threads() -> None:
    x = xg.ones(2)
    with count_transfers() as outer:
        x.numpy()
        with count_transfers() as inner:
            x.numpy()
        thread = threading.Thread(target=x.numpy)  # starts with an empty context
        thread.start()
        thread.join()
        copy_context().run(x.numpy)  # inherits this context
    x.numpy()
    assert (outer.to_host.count, inner.to_host.count) == (3, 1)


def test_on_the_cpu_nothing_is_copied() -> None:
    with count_transfers() as copies:
        float(xg.tensor(np.ones(3), device="cpu").sum())
    assert copies == type(copies)(), copies


def test_a_backend_that_builds_on_another_counts_once() -> None:
    class Below(Backend):
        name = "below"
        xp = np

        def handle(self, index: int) -> str:
            return "cpu"

        def to_host(self, array: Any) -> np.ndarray:
            return np.array(array)

        def scatter_add(self, target: Any, key: Any, values: Any) -> None:
            np.add.at(target, key, values)

        def memory(self, index: int) -> dict[str, int]:
            return {"used": 0, "total": 0}

    class Above(Below):
        name = "above"

    with count_transfers() as copies:
        Above().to_host(Above().from_host(np.ones(2), 0))
    assert copies.to_host == copies.from_host == Copies(1, 16)


#: Drawn on the host by design, so that every device gets the same numbers for the same seed.
DRAWN_ON_THE_HOST: dict[str, Callable[[xg.random.Generator], Any]] = {
    "normal": lambda rng: rng.normal(size=3),
    "integers": lambda rng: rng.integers(5, size=3),
    "permutation": lambda rng: rng.permutation(4),
}


@pytest.mark.parametrize("name", DRAWN_ON_THE_HOST)
def test_random_numbers_come_from_the_host(name: str) -> None:
    rng = xg.random.default_rng(0)
    with count_transfers() as copies:
        z = DRAWN_ON_THE_HOST[name](rng)
    assert copies.from_host == Copies(1, z.nbytes)
    assert copies.to_host == Copies()
    assert "host" in str(xg.random.default_rng.__doc__)
