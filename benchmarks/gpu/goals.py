"""Speed ratios, and whether they meet the goals."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

from ..suites.problems import PRECISIONS, Case


class Goal(NamedTuple):
    """Required speed relative to a peer: minimum over sizes (if `least` is set), and median."""

    least: float | None
    median: float

    def __str__(self) -> str:
        return f"{f'{self.least:g} at every size, ' if self.least else ''}{self.median:g} at the median"


GOALS = {
    "torch.nn.GRU": Goal(1, 1.5),
    "torch loop": Goal(None, 10),
    "torch.compile": Goal(None, 10),
    "JAX scan": Goal(None, 3),
}


class Verdict(NamedTuple):
    """Ratios of a peer's times to xgrad's in one precision.

    The minimum and its case, the median, and the number of sizes.
    """

    precision: str
    peer: str
    least: float
    where: str
    median: float
    sizes: int

    @property
    def met(self) -> bool:
        """Whether the goal for this peer is met."""
        goal = GOALS[self.peer]
        return self.median >= goal.median and (goal.least is None or self.least >= goal.least)


def timed(records: dict[str, Any]) -> dict[Case, dict[str, Any]]:
    """Records of cases, each with the results of all peers."""
    return {Case.parse(name): record for name, record in records.items() if "peers" in record}


def seconds(record: dict[str, Any], peer: str) -> float | None:
    """GPU seconds of a peer's step; None if not measured."""
    found: float | None = record["peers"].get(peer, {}).get("gpu")
    return found


def ratios(records: dict[str, Any], peer: str, precision: str) -> dict[Case, float]:
    """A peer's time divided by xgrad's; 0 if only xgrad failed."""
    found = {}
    for case, record in timed(records).items():
        theirs, ours = seconds(record, peer), seconds(record, "xgrad")
        if (
            case.precision == precision
            and theirs is not None
            and "missing" not in record["peers"].get("xgrad", {})
        ):
            found[case] = theirs / ours if ours else 0.0
    return found


def verdicts(records: dict[str, Any]) -> list[Verdict]:
    """Verdicts for each precision and each peer with times."""
    found = []
    for precision in PRECISIONS:
        for peer in GOALS:
            by_case = ratios(records, peer, precision)
            if by_case:
                where = min(by_case, key=by_case.__getitem__)
                found.append(
                    Verdict(
                        precision,
                        peer,
                        by_case[where],
                        str(where),
                        statistics.median(by_case.values()),
                        len(by_case),
                    )
                )
    return found


def over_floor(records: dict[str, Any], precision: str) -> list[float]:
    """xgrad's times divided by the floor."""
    of = [
        record for case, record in timed(records).items() if case.precision == precision and "floor" in record
    ]
    return [t / record["floor"]["floor"] for record in of if (t := seconds(record, "xgrad"))]


def failures(records: dict[str, Any]) -> list[str]:
    """Failures: failed tests, disagreements, and errors of xgrad.

    A missed goal is not a failure.
    """
    found = []
    for name, record in records.items():
        own = record.get("peers", record.get("steps", {})).get("xgrad", {})
        if record.get("passed") is False:
            found.append(
                f"{name}: {record.get('summary') or record.get('error') or 'off by more than it may be'}"
            )
        elif "error" in own:
            found.append(f"{name}: {own['error']}")
    return found
