"""`xg.draw`: the picture of a computation, which shows itself in notebooks and saves itself to files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path
from typing import Any

from .model import Picture


class Drawing:
    """The picture of a computation, made by `draw`.

    It shows itself in Jupyter, marimo and VS Code. `save` writes a file; `svg`, `html` and `dot` return the
    text of one.
    """

    def __init__(self, picture: Picture, open: Collection[int]) -> None:
        self._picture = picture
        self._open = frozenset(open)

    @property
    def notes(self) -> list[str]:
        """What the picture does not show, and why."""
        return list(self._picture.notes)

    @cached_property
    def _writer(self) -> Any:
        from .svg import Writer

        return Writer(self._picture)

    def svg(self) -> str:
        """The picture as SVG text; hovering over a box shows its local rule and its source line."""
        return str(self._writer.picture(self._open))

    def html(self) -> str:
        """A page that needs nothing else: the picture and the listing, which run stage by stage."""
        from .page import page

        return page(self._writer, self._open)

    def dot(self) -> str:
        """The graph in the DOT language, for Graphviz and other tools."""
        from .dot import dot

        return dot(self._picture)

    def png(self, zoom: int = 2) -> bytes:
        """The picture as a PNG file, with `zoom` pixels for each unit of the SVG."""
        try:
            import resvg_py
        except ImportError as error:
            raise ImportError(
                "PNG files are drawn by resvg, which is not installed: pip install 'xgrad[viz]'"
            ) from error
        return bytes(resvg_py.svg_to_bytes(svg_string=self.svg(), zoom=zoom))

    def save(self, path: str | Path) -> None:
        """Write a file: .svg, .html, .dot or .png. Raises ValueError for any other name."""
        path = Path(path)
        writers: dict[str, Callable[[], str | bytes]] = {
            ".svg": self.svg,
            ".html": self.html,
            ".dot": self.dot,
            ".png": self.png,
        }
        if path.suffix not in writers:
            raise ValueError(f"a drawing is saved as {', '.join(writers)}, not as {path.name!r}")
        found = writers[path.suffix]()
        path.write_bytes(found if isinstance(found, bytes) else found.encode())

    def _repr_svg_(self) -> str:
        return self.svg()

    def _repr_html_(self) -> str:
        if self._picture.tree is not None and (tree := _treescope(self._picture.tree)):
            return tree
        return f'<div style="overflow:auto;max-height:80vh">{self.svg()}</div>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "image/svg+xml": self.svg(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        groups = len(self._picture.groups) - 1
        inside = f" in {groups} group{'s' * (groups != 1)}" if groups else ""
        boxes = sum(box.kind != "group" for box in self._picture.boxes)
        return f"Drawing({boxes} boxes{inside}; .save('f.svg'), '.html', '.dot' or '.png')"


def _treescope(tree: Any) -> str:
    """A tree of arrays as Treescope shows it, with a heat map of each; "" where it is not installed."""
    try:
        import treescope
    except ImportError:
        return ""
    with treescope.active_autovisualizer.set_scoped(treescope.ArrayAutovisualizer()):
        return str(treescope.render_to_html(tree, ignore_exceptions=True))


def draw(f: Any, *args: Any, open: Collection[str] = (), depth: int = 0, gradients: bool = True) -> Drawing:
    """Draw a computation: each gate with its name, op, shape, value (green) and gradient (red).

    Args:
        f: a function or a module, which is run on `args`; or a graph of `xg.graph`, a Program of `xg.trace`,
            a module alone, or a Tensor, whose graph shows what is still alive.
        args: the arguments. The gradients are those of the result, or of its sum if it is no scalar.
        open: labels of groups (modules, scans, time steps, gates) that are open, such as "t = 3" or "GRU".
        depth: how many levels of groups are open.
        gradients: whether to run the backward pass as well.

    Returns:
        A Drawing, which notebooks show. `drawing.save("f.html")` writes a page that steps through the
        computation; .svg, .png and .dot are pictures of it.

    Raises:
        TypeError for anything that has no picture, KeyError for a label of no group. Showing and saving raise
        ImportError without igraph: `pip install 'xgrad[viz]'`.

    A function that fails half-way gives the picture of what was computed until then. `drawing.notes` says
    what a picture does not show.

    >>> import xgrad as xg
    >>> drawing = xg.draw(lambda x, y: x * y + y, 2.0, 3.0)
    >>> drawing
    Drawing(4 boxes; .save('f.svg'), '.html', '.dot' or '.png')
    """
    from .collecting import picture_of

    picture = picture_of(f, args, gradients)
    return Drawing(picture, _open_levels(picture, depth) | _open_labels(picture, open))


def _open_levels(picture: Picture, depth: int) -> set[int]:
    """The groups in the outermost `depth` levels."""
    return {
        number
        for number, group in enumerate(picture.groups)
        if group.face is not None and len(picture.chain(group.face)) <= depth
    }


def _open_labels(picture: Picture, labels: Collection[str]) -> set[int]:
    """The groups with these labels, and those around them. Raises KeyError for an unknown one."""
    found: set[int] = set()
    for label in [labels] if isinstance(labels, str) else labels:
        same = [
            i
            for i, group in enumerate(picture.groups)
            if i and label in (group.label, group.face and group.face.name)
        ]
        if not same:
            known = ", ".join(dict.fromkeys(repr(g.label) for g in picture.groups[1:])) or "none"
            raise KeyError(f"no group {label!r} to open; the groups are {known}")
        for number in same:
            at: int | None = number
            while at:
                found.add(at)
                at = picture.groups[at].parent
    return found
