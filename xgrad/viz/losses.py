"""`curves`: the loss during training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..backends.types import HostArray
from ..ops.axes import integer
from .plots import COLOURS, GREY, Plot, host_array, new_figure, plain

#: The colours and dashes of horizontal lines, so that two at nearly the same height can be told apart.
LINES, DASHES = COLOURS[2:], ("--", ":", "-.")


class Curves(Plot):
    """The loss during training, made by `curves`.

    Attributes:
        training: the loss of each step, float64 of shape (N,).
        smooth: means over the last steps, float64 of shape (N,).
        held_out: steps and losses, float64 of shape (M, 2).
    """

    def __init__(
        self,
        training: HostArray,
        held_out: HostArray,
        smoothing: int,
        log: bool,
        lines: Mapping[str, float],
        ylabel: str,
    ) -> None:
        self.training, self.held_out = training, held_out
        self.smooth = host_array(_means(training.tolist(), smoothing))
        self._smoothing, self._log, self._lines, self._ylabel = smoothing, log, dict(lines), ylabel

    def _draw(self) -> Any:
        figure = new_figure(8.0, 4.2)
        axes = figure.subplots()
        steps = range(1, len(self.training) + 1)
        axes.plot(steps, self.training, color=GREY, linewidth=0.8, label="training, each step")
        if self._smoothing > 1:
            label = f"training, mean of {self._smoothing} steps"
            axes.plot(steps, self.smooth, color=COLOURS[0], linewidth=1.5, label=label)
        if len(self.held_out):
            axes.plot(*self.held_out.T, "o-", color=COLOURS[1], linewidth=1.5, markersize=4, label="held out")
        for i, (name, value) in enumerate(self._lines.items()):
            style = {"color": LINES[i % len(LINES)], "linestyle": DASHES[i % len(DASHES)]}
            axes.axhline(value, linewidth=1.4, label=name, **style)
        axes.set(xlabel="step", ylabel=self._ylabel, yscale="log" if self._log else "linear")
        if not self._log:
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        plain(axes)
        axes.legend(frameon=False, fontsize=8.5)
        return figure

    def __repr__(self) -> str:
        last = f", last {self.training[-1]:.4g}" if len(self.training) else ""
        return f"Curves({len(self.training)} steps{last}; .figure, .save('f.svg'))"


def curves(
    training: Sequence[float],
    held_out: Iterable[tuple[float, float]] = (),
    *,
    smoothing: int = 50,
    log: bool = False,
    lines: Mapping[str, float] | None = None,
    ylabel: str = "loss",
) -> Curves:
    """Plot the loss of each training step, its running mean, and losses on held-out data.

    Args:
        training: the losses of steps 1, 2, ...
        held_out: pairs of a step and a loss.
        smoothing: the mean is over this many steps, or those there are at the beginning; 1 for no mean.
        log: whether the vertical axis is logarithmic.
        lines: horizontal lines, such as the loss of a baseline, by name.
        ylabel: the loss and its unit.

    Returns:
        A Curves with the numbers as NumPy arrays, which shows itself as a plot.

    Raises:
        ValueError: `smoothing` below 1, or a pair of `held_out` that is none.

    >>> import xgrad as xg
    >>> seen = xg.viz.curves([4.0, 2.0, 3.0], [(3, 2.5)], smoothing=2)
    >>> seen.smooth.tolist(), seen
    ([4.0, 3.0, 2.5], Curves(3 steps, last 3; .figure, .save('f.svg')))
    """
    smoothing = integer("curves: smoothing", smoothing)
    if smoothing < 1:
        raise ValueError(f"curves: smoothing={smoothing}, but a mean is over at least 1 step")
    pairs = [tuple(pair) for pair in held_out]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("curves: held_out has pairs of a step and a loss")
    points = host_array([float(v) for pair in pairs for v in pair]).reshape(-1, 2)
    losses = host_array([float(v) for v in training])
    return Curves(losses, points, smoothing, log, lines or {}, ylabel)


def _means(values: Sequence[float], count: int) -> list[float]:
    """The mean of each value and those before it, `count` in all."""
    sums = [math.fsum(values[max(0, i + 1 - count) : i + 1]) for i in range(len(values))]
    return [total / min(i + 1, count) for i, total in enumerate(sums)]
