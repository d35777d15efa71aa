"""The pictures of the README and the docs: `python docs/pictures.py` draws them into docs/_static.

The circuits are drawn by `xg.draw`, the charts from the tables of their pages. Building the site calls
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
    """The expression of the page on staged computation, in its eight stages."""
    sigy = xg.sigmoid(y)
    num = x + sigy
    sigx = xg.sigmoid(x)
    xpy = x + y
    xpysqr = xpy**2
    den = sigx + xpysqr
    invden = 1.0 / den
    f = num * invden
    return f  # noqa: RET504 - so that the picture has a name for it


def sigmoid_in_gates(x: Any) -> Any:
    """The sigmoid in four single gates."""
    return 1.0 / (1.0 + xg.exp(-x))


def sigmoid_as_one(x: Any) -> Any:
    """The sigmoid as one gate that opens."""
    f = logistic(x)
    return f  # noqa: RET504 - so that the picture has a name for it


def split(a: Any) -> Any:
    """A value that goes two ways: its gradients add up."""
    b = xg.exp(a)
    c = 3.0 * a
    return b + c


def general_graph(x: Any, y: Any) -> Any:
    """A graph that is no chain and no tree: a feeds three nodes, and so does b."""
    a = x * y
    b = xg.tanh(a)
    c = a + b
    d = xg.maximum(b, y)
    e = c * d
    f = e + b * a
    return f  # noqa: RET504 - so that the picture has a name for it


def small_gru(W: Any, h: Any, x: Any) -> Any:
    """A GRU whose state and input are one number each, so that its six weights are six numbers."""
    z = xg.sigmoid(W[0] * h + W[1] * x)
    r = xg.sigmoid(W[2] * h + W[3] * x)
    h_tilde = xg.tanh(W[4] * (r * h) + W[5] * x)
    h = (1 - z) * h + z * h_tilde
    return h  # noqa: RET504 - so that the picture has a name for it


def three_steps(W: Any, h0: Any, xs: Any) -> Any:
    """The small GRU through time, with a loss at every step."""

    def step(h: Any, x: Any) -> tuple[Any, Any]:
        h = small_gru(W, h, x)
        return h, h

    _, hs = xg.scan(step, h0, xs)
    return xg.sum(hs**2)


NEURON = ([2.0, -3.0, -3.0], [-1.0, -2.0])


def circuit() -> str:
    """The picture of the README."""
    return xg.draw(plain_neuron, *NEURON).svg()


def draw_all(folder: Path) -> None:
    """Every picture of the site that is not in the repository; they are drawn whenever the site is built."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(3, 3 - i % 2)) for i in range(6)]
    xg.draw(patterns, 3.0, -4.0, 2.0, -1.0).save(folder / "patterns.svg")
    xg.draw(staged, 3.0, -4.0).save(folder / "staged.svg")
    xg.draw(neuron, *NEURON).save(folder / "neuron.svg")
    xg.draw(neuron, *NEURON).save(folder / "neuron.html")
    xg.draw(neuron, *NEURON, open=["logistic"]).save(folder / "opened.svg")
    xg.draw(loss, 0.1, np.array([0.5, -1.0, 2.0]), open=["t = 1"]).save(folder / "loop.svg")
    draw_junctions(folder)
    xg.draw(sigmoid_in_gates, 1.0).save(folder / "sigmoid-gates.svg")
    xg.draw(sigmoid_as_one, 1.0).save(folder / "sigmoid.svg")
    xg.draw(sigmoid_as_one, 1.0).save(folder / "sigmoid.html")
    xg.draw(general_graph, 2.0, -0.5).save(folder / "general.svg")
    cost(folder / "cost.svg")
    step = xg.draw(gru, *weights, rng.normal(size=3), rng.normal(size=2))
    step.save(folder / "gru.svg")
    step.save(folder / "gru.html")
    weights_of_one = np.array([0.5, 1.0, -0.5, 1.0, 1.0, 0.8])
    steps = xg.draw(three_steps, weights_of_one, 0.1, np.array([0.5, -1.0, 2.0]), depth=1)
    steps.save(folder / "gru-steps.svg")
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


def draw_junctions(folder: Path) -> None:
    """The five junctions of the page on gates."""
    a, b, W = np.array([0.5, -1.0]), np.array([2.0, 3.0]), np.array([[1.0, 2.0], [3.0, 4.0]])
    xg.draw(split, 0.5).save(folder / "split.svg")
    xg.draw(lambda a, b: a + b, a, b).save(folder / "addition.svg")
    xg.draw(xg.sigmoid, 1.0).save(folder / "function.svg")
    xg.draw(lambda W, a: W @ a, W, a).save(folder / "product.svg")
    xg.draw(lambda a, b: a * b, a, b).save(folder / "hadamard.svg")


# The charts


def cost(path: Path) -> None:
    """CPU time of fprop, and of fprop and bprop, by number of nodes, from the table of its page."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    page = (HERE / "27-order-and-cost.md").read_text()
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.,]+) \| ([\d.,]+) \|", page, re.MULTILINE)
    nodes, fprop, both = zip(*[[float(n.replace(",", "")) for n in row] for row in rows], strict=True)
    figure, axes = plt.subplots(figsize=(6.4, 3.3), layout="constrained")
    axes.loglog(nodes, both, "o-", color="#d05a4e", label="fprop and bprop")
    axes.loglog(nodes, fprop, "o-", color="#0a7d33", label="fprop")
    axes.set(xlabel="nodes", ylabel="milliseconds of CPU time")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


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
