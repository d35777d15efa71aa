"""The pictures of the README and the docs: `python docs/pictures.py` draws them into docs/_static.

The circuit is drawn from a graph that is run here, the chart from the table in docs/19-benchmarks.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import xgrad as xg

HERE = Path(__file__).parent
FOLDER = HERE / "_static"
GREEN, RED, GREY = "#0a7d33", "#c0262d", "#57606a"


# The circuit: values in green above the wires, gradients in red below


def neuron(w0: Any, x0: Any, w1: Any, x1: Any, w2: Any) -> Any:
    """A sigmoid neuron in single gates."""
    dot = w0 * x0 + w1 * x1 + w2
    return 1.0 / (1.0 + xg.exp(-dot))


STEP_X, STEP_Y, LEFT, TOP, RADIUS = 98, 54, 40, 30, 19
STUB = 44  # how far a wire goes straight on, with its numbers above and below


def circuit() -> str:
    """The neuron with w = [2, -3, -3] and x = [-1, -2], run forward and backward, as SVG."""
    g = xg.graph(neuron, 2.0, -1.0, -3.0, -2.0, -3.0)
    g.bprop()
    inputs = [stage for stage in g if stage.op == "input"]
    places = {
        stage: (LEFT, TOP + i * STEP_Y) for i, stage in enumerate(inputs)
    }  # where a stage's wire begins
    parts: list[str] = []
    for stage in g:
        if stage.op == "input":
            x, y = places[stage]
            parts.append(
                f'<text x="{x - 8:g}" y="{y + 5:g}" text-anchor="end" font-style="italic">{stage.name}</text>'
            )
        else:
            before = [places[operand] for operand in stage.operands if operand in places]
            x, y = max(x for x, _ in before) + STEP_X, sum(y for _, y in before) / len(before)
            parts += [_line(x0, y0, x - RADIUS, y) for x0, y0 in before]
            parts += [_gate(x, y, sign(stage))]
            places[stage] = (x + RADIUS, y)
    end, y = places[g.output]
    parts.append(_line(end, y, end + 52, y))
    for stage, (x, y) in places.items():
        parts.append(f'<text x="{x + 5:g}" y="{y - 6:g}" fill="{GREEN}">{_number(stage.value)}</text>')
        parts.append(f'<text x="{x + 5:g}" y="{y + 17:g}" fill="{RED}">{_number(stage.grad)}</text>')
    return _svg(end + 60, TOP + (len(inputs) - 1) * STEP_Y + 30, parts)


def sign(stage: xg.GraphNode) -> str:
    """What is written on a gate, one operand of which may be a number."""
    number = any(isinstance(operand, float) for operand in stage.operands)
    return {"*": "×", "+": "+1" if number else "+", "neg": "× −1", "/": "1/x"}.get(stage.op, stage.op)


def _number(value: Any) -> str:
    return f"{float(value):.2f}".replace("-", "−")


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path d="M{x0:g} {y0:g}H{min(x0 + STUB, x1):g}L{x1:g} {y1:g}" stroke="{GREY}" fill="none"/>'


def _gate(x: float, y: float, text: str) -> str:
    circle = (
        f'<circle cx="{x:g}" cy="{y:g}" r="{RADIUS}" fill="#eef3fb" stroke="#31527a" stroke-width="1.3"/>'
    )
    return f'{circle}<text x="{x:g}" y="{y + 5:g}" text-anchor="middle">{text}</text>'


def _svg(width: float, height: float, parts: list[str]) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
    style = 'font-family="Helvetica, Arial, sans-serif" font-size="14">'
    return "\n".join(
        [head + style, f'<rect width="{width:g}" height="{height:g}" fill="white"/>', *parts, "</svg>", ""]
    )


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
