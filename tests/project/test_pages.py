"""Every code block of the README and the docs runs and prints what the page says.

So do the examples in docstrings.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import ROOT
from xgrad.backends import registry

sys.path.append(str(ROOT / "docs"))
import api_examples
import api_pages
import pictures

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def backends_kept() -> Iterator[None]:
    """Restore the backends: a page may register one, even under a name used by other tests."""
    tables: list[dict[Any, Any]] = [
        registry._factories,
        registry._libraries,
        registry._backends,
        registry._devices,
    ]
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    registry.forget()


@pytest.mark.usefixtures("backends_kept")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_blocks_run_and_print_what_they_say(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XGRAD_VERIFY", "passes")  # their programs are of realistic size
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    namespace: dict[str, Any] = {}
    registered = set(xg.ops.OPS)
    blocks = BLOCK.findall(page.read_text())
    try:
        for i, (language, content) in enumerate(blocks):
            if language != "python":
                continue
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(content, f"{page.name}, block {i}", "exec"), namespace)
            if i + 1 < len(blocks) and blocks[i + 1][0] == "text":
                assert said.getvalue().rstrip() == blocks[i + 1][1].rstrip()
            else:
                assert not said.getvalue(), "a block that prints is followed by what it prints"
    finally:
        for name in set(xg.ops.OPS) - registered:
            xg.ops.OPS.pop(name)


def test_every_page_has_code() -> None:
    for page in PAGES:
        assert any(language == "python" for language, _ in BLOCK.findall(page.read_text())), page


LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("page", LINKED, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", BLOCK.sub("", page.read_text())):
        if target.startswith("_static/drawn/"):  # drawn when the site is built
            assert f'"{Path(target).name}"' in inspect.getsource(pictures), target
        elif target.startswith("api/"):  # generated when the site is built
            assert Path(target).stem in (*api_pages.PAGES, "index"), target
        elif "://" not in target:
            assert (page.parent / target).exists(), target


MODULES = ["xgrad", *sorted(m.name for m in pkgutil.walk_packages(xg.__path__, "xgrad."))]


@pytest.mark.parametrize("name", [m for m in MODULES if m != "xgrad.backends.cuda.backend"])
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(name)
    registered = set(xg.ops.OPS)
    with np.printoptions(precision=8):
        failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for op in set(xg.ops.OPS) - registered:
        xg.ops.OPS.pop(op)
    assert not failed


def test_the_example_by_hand_runs_from_its_own_folder() -> None:
    subprocess.run([sys.executable, "gru_by_hand.py"], cwd=ROOT / "examples", check=True, capture_output=True)


def test_the_map_names_what_is_there() -> None:
    for page in ("15-architecture.md", "16-extending.md"):
        named = re.findall(r"`((?:xgrad|backends|tests)/[\w/.]*)`", (ROOT / "docs" / page).read_text())
        assert named
        for path in named:
            assert (ROOT / path).exists(), f"{page} says {path}, which has moved"


# The reference


SPACES = ("nn", "optim", "random", "io", "debug", "linalg", "fft", "backends", "viz")


def public_names() -> list[str]:
    """Return all public callables; those of `xg.nn` as "nn.GRU"."""
    spaces = {"": xg, **{f"{name}.": getattr(xg, name) for name in SPACES}}
    twice = {f"backends.{name}" for name in xg.backends.__all__ if name in xg.__all__} | {"viz.draw"}
    names = {
        f"{prefix}{name}": getattr(space, name) for prefix, space in spaces.items() for name in space.__all__
    }
    return [name for name, value in names.items() if callable(value) and name not in twice]


def test_the_reference_has_every_public_name_once() -> None:
    listed = [name for page in api_pages.PAGES for name in api_pages.names(page)]
    assert sorted(listed) == sorted(public_names())


def described(name: str) -> str:
    return inspect.getdoc(attrgetter(name)(xg)) or ""


#: Objects that are created by functions, or raised: an example would only show those.
WITHOUT_EXAMPLE = {
    "Cut",
    *(f"backends.{name}" for name in ("Array", "Backend", "Copies", "Device", "Transfers")),
    *(f"viz.{name}" for name in ("Activations", "Curves", "Drawing", "GradientFlow")),
}


@pytest.mark.parametrize("name", public_names())
def test_a_public_name_is_described_with_an_example(name: str) -> None:
    assert described(name)
    if name not in WITHOUT_EXAMPLE | api_pages.ALIASES and not name.endswith("Error"):
        message = "one example: in the docstring, or in docs/api_examples.py"
        assert (">>>" in described(name)) != (name in api_examples.EXAMPLES), message


CLASSES = [name for name in public_names() if isinstance(attrgetter(name)(xg), type)]


@pytest.mark.parametrize("name", CLASSES)
def test_members_are_described(name: str) -> None:
    kind = attrgetter(name)(xg)
    own = [
        k
        for base in kind.__mro__
        if base.__module__.startswith("xgrad")
        for k in vars(base)
        if not k.startswith("_")
    ]
    hidden = set(api_pages.INTERNAL.split()) if kind is xg.Tensor else set()
    plain = [
        k
        for k in own
        if not (callable(getattr(kind, k)) or isinstance(inspect.getattr_static(kind, k), property))
    ]
    assert not [k for k in set(own) - hidden - set(plain) if not inspect.getdoc(getattr(kind, k))]


@pytest.mark.parametrize("name", api_examples.EXAMPLES)
def test_an_example_of_the_reference_runs(name: str) -> None:
    statements, said = api_examples.result(name)
    assert "xg." in statements[-1] or len(statements) > 1
    assert said or name == "unregister_op"


def test_the_picture_of_the_circuit_is_what_is_drawn() -> None:
    """Places may differ with the version of igraph; what is written may not."""

    def written(svg: str) -> list[str]:
        return sorted(re.findall(r">([^<>]+)</text>", svg))

    assert written((ROOT / "docs" / "_static" / "circuit.svg").read_text()) == written(pictures.circuit())


def test_the_pictures_of_the_site_are_drawn(tmp_path: Path) -> None:
    pictures.draw_all(tmp_path / "drawn")
    assert len(list((tmp_path / "drawn").iterdir())) == 22


def test_the_chart_has_what_was_measured() -> None:
    said = re.findall(r">([\d.]+)</text>", (ROOT / "docs" / "_static" / "speed.svg").read_text())
    for row in pictures.measured().values():
        for peer in ("by hand, NumPy", "JAX scan, jitted", "torch.nn.GRU"):
            ratio = row[peer] / row["compiled"]
            assert (f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}") in said, (peer, ratio)
