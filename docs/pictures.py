"""The pictures of the README and the docs: `python docs/pictures.py` draws them into docs/_static.

The circuit is drawn by `xg.draw`, the chart from the table in docs/19-benchmarks.md. Building the site calls
`draw_all`.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np

import xgrad as xg

HERE = Path(__file__).parent
FOLDER = HERE / "_static"


# The pictures of computations


def plain_neuron(w: Any, x: Any) -> Any:
    """A sigmoid neuron in single gates."""
    dot = w[0] * x[0] + w[1] * x[1] + w[2]
    return 1.0 / (1.0 + xg.exp(-dot))


@xg.gate
def logistic(x: Any) -> Any:
    """The sigmoid as a gate that opens."""
    return 1 / (1 + xg.exp(-x))


def neuron(w: Any, x: Any) -> Any:
    """A sigmoid neuron with the sigmoid as one gate."""
    dot = w[0] * x[0] + w[1] * x[1] + w[2]
    return logistic(dot)


def cell(h: Any, x: Any) -> Any:
    """A small recurrent cell."""
    h = xg.tanh(0.5 * h + x)
    return h, h


def loss(h0: Any, xs: Any) -> Any:
    """A sum of squares of its states."""
    _, ys = xg.scan(cell, h0, xs)
    return xg.sum(ys**2)


def gru(W_zh: Any, W_zx: Any, W_rh: Any, W_rx: Any, W_h: Any, W_x: Any, h: Any, x: Any) -> Any:
    """One step of a gated recurrent unit."""
    z_t = xg.sigmoid(W_zh @ h + W_zx @ x)
    r_t = xg.sigmoid(W_rh @ h + W_rx @ x)
    h_tilde = xg.tanh(W_h @ (r_t * h) + W_x @ x)
    h_new = (1 - z_t) * h + z_t * h_tilde
    return h_new  # noqa: RET504 - so that the picture has a name for it


def patterns(x: Any, y: Any, z: Any, w: Any) -> Any:
    """The three patterns: + distributes, * switches, max routes."""
    return 2.0 * (x * y + xg.maximum(z, w))


def staged(x: Any, y: Any) -> Any:
    """The expression of the page on staged computation."""
    sigy = xg.sigmoid(y)
    num = x + sigy
    sigx = xg.sigmoid(x)
    xpy = x + y
    xpysqr = xpy * xpy
    den = sigx + xpysqr
    f = num / den
    return f  # noqa: RET504 - so that the picture has a name for it


NEURON = ([2.0, -3.0, -3.0], [-1.0, -2.0])


def circuit() -> str:
    """The picture of the README."""
    return xg.draw(plain_neuron, *NEURON).svg()


def draw_all(folder: Path) -> None:
    """The pictures of the pages on pictures and on training, which are drawn whenever the site is built."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(3, 3 - i % 2)) for i in range(6)]
    xg.draw(patterns, 3.0, -4.0, 2.0, -1.0).save(folder / "patterns.svg")
    xg.draw(staged, 3.0, -4.0).save(folder / "staged.svg")
    xg.draw(neuron, *NEURON).save(folder / "neuron.svg")
    xg.draw(neuron, *NEURON).save(folder / "neuron.html")
    xg.draw(neuron, *NEURON, open=["logistic"]).save(folder / "opened.svg")
    xg.draw(loss, 0.1, np.array([0.5, -1.0, 2.0]), open=["t = 1"]).save(folder / "loop.svg")
    step = xg.draw(gru, *weights, rng.normal(size=3), rng.normal(size=2))
    step.save(folder / "gru.svg")
    step.save(folder / "gru.html")
    run_page(HERE / "25-training-seen.md", folder, ["flow.svg", "gates.svg", "losses.svg"])


def run_page(page: Path, folder: Path, pictures: list[str]) -> None:
    """Run the code of a page inside a folder, where it saves these pictures."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    namespace: dict[str, Any] = {}
    with contextlib.chdir(folder), contextlib.redirect_stdout(None):
        for i, block in enumerate(blocks):
            exec(compile(block, f"{page.name}, block {i}", "exec"), namespace)
    missing = [name for name in pictures if not (folder / name).exists()]
    assert not missing, f"{page.name} does not save {missing}"


# The chart


def measured() -> dict[str, dict[str, float]]:
    """Milliseconds of a GRU, by size and by who computes it: the table of the page on benchmarks."""
    page = (HERE / "19-benchmarks.md").read_text()
    lines = re.search(r"^\| T, B, I, H \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert lines, "docs/19-benchmarks.md has no table of a GRU"
    head = [cell.strip() for cell in lines[0].splitlines()[0].strip("|").split("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1].splitlines()]
    return {row[0]: dict(zip(head[1:], map(float, row[1:]), strict=True)) for row in rows}


def speed(path: Path) -> None:
    """How many times longer others take than `xg.compile`, at each size."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update(
        {"svg.hashsalt": "xgrad", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9.5}
    )
    table = measured()
    figure, axes = plt.subplots(figsize=(8.2, 3.3), layout="constrained")
    series = {"by hand, NumPy": "#9aa5b1", "JAX scan, jitted": "#e0a03a", "torch.nn.GRU": "#d05a4e"}
    width = 0.26
    for i, (peer, colour) in enumerate(series.items()):
        ratios = [row[peer] / row["compiled"] for row in table.values()]
        bars = axes.bar(
            [j + (i - 1) * width for j in range(len(ratios))], ratios, width, label=peer, color=colour
        )
        axes.bar_label(bars, [f"{r:.0f}" if r >= 10 else f"{r:.1f}" for r in ratios], padding=1, fontsize=8)
    axes.axhline(1, color="#0a7d33", linewidth=1.4, label="xgrad, compiled")
    axes.set(yscale="log", ylim=(0.8, 150), ylabel="time / time of xgrad", xticks=range(len(table)))
    axes.set_xticklabels([re.sub(r", (\d+), (\d+)$", r"\n\1, \2", size) for size in table])
    axes.set_yticks([1, 10, 100], ["1", "10", "100"])
    axes.set_xlabel("time steps, batch; inputs, state")
    axes.set_title(
        "A GRU written as equations, forward and backward, on 2 CPU cores (less is faster)", fontsize=10
    )
    axes.legend(frameon=False, ncols=4, loc="upper right", fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


if __name__ == "__main__":
    (FOLDER / "circuit.svg").write_text(circuit())
    speed(FOLDER / "speed.svg")
