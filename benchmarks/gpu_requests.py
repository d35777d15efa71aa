"""What the process of a peer can be asked for."""

from __future__ import annotations

from typing import Any

from gpu_agreement import errors
from gpu_cases import Case
from gpu_clocks import Job, measure
from gpu_floor import ceilings
from gpu_peers import PEERS, Missing, torch_clock, torch_precision, xgrad_clock
from gpu_probing import probe, toolchain


class Server:
    """A peer on a device, and the job that it was last asked to prepare."""

    def __init__(self, peer: str, device: str) -> None:
        self.peer, self.device = peer, device
        self._job: Job | None = None

    def answer(self, do: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The answer, or why there is none: `missing` is what is not there, `error` what went wrong."""
        try:
            found: dict[str, Any] = getattr(self, f"_{do}")(**arguments)
            return found
        except (ImportError, Missing, SystemExit) as error:  # the example exits where a package is not there
            return {"missing": str(error)}
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            return {"error": f"{type(error).__name__}: {said[:300]}"}

    def _prepare(self, case: str) -> dict[str, Any]:
        """Make a job ready, past all that is compiled or chosen at first."""
        self._forget()
        training = case.startswith("train ")
        self._job = job = (
            train(self.peer, case.removeprefix("train "), self.device)
            if training
            else PEERS[self.peer](Case.parse(case), self.device)
        )
        for _ in range(2):
            job.step()
            job.clock.wait()
        return {"check": job.check(), "facts": job.facts()}

    def _turn(self, budget: float) -> dict[str, Any]:
        assert self._job is not None
        return measure(self._job, budget)._asdict()

    def _agree(self, case: str) -> dict[str, Any]:
        return {"errors": errors(Case.parse(case), self.device)}

    def _toolchain(self) -> dict[str, Any]:
        return toolchain(self.device)

    def _probe(self, case: str) -> dict[str, Any]:
        return probe(Case.parse(case), self.device)

    def _ceilings(self, quick: bool) -> dict[str, Any]:
        return ceilings(self.device, quick)

    def _forget(self) -> None:
        """Let go of the last job and its memory."""
        if self._job is not None:
            clock, held = self._job.clock, self._job.held
            self._job = None
            if held is not None:
                held.close()
            clock.free()


def train(peer: str, case: str, device: str) -> Job:
    """A training step, in float32."""
    import training

    if peer == "xgrad":
        return Job(training.xgrad_update(case), xgrad_clock(device))
    torch_precision("float32", device)
    return Job(training.torch_update(case, device), torch_clock(device))
