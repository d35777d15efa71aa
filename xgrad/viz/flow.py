"""`gradient_flow`: how far back through time gradients reach."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from ..backends.dtypes import is_floating
from ..backends.types import HostArray
from ..core.backward import output_gradient
from ..core.context import MODE, mode
from ..core.graph import Node
from ..core.pytree import flatten, leaves_with_paths
from ..core.tensor import Tensor
from ..namespace import abs as absolute
from ..namespace import asarray, astype, float64, sqrt, stack, zeros
from ..namespace import sum as sum_of
from ..ops.axes import integer
from ..transforms import Graph, graph
from .lags import sweeps_by_lag
from .plots import COLOURS, GREY, Plot, host_array, new_figure, on_host, plain

#: The most curves of one plot that have a colour.
COLOURED = 7


class GradientFlow(Plot):
    """Gradients of a loss through time, made by `gradient_flow`.

    Attributes:
        loss: the loss, a float.
        states: by the name of each carry, the norms of dL/dh_t, float64 of shape (T,). h_t is the carry after
            step t; for a reverse scan, too, place t is time step t.
        weights: by the name of each weight, the norms of the parts of dL/dW, float64 of shape (K + 1,).
        parts: by the name of each weight, the parts themselves, K + 1 arrays of the shape of W in one. Part k
            was carried back k steps; `parts[name].sum(0)` is dL/dW.
        open_ended: whether the last part also has everything that was carried back further.
    """

    def __init__(
        self, loss: float, states: dict[str, HostArray], parts: dict[str, HostArray], open_ended: bool
    ) -> None:
        self.loss = loss
        self.states = states
        self.parts = parts
        self.weights = {name: host_array([norm(asarray(v)) for v in part]) for name, part in parts.items()}
        self.open_ended = open_ended

    def _draw(self) -> Any:
        figure = new_figure(9.0, 3.6)
        left, right = figure.subplots(1, 2)
        for (name, norms), colour in zip(self.states.items(), COLOURS * len(self.states), strict=False):
            _line(left, norms, label=name, color=colour)
        left.set(xlabel="time step t", ylabel="norm of dL/dh$_t$", title="Gradient of the state after step t")
        most = max(len(norms) for norms in self.weights.values()) - 1
        last = f"; the last point: {most} or more" if self.open_ended else ""
        right.set(xlabel=f"k, steps carried back{last}", ylabel="norm of the part of dL/dW")
        right.set_title("Gradient of the weights by its way back")
        self._draw_weights(right)
        for axes in (left, right):
            axes.set_yscale("log")
            _at_least_a_decade(axes)
            axes.xaxis.get_major_locator().set_params(integer=True)
            plain(axes)
        left.legend(frameon=False, fontsize=8)
        right.legend(frameon=False, fontsize=8, ncols=2)
        return figure

    def _draw_weights(self, axes: Any) -> None:
        """The weights with the largest norms in colour, the others in grey."""
        order = sorted(self.weights, key=lambda name: -float(self.weights[name][1:].sum()))
        for name in order[COLOURED:]:
            _line(axes, self.weights[name], color=GREY, linewidth=0.9)
        for name, colour in zip(order[:COLOURED], COLOURS, strict=False):
            _line(axes, self.weights[name], label=name, color=colour)
        if order[COLOURED:]:
            axes.plot([], [], color=GREY, linewidth=0.9, label=f"{len(order[COLOURED:])} more")

    def __repr__(self) -> str:
        steps = ", ".join(f"{name} at {len(norms)} time steps" for name, norms in self.states.items())
        return f"GradientFlow({steps or 'no states'}; {len(self.weights)} weights; .figure, .save('f.svg'))"


def gradient_flow(
    loss: Callable[..., Any], model: Any, *batch: Any, has_aux: bool = False, lags: int = 64
) -> GradientFlow:
    """Measure how gradients flow back through the time steps of the scans in a loss.

    Two things show whether gradients vanish or explode: the norm of `dL/dh_t` by t, and the norm of the parts
    of `dL/dW` by k, the number of steps that a part was carried back. For a loss that is a sum of terms
    `L_s` of the states `h_s`, part k is the sum over s of `dL_s/dh_s · dh_s/dh_{s-k} · dh_{s-k}/dW`, with the
    last factor for a given `h_{s-k-1}` (R. Pascanu, T. Mikolov and Y. Bengio 2013, "On the difficulty of
    training recurrent neural networks", equation 4). One reverse sweep for each k finds them without
    approximation.

    Args:
        loss: a function that returns a scalar, with an `xg.scan` in it, as in `xg.nn.GRU`. What is inside of
            `xg.compile` is not seen: pass the function itself.
        model: what the gradients are for: a module, a nested container of arrays, or an array.
        batch: the other arguments of `loss`.
        has_aux: whether `loss` returns `(scalar, anything)`.
        lags: parts that were carried back `lags` steps or more become one. The time taken grows as the
            number of steps times `lags`.

    Returns:
        A GradientFlow with the norms and the parts as NumPy arrays, which shows itself as two plots.

    In scans that are nested, time is that of the outermost. Where one scan reads another, as in stacked
    layers, the steps of both add up.

    Raises:
        ValueError: no scan in the function, or `lags` below 1.
        GraphError: no gradient flows from `model` to the loss, or the loss is no scalar.

    >>> import xgrad as xg
    >>> def loss(w, xs):
    ...     h, _ = xg.scan(lambda h, x: (w * h + x, None), 0.0, xs)
    ...     return h
    >>> flow = xg.viz.gradient_flow(loss, 0.5, xg.asarray([1.0, 0.0, 0.0, 0.0]))
    >>> print(flow.states["h"], flow.weights["w"])
    [0.125 0.25  0.5   1.   ] [0.25 0.25 0.25 0.  ]
    """
    lags = integer("gradient_flow: lags", lags)
    if lags < 1:
        raise ValueError(f"gradient_flow: lags={lags}, but it takes at least 1 to see time")
    carries = _Carries()
    name = next(iter(inspect.signature(loss).parameters), "model")
    with mode(on_step=carries.add):
        g = graph(partial(_scalar, loss, has_aux, batch), model)
    if not carries.of:
        raise ValueError(
            "gradient_flow follows the time steps of xg.scan, and there is no scan in this function, or none "
            "that has a step; what is inside of xg.compile or of a gate is not seen"
        )
    z = g._value
    weights, states = _named_inputs(g, model, name), carries.nodes()
    parts: dict[str, list[Tensor]] = {name: [] for name in weights}
    totals: dict[Node, Tensor] = {}
    for found in sweeps_by_lag(z, output_gradient(z, None), g._order(), lags):
        for node in states & found.keys():
            totals[node] = totals[node] + found[node] if node in totals else found[node]
        for name, node in weights.items():
            parts[name].append(found[node] if node in found else _zeros(node))
    stacked = {name: on_host(stack(part)) for name, part in parts.items()}
    further = sum(len(of) - 1 for of in carries.of.values()) > lags
    open_ended = further and all(len(part) > lags for part in stacked.values())
    return GradientFlow(float(z), carries.norms(totals), stacked, open_ended)


def _scalar(loss: Callable[..., Any], has_aux: bool, batch: tuple[Any, ...], model: Any) -> Tensor:
    """Call the loss, and return it without what comes beside it."""
    z = loss(model, *batch)
    if has_aux:
        if not isinstance(z, tuple) or len(z) != 2:
            raise TypeError("gradient_flow: with has_aux, the function must return (scalar, aux)")
        z = z[0]
    if not isinstance(z, Tensor):
        pair = "; pass has_aux=True for a function that returns (scalar, aux)" if isinstance(z, tuple) else ""
        raise TypeError(f"gradient_flow needs a function that returns a Tensor, not {type(z).__name__}{pair}")
    return z


def _named_inputs(g: Graph, model: Any, name: str) -> dict[str, Node]:
    """The nodes of the floating-point leaves of the model, by their paths."""
    inputs = [stage.node for stage in g if stage.op == "input"]
    paths = [".".join(map(str, path)) or name for path, _ in leaves_with_paths(model)]
    return {path: node for path, node in zip(paths, inputs, strict=True) if node.needs}


class _Carries:
    """The carries of the outermost scans, after each step: `of[scan][t]` lists the leaves of one."""

    def __init__(self) -> None:
        self.of: dict[int, dict[int, list[Tensor]]] = {}
        self.paths: dict[int, list[str]] = {}

    def add(self, carry: Any) -> None:
        """Keep the carry after the step that runs now."""
        now = MODE.get()
        if len(now.steps) > 1:
            return
        scan = next(scope.number for scope in now.scopes if scope.kind == "scan")
        self.of.setdefault(scan, {})[now.steps[0]] = flatten(carry)[0]
        self.paths[scan] = [".".join(map(str, path)) for path, _ in leaves_with_paths(carry)]

    def nodes(self) -> set[Node]:
        """The nodes of all carries."""
        return {h.node for steps in self.of.values() for carry in steps.values() for h in carry if h.node}

    def norms(self, gradients: dict[Node, Tensor]) -> dict[str, HostArray]:
        """The norms of dL/dh_t of each floating-point carry, by its name; 0 where no gradient arrives."""
        found: dict[str, HostArray] = {}
        for number, (scan, steps) in enumerate(self.of.items(), start=1):
            which = f" (scan {number})" if len(self.of) > 1 else ""
            for i, path in enumerate(self.paths[scan]):
                series = [steps[t][i] for t in sorted(steps)]
                if is_floating(series[0].dtype):
                    given = [gradients.get(h.node) for h in series]  # type: ignore[arg-type]
                    norms = [0.0 if g is None else norm(g) for g in given]
                    name = _carry_name(series, path)
                    name = f"{name}, carry {path}" if f"{name}{which}" in found else name
                    found[f"{name}{which}"] = host_array(norms)
        return found


def _carry_name(series: list[Tensor], path: str) -> str:
    """The name of a carry: the user's variable for it, else where it is in the carry."""
    names = {getattr(h.node, "name", None) for h in series} - {None}
    return str(names.pop()) if len(names) == 1 else f"carry {path}".rstrip()


def norm(x: Tensor) -> float:
    """The square root of the sum of squares of all elements, in float64."""
    size = absolute(x)
    return float(sqrt(sum_of(astype(size, float64) ** 2)))


def _zeros(node: Node) -> Tensor:
    return zeros(node.shape, dtype=node.dtype, device=node.device)


def _at_least_a_decade(axes: Any) -> None:
    """Widen a logarithmic axis: on a narrow one, small changes look large, and its labels are odd numbers."""
    low, high = axes.get_ylim()
    if high < 10 * low:
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 10**0.6, middle * 10**0.6)


def _line(axes: Any, norms: HostArray, **style: Any) -> None:
    """A curve on a logarithmic axis, without the places where it is 0."""
    heights = [float(v) if v > 0 else float("nan") for v in norms]
    few = "o-" if len(heights) <= 12 else "-"
    axes.plot(range(len(heights)), heights, few, **{"linewidth": 1.5, "markersize": 4, **style})
