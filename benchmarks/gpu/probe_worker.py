"""The process of the probe: it looks at the toolchain, and runs one case again and again."""

from __future__ import annotations

import warnings
from typing import Any

from ..suites.peers import xgrad
from ..suites.problems import Case
from .agreement import agrees, errors

#: Times that a step is done: what races shows in another result, sooner or later.
TIMES = 30


def toolchain(device: str) -> dict[str, Any]:
    """Versions, and whether kernels can be compiled and run here at all."""
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
    """A case against float64, and its step many times over: first eagerly, then recorded, and replayed from
    then on.

    `error` in the answer is what was off: too large an error, a loop or a recording that was refused, other
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
