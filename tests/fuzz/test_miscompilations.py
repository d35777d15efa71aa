"""Test the random programs themselves: they must find deliberate faults of the compiler.

Each fault must be found within a stated number of programs.
"""

from __future__ import annotations

import pytest

from tests.fuzz.miscompilations import MUTANTS, Gone, Mutant, _changed, _function, applied, found_by

#: Faults found by the first few programs, which are tested in every run.
QUICK = (
    "equal stages in spite of their parameters",
    "every sum that starts at 0 stays 0",
    "backwards is forwards, in NumPy",
    "the derivative runs with time",
)

exhaustive = pytest.mark.exhaustive


@pytest.mark.parametrize(
    "mutant", [pytest.param(m, id=m.name, marks=() if m.name in QUICK else exhaustive) for m in MUTANTS]
)
def test_a_fault_is_found(mutant: Mutant) -> None:
    assert found_by(mutant) is not None, f"{mutant.programs} programs do not find it"


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.name for m in MUTANTS])
def test_a_fault_changes_something(mutant: Mutant) -> None:
    """The function exists, contains the text to be changed, and differs with the fault."""
    assert _changed(_function(mutant.function), mutant) is not _function(mutant.function).__code__


def test_there_are_many_faults_of_many_kinds() -> None:
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 30
    assert len({m.function for m in MUTANTS}) >= 25


def test_a_fault_is_only_there_inside() -> None:
    (mutant,) = (m for m in MUTANTS if m.name == QUICK[0])
    code = _function(mutant.function).__code__
    with applied(mutant):
        assert _function(mutant.function).__code__ is not code
    assert _function(mutant.function).__code__ is code


def test_a_fault_that_has_lost_its_function_is_told() -> None:
    for gone in (
        MUTANTS[0]._replace(function="compiler.passes.simplify:_missing"),
        MUTANTS[0]._replace(old="is not there"),
        MUTANTS[0]._replace(new=MUTANTS[0].old),
    ):
        with pytest.raises(Gone), applied(gone):
            pass
