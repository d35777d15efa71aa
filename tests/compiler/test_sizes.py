"""Boxes of sizes: plans at the corners give the code inside."""

from __future__ import annotations

from typing import Any

import pytest

from xgrad.backends.schedules import Buffer
from xgrad.compiler.sizes import Box, Boxes, Code, Planned, Sizes


def code(*sizes: int, text: str = "", extra: int = 0) -> Planned:
    n, m = (*sizes, 5)[:2]
    buffers = (Buffer("scratch", 3 * n * m + extra, "float64"),)
    return Planned(Code(text, (n, 7, 1.0 / n, float(n * m)), "", buffers, ((0, 0, 2 * n, (n, m)),)), {})


def test_the_code_inside_is_what_would_be_planned_there() -> None:
    box = Box.of((8,), (11,), (16,), lambda s, like: code(*s))
    assert box is not None
    for n in range(8, 17):
        assert box.at((n,)) == code(n).code
    square = Box.of((8, 3), (12, 4), (17, 6), lambda s, like: code(*s))
    assert square is not None
    for n in range(8, 18):
        for m in range(3, 7):
            assert square.at((n, m)) == code(n, m).code


@pytest.mark.parametrize(
    "plan",
    [
        lambda n: code(n, text="a" if n == 8 else "b"),
        lambda n: code(n, text="a" if n == 12 else "b"),
        lambda n: code(n, extra=n % 3),
        lambda n: code(n, extra=n * n),
        lambda n: code(n, extra=100 * (n == 12)),
        lambda n: code(n) if n < 16 else None,
        lambda n: code(n) if n > 8 else None,
    ],
)
def test_there_is_none_unless_the_numbers_are_linear_and_the_rest_is_the_same(plan: Any) -> None:
    assert Box.of((8,), (12,), (16,), lambda s, like: plan(*s)) is None


def test_buffers_are_not_reused_where_that_is_not_linear() -> None:
    """A buffer that holds now the one value and now the other has the size of the larger."""

    def plan(sizes: Sizes, like: Planned | None) -> Planned:
        (n,) = sizes
        together = like is None or like.reused
        sizes_of = [max(n, 12)] if together else [n, 12]
        buffers = tuple(Buffer("scratch", size, "float64") for size in sizes_of)
        return Planned(Code("", (n,), "", buffers, ()), {1: 0} if together else {})

    box = Box.of((8,), (11,), (16,), plan)
    assert box is not None
    assert [b.size for b in box.at((15,)).buffers] == [15, 12]


def test_corners_avoid_the_numbers_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_VERIFY", "0")
    asked: list[Sizes] = []

    def plan(sizes: Sizes, like: Planned | None) -> Planned:
        asked.append(sizes)
        return code(*sizes)

    boxes = Boxes([8, 16, 17, 6])
    found = boxes.at((9, 9), plan)
    assert found == code(9, 9).code
    assert not {n for sizes in asked for n in sizes} & {8, 16, 17, 6}
    firsts, seconds = ({sizes[i] for sizes in asked} for i in (0, 1))
    assert not firsts & seconds
    assert max(min(firsts), min(seconds)) <= 8
    assert min(max(firsts), max(seconds)) >= 16
    count = len(asked)
    assert boxes.at((15, 8), plan) == code(15, 8).code
    assert len(asked) == count


def test_an_axis_of_one_element_is_a_structure_of_its_own() -> None:
    def plan(sizes: Sizes, like: Planned | None) -> Planned:
        raise AssertionError

    assert Boxes([]).at((1,), plan) is None
    assert Boxes([]).at((5, 0), plan) is None
