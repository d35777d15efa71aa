"""The child's side of a peer's process: it answers requests, each one line of JSON."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable
from typing import Any

from .measure import Job, measure, singly

Answer = dict[str, Any]


class Missing(Exception):
    """A library, or a part of it, is not available."""


class Server:
    """Request handler: `prepare` makes the job of a case, `best` and `turn` time it.

    `others` are additional requests.
    """

    def __init__(self, make: Callable[[str], Job], **others: Callable[..., Answer]) -> None:
        self._make = make
        self._requests: dict[str, Callable[..., Answer]] = {
            "prepare": self.prepare,
            "best": self.best,
            "turn": self.turn,
            **others,
        }
        self._job: Job | None = None

    def answer(self, do: str, arguments: dict[str, Any]) -> Answer:
        """The answer, or the reason for none: `missing` for a missing library, `error` for an error."""
        try:
            return self._requests[do](**arguments)
        except (ImportError, Missing, SystemExit) as error:  # the example exits if a package is missing
            return {"missing": str(error)}
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            return {"error": f"{type(error).__name__}: {said[:300]}"}

    def prepare(self, case: str) -> Answer:
        """Prepare a job, including compilation and tuning."""
        self._forget()
        self._job = job = self._make(case)
        for _ in range(2):
            job.step()
            job.clock.wait()
        return {"check": job.check(), "facts": job.facts()}

    def best(self, budget: float) -> Answer:
        """Seconds of the best single step and of the median one, per item of work in a step."""
        assert self._job is not None
        times = singly(self._job, budget)
        return {"best": min(times) / self._job.per, "median": statistics.median(times) / self._job.per}

    def turn(self, budget: float) -> Answer:
        """GPU, wall-clock and host seconds of a step."""
        assert self._job is not None
        return measure(self._job, budget)._asdict()

    def _forget(self) -> None:
        """Release the last job and its memory."""
        if self._job is not None:
            clock, held = self._job.clock, self._job.held
            self._job = None
            if held is not None:
                held.close()
            clock.free()


def serve(server: Server) -> None:
    """Answer requests until standard input ends.

    Output of libraries is redirected to standard error, so that standard output has only answers.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(server.answer(request.pop("do"), request)), file=answers, flush=True)
