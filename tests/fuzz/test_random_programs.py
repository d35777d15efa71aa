"""Random programs have the same values and derivatives in every way to run them.

The reference is the engine, which is itself compared with NumPy and finite differences. Each run has new
programs. XGRAD_FUZZ_SEED, which is printed at the start, repeats them; XGRAD_FUZZ sets their number.
"""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from tests.fuzz import CALLS, numbers_of
from tests.fuzz.miscompilations import MUTANTS, found_by
from tests.fuzz.plain import Plain
from tests.fuzz.programs import Scan, generate, text_of
from tests.fuzz.shrinking import smallest
from tests.fuzz.ways import WAYS, Skipped, attempts, case_for, case_of, wrong

COUNT = int(os.environ.get("XGRAD_FUZZ", 240))
PARTS, QUICK = 24, 2


@pytest.mark.parametrize(
    "part", [pytest.param(k, marks=pytest.mark.slow if k >= QUICK else ()) for k in range(PARTS)]
)
def test_random_programs(part: int) -> None:
    seed = int(os.environ["XGRAD_FUZZ_SEED"])
    for number in numbers_of(seed, COUNT)[part::PARTS]:
        try:
            case = case_of(number)
        except Skipped:
            continue
        for kind, way in attempts(number, case.kinds, 2):
            message = wrong(case, kind, way)
            if message is not None:
                again = f"python -m tests.fuzz {number} --kind '{kind}' --way '{way}'"
                small = smallest(number, kind, way, seconds=20)
                pytest.fail(
                    f"program {number}, {kind}, {way}, of XGRAD_FUZZ_SEED={seed}: {message}\n\n"
                    f"{again}\n\n{small}"
                )


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_random_programs_of_complex_numbers(part: int) -> None:
    seed = int(os.environ["XGRAD_FUZZ_SEED"])
    for number in numbers_of(seed, COUNT // 4)[part::4]:
        problem = generate(number)
        try:
            case = case_for(problem._replace(flags=(*problem.flags, "complex")))
        except Skipped:
            continue
        for kind, way in attempts(number, case.kinds, 2):
            message = wrong(case, kind, way)
            assert message is None, f"{number}, {kind}, {way}: {message}\n\n{case.text.whole}"


def test_a_number_gives_one_program() -> None:
    for number in (*range(40), *range(CALLS, CALLS + 40)):
        assert text_of(generate(number)) == text_of(generate(number))


def test_the_programs_have_what_people_write() -> None:
    """Each of these typical patterns occurs among a few hundred programs."""
    texts = [text for number in range(400) if (text := text_of(generate(number))) is not None]
    whole = "\n".join(text.whole for text in texts)
    wanted = """
        length=0 length=1 reverse=True checkpoint_every xg.checkpoint(step None, requires_grad=True float32
        complex128 int32 xg.where xg.sort xg.argmax xg.take_along_axis xg.cumulative_sum xg.softmax xg.concat
        .T xg.reshape [::-1] [..., ::-1] xg.einsum xg.fft bent( product( damped( softish( pair(
        xg.stop_gradient [:, xg.roll xg.greater True) 0.0, np.cos np.array np.broadcast_to
    """
    assert [name for name in wanted.split() if name not in whole] == []
    assert any("def step" in line and line.startswith("            def") for line in whole.splitlines()), (
        "no scan inside of two others"
    )
    lags = sum("return (h" in text.function for text in texts)
    assert lags > 20, "carries that take others' old values"


def test_programs_have_ops_of_every_kind() -> None:
    """Each of these ops occurs among a few hundred programs from CALLS on."""
    texts = [text for number in range(CALLS, CALLS + 400) if (text := text_of(generate(number))) is not None]
    whole = "\n".join(text.function for text in texts)
    wanted = """
        xg.argmax( xg.argmin( xg.argsort( xg.sort( descending=True xg.nan include_initial=True [::-1]
        xg.clip( xg.take( xg.take_along_axis( xg.arange( xg.eye( xg.einsum('ij,jk,lk->li' permute_dims
        xg.linalg.svd( xg.linalg.eigh( xg.fft.fft( xg.fft.irfft( xg.fft.hfft( norm='ortho' n=33
        xg.searchsorted( xg.conj(
        dtype=xg.int64 dtype=xg.bool dtype=xg.int32
    """
    assert [name for name in wanted.split() if name not in whole] == []
    for pattern in (r"\[h\d+_\d+ % .*\] = ", r" {8}.*linalg", r" {8}v\d+\[v\d+ % .*\] = .*\[::-1\]"):
        assert re.search(pattern, whole), pattern


@pytest.mark.slow
def test_programs_get_smaller() -> None:
    """Shrinking keeps all that the fault needs, and removes everything unrelated."""
    from tests.fuzz.shrinking import shrunk

    number = next(
        n
        for n in range(99)
        if (t := text_of(generate(n))) is not None
        and "reverse=True" in t.function
        and t.function.count("\n") > 15
    )
    small = shrunk(
        generate(number), lambda p: (t := text_of(p)) is not None and "reverse=True" in t.function, 20
    )
    text = text_of(small)
    assert text is not None
    assert text.function.count("\n") < 12
    assert sum(isinstance(item, Scan) for item in small.body) == 1


def test_bends_are_noticed() -> None:
    xp = Plain()
    xp.maximum(np.array([1.0, 2.0]), np.array([1.5, 2.25]))
    assert xp.margin == 0.25
    xp.sort(np.array([1.0, 3.0, 2.9]))
    assert np.isclose(xp.margin, 0.1)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "plan"])
def test_every_way_can_fail(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a wrong reference, each way reports a fault."""
    case = case_of(next(n for n in range(50) if _has(n, "tanh")))
    expected = case.reference("value")
    assert wrong(case, "value", way) is None
    monkeypatch.setitem(case._references, "value", [v + 0.01 if v.dtype.kind == "f" else v for v in expected])
    case.plain = case._references["value"][::-1] if way == "differences" else case.plain
    assert wrong(case, "value", way) is not None


def test_plans_can_be_wrong() -> None:
    """Plans are verified against the program, not against the reference."""
    (fault,) = (m for m in MUTANTS if m.name == "moves one after the other, not at once")
    assert found_by(fault._replace(ways=("plan",), programs=100)) is not None


def _has(number: int, name: str) -> bool:
    text = text_of(generate(number))
    if text is None or name not in text.function or "%" in text.function:
        return False
    try:
        case = case_of(number)
    except Skipped:
        return False
    return (
        bool(case.floats)
        and case.exact
        and any(v.dtype.kind == "f" and v.size for v in case.plain)
        and wrong(case, "value", "source") is None
    )
