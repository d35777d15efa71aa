"""Plotting libraries take Tensors: each function of matplotlib draws the same pixels as with NumPy arrays."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import ROOT

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

RNG = np.random.default_rng(0)
X, Y, M = np.arange(6.0), RNG.uniform(0.5, 2, 6), RNG.normal(size=(6, 6))

#: Functions of axes and of what turns an array into the kind under test.
PLOTS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "plot": lambda ax, t: ax.plot(t(X), t(Y)),
    "plot of values": lambda ax, t: ax.plot(t(Y)),
    "plot of columns": lambda ax, t: ax.plot(t(M)),
    "plot of a list": lambda ax, t: ax.plot([t(1.0), t(3.0), t(2.0)]),
    "plot, logarithmic": lambda ax, t: ax.loglog(t(Y), t(Y)),
    "set_data": lambda ax, t: ax.plot(X, Y)[0].set_data(t(Y), t(X)),
    "bar": lambda ax, t: ax.bar(t(X), t(Y)),
    "bar with errors": lambda ax, t: ax.bar(t(X), t(Y), width=t(Y / 3), bottom=t(X), yerr=t(Y)),
    "barh": lambda ax, t: ax.barh(t(X), t(Y)),
    "errorbar": lambda ax, t: ax.errorbar(t(X), t(Y), yerr=t(Y), xerr=t(0.25)),
    "errorbar, lower and upper": lambda ax, t: ax.errorbar(t(X), t(Y), yerr=t(np.abs(M[:2]))),
    "imshow": lambda ax, t: ax.imshow(t(M)),
    "imshow of colours": lambda ax, t: ax.imshow(t(RNG_COLOURS)),
    "matshow": lambda ax, t: ax.matshow(t(M)),
    "pcolormesh": lambda ax, t: ax.pcolormesh(t(X), t(X), t(M)),
    "contour": lambda ax, t: ax.contour(t(X), t(X), t(M), levels=t([-1.0, 0.0, 1.0])),
    "contourf": lambda ax, t: ax.contourf(t(M)),
    "scatter": lambda ax, t: ax.scatter(t(X), t(Y), c=t(Y), s=t(30 * Y)),
    "hist": lambda ax, t: ax.hist(t(Y), weights=t(X)),
    "hist of two": lambda ax, t: ax.hist([t(X), t(Y)], bins=t(np.linspace(0, 6, 5))),
    "hist of columns": lambda ax, t: ax.hist(t(M)),
    "hist2d": lambda ax, t: ax.hist2d(t(X), t(Y)),
    "fill_between": lambda ax, t: ax.fill_between(t(X), t(Y), t(X), where=t(X) < t(Y) + 1),
    "step": lambda ax, t: ax.step(t(X), t(Y)),
    "stem": lambda ax, t: ax.stem(t(X), t(Y)),
    "boxplot": lambda ax, t: ax.boxplot(t(M)),
    "boxplot of two": lambda ax, t: ax.boxplot([t(X), t(Y)]),
    "violinplot": lambda ax, t: ax.violinplot(t(M)),
    "quiver": lambda ax, t: ax.quiver(t(X), t(Y), t(X), t(Y)),
    "stackplot": lambda ax, t: ax.stackplot(t(X), t(Y), t(Y)),
    "pie": lambda ax, t: ax.pie(t(Y)),
    "lines": lambda ax, t: (ax.axvline(t(0.3)), ax.axhline(t(0.4)), ax.axvspan(t(0.5), t(0.75))),
    "vlines": lambda ax, t: ax.vlines(t(X), t(0.0), t(Y)),
    "text": lambda ax, t: ax.text(t(0.25), t(0.5), "here"),
    "ticks": lambda ax, t: (ax.set_xticks(t([0.25, 0.5])), ax.set_yticks(t([0.0, 1.0]), ["low", "high"])),
    "limits": lambda ax, t: (ax.set_xlim(t(-1.0), t(2.0)), ax.set_ylim(t([0.0, 3.0]))),
}
RNG_COLOURS = RNG.uniform(0, 1, (4, 5, 3))

KINDS: dict[str, Callable[[Any], Any]] = {
    "a constant": xg.asarray,
    "a leaf": lambda v: xg.tensor(v, requires_grad=True),
    "computed": lambda v: xg.tensor(v, requires_grad=True) * 1.0,
    "on another device": lambda v: xg.tensor(v, requires_grad=True, device="strict:2"),
}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def drawn(plot: Callable[[Any, Any], Any], kind: Callable[[Any], Any]) -> np.ndarray[Any, Any]:
    """The pixels of a plot."""
    figure, axes = plt.subplots(figsize=(2, 2), dpi=60)
    plot(axes, kind)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_of_tensors_is_that_of_arrays(name: str) -> None:
    expected = drawn(PLOTS[name], np.asarray)
    assert (expected != drawn(lambda ax, t: None, np.asarray)).any()  # it draws something
    for kind, make in KINDS.items():
        np.testing.assert_array_equal(drawn(PLOTS[name], make), expected, kind)


def test_the_data_of_a_line_and_of_an_image_are_the_values() -> None:
    w = xg.tensor(M, requires_grad=True)
    _, axes = plt.subplots()
    np.testing.assert_array_equal(axes.plot(w[0])[0].get_ydata(orig=False), M[0])
    np.testing.assert_array_equal(axes.imshow(w).get_array(), M)


def test_outside_of_plots_a_gradient_is_not_cut_silently() -> None:
    x = xg.tensor(X, requires_grad=True)
    _, axes = plt.subplots()
    axes.plot(x)
    for convert in (np.asarray, np.array, lambda t: np.histogram(t)):
        with pytest.raises(xg.GraphError, match="cut the gradient"):
            convert(x)
    axes.format_ydata = lambda value: np.asarray(x)  # user code that matplotlib calls is no plot
    with pytest.raises(xg.GraphError, match="cut the gradient"):
        axes.format_ydata(0.0)


def test_a_plot_in_a_differentiated_function_changes_no_gradient() -> None:
    _, axes = plt.subplots()

    def f(x: Any) -> Any:
        y = x**2
        axes.plot(y)
        axes.plot([y[0], y[1]])
        axes.imshow(y[None])
        return xg.sum(y)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradient = xg.grad(f)(xg.asarray(X))
    np.testing.assert_array_equal(gradient.numpy(), 2 * X)


def test_a_plot_in_a_traced_function_raises() -> None:
    _, axes = plt.subplots()
    with pytest.raises(xg.TraceError):
        xg.trace(lambda x: axes.plot(x), X)


def test_importing_xgrad_imports_no_plotting_library() -> None:
    code = "import sys, xgrad; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
