"""`check_derivation` names the gradient and the slip in random computations that are derived by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.random_derivations import Computation, Slip, random_computation

#: How often the slip that was made must be the first cause, of those that give the same numbers.
FIRST = 0.8


#: Kinds of slips in a local derivative; one wrong slope may be of several.
SLOPE = {"formula", "point", "factor", "operand"}


def differs(x: Any, y: Any) -> bool:
    return np.shape(x) != np.shape(y) or bool(
        np.max(abs(x - y)) > 1e-9 + 1e-4 * max(np.max(abs(x)), np.max(abs(y)))
    )


def drawn(
    seeds: range,
) -> Iterator[tuple[np.random.Generator, Computation, dict[str, Any], Slip, dict[str, Any]]]:
    """Computations with their gradients, a slip and the wrong gradients."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        made = random_computation(rng, int(rng.integers(2, 14)))
        right = made.derive()
        slips = made.slips()
        for i in rng.permutation(len(slips))[:3]:
            try:
                with np.errstate(all="ignore"):
                    wrong = made.derive(slips[i])
            except ValueError:  # the wrong shape fits nowhere
                continue
            gradient = slips[i].gradient
            if wrong.keys() == right.keys() and differs(wrong[gradient], right[gradient]):
                yield rng, made, right, slips[i], wrong


def kinds(made: Computation, slip: Slip, wrong: dict[str, Any]) -> set[str]:
    """The kinds of all slips at the same place that give the same numbers."""
    found = {"overwritten" if slip.kind == "forgotten" else slip.kind}
    for other in made.slips():
        if other.gradient == slip.gradient:
            try:
                same = not differs(made.derive(other)[slip.gradient], wrong[slip.gradient])
            except (ValueError, KeyError):
                continue
            if same:
                found.add("overwritten" if other.kind == "forgotten" else other.kind)
    return found


def fits(cause: Any, made: Computation, slip: Slip, wrong: dict[str, Any]) -> bool:
    """Whether a cause, which gives the same numbers, is the slip; a wrong slope may be told in any way."""
    if cause.kind in kinds(made, slip, wrong) or slip.reads or slip.dz:
        return True  # another stage's value or gradient is tried last, after all other slips
    return cause.kind in SLOPE and slip.kind in SLOPE and cause.step.stage.name == slip.stage.name


def check_all_given(seeds: range) -> None:
    first = count = 0
    for _, made, right, slip, wrong in drawn(seeds):
        f, args = made.function(), tuple(made.values[name] for name in made.inputs)
        assert xg.check_derivation(f, args, right), str(xg.check_derivation(f, args, right))
        check = xg.check_derivation(f, args, wrong)
        about = f"{slip}\n{check}"
        assert check.wrong is not None, about
        assert check.wrong.name == slip.gradient, about
        told = [fits(cause, made, slip, wrong) for cause in check.wrong.causes]
        assert any(told), about
        first += told[0]
        count += 1
    assert first >= FIRST * count > 0, (first, count)


def check_some_given(seeds: range) -> None:
    for rng, made, right, slip, wrong in drawn(seeds):
        f, args = made.function(), tuple(made.values[name] for name in made.inputs)
        if np.shape(wrong[slip.gradient]) != np.shape(right[slip.gradient]):
            continue  # who uses a gradient of the wrong shape goes on in unforeseeable ways
        some = [n for n in wrong if n[1:] in made.inputs or rng.random() < 0.2]
        bad = {name for name in some if differs(wrong[name], right[name])}
        check = xg.check_derivation(f, args, {name: wrong[name] for name in some})
        about = f"{slip}\n{check}"
        assert bool(check) == (not bad), about
        if check.wrong is not None:
            assert check.wrong.name in bad, about
            assert not bad & set(check.right), about
            assert any(fits(cause, made, slip, wrong) for cause in check.wrong.causes), about


def check_two_slips(seeds: range) -> None:
    for rng, made, right, slip, _ in drawn(seeds):
        others = made.slips()
        other = others[rng.integers(len(others))]
        try:
            with np.errstate(all="ignore"):
                wrong = made.derive(slip, other)
        except (ValueError, KeyError):
            continue
        if slip.gradient == other.gradient or wrong.keys() != right.keys():
            continue
        f, args = made.function(), tuple(made.values[name] for name in made.inputs)
        check = xg.check_derivation(f, args, wrong)
        about = f"{slip} and {other}\n{check}"
        assert check.wrong is not None, about
        assert check.wrong.name in (slip.gradient, other.gradient), about
        assert not [name for name in check.right if differs(wrong[name], right[name])], about
        first = slip if check.wrong.name == slip.gradient else other
        assert any(fits(cause, made, first, wrong) for cause in check.wrong.causes), about


@pytest.mark.parametrize("block", range(2))
def test_the_first_of_two_slips_is_named(block: int) -> None:
    check_two_slips(range(2000 + 10 * block, 2010 + 10 * block))


@pytest.mark.parametrize("block", range(4))
def test_the_slip_is_named_if_all_gradients_are_given(block: int) -> None:
    check_all_given(range(10 * block, 10 * block + 10))


@pytest.mark.parametrize("block", range(4))
def test_the_slip_is_found_if_only_some_gradients_are_given(block: int) -> None:
    check_some_given(range(1000 + 10 * block, 1010 + 10 * block))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(8))
def test_the_slips_of_many_computations_are_named(block: int) -> None:
    check_all_given(range(10_000 + 50 * block, 10_050 + 50 * block))
    check_some_given(range(20_000 + 50 * block, 20_050 + 50 * block))
    check_two_slips(range(30_000 + 50 * block, 30_050 + 50 * block))
