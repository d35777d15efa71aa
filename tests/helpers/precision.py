"""Errors of a GRU in each precision relative to float64: the tables of docs/13-precision.md.

    python -m tests.helpers.precision

prints them. The weights, the inputs and the gradient of the outputs are drawn in float64. The rest is
computed in the precision of the row, on the CPU. The second table uses the kernels that a GPU would run, with
emulated tensor cores. The error is the norm of the difference over the norm.
"""

from __future__ import annotations

import numpy as np

import xgrad as xg

T, B, H = 48, 8, 64
PRECISIONS = ("float32", "bfloat16", "float16")
PRODUCTS = ("highest", "tf32", "bf16")


def _run(dtype: str) -> list[np.ndarray]:
    """Return the outputs, and the gradients of all weights and of the inputs."""
    rng = xg.random.default_rng(0)
    gru = xg.nn.GRU(H, H, dtype="float64", rng=rng)
    xs, dys = rng.normal(size=(T, B, H)), rng.normal(size=(T, B, H))

    def outputs(gru: xg.nn.GRU, xs: xg.Tensor) -> xg.Tensor:
        ys, _ = xg.nn.cast(gru, dtype)(xs.astype(dtype))
        return ys.astype("float64")

    @xg.compile
    def all_of_it(gru: xg.nn.GRU, xs: xg.Tensor, dys: xg.Tensor) -> tuple[xg.Tensor, xg.nn.GRU, xg.Tensor]:
        ys, back = xg.vjp(outputs, gru, xs)
        return ys, *back(dys)

    ys, dgru, dxs = all_of_it(gru, xs, dys)
    weights = np.concatenate([g.numpy().ravel() for g in dgru.parameters()])
    return [ys.numpy(), weights, dxs.numpy()]


def _errors(found: list[np.ndarray]) -> list[float]:
    return [
        float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(found, _run("float64"), strict=True)
    ]


def measured() -> dict[str, list[float]]:
    """Return the errors of the outputs and of the gradients of weights and inputs, for each precision."""
    return {precision: _errors(_run(precision)) for precision in PRECISIONS}


def products() -> dict[str, list[float]]:
    """Return the same in float32, for each precision of the products, with kernels of the emulated device."""
    found = {}
    for precision in PRODUCTS:
        with xg.device("emulated"), xg.matmul_precision(precision):
            arrays = _run("float32")
        found[precision] = _errors(arrays)
    return found


def table(errors: dict[str, list[float]]) -> str:
    """Format the errors as in the docs."""
    rows = [f"| {name} | {' | '.join(f'{error:.1e}' for error in those)} |" for name, those in errors.items()]
    return "\n".join(
        ["| | outputs | gradients of the weights | gradients of the inputs |", "|---|---|---|---|", *rows]
    )


if __name__ == "__main__":
    from tests.emulated.backend import register_emulated

    register_emulated()
    print(table(measured()), table(products()), sep="\n\n")
