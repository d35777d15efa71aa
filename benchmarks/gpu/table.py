"""The table "GPU" of docs/19-benchmarks.md, generated from the result files."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from ..harness.tables import rows
from ..suites.problems import PRECISIONS
from .agreement import TOLERANCES
from .goals import GOALS, over_floor, verdicts

BEGIN, END = (
    "<!-- made from benchmarks/results by `python benchmarks gpu-table` -->",
    "<!-- end of what is made -->",
)
PARTS = ("tests", "gru", "cells", "train")
NOTHING = "–"  # not measured
NO_RESULTS = "No results are recorded yet: run `make gpu` on a machine with an NVIDIA GPU."
NAMES = {
    "torch.nn.GRU": "torch.nn.GRU (cuDNN)",
    "torch loop": "looped torch",
    "torch.compile": "torch.compile",
    "JAX scan": "JAX's jitted `scan`",
}


def newest(folder: Path) -> dict[str, dict[str, Any]]:
    """By part, the newest results of the GPU that was measured last.

    CPU results and files without records are ignored.
    """
    # names begin with the date
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    found = [
        data
        for data in found
        if data["machine"]["device"].startswith("cuda") and data["records"] and data["part"] in PARTS
    ]
    return {data["part"]: data for data in found if data["machine"]["GPU"] == found[-1]["machine"]["GPU"]}


def table(folder: Path) -> str:
    """The text between the marks of the page: a row for each measurement."""
    parts = newest(folder)
    records = {part: parts.get(part, {}).get("records", {}) for part in PARTS}
    body = []
    for part, what in (("gru", "GRU"), ("cells", "cells that nobody has fused")):
        body += [
            [
                f"{what}: times faster than {name}",
                str(GOALS[peer]),
                *(_faster(records[part], peer, p) for p in PRECISIONS),
            ]
            for peer, name in NAMES.items()
            if part == "gru" or peer != "torch.nn.GRU"
        ]
        body.append(
            [f"{what}: time over the floor", "near 1", *(_over(records[part], p) for p in PRECISIONS)]
        )
    allowed = ", ".join(f"{t:g}" for t in TOLERANCES.values())
    body.append(
        ["error of outputs and gradients", allowed, *(_error(records["tests"], p) for p in PRECISIONS)]
    )
    body.append(["test suite", "all pass", _suite(records["tests"]), "", ""])
    for case in ("64,32,64,256", "64,128,256,1024"):
        body.append(
            [
                f"training, {case}: characters/s, xgrad / torch with cuDNN",
                "",
                _speed(records["train"].get(case)),
                "",
                "",
            ]
        )
    body = [row for row in body if any(cell not in ("", NOTHING) for cell in row[2:])]
    return (
        "\n".join([*rows(["", "goal", *PRECISIONS], body), _source(parts)]).rstrip() if body else NO_RESULTS
    )


def inserted(text: str, folder: Path) -> str:
    """Update the table of a page from the results."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(folder)}\n\n{END}{after}"


def _faster(records: dict[str, Any], peer: str, precision: str) -> str:
    found = next((v for v in verdicts(records) if (v.peer, v.precision) == (peer, precision)), None)
    if found is None:
        return NOTHING
    return (
        f"{found.median:.2f} (least {found.least:.2f}, {found.sizes} sizes): "
        f"{'met' if found.met else 'not met'}"
    )


def _over(records: dict[str, Any], precision: str) -> str:
    found = over_floor(records, precision) if "error" not in records.get("limits", {}) else []
    return f"{statistics.median(found):.2f} (most {max(found):.2f})" if found else NOTHING


def _error(records: dict[str, Any], precision: str) -> str:
    found = [
        r
        for name, r in records.items()
        if name.startswith("agreement ") and f" {precision} " in name and "worst" in r
    ]
    failed = sum(not r["passed"] for r in found)
    return (
        f"{max(r['worst'] for r in found):.1e}{f', {failed} of {len(found)} too large' if failed else ''}"
        if found
        else NOTHING
    )


def _suite(records: dict[str, Any]) -> str:
    found: str = records.get("test suite", {}).get("summary", NOTHING)
    return found


def _speed(record: dict[str, Any] | None) -> str:
    steps = record["steps"] if record else {}
    shown = [
        f"{steps[peer]['characters/s']:,.0f}" if "gpu" in steps.get(peer, {}) else "failed"
        for peer in ("xgrad", "torch")
    ]
    return " / ".join(shown) if record else NOTHING


def _source(parts: dict[str, dict[str, Any]]) -> str:
    if not parts:
        return ""
    machine = next(iter(parts.values()))["machine"]
    versions = ", ".join(
        f"{name} {machine[name]}" for name in ("driver", "CUDA", "CuPy", "NumPy", "torch", "JAX", "cuDNN")
    )
    days = ", ".join(sorted({data["machine"]["date"] for data in parts.values()}))
    open_ = [part for part, data in parts.items() if not data["finished"]]
    rest = f" Not finished: {', '.join(open_)}." if open_ else ""
    return f"{machine['GPU']}, {days}: {versions}.{rest}"
