"""The process of a peer, seen from inside: it answers one request after the other, a line of JSON each
way."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from .measure import Job, measure, singly

Answer = dict[str, Any]


class Missing(Exception):
    """A library, or a part of it, that is not there."""


class Server:
    """Answers: `prepare` makes the job of a case, `best` and `turn` time it, and `others` are requests
    beside these."""

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
        """The answer, or why there is none: `missing` is what is not there, `error` what went wrong."""
        try:
            return self._requests[do](**arguments)
        except (ImportError, Missing, SystemExit) as error:  # the example exits where a package is not there
            return {"missing": str(error)}
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            return {"error": f"{type(error).__name__}: {said[:300]}"}

    def prepare(self, case: str) -> Answer:
        """Make a job ready, past all that is compiled or chosen at first."""
        self._forget()
        self._job = job = self._make(case)
        for _ in range(2):
            job.step()
            job.clock.wait()
        return {"check": job.check(), "facts": job.facts()}

    def best(self, budget: float) -> Answer:
        """Seconds of the best of single steps, for one of the things that a step does."""
        assert self._job is not None
        return {"best": min(singly(self._job, budget)) / self._job.per}

    def turn(self, budget: float) -> Answer:
        """Seconds of a step on the GPU, on the wall and of the host."""
        assert self._job is not None
        return measure(self._job, budget)._asdict()

    def _forget(self) -> None:
        """Let go of the last job and its memory."""
        if self._job is not None:
            clock, held = self._job.clock, self._job.held
            self._job = None
            if held is not None:
                held.close()
            clock.free()


def serve(server: Server) -> None:
    """Answer until there are no more requests. What a library prints goes to standard error, so that
    standard output has nothing but answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(server.answer(request.pop("do"), request)), file=answers, flush=True)
