"""Templates: data without its numbers, and the data again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from xgrad.compiler.templates import filled, template


class Pair(NamedTuple):
    first: Any
    second: Any


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.booleans(),
    st.integers(1, 10**6).map(lambda n: 1 / n),
    st.complex_numbers(allow_nan=False),
)
data = st.recursive(
    numbers
    | st.text(max_size=3)
    | st.none()
    | st.just(...)
    | st.builds(slice, st.none() | st.integers(0, 9)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
)


@given(data)
def test_filled_again_it_is_the_same(x: Any) -> None:
    structure, found = template(x)
    again = filled(structure, found)
    assert repr(again) == repr(x)
    assert template(again) == (structure, found)
    hash(structure)


@given(data, data)
def test_templates_are_equal_only_where_all_but_numbers_is(x: Any, y: Any) -> None:
    (a, m), (b, n) = template(x), template(y)
    if a == b:
        assert len(m) == len(n)
        assert repr(filled(a, n)) == repr(y)


@pytest.mark.parametrize(
    ("x", "y"),
    [(1, 2), (1, True), (1, 1.0), (0.0, -0.0), ((3,), [3]), (3, 3.0), (0.3, 0.30000000000000004), (4, 0.25)],
)
def test_what_stays_in_a_template_is_compared_exactly(x: Any, y: Any) -> None:
    assert template(x)[0] != template(y)[0]


def test_programs_of_two_lengths_have_one_template() -> None:
    def f(w: Any, xs: Any) -> Any:
        return xg.mean(xg.scan(lambda h, x: (xg.tanh(h * w + x), h), xg.zeros(3), xs)[1])

    programs = [xg.trace(xg.grad(f), np.ones(3), np.ones((n, 3))) for n in (20, 31)]
    (a, m), (b, n) = map(template, programs)
    assert a == b
    assert {(i, j) for i, j in zip(m, n) if i != j} == {(20, 31), (19, 30), (60, 93)} & set(zip(m, n))
    assert filled(a, n) == programs[1]
