"""Tests of the benchmark harness, and of a suite that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.harness.deadline import Deadline
from benchmarks.harness.measure import Job, singly
from benchmarks.harness.server import Missing, Server
from benchmarks.harness.suite import figures
from benchmarks.harness.turns import Found, difference, medians, take_turns
from tests.helpers.paths import ROOT


def test_the_figures_of_a_row() -> None:
    found: Found = {
        "xgrad": {"check": [1.0], "best": 0.002},
        "torch": {"check": [1.0], "best": 0.003},
        "JAX": {"missing": "no jax"},
    }
    assert figures(found, 1e3) == ["2", "3", "-", "1.50, -", "0e+00"]
    assert figures({"xgrad": {"error": "broke"}, "torch": {"best": 1.0}}, 1e3) == ["-", "1000", "-", "-"]


def test_results_differ_relatively_and_nearly_nothing_counts_as_a_thousandth_of_the_largest() -> None:
    assert difference({"a": {"check": [10.0, 1.0]}, "b": {"check": [10.0, 1.1]}}) == "1e-01"
    assert difference({"a": {"check": [10.0, 1e-9]}, "b": {"check": [10.0, 2e-5]}}) == "2e-03"
    assert difference({"a": {"missing": "x"}, "b": {"check": []}, "c": {"check": [1.0]}}) == "-"


def test_the_median_of_turns_is_of_each_time() -> None:
    turns = [{"gpu": t, "wall": 10 * t, "doubt": t == 3.0} for t in (1.0, 3.0, 2.0)]
    assert medians(turns) == {"gpu": 2.0, "wall": 20.0, "doubt": True, "turns": turns}


def test_peers_take_turns_and_those_that_are_not_ready_take_none() -> None:
    asked: list[str] = []

    class Asked:
        def __init__(self, peer: str) -> None:
            self.peer = peer

        def ask(self, limit: float, do: str, budget: float) -> dict[str, Any]:
            asked.append(self.peer)
            return {"best": float(len(asked))}

    workers: Any = {peer: Asked(peer) for peer in ("a", "b", "c")}
    found: Found = {"a": {"check": []}, "b": {"missing": "not there"}, "c": {"check": []}}
    take_turns(workers, found, Deadline(None), {"a": 3, "b": 3, "c": 2}, "best", 0.0)
    assert asked == ["a", "c", "a", "c", "a"]
    assert (found["a"]["best"], found["b"], found["c"]["best"]) == (3.0, {"missing": "not there"}, 3.0)


def test_single_steps_are_as_many_as_the_budget_has_room_for_and_at_least_one() -> None:
    job = Job(lambda: None)
    assert len(singly(job, 0.0)) == 1
    assert len(singly(job, 10.0, most=5)) == 5
    assert len(singly(job, 0.01)) > 5


def test_a_server_prepares_times_and_says_what_is_missing() -> None:
    steps: list[str] = []

    def make(case: str) -> Job:
        if case == "absent":
            raise Missing("it is not there")
        return Job(lambda: steps.append(case), lambda: [1.0], per=2)

    server = Server(make, other=lambda n: {"twice": 2 * n})
    assert server.answer("prepare", {"case": "one"}) == {"check": [1.0], "facts": {}}
    assert len(steps) == 2
    assert server.answer("best", {"budget": 0.001})["best"] > 0
    assert server.answer("turn", {"budget": 0.001})["calls"] >= 1
    assert server.answer("prepare", {"case": "absent"}) == {"missing": "it is not there"}
    assert server.answer("other", {"n": 3}) == {"twice": 6}
    assert server.answer("unknown", {}) == {"error": "KeyError: 'unknown'"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks"), *arguments]
    env = {name: value for name, value in os.environ.items() if name != "XGRAD_VERIFY"}  # slow
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_a_suite_that_is_not_there_is_refused() -> None:
    done = run("opz")
    assert done.returncode == 2
    assert "nothing is called 'opz'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "peers", "case", "row"),
    [
        ("ops", ["xgrad", "numpy"], "backward", "forward + backward"),
        ("gru", ["xgrad", "eager scan", "nn.GRU", "hand NumPy"], "64,1,32,32", "64,1,32,32"),
        ("cells", ["xgrad"], "coupled LSTM 64,1,", "coupled LSTM 64,1,32,32"),
        ("variants", ["xgrad"], "unbatched 64,16", "unbatched 64,16,64,64"),
        ("derivatives", ["f", "grad", "jvp", "hvp"], "32 scan", "64,1,32,32 scan"),
        ("train", ["xgrad"], "64", "64,32,64,256"),
    ],
)
def test_every_suite_runs(suite: str, peers: list[str], case: str, row: str) -> None:
    done = run(suite, "--turns", "1", "--peers", *peers, "--cases", case)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].strip("| ").split(" | ")
    assert last[0] == row
    assert len(last) == 1 + len(peers) + 2 + (suite == "cells")  # cells show their number of NumPy calls
    assert not done.stderr  # a peer without a time gives its reason here
    assert all(float(time) > 0 for time in last[1 : 1 + len(peers)])


@pytest.mark.slow
def test_two_epochs_of_unequal_lengths() -> None:
    done = run("lengths", "--turns", "1", "--cases", "xg.scan")
    assert done.returncode == 0, done.stderr
    rows = [row.strip("| ").split(" | ") for row in done.stdout.splitlines()[-2:]]
    assert [name for name, *_ in rows] == ["xg.scan", "xg.scan, code on disk"]
    for _, first, second, differs in rows:
        assert 0 < float(second) < float(first)  # which compiles
        assert float(differs) == 0


@pytest.mark.slow
def test_the_cost_in_memory_is_close_to_that_of_the_loop_by_hand() -> None:
    done = run("memory", "--cases", "64,16,64,64")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1].strip("| ").split(" | ")[-1]) < 1.5
