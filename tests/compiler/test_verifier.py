"""The verifier of programs names the defect that it finds."""

from __future__ import annotations

import pytest

from xgrad.compiler import passes
from xgrad.compiler.ir import Carry, Loop, Pair, Program, Stage, Value
from xgrad.compiler.passes import optimise
from xgrad.compiler.verifier import ProgramError, verify


def v(name: str, *shape: int) -> Value:
    return Value(name, shape, "float64")


FAULTS = {
    r"after fuse: y = tanh\(x\).*form of y": Program(
        (v("x", 3),), (Stage("tanh", (v("x", 3),), (v("y", 2),)),), ()
    ),
    "x is defined twice": Program((v("x", 3),), (Stage("tanh", (v("x", 3),), (v("x", 3),)),), ()),
    "used, and not defined": Program((v("x", 3),), (Stage("tanh", (v("y", 3),), (v("z", 3),)),), ()),
    "the outputs: .*not defined": Program((v("x", 3),), (), (v("z", 3),)),
    "no matrix product": Program(
        (v("x", 3), v("y", 4)), (Stage("@", (v("x", 3), v("y", 4)), (v("z"),)),), ()
    ),
    "cannot be added to": Program(
        (v("x", 3), v("y", 3, 2)), (Stage("@+", (v("x", 3), v("x", 3), v("y", 3, 2)), (v("z", 3),)),), ()
    ),
    "next of the carry h": Program(
        (v("x", 3),),
        (
            Loop(
                2,
                False,
                (Carry(v("h", 3), 0.0, v("k", 2), None),),
                (),
                (),
                (Stage("getitem", (v("h", 3),), (v("k", 2),), {"key": slice(2)}),),
            ),
        ),
        (),
    ),
    "a slice of": Program((v("x", 3),), (Loop(2, False, (), (Pair(v("t"), v("x", 3)),), (), ()),), ()),
    "length of ys": Program(
        (v("x", 3),), (Loop(2, False, (), (), (Pair(v("x", 3), v("ys", 5, 3)),), ()),), ()
    ),
}


@pytest.mark.parametrize("message", FAULTS)
def test_verify_names_the_fault(message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        verify(FAULTS[message], after="fuse")


def test_what_is_inside_a_loop_is_not_known_outside() -> None:
    loop = Loop(
        3,
        False,
        (Carry(v("h"), 0.0, v("k"), v("last")),),
        (Pair(v("t"), v("x", 3)),),
        (),
        (Stage("+", (v("h"), v("t")), (v("k"),)),),
    )
    verify(Program((v("x", 3),), (loop,), (v("last"),)))
    with pytest.raises(ProgramError, match=r"k.*not defined"):
        verify(Program((v("x", 3),), (loop,), (v("k"),)))


@pytest.mark.parametrize("setting", ["1", "passes", "0", None])
def test_programs_are_verified_after_each_pass_where_that_is_asked_for(
    setting: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = Program((v("x", 3),), (), (v("z", 3),))
    monkeypatch.setattr(passes, "PASSES", (("break", lambda program: faulty),))
    monkeypatch.delenv("XGRAD_VERIFY", raising=False)
    if setting is not None:
        monkeypatch.setenv("XGRAD_VERIFY", setting)
    if setting in ("1", "passes"):
        with pytest.raises(ProgramError, match="after break"):
            optimise(Program((), (), ()))
    else:
        assert optimise(Program((), (), ())) is faulty
