"""The page of a drawing in a real headless browser: stepping both ways, opening groups, search, keys.

Needs playwright (`pip install 'xgrad[browser]'`) and Chromium: the `chromium` or `google-chrome` on the path,
the one that XGRAD_BROWSER names, or the one that playwright has installed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import xgrad as xg
from xgrad.viz.arrays import summary
from xgrad.viz.layout import HEAD, PAD, compose

from .computations import NEURON, gru_loss, gru_problem, neuron

pytestmark = [pytest.mark.browser, pytest.mark.slow]

playwright = pytest.importorskip("playwright.sync_api")
PATH = os.environ.get("XGRAD_BROWSER") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        try:
            found = p.chromium.launch(executable_path=PATH, args=["--no-sandbox", "--disable-gpu"])
        except playwright.Error as error:
            pytest.skip(f"no headless browser: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Open the page of a drawing; any error in it fails the test, as does any request."""
    problems: list[str] = []
    pages = []

    def opened(drawing: Any, **options: Any) -> Any:
        drawing.save(tmp_path / "f.html")
        page = browser.new_page(viewport={"width": 1300, "height": 800}, **options)
        page.on("pageerror", lambda e: problems.append(str(e)))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on(
            "request", lambda r: problems.append(r.url) if not r.url.startswith(("file:", "data:")) else None
        )
        page.on("dialog", lambda d: (problems.append(d.message), d.dismiss()))
        page.goto((tmp_path / "f.html").as_uri())
        page.wait_for_selector("#rows tr")
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert not problems


def rows(page: Any) -> dict[str, tuple[str, str]]:
    """The listing: value and gradient by the text of the stage."""
    found = page.eval_on_selector_all(
        "#rows tr",
        "rows => rows.map(({cells: [stage, ...numbers]}) => "
        "[stage.lastChild.textContent, ...numbers.map(n => n.textContent)])",
    )
    return {stage: (value, grad) for stage, value, grad in found}


def visible(page: Any, kind: str) -> list[str]:
    """The numbers of one kind that can be seen in the picture."""
    return page.eval_on_selector_all(
        f"#scene text.{kind}",
        "texts => texts.filter(t => getComputedStyle(t).visibility === 'visible').map(t => t.textContent)",
    )


def test_the_neuron_fills_forward_and_then_backward(show: Any) -> None:
    page = show(xg.draw(neuron, *NEURON))
    assert len(visible(page, "value")) == len(visible(page, "grad")) == 10
    page.keyboard.press("f")  # clears, and computes the first stage
    assert sorted(visible(page, "value")) == sorted(["2.00", "-3.00", "-3.00", "-1.00", "-2.00", "-2.00"])
    assert visible(page, "grad") == []
    step = " ".join(page.inner_text("#step").split())
    assert step.startswith("forward z1 = w[0] * x[0] # computations.py:")
    assert ": dot = w[0] * x[0] + w[1] * x[1] + w[2] w[0] = 2.00, x[0] = -1.00 → z1 = -2.00" in step
    for _ in range(4):
        page.click("#forward")
    assert visible(page, "value").count("0.73") == 1
    page.click("#backward")
    # by its name, or as an object where another test has a gate of this name
    assert re.search(r'ddot = deriv\(dz5, \(dot,\), None, "?logistic"?\)\[0\]', page.inner_text("#step"))
    assert sorted(visible(page, "grad")) == ["0.20", "1.00"]
    for _ in range(4):
        page.keyboard.press("b")
    for shown in ("-0.20", "0.39", "-0.39", "-0.59", "0.20"):
        assert shown in visible(page, "grad")
    assert 'dw[0], dx[0] = deriv(dz1, w[0], x[0], "*")' in page.inner_text("#step")
    assert "dx = dz * y" in page.inner_text("#step")


def test_a_sum_of_two_ways_is_shown_when_the_second_has_come(show: Any) -> None:
    page = show(xg.draw(lambda x: x * x + 3.0 * x, 2.0))
    seen = []
    for _ in range(3):
        page.keyboard.press("b")
        seen.append((page.inner_text("#step"), rows(page)["x"][1]))
    assert [grad for _, grad in seen] == ["", "", "7.00"]
    assert any(re.search(r"dx \+= \d\.00\s+now 7\.00", text) for text, _ in seen)


def test_the_gru_steps_both_ways_and_shows_the_engines_numbers(show: Any) -> None:
    gru, xs = gru_problem(3)
    g = xg.graph(gru_loss, gru, xs)
    g.bprop()
    page = show(xg.draw(gru_loss, gru, xs, depth=3))
    assert "t = 1" in page.inner_text("#rows")

    def expected(stage: Any, grad: bool) -> str:
        x = stage.grad if grad else stage.value
        return "" if x is None else summary(x).brief

    stages = {stage.name: stage for stage in g if stage.op != "unstack"}
    for grad, key in ((False, "f"), (True, "b")):
        for _ in range(100):
            page.keyboard.press(key)
            text = page.inner_text("#step")
            assert text.startswith("backward" if grad else "forward"), text
            listed = {text.partition(" = ")[0]: cells for text, cells in rows(page).items()}
            wanted = {name: expected(stage, grad) for name, stage in stages.items()}
            if all(listed[name][grad] == wanted[name] for name in stages):
                break
            for name in stages:  # nothing but what is right is ever shown
                assert listed[name][grad] in ("", wanted[name])
        else:
            pytest.fail("the last stage was never reached")
    assert page.evaluate("document.querySelectorAll('#scene .box').length") > 60


