"""Tests of the GPU benchmarks.

Each part runs here on the CPU at tiny sizes. The evaluation of results is checked on samples.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import agreement, goals, table, timing
from benchmarks.gpu import command as gpu
from benchmarks.gpu import tests as suite_part
from benchmarks.gpu import training as training_part
from benchmarks.gpu.floor import floor
from benchmarks.gpu.pages import page
from benchmarks.gpu.results import Results
from benchmarks.harness.clock import Clock
from benchmarks.harness.deadline import Deadline, OutOfTime
from benchmarks.harness.measure import Job, measure
from benchmarks.harness.worker import Failed, Worker, environment
from benchmarks.suites.problems import Case, Problem, rounded
from tests.helpers.paths import ROOT

MACHINE = {
    "date": "2026-01-02",
    "GPU": "NVIDIA X 1",
    "device": "cuda",
    "xgrad": "abc",
    "driver": "5",
    "CUDA": "13",
    "CuPy": "14",
    "NumPy": "2",
    "torch": "2",
    "JAX": "1",
    "cuDNN": "9",
}


def results(folder: Path, part: str = "gru", **machine: str) -> Results:
    return Results(folder, part, MACHINE | machine, page)


def took(**peers: float) -> dict[str, Any]:
    """Return the record of a case with these times of the peers on the GPU; the floor is one second."""
    names = {
        "cudnn": "torch.nn.GRU",
        "loop": "torch loop",
        "compiled": "torch.compile",
        "jax": "JAX scan",
        "xgrad": "xgrad",
    }
    found = {
        names[p]: {"gpu": t, "wall": t, "host": t, "check": [1.0, 2.0], "facts": {}} for p, t in peers.items()
    }
    return {"peers": found, "floor": {"products": 1.0, "steps": 0.5, "floor": 1.0}}


# Every part, on the CPU


def run(folder: Path, part: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run one quick part, check that nothing failed, and return its record and its page."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks"),
        part,
        "--device",
        "cpu",
        "--quick",
        "--results",
        str(folder),
        *arguments,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob(f"*-none-cpu-{part.removeprefix('gpu-')}-quick.json")
    data = json.loads(path.read_text())
    assert data["finished"]
    return data, path.with_suffix(".md").read_text()


@pytest.mark.slow
def test_the_part_of_the_gru(tmp_path: Path) -> None:
    data, text = run(tmp_path, "gpu-gru", "--peers", "xgrad", "torch.nn.GRU", "--cases", "float32")
    assert set(data["records"]) == {"limits", "GRU float32 3,2,4,4"}
    record = data["records"]["GRU float32 3,2,4,4"]
    ours, theirs = record["peers"]["xgrad"], record["peers"]["torch.nn.GRU"]
    assert 0 < ours["gpu"] < 1
    assert 0 < ours["wall"] < 1
    assert len(ours["check"]) == 6 + 1
    assert ours["facts"]["executor"]
    assert "gpu" in theirs or "torch" in theirs["missing"]
    assert record["floor"]["floor"] == max(record["floor"]["products"], record["floor"]["steps"]) > 0
    assert "GRU float32 3,2,4,4" in text
    assert ours["facts"]["executor"] in text


@pytest.mark.slow
def test_the_part_of_cells(tmp_path: Path) -> None:
    data, _ = run(tmp_path, "gpu-cells", "--peers", "xgrad")
    precisions = {
        name.split()[1]: record["peers"]["xgrad"]
        for name, record in data["records"].items()
        if name != "limits"
    }
    assert set(precisions) == {"float32", "tf32", "bfloat16"}
    assert all("gpu" in found or "missing" in found for found in precisions.values())


@pytest.mark.slow
def test_the_part_of_tests(tmp_path: Path) -> None:
    data, text = run(tmp_path, "gpu-tests", "--tests", "tests/core/test_handles.py", "--cases", "float32")
    assert data["records"]["test suite"]["counts"]["passed"] > 10
    agreed = data["records"]["agreement GRU float32 3,2,4,4"]
    assert agreed["passed"] is True
    assert set(agreed["errors"]) == {"outputs", "x", "W_zh", "W_zx", "W_rh", "W_rx", "W_h", "W_x"}
    assert 0 < agreed["worst"] < 1e-5
    assert "passed" in text


@pytest.mark.slow
def test_the_part_of_training(tmp_path: Path) -> None:
    data, text = run(tmp_path, "gpu-train", "--peers", "xgrad")
    assert data["records"]["examples/train.py"]["characters/s"] > 0
    (step,) = (
        record["steps"]["xgrad"] for name, record in data["records"].items() if name != "examples/train.py"
    )
    assert step["characters/s"] == pytest.approx(4 * 2 / step["wall"])
    assert "A training step" in text


def test_results_of_a_cpu_stay_out_of_the_folder() -> None:
    with pytest.raises(SystemExit):
        gpu.parse(["gpu-gru", "--device", "cpu"])


def test_without_a_gpu_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi here
    with pytest.raises(SystemExit, match="nvidia-smi shows no GPU here"):
        gpu.main(["gpu-gru", "--results", str(tmp_path / "results")])
    assert not (tmp_path / "results").exists()


# A part resumes where it stopped


class Canned:
    """A stand-in for a worker: counts its requests, and fails on demand."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012 - one list for all
    broken: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, suite: str, peer: str, device: str) -> None:
        self.peer = peer

    def ask(self, limit: float, do: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append((self.peer, arguments.get("case", do)))
        if self.broken.get(self.peer) == do:
            raise Failed("it broke")
        if do == "ceilings":
            return {
                "flops": dict.fromkeys(("float32", "tf32", "bfloat16"), 1e12),
                "latency": {"a": 2e-6, "b": 1e-6},
            }
        if do == "prepare":
            return (
                {"missing": "no torch"}
                if self.peer == "torch loop"
                else {"check": [1.0], "facts": {"executor": "graph"}}
            )
        return {
            "gpu": 2.0 if self.peer == "xgrad" else 3.0,
            "wall": 4.0,
            "host": 1.0,
            "calls": 1,
            "doubt": False,
        }

    def close(self) -> None:
        pass


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> type[Canned]:
    monkeypatch.setattr(timing, "Worker", Canned)
    monkeypatch.setattr(Canned, "asked", [])
    monkeypatch.setattr(Canned, "broken", {})
    return Canned


OPTIONS = SimpleNamespace(
    device="cuda", peers=None, cases=None, quick=False, part="gpu-gru", limit=0, force=False
)


def test_a_case_that_is_recorded_is_not_run_again(tmp_path: Path, canned: type[Canned]) -> None:
    first, second = timing.GRU[:2]
    timing.run(results(tmp_path), [first], OPTIONS, Deadline(None))
    assert ("xgrad", str(first)) in canned.asked
    canned.asked.clear()
    again = results(tmp_path)
    timing.run(again, [first, second], OPTIONS, Deadline(None))
    assert {case for _, case in canned.asked} == {str(second), "turn"}
    assert set(again.records) == {"limits", str(first), str(second)}
    forced = Results(tmp_path, "gru", MACHINE, page, force=True)
    assert not forced.records


def test_another_day_or_gpu_begins_anew(tmp_path: Path) -> None:
    results(tmp_path).record("a", {})
    assert "a" in results(tmp_path).records
    assert not results(tmp_path, date="2026-01-03").records
    assert not results(tmp_path, GPU="NVIDIA X 2").records
    assert not results(tmp_path, part="cells").records


def test_results_of_several_commits_name_them(tmp_path: Path) -> None:
    results(tmp_path).record("a", {})
    again = results(tmp_path, xgrad="def+")
    assert again.data["machine"]["xgrad"] == "abc"
    again.record("b", {})
    again.record("c", {})
    assert results(tmp_path, xgrad="def+").data["machine"]["xgrad"] == "abc, def+"


def test_a_part_that_is_out_of_time_keeps_what_it_has(
    tmp_path: Path, canned: type[Canned], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(Deadline):
        def left(self) -> float:
            if ("JAX scan", str(timing.GRU[1])) in canned.asked:
                raise OutOfTime
            return 1.0

    kept = results(tmp_path)
    with pytest.raises(OutOfTime):
        timing.run(kept, timing.GRU, OPTIONS, Short(None))
    # the second case is incomplete, and therefore missing
    assert set(kept.records) == {"limits", str(timing.GRU[0])}
    monkeypatch.setattr(gpu, "Deadline", Short)
    assert gpu.run("gru", kept, OPTIONS) == gpu.UNFINISHED
    assert not json.loads(kept.path.read_text())["finished"]
    assert "Not finished" in kept.path.with_suffix(".md").read_text()


def test_a_peer_that_fails_or_is_missing_is_recorded(tmp_path: Path, canned: type[Canned]) -> None:
    canned.broken = {"JAX scan": "prepare", "torch.compile": "turn"}
    kept = results(tmp_path)
    timing.run(kept, timing.GRU[:1], OPTIONS, Deadline(None))
    peers = kept.records[str(timing.GRU[0])]["peers"]
    assert peers["JAX scan"] == {"error": "it broke"} == peers["torch.compile"]
    assert peers["torch loop"] == {"missing": "no torch"}
    assert peers["xgrad"]["gpu"] == 2.0
    assert len(peers["xgrad"]["turns"]) == 3
    text = kept.path.with_suffix(".md").read_text()
    assert "failed (it broke)" in text
    assert "missing (no torch)" in text


def test_what_cannot_be_measured_of_the_device_stops_nothing(tmp_path: Path, canned: type[Canned]) -> None:
    canned.broken = {"xgrad": "ceilings"}
    kept = results(tmp_path)
    timing.run(kept, timing.GRU[:1], OPTIONS, Deadline(None))
    assert "floor" not in kept.records[str(timing.GRU[0])]
    assert "could not be measured: it broke" in kept.path.with_suffix(".md").read_text()
    kept.finish()
    assert "time over the floor" not in table.table(tmp_path)


def test_processes_import_this_xgrad_and_no_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    code = (
        "import importlib.util, xgrad; print(xgrad.__path__[0], xgrad.backends.__name__, "
        "importlib.util.find_spec('backends'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment("cpu"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    path, name, top_level = done.stdout.split()
    assert Path(path).resolve() == ROOT / "xgrad"
    assert (name, top_level) == ("xgrad.backends", "None")


@pytest.mark.slow
def test_a_worker_that_fails_starts_anew() -> None:
    worker = Worker("gpu", "xgrad", "cpu")
    try:
        with pytest.raises(Failed, match="no answer within 0 s"):
            worker.ask(0.0, "prepare", case="GRU float32 3,2,4,4")
        with pytest.raises(Failed, match="ValueError: 'LSTM float31 3,2,4,4' is no case"):
            worker.ask(60, "prepare", case="LSTM float31 3,2,4,4")
        assert len(worker.ask(60, "prepare", case="LSTM float32 3,2,4,4")["check"]) == 12 + 1
        assert worker.ask(60, "turn", budget=0.001)["calls"] >= 1
    finally:
        worker.close()


# The arithmetic


def test_ratios_and_goals() -> None:
    a, b, c = "GRU float32 128,16,256,256", "GRU float32 128,64,256,256", "GRU tf32 128,16,256,256"
    records = {
        "limits": {},
        a: took(xgrad=2.0, cudnn=2.0, jax=5.0),
        b: took(xgrad=1.0, cudnn=2.0),
        c: took(xgrad=2.0, cudnn=1.0, loop=20.0),
    }
    found = {(v.precision, v.peer): v for v in goals.verdicts(records)}
    cudnn = found["float32", "torch.nn.GRU"]
    assert (cudnn.least, cudnn.where, cudnn.median, cudnn.sizes, cudnn.met) == (1.0, a, 1.5, 2, True)
    assert (found["float32", "JAX scan"].median, found["float32", "JAX scan"].met) == (2.5, False)
    assert (found["tf32", "torch.nn.GRU"].least, found["tf32", "torch.nn.GRU"].met) == (0.5, False)
    assert found["tf32", "torch loop"].met
    assert set(found) == {
        ("float32", "torch.nn.GRU"),
        ("float32", "JAX scan"),
        ("tf32", "torch.nn.GRU"),
        ("tf32", "torch loop"),
    }
    assert goals.over_floor(records, "float32") == [2.0, 1.0]


def test_a_size_at_which_xgrad_failed_meets_no_goal() -> None:
    records = {f"GRU float32 128,{B},256,256": took(xgrad=1.0, cudnn=9.0) for B in (16, 64)}
    records["GRU float32 128,128,256,256"] = took(cudnn=9.0) | {
        "peers": {"xgrad": {"error": "out of memory"}, "torch.nn.GRU": {"gpu": 9.0}}
    }
    (verdict,) = goals.verdicts(records)
    assert (verdict.least, verdict.median, verdict.met) == (0.0, 9.0, False)
    assert goals.failures(records) == ["GRU float32 128,128,256,256: out of memory"]


def test_what_counts_as_failed() -> None:
    records = {
        "test suite": {"passed": False, "summary": "1 failed"},
        "agreement GRU float32 1,1,1,1": {"passed": False, "worst": 1.0},
        "agreement GRU tf32 1,1,1,1": {"passed": None, "missing": "xgrad has no tf32"},
        "64,32,64,256": {"steps": {"xgrad": {"error": "broken"}, "torch": {"error": "broken too"}}},
    }
    found = [
        "test suite: 1 failed",
        "agreement GRU float32 1,1,1,1: off by more than it may be",
        "64,32,64,256: broken",
    ]
    assert goals.failures(records) == found


def test_products_and_steps_of_a_case() -> None:
    case = Case.parse("GRU tf32 128,64,256,512")
    assert case.flops == 3 * 2 * 128 * 64 * 3 * (512 * 512 + 512 * 256)
    assert case.dependent == 2 * 2 * 128
    assert Case.parse("LSTM of concat float32 2,3,4,5").flops == 3 * 2 * 2 * 3 * (9 * 20)
    limits = {"flops": {"tf32": case.flops / 4}, "latency": {"kernels": 2.0, "barrier": 0.5}}
    assert floor(case, limits) == {"products": 4.0, "steps": 256.0, "floor": 256.0}


def test_agreement_is_by_norms_and_a_gradient_of_nothing_counts_beside_the_largest() -> None:
    exact = {"a": np.array([3.0, 4.0]), "b": np.array([0.03]), "c": np.array([1e-16])}
    found = {"a": np.array([3.0, 4.5]), "b": np.array([0.06]), "c": np.array([0.5])}
    assert agreement.relative(found, exact) == pytest.approx({"a": 0.1, "b": 1.0, "c": 0.1})
    assert agreement.agrees({"a": 1e-5}, "float32")
    assert not agreement.agrees({"a": 1e-4}, "float32")
    assert agreement.agrees({"a": 1e-4}, "tf32")
    assert not agreement.agrees({"a": 0.0, "b": float("nan")}, "bfloat16")
    assert not agreement.agrees({}, "bfloat16")


def test_numbers_are_rounded_to_bfloat16() -> None:
    given = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -(1 + 2**-9)], "f")
    assert rounded(given).tolist() == [1.0, 1.0, 1 + 2**-6, 1 + 2**-7, -1.0]
    assert np.array_equal(
        Problem(Case.parse("GRU bfloat16 2,3,4,5")).x, rounded(Problem(Case.parse("GRU float32 2,3,4,5")).x)
    )


def test_inputs_repeat_what_is_drawn() -> None:
    x = Problem(Case.parse("MGU float32 35,2,3,4")).x
    assert x.shape == (35, 2, 3)
    assert np.array_equal(x[:16], x[16:32])
    assert np.array_equal(x[:3], x[32:])


def test_time_that_events_do_not_cover_is_the_walls() -> None:
    def step() -> None:
        sum(range(20_000))

    class Blind(Clock):
        def between(self, a: Any, b: Any) -> float:
            return 0.0

    assert not measure(Job(step, clock=Clock()), 0.02).doubt
    blind = measure(Job(step, clock=Blind()), 0.02)
    assert blind.doubt
    assert blind.gpu > 0


@pytest.mark.parametrize(
    ("text", "code", "passed", "summary", "counts"),
    [
        (
            "....\n4 passed, 2 skipped in 0.1s\n",
            0,
            True,
            "4 passed, 2 skipped in 0.1s",
            {"passed": 4, "skipped": 2},
        ),
        (
            "==== 1 failed, 4 passed, 2 errors in 3s ====",
            1,
            False,
            "1 failed, 4 passed, 2 errors in 3s",
            {"failed": 1, "passed": 4, "error": 2},
        ),
        ("no tests ran in 0.01s", 0, False, "no tests ran in 0.01s", {}),
        ("....\n.... [ 40%]", None, False, "cut off after 9 s: .... [ 40%]", {}),
        ("", None, False, "cut off after 9 s: it said nothing", {}),
    ],
)
def test_what_pytest_said(
    text: str, code: int | None, passed: bool, summary: str, counts: dict[str, int]
) -> None:
    found = suite_part.read(text, code, 9)
    assert (found["passed"], found["summary"], found["counts"]) == (passed, summary, counts)


def test_the_suite_says_itself_where_its_tests_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_DEVICE", "cuda")
    monkeypatch.delenv("XGRAD_TEST_DEVICES", raising=False)
    assert not {"XGRAD_DEVICE", "XGRAD_TEST_DEVICES"} & set(suite_part._environment("cuda"))
    assert suite_part._environment("cuda:1")["XGRAD_TEST_DEVICES"] == "cuda:1"


def test_what_failed_in_the_suite_is_named() -> None:
    found = suite_part.read("FAILED tests/a.py::b - no\nERROR tests/c.py\n1 failed, 1 error in 1s", 1, 9)
    assert found["failed"] == ["FAILED tests/a.py::b - no", "ERROR tests/c.py"]


def test_the_use_of_a_gpu_is_the_median_between_the_ends() -> None:
    assert training_part.middle("0\n90\n100\n80\n3\n") == 90.0
    assert training_part.middle("[N/A]\n") is None


# The table


def test_a_table_of_nothing_says_so(tmp_path: Path) -> None:
    assert table.table(tmp_path) == table.NO_RESULTS


def test_the_table_is_what_the_results_say(tmp_path: Path) -> None:
    kept = results(tmp_path)
    kept.record("limits", {"flops": {"float32": 1e12}, "latency": {"a": 1e-6}})
    kept.record("GRU float32 128,16,256,256", took(xgrad=2.0, cudnn=2.0))
    kept.record("GRU float32 128,64,256,256", took(xgrad=1.0, cudnn=3.0))
    tests = results(tmp_path, part="tests")
    tests.record("test suite", {"passed": True, "summary": "7 passed in 1s", "missing": []})
    for precision, worst in (("float32", 3e-7), ("tf32", 2e-3)):
        tests.record(
            f"agreement GRU {precision} 1,1,1,1",
            {"passed": worst < 1e-3, "worst": worst, "allowed": 1e-3, "errors": {"x": worst}},
        )
    tests.finish()
    training = results(tmp_path, part="train")
    training.record(
        "64,32,64,256",
        {
            "steps": {
                p: {"gpu": 1.0, "wall": 1.0, "host": 1.0, "characters/s": s, "GPU %": None}
                for p, s in (("xgrad", 3e6), ("torch", 2e6))
            }
        },
    )
    results(tmp_path, part="gru-quick").record("GRU float32 3,2,4,4", took(xgrad=1.0, cudnn=100.0))
    results(tmp_path, date="2027-01-01", device="cpu", GPU="none, cpu").record(
        "GRU float32 128,64,256,256", took(xgrad=1.0, cudnn=100.0)
    )
    made = table.table(tmp_path)
    for line in (
        (
            "| GRU: times faster than torch.nn.GRU (cuDNN) | 1 at every size, 1.5 at the median | 2.00 "
            "(least 1.00, 2 sizes): met | – | – |"
        ),
        "| GRU: time over the floor | near 1 | 1.50 (most 2.00) | – | – |",
        "| error of outputs and gradients | 1e-05, 0.001, 0.02 | 3.0e-07 | 2.0e-03, 1 of 1 too large | – |",
        "| test suite | all pass | 7 passed in 1s |  |  |",
        "| training, 64,32,64,256: characters/s, xgrad / torch with cuDNN |  | 3,000,000 / 2,000,000 |  |  |",
    ):
        assert line in made
    assert "NVIDIA X 1, 2026-01-02: driver 5" in made
    assert "Not finished: gru, train." in made
    assert "torch.compile" not in made  # it has no measurements


def test_the_newest_results_count(tmp_path: Path) -> None:
    for date, theirs in (("2026-01-03", 4.0), ("2026-01-02", 9.0)):
        results(tmp_path, date=date).record("GRU float32 128,16,256,256", took(xgrad=1.0, cudnn=theirs))
    results(tmp_path, date="2026-01-01", part="cells").record(
        "MGU float32 128,16,256,256", took(xgrad=1.0, jax=3.0)
    )
    made = table.table(tmp_path)
    assert "4.00 (least 4.00, 1 sizes): met" in made
    assert "3.00 (least 3.00, 1 sizes): met" in made
    results(tmp_path, date="2026-01-04", GPU="NVIDIA Y").record(
        "GRU float32 128,16,256,256", took(xgrad=1.0, cudnn=5.0)
    )
    assert "MGU" not in table.newest(tmp_path)  # results of another GPU are not mixed in
    assert set(table.newest(tmp_path)) == {"gru"}


def test_the_table_is_put_between_its_marks(tmp_path: Path) -> None:
    text = f"before\n{table.BEGIN}old{table.END}\nafter\n"
    once = table.inserted(text, tmp_path)
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert table.inserted(once, tmp_path) == once
