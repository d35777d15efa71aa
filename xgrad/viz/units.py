"""`activations`: what each unit of a recurrent network does at each time step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backends.dtypes import is_complex, is_floating
from ..backends.types import HostArray
from ..core.pytree import flatten
from ..core.tensor import Tensor
from ..namespace import arange, stack
from ..ops.axes import integer
from ..transforms import Graph, record
from .lags import step_of
from .plots import Plot, new_figure, on_host

#: The most time steps whose labels are written one by one.
LABELLED = 100


class Activations(Plot):
    """Named values inside of a scan, at every time step, made by `activations`.

    Attributes:
        values: by name, the values of all T steps in one array. Rows are in the order of time, also for a
            reverse scan.
        orders: by name, the units in the order in which the figure has them, from the bottom.
    """

    def __init__(
        self, values: dict[str, HostArray], labels: Sequence[str] | None, batch: int, sort: bool
    ) -> None:
        self.values = values
        self._labels = labels
        self._shown = {name: _units(name, array, batch) for name, array in values.items()}
        self.orders = {name: _order(units, sort) for name, units in self._shown.items()}
        self._sorted = sort

    def _draw(self) -> Any:
        steps = max(len(units) for units in self._shown.values())
        figure = new_figure(min(max(6.0, 1.6 + 0.13 * steps), 14.0), 0.5 + 1.9 * len(self._shown))
        rows = figure.subplots(len(self._shown), 1, squeeze=False)[:, 0]
        for axes, (name, units) in zip(rows, self._shown.items(), strict=True):
            image = axes.imshow(
                units[:, self.orders[name]].T.astype("float64"),
                aspect="auto",
                origin="lower",
                interpolation="nearest",
                **_colours(units),
            )
            figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03)
            axes.set_title(name, fontsize=10, loc="left")
            axes.set_ylabel("unit, by mean" if self._sorted else "unit", fontsize=8)
            axes.tick_params(labelsize=8)
            self._label_time(axes, len(units))
        return figure

    def _label_time(self, axes: Any, steps: int) -> None:
        if self._labels is None or steps > LABELLED:
            axes.set_xlabel("time step t", fontsize=8)
            return
        rotation = 90 if any(len(label) > 1 for label in self._labels) else 0
        shown = [_visible(label) for label in self._labels]
        axes.set_xticks(range(steps), shown, parse_math=False, rotation=rotation, family="monospace")
        axes.tick_params(axis="x", length=0, pad=1)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.values.items())
        return f"Activations({shapes}; .figure, .save('f.svg'))"


def activations(
    f: Callable[..., Any],
    *args: Any,
    names: Sequence[str] = (),
    labels: Sequence[str] | None = None,
    batch: int = 0,
    sort: bool = True,
) -> Activations:
    """Record the values of variables in the body of a scan, for a heat map of units by time steps.

    Args:
        f: a function or a module with an `xg.scan` in it, which is called on `args` and recorded. What is
            inside of `xg.compile` is not seen.
        names: the variables, such as ["z_t", "r_t"] of `xg.nn.GRU`. By default, all in the body of the scan
            that have a name and, without the batch, one axis. Only variables that hold Tensors of floating
            point, and that the result of `f` depends on, are found.
        labels: a text for each time step, such as the characters that the network reads.
        batch: which sequence of a batch the figure shows, if values have the shape (B, H).
        sort: whether the figure sorts units by their mean over time; their numbers are in `orders`.

    Returns:
        An Activations with the values as NumPy arrays, which shows itself as heat maps. Values that are all
        from 0 to 1 go from dark blue to yellow; others are brown below 0 and blue-green above.

    In scans that are nested, these are the values of the outermost. A name that occurs in two scans, or twice
    in a step, is followed by a number: "z_t", "z_t 2".

    Raises:
        KeyError: a name that is not found; the message lists those that are.
        ValueError: no scan in the function, or not as many labels as time steps.
        IndexError: `batch` is not in the batch.

    >>> import xgrad as xg
    >>> gru = xg.nn.GRU(3, 4)
    >>> seen = xg.viz.activations(gru, xg.zeros((7, 2, 3), dtype=xg.float32), names=["z_t", "r_t"])
    >>> seen
    Activations(z_t (7, 2, 4), r_t (7, 2, 4); .figure, .save('f.svg'))
    """
    if isinstance(names, str):
        names = [names]
    with record():
        outputs = [z for z in flatten(f(*args))[0] if isinstance(z, Tensor)]
    series = _series(outputs)
    found = {name: on_host(stack([at[t] for t in sorted(at)])) for name, at in series.items()}
    missing = [name for name in names if name not in found]
    if missing:
        known = ", ".join(found)
        raise KeyError(f"no variable {', '.join(missing)} in the body of the scan; there are {known}")
    values = {name: found[name] for name in names or _of_units(found)}
    if not values:
        raise ValueError(
            "activations: no variable in the body of the scan holds one axis of units; pass names="
        )
    for name, array in values.items():
        if labels is not None and len(labels) != len(array):
            raise ValueError(
                f"activations: {name} has {len(array)} time steps, but there are {len(labels)} labels"
            )
    return Activations(values, labels, integer("activations: batch", batch), sort)


def _series(outputs: Sequence[Tensor]) -> dict[str, dict[int, Tensor]]:
    """By name, the values in the bodies of outermost scans at each time step.

    Raises ValueError if no scan was recorded.
    """
    stages = {id(stage.node): stage for z in outputs for stage in Graph(z, []) if step_of(stage.node)}
    if not stages:
        raise ValueError(
            "activations shows variables in the body of xg.scan, and the result of this function comes from "
            "no scan; what is inside of xg.compile or of a gate is not seen"
        )
    at: dict[tuple[str, int, int], dict[int, Tensor]] = {}
    for stage in sorted(stages.values(), key=lambda stage: stage.node.number):
        node, value = stage.node, stage.value
        if stage.op == "item" or not node.name or value is None:
            continue  # a slice of the inputs is no variable of the body
        if len(node.steps) > 1 or not is_floating(value.dtype):
            continue
        scan, t = step_of(node) or (0, 0)
        again = 0
        while t in at.get((node.name, scan, again), ()):
            again += 1
        at.setdefault((node.name, scan, again), {})[t] = value
    found: dict[str, dict[int, Tensor]] = {}
    for (name, _, _), steps in at.items():
        places = [key for key in found if key.rpartition(" ")[0] == name or key == name]
        found[f"{name} {len(places) + 1}" if places else name] = steps
    return found


def _of_units(found: dict[str, HostArray]) -> list[str]:
    """The names of values with one axis of units, after time and perhaps a batch."""
    return [name for name, array in found.items() if array.ndim in (2, 3) and not is_complex(array.dtype)]


def _units(name: str, array: HostArray, batch: int) -> HostArray:
    """The units of one sequence of the batch, of shape (T, H)."""
    if array.ndim < 3:
        return array.reshape(len(array), -1)
    sequences = array.reshape(len(array), -1, array.shape[-1])
    if not 0 <= batch < sequences.shape[1]:
        raise IndexError(f"activations: batch={batch}, but {name} has {sequences.shape[1]} sequences")
    return sequences[:, batch]


def _order(units: HostArray, sort: bool) -> HostArray:
    """The order of units on the vertical axis: by their mean, or as they are."""
    if not sort:
        return on_host(arange(units.shape[1], device="cpu"))
    order: HostArray = units.astype("float64").mean(0).argsort(kind="stable")
    return order


def _colours(units: HostArray) -> dict[str, Any]:
    """A colour map and its range: 0 to 1 for gates, otherwise symmetric about 0."""
    if units.min() >= 0 and units.max() <= 1:
        return {"cmap": "viridis", "vmin": 0, "vmax": 1}
    most = float(abs(units).max())
    return {"cmap": "BrBG", "vmin": -most, "vmax": most}


def _visible(label: str) -> str:
    """A label in which white space can be seen."""
    shown = label.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else "·" for c in shown)