def test_a_closed_group_steps_as_one_and_opens_with_keys(show: Any) -> None:
    gru, xs = gru_problem(2)
    page = show(xg.draw(gru_loss, gru, xs))
    page.keyboard.press("f")
    assert "stages at once" in page.inner_text("#step")
    group = page.locator("#scene .box[role=button]")
    group.focus()
    assert group.get_attribute("aria-label").startswith("GRU")
    page.keyboard.press("Enter")
    assert page.locator("#scene .head-bar").get_attribute("aria-expanded") == "true"
    assert "scan over t = 0, 1" in page.inner_text("#rows")
    page.locator("#rows tr", has_text="scan over").locator("button").click()
    assert "t = 1" in page.inner_text("#rows")
    page.locator("#scene .head-bar").first.focus()
    page.keyboard.press("Enter")
    assert "scan over" not in page.inner_text("#rows")


def test_the_page_stands_where_the_svg_stands(show: Any) -> None:
    gru, xs = gru_problem(2)
    drawing = xg.draw(gru_loss, gru, xs, open="t = 1")
    writer = drawing._writer
    expected: dict[int, tuple[float, float]] = {}

    def walk(group: Any, x: float, y: float) -> None:
        for p in group.placed:
            if p.inside is not None:
                walk(p.inside, x + p.x + PAD, y + p.y + PAD + HEAD)
            elif not p.item.outside:
                expected[p.item.box.id] = (x + p.x, y + p.y)

    walk(compose(writer.levels, 0, drawing._open, writer.boxes.size), 0, 0)
    found = show(drawing).eval_on_selector_all(
        "#scene .box", "boxes => boxes.map(b => [+b.dataset.id, b.getAttribute('transform')])"
    )
    assert len(found) == len(expected) > 30
    for number, transform in found:
        x, y = map(float, re.findall(r"-?[\d.]+", transform))
        assert (x, y) == pytest.approx(expected[number], abs=0.06)


def test_hovering_marks_the_other_and_search_opens(show: Any) -> None:
    gru, xs = gru_problem(2)
    page = show(xg.draw(gru_loss, gru, xs))
    page.locator("#scene .box").last.hover()
    number = page.locator("#scene .box").last.get_attribute("data-id")
    assert page.locator("#rows tr.hot").get_attribute("data-id") == number
    page.locator("#rows tr").first.hover()
    marked = page.locator("#scene .box.hot")
    assert marked.get_attribute("data-id") == page.locator("#rows tr").first.get_attribute("data-id")
    page.keyboard.press("/")
    page.keyboard.type("tanh(")
    assert page.inner_text("#count") == "2 found"
    page.keyboard.press("Enter")
    assert page.inner_text("#count") == "1 of 2"
    assert "tanh(" in page.locator("#rows tr.hot").inner_text()


def test_zoom_pan_and_both_colour_schemes(show: Any) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page = show(xg.draw(neuron, *NEURON), color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.querySelector('#view .paper')).fill"))
        before = page.get_attribute("#scene", "transform")
        page.keyboard.press("+")
        zoomed = page.get_attribute("#scene", "transform")
        page.keyboard.press("ArrowLeft")
        assert len({before, zoomed, page.get_attribute("#scene", "transform")}) == 3
        page.keyboard.press("0")
        assert page.get_attribute("#scene", "transform") == before
    assert grounds == ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]


def test_a_hostile_name_runs_nothing(show: Any) -> None:
    x = xg.tensor(
        2.0, requires_grad=True, name="</script><img src=x onerror=alert(1)><script>alert(2)</script>"
    )
    with xg.record():
        z = xg.tanh(x)
    page = show(xg.draw(xg.graph(z)), color_scheme="dark")
    page.wait_for_timeout(100)
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert "onerror" in page.inner_text("#rows")


def test_a_narrow_window_with_the_keyboard_alone(show: Any) -> None:
    page = show(xg.draw(neuron, *NEURON), color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    picture, table = page.locator("#view").bounding_box(), page.locator("#side").bounding_box()
    assert table["y"] >= picture["y"] + picture["height"]  # below the picture, not beside it
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "forward"
    page.keyboard.press("Enter")
    assert page.inner_text("#step").startswith("forward")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.inner_text("#step").startswith("backward")
    assert page.get_attribute("#step", "aria-live") == "polite"
