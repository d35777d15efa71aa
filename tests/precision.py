"""How far a GRU in each precision is from float64: the table of docs/10-precision.md.

    python -m tests.precision

prints it. The weights and inputs are drawn in float64, as is the gradient of the outputs; the rest is computed in the precision
of the row, on the CPU. The error is the norm of the difference over the norm.
"""

from __future__ import annotations

import numpy as np

import xgrad as xg

T, B, H = 48, 8, 64
PRECISIONS = ("float32", "bfloat16", "float16")


def _run(dtype: str) -> list[np.ndarray]:
    """Outputs, and the gradients of all weights and of the inputs."""
    rng = xg.random.default_rng(0)
    gru = xg.nn.GRU(H, H, dtype="float64", rng=rng)
    xs, dys = rng.normal(size=(T, B, H)), rng.normal(size=(T, B, H))

    def outputs(gru: xg.nn.GRU, xs: xg.Tensor) -> xg.Tensor:
        ys, _ = xg.nn.cast(gru, dtype)(xs.astype(dtype))
        return ys.astype("float64")

    ys, back = xg.vjp(outputs, gru, xs)
    dgru, dxs = back(dys)
    weights = np.concatenate([g.numpy().ravel() for g in dgru.parameters()])
    return [ys.numpy(), weights, dxs.numpy()]


def measured() -> dict[str, list[float]]:
    """For each precision the errors of the outputs, and of the gradients of the weights and of the inputs."""
    exact = _run("float64")
    return {p: [float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(_run(p), exact, strict=True)] for p in PRECISIONS}


def table() -> str:
    """As it stands in the docs."""
    rows = [f"| {name} | {' | '.join(f'{error:.1e}' for error in errors)} |" for name, errors in measured().items()]
    return "\n".join(["| | outputs | gradients of the weights | gradients of the inputs |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
