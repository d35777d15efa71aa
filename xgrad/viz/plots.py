"""What the plots of a training run share: a matplotlib figure that notebooks show and `save` writes."""

from __future__ import annotations

import base64
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from ..backends.types import HostArray
from ..core.tensor import Tensor
from ..namespace import asarray, float64

#: Colours that stay apart for colour-blind readers (M. Okabe and K. Ito, 2008), darkest last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: The colour of curves in the background.
GREY = "#b9bec5"


class Plot(ABC):
    """Numbers, and a figure of them that is drawn when it is first asked for.

    It shows itself in Jupyter, marimo and VS Code. `save` writes a file in any format that matplotlib knows.
    """

    @cached_property
    def figure(self) -> Any:
        """The `matplotlib.figure.Figure`, for changes before it is saved."""
        return self._draw()

    @abstractmethod
    def _draw(self) -> Any:
        """A new `matplotlib.figure.Figure` of the numbers."""

    def svg(self) -> str:
        """The figure as SVG text; its letters are text, in the reader's own sans-serif font."""
        import matplotlib as mpl

        found = io.StringIO()
        figure = self.figure  # first: it says what to install if matplotlib is missing
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "xgrad"}):
            figure.savefig(found, format="svg", metadata={"Date": None, "Creator": None})
        return found.getvalue()

    def png(self, dpi: int = 120) -> bytes:
        """The figure as a PNG file."""
        found = io.BytesIO()
        self.figure.savefig(found, format="png", dpi=dpi)
        return found.getvalue()

    def save(self, path: str | Path) -> None:
        """Write a file: .svg, .png, .pdf or another format of matplotlib; ValueError for any other name."""
        path = Path(path)
        known = self.figure.canvas.get_supported_filetypes()
        if path.suffix[1:] not in known:
            raise ValueError(
                f"a figure is saved as {', '.join(f'.{k}' for k in known)}, not as {path.name!r}"
            )
        if path.suffix == ".svg":
            path.write_text(self.svg(), encoding="utf-8")
        else:
            self.figure.savefig(path, dpi=120)

    def _repr_png_(self) -> bytes:
        return self.png()

    def _repr_html_(self) -> str:
        width = 96 * self.figure.get_figwidth()
        data = base64.b64encode(self.png(dpi=160)).decode()
        style = f"width:{width:.0f}px;max-width:100%"
        return f'<img alt="{escape(repr(self))}" style="{style}" src="data:image/png;base64,{data}">'


def new_figure(width: float, height: float) -> Any:
    """An empty figure of that size in inches. Raises ImportError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "the plots of xg.viz need matplotlib, which is not installed: pip install 'xgrad[viz]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plain(axes: Any) -> None:
    """Take away the frame on the right and above, and add a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e8eb", linewidth=0.7)
    axes.set_axisbelow(True)


def on_host(x: Tensor) -> HostArray:
    """The values of a Tensor of any device, as a NumPy array."""
    return x.detach().numpy()


def host_array(numbers: Sequence[float]) -> HostArray:
    """Numbers as a NumPy array of float64."""
    return on_host(asarray(list(numbers), dtype=float64, device="cpu"))
