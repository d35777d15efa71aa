"""Sphinx reads this: how the pages of this folder become a site. `make docs` builds it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # for api_pages and api_examples, and the package as it is here

import api_examples
import api_pages
import pictures

import xgrad

project = "xgrad"
copyright = "the xgrad authors"
release = version = xgrad.__version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns: list[str] = []
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "literal"

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
pygments_style = "friendly"
copybutton_prompt_text = ">>> "

html_theme = "furo"
html_title = "xgrad"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False


COLON = "\ue000"  # stands for a colon in a property's docstring, in front of which Napoleon looks for a type


def hide_colons(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Before Napoleon reads a docstring."""
    if what in ("property", "attribute"):
        lines[:] = [line.replace(":", COLON) for line in lines]


def prepare(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep |x| from being markup, and append the example of `api_examples` to a docstring without one."""
    lines[:] = [line.replace(COLON, ":") for line in lines]
    lines[:] = [re.sub(r"(`[^`]*`)|\|", lambda m: m[1] or r"\|", line) for line in lines]
    if not any(">>>" in line for line in lines):
        lines += api_examples.shown(name.removeprefix("xgrad."))


def setup(app: Any) -> None:
    """Write the reference's pages and draw the pictures before Sphinx looks for them."""
    api_pages.write(HERE / "api")
    pictures.draw_all(HERE / "_static" / "drawn")
    app.connect("autodoc-process-docstring", hide_colons, priority=100)
    app.connect("autodoc-process-docstring", prepare, priority=900)
