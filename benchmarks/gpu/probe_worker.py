"""The process of the probe: it checks the toolchain, and runs one case repeatedly."""

from __future__ import annotations

import warnings
from typing import Any

from ..suites.peers import xgrad
from ..suites.problems import Case
from .agreement import agrees, errors

#: Repetitions of a step: a race will eventually give another result.
TIMES = 30


def toolchain(device: str) -> dict[str, Any]:
    """Versions, and whether kernels can be compiled and run."""
    import xgrad as xg

    found = xg.device(device)
    with found as here:
        launcher = here.backend.launcher(here.index)
        versions: dict[str, str] = dict(here.backend.facts(here.index))
    if device.startswith("cuda"):
        from cupy.cuda import nvrtc

        versions["NVRTC"] = ".".join(map(str, nvrtc.getVersion()))
    missing = launcher.missing() if launcher is not None else None
    return {"versions": versions} if missing is None else {"error": missing}


def probe(case: Case, device: str) -> dict[str, Any]:
    """Compare a case with float64, and repeat its step: first eagerly, then recorded, then replayed.

    `error` in the answer describes the problem: too large an error, a refused loop or recording, or different
    bits.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        off = errors(case, device)
        if not agrees(off, case.precision):
            return {"error": f"{case} is off by {max(off.values()):.2g}"}
        import xgrad as xg

        with xg.device(device):
            job = xgrad(case, device)
            try:
                bits = [_bits(job) for _ in range(TIMES)]
                facts = job.facts()
            finally:
                if job.held is not None:
                    job.held.close()
    others = [i for i, b in enumerate(bits) if b != bits[0]]
    if others:
        return {
            "error": f"{case} gives other bits at {len(others)} of {TIMES} steps, first at step {others[0]}"
        }
    return {"worst": max(off.values()), "facts": facts}


def _bits(job: Any) -> Any:
    job.step()
    return job.check()
