"""Results as Markdown: one page per results file."""

from __future__ import annotations

from typing import Any

from ..harness.tables import rows
from ..harness.turns import difference
from ..suites.peers import PEERS
from .goals import GOALS, failures, timed, verdicts
from .timing import shown

NOTES = """Forward + backward with gradients for weights and inputs, medians over turns, each peer in a
process of its own. A time is the GPU's, by CUDA events around calls in a row; JAX shows no events, so its is
the wall's, of calls in a row. In brackets: the wall's of one call that is waited for, and the host's until a
call returns. torch.nn.GRU resets after the product, which makes its step one product deep and not two.
torch.compile has the step of the cell (dynamic=True, one compilation for all sizes), which Python loops. The
floor is the larger of all
matrix products at the peak of cuBLAS measured here, and of the steps that wait for one another at the smaller
latency measured here."""


def page(data: dict[str, Any]) -> str:
    """The page with all results of a part."""
    machine, records = data["machine"], data["records"]
    lines = [
        f"# {data['part']}, {machine['GPU']}, {machine['date']}",
        "",
        ", ".join(f"{name} {value}" for name, value in machine.items()),
        "",
    ]
    if not data["finished"]:
        lines += ["Not finished: some of it is still to be run.", ""]
    for part in (_limits, _verdicts, _times, _tests, _steps):
        lines += part(records)
    failed = failures(records)
    return "\n".join(
        [*lines, *(["## Failed", "", *(f"- {line}" for line in failed)] if failed else [])]
    ).rstrip()


def _limits(records: dict[str, Any]) -> list[str]:
    limits = records.get("limits")
    if limits is None:
        return []
    if "error" in limits:
        return [f"The floor could not be measured: {limits['error']}", ""]
    peaks = ", ".join(f"{precision} {flops / 1e12:.3g}" for precision, flops in limits["flops"].items())
    waits = ", ".join(f"{name} {1e6 * s:.3g}" for name, s in limits["latency"].items())
    return [f"Matrix products at their peak, TFLOP/s: {peaks}. A dependent step, microseconds: {waits}.", ""]


def _verdicts(records: dict[str, Any]) -> list[str]:
    found = verdicts(records)
    if not found:
        return []
    body = [
        [
            v.precision,
            v.peer,
            str(GOALS[v.peer]),
            f"{v.least:.2f} at {v.where}",
            f"{v.median:.2f}",
            str(v.sizes),
            "met" if v.met else "**not met**",
        ]
        for v in found
    ]
    return [
        "## Goals: times faster than",
        "",
        *rows(["precision", "peer", "goal", "least", "median", "sizes", ""], body),
    ]


def _times(records: dict[str, Any]) -> list[str]:
    by_case = timed(records)
    if not by_case:
        return []
    peers = [p for p in PEERS if any(p in record["peers"] for record in by_case.values())]
    body = []
    for case, record in by_case.items():
        floor = record.get("floor")
        ours = record["peers"].get("xgrad", {})
        over = f"{ours['gpu'] / floor['floor']:.2f}" if floor and "gpu" in ours else "-"
        terms = f"{1e3 * floor['products']:.3g}, {1e3 * floor['steps']:.3g}" if floor else "-"
        cells = [_time(record["peers"].get(p)) for p in peers]
        body.append(
            [
                str(case),
                *cells,
                terms,
                over,
                ours.get("facts", {}).get("executor", "-"),
                difference(record["peers"]),
            ]
        )
    head = [
        "cell precision T,B,I,H",
        *peers,
        "floor: products, steps",
        "xgrad / floor",
        "xgrad ran as",
        "peers differ by",
    ]
    return ["## Times, milliseconds", "", NOTES, "", *rows(head, body)]


def _time(found: dict[str, Any] | None) -> str:
    if found is None or "gpu" not in found:
        return "not asked" if found is None else shown(found)
    return (
        f"{1e3 * found['gpu']:.4g} ({1e3 * found['wall']:.3g}, "
        f"{1e3 * found['host']:.3g}){' by the wall' if found.get('doubt') else ''}"
    )


def _tests(records: dict[str, Any]) -> list[str]:
    lines = []
    suite = records.get("test suite")
    if suite:
        missing = (
            f" Missing, so that some tests could not run: {', '.join(suite['missing'])}."
            if suite["missing"]
            else ""
        )
        lines += [
            "## Tests",
            "",
            f"{suite['summary']}.{missing}",
            "",
            *(f"- `{line}`" for line in suite.get("failed", [])),
            "",
        ]
    agreed = {name: record for name, record in records.items() if name.startswith("agreement ")}
    if agreed:
        body = [[name.removeprefix("agreement "), *_agreed(record)] for name, record in agreed.items()]
        head = ["cell precision T,B,I,H", "worst", "allowed", ""]
        lines += [
            "## Relative errors of outputs and gradients, beside float64 on the CPU",
            "",
            *rows(head, body),
        ]
    return lines


def _agreed(record: dict[str, Any]) -> list[str]:
    if "errors" not in record:
        return ["-", "-", record.get("error") or f"missing: {record['missing']}"]
    worst = max(record["errors"], key=record["errors"].__getitem__)
    return [
        f"{record['worst']:.1e} ({worst})",
        f"{record['allowed']:g}",
        "passed" if record["passed"] else "**failed**",
    ]


def _steps(records: dict[str, Any]) -> list[str]:
    lines = []
    example = records.get("examples/train.py")
    if example:
        said = ", ".join(
            f"{name} {value:,}" if isinstance(value, float) else f"{name} {value}"
            for name, value in example.items()
        )
        lines += ["## examples/train.py", "", f"The whole command, compiling included: {said}.", ""]
    body = []
    for case, record in records.items():
        for peer, found in record.get("steps", {}).items():
            times = (
                [f"{1e3 * found[name]:.3g}" for name in ("gpu", "wall", "host")]
                if "gpu" in found
                else [shown(found), "-", "-"]
            )
            speed, use = (f"{found['characters/s']:,.0f}", found["GPU %"]) if "gpu" in found else ("-", None)
            body.append([case, peer, *times, speed, "-" if use is None else f"{use:g}"])
    if body:
        head = ["T,B,I,H", "", "on the GPU", "on the wall", "of the host", "characters/s", "GPU %"]
        lines += ["## A training step, float32, milliseconds (torch: cuDNN's GRU)", "", *rows(head, body)]
    return lines
