"""Modes hold where they were set: in blocks, threads, tasks and generators, however these end."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import Iterator

import pytest

import xgrad as xg
from xgrad.core.context import MODE, Mode, mode


@pytest.fixture(autouse=True)
def nothing_is_left_on() -> Iterator[None]:
    assert MODE.get() == Mode()
    yield
    assert MODE.get() == Mode()


def records() -> bool:
    return (xg.tensor(1.0, requires_grad=True) * 2).requires_grad


def in_a_block(count: int) -> Iterator[int]:
    with xg.no_grad():
        yield from range(count)


def test_blocks_of_generators_that_are_run_in_turns_end_in_any_order() -> None:
    for lengths in itertools.permutations((1, 2, 3)):
        generators = [in_a_block(n) for n in lengths]
        for _ in range(4):
            for g in generators:
                next(g, None)
        assert records(), lengths


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_each_block_undoes_its_own_change(order: tuple[int, ...]) -> None:
    changes = [{"grad": False}, {"record": True}, {"steps": (7,), "grad": True}]
    blocks = [mode(**c) for c in changes]
    for b in blocks:
        b.__enter__()
    open_ = [0, 1, 2]
    for i in order:
        blocks[i].__exit__(None, None, None)
        open_.remove(i)
        want: dict[str, object] = {}
        for k in open_:
            want |= changes[k]
        assert MODE.get()._replace(blocks=()) == Mode()._replace(**want)  # type: ignore[arg-type]


def test_an_abandoned_generator_gives_back_what_it_took() -> None:
    g = in_a_block(3)
    next(g)
    assert not records()  # the generator is suspended inside its block
    del g
    gc.collect()
    assert records()


def test_a_generator_that_is_closed_in_another_thread_changes_nothing_there() -> None:
    g = in_a_block(3)
    next(g)
    found: list[bool] = []

    def close() -> None:
        g.close()
        found.append(records())

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert found == [True]
    MODE.set(Mode())  # nothing else will end the mode here


def test_an_error_inside_ends_the_block() -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), xg.no_grad(), mode(record=True):
            1 / 0  # noqa: B018
        assert records()


def test_tasks_and_threads_have_their_own() -> None:
    async def quiet(wait: float) -> bool:
        with xg.no_grad():
            await asyncio.sleep(wait)
            return records()

    async def loud() -> bool:
        await asyncio.sleep(0.001)
        return records()

    async def together() -> list[bool]:
        return list(await asyncio.gather(quiet(0.002), loud(), quiet(0.001), loud()))

    assert asyncio.run(together()) == [False, True, False, True]
    with xg.no_grad():
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(records()))
        thread.start()
        thread.join()
        assert found == [True]
