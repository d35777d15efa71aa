"""Pictures: every kind of input, the numbers in them, what they say is missing, injection, sizes."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import ROOT
from xgrad.viz.arrays import number, summary
from xgrad.viz.drawing import Drawing
from xgrad.viz.layout import Item, _keep_apart, compose
from xgrad.viz.model import Box

from .computations import NEURON, gru_loss, gru_problem, neuron, plain_neuron

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str, kind: str | None = None) -> list[str]:
    """The texts of an SVG file, of one class or all; it must be well-formed."""
    found = ET.fromstring(svg).iter(f"{SVG}text")
    return [t.text or "" for t in found if kind is None or kind in t.get("class", "").split()]


def page_data(html: str) -> Any:
    (data,) = re.findall(r'<script type="application/octet-stream" id="data">(.*?)</script>', html)
    return json.loads(zlib.decompress(base64.b64decode(data)))


def test_the_sigmoid_neuron_of_the_notes() -> None:
    for f in (plain_neuron, neuron):
        svg = xg.draw(f, *NEURON).svg()
        assert "0.73" in texts(svg, "value")
        assert sorted(set(texts(svg, "grad"))) == sorted(
            {"-0.20", "0.39", "-0.39", "-0.59", "0.20", "1.00"} | ({"-0.53"} if f is plain_neuron else set())
        )
        # each of the five beside its input: the text of the same box
        for box in ET.fromstring(svg).iter(f"{SVG}g"):
            shown = {t.get("class"): t.text for t in box.findall(f"{SVG}text")}
            wanted = {"w[0]": "-0.20", "x[0]": "0.39", "w[1]": "-0.39", "x[1]": "-0.59", "w[2]": "0.20"}
            if shown.get("name") in wanted:
                assert shown["grad"] == wanted.pop(shown["name"])


def test_a_gate_opens_into_what_it_computes() -> None:
    closed, opened = xg.draw(neuron, *NEURON), xg.draw(neuron, *NEURON, open=["logistic"])
    assert "exp" not in texts(closed.svg())
    assert {"exp", "+1", "1/x"} <= set(texts(opened.svg()))
    assert texts(xg.draw(neuron, *NEURON, depth=1).svg()) == texts(opened.svg())
    # inside, the values are those of the neuron without the gate
    inside = {box.name: box for box in opened._picture.boxes if box.group}
    assert float(inside["x"].value) == 1.0
    assert float(inside["x"].grad) == pytest.approx(0.19661193)


@pytest.mark.parametrize("kind", ["function", "graph", "program", "module", "tensor", "method", "lambda"])
def test_every_kind_of_input(kind: str) -> None:
    gru, xs = gru_problem(3)
    x = xg.tensor([1.0, 2.0], requires_grad=True, name="x")
    drawing = {
        "function": lambda: xg.draw(gru_loss, gru, xs),
        "graph": lambda: xg.draw(xg.graph(gru_loss, gru, xs)),
        "program": lambda: xg.draw(xg.trace(gru_loss, gru, xs), depth=2),
        "module": lambda: xg.draw(gru),
        "tensor": lambda: xg.draw(xg.sum(x * x)),
        "method": lambda: xg.draw(gru, xs, depth=3),
        "lambda": lambda: xg.draw(lambda a, b: a @ b, np.ones((2, 3)), np.ones((3, 2))),
    }[kind]()
    assert isinstance(drawing, Drawing)
    ET.fromstring(drawing.svg())
    assert page_data(drawing.html())["boxes"]
    assert drawing.dot().startswith("digraph")
    assert drawing._repr_html_().count("<svg") == 1 or kind == "module"  # which Treescope may show
    assert set(drawing._repr_mimebundle_()) == {"text/html", "image/svg+xml", "text/plain"}


def test_the_page_has_the_numbers_of_the_engine() -> None:
    gru, xs = gru_problem(4)
    g = xg.graph(gru_loss, gru, xs)
    g.bprop()
    boxes = page_data(xg.draw(gru_loss, gru, xs).html())["boxes"].values()
    by_name = {box["name"]: box for box in boxes if box["kind"] != "group"}
    compared = 0
    for stage in g:
        if stage.op == "unstack":  # drawn as its parts
            continue
        box = by_name[stage.name]
        assert box["value"] == summary(stage.value).brief
        if stage.grad is not None:
            assert box["grad"] == summary(stage.grad).brief
            compared += 1
    assert compared > 100
    expected = xg.grad(gru_loss)(gru, xs)
    for name, p in expected.named_parameters().items():
        a = p.numpy()
        assert by_name[f"gru['{name}']"]["grad"] == (
            f"{number(float(a.min()))} | {number(float(a.mean()))} | {number(float(a.max()))}"
            if a.ndim > 1
            else f"[{' '.join(number(float(v)) for v in a)}]"
        )


def test_the_calls_of_deriv_add_up_to_the_gradients() -> None:
    gru, xs = gru_problem(3)
    for f, args in ((neuron, NEURON), (gru_loss, (gru, xs))):
        boxes = xg.draw(f, *args)._picture.boxes
        sums: dict[int, Any] = {}
        for box in boxes:
            for target, g in box.given:
                sums[target.id] = g.numpy() + sums.get(target.id, 0)
        assert len(sums) > 5
        for box in boxes:
            parts = any(box in user.inputs and user.sign.startswith("[") for user in boxes)
            if box.id in sums and not parts:
                np.testing.assert_allclose(sums[box.id], box.grad.numpy(), rtol=1e-12)


def test_where_two_ways_meet_the_page_says_plus_equals() -> None:
    boxes = page_data(xg.draw(lambda x: x * x + 3.0 * x, 2.0).html())["boxes"].values()
    given = [part for box in boxes for part in box["given"] if part[0] == "dx"]
    assert sorted(part[1] for part in given) == ["2.00", "2.00", "3.00"]
    assert [part[2] for part in given if part[2] is not None][-1:] in (["7.00"], ["5.00"])
    assert {part[2] for part in given} == {None, "5.00", "7.00"} or {part[2] for part in given} == {
        None,
        "4.00",
        "7.00",
    }


def test_the_local_rule_and_the_source_line_are_in_the_tips() -> None:
    svg = xg.draw(plain_neuron, *NEURON).svg()
    tips = [t.text or "" for t in ET.fromstring(svg).iter(f"{SVG}title")]
    assert any(
        "dx = dz * y\ndy = dz * x" in tip and ": dot = w[0] * x[0] + w[1] * x[1] + w[2]" in tip
        for tip in tips
    )
    assert any("dx = dz / y\ndy = -dz * z / y" in tip for tip in tips)
    assert any("dx = dz * z" in tip and "exp(" in tip for tip in tips)


def test_a_scan_opens_into_its_steps_and_a_step_into_its_gates() -> None:
    gru, xs = gru_problem(3)
    closed = xg.draw(gru_loss, gru, xs)
    assert "GRU" in texts(closed.svg())
    assert "t = 1" not in texts(closed.svg())
    steps = xg.draw(gru_loss, gru, xs, depth=2).svg()
    assert {"t = 0", "t = 1", "t = 2"} <= set(texts(steps))
    assert steps.count('class="wire carry"') == 2
    step = texts(xg.draw(gru_loss, gru, xs, open="t = 1").svg())
    assert sum("tanh(" in text for text in step) == 1
    assert sum("sigmoid(" in text for text in step) == 2


def test_the_equations_of_a_module_have_their_names() -> None:
    gru, xs = gru_problem(2)
    names = {box.name for box in xg.draw(gru_loss, gru, xs)._picture.boxes}
    assert {"z_t[t=0]", "r_t[t=0]", "h_tilde[t=0]", "h[t=0]", "h[t=1]"} <= names
    stages = xg.trace(lambda h, xs: xg.scan(lambda h, x: (xg.tanh(h + x), h), h, xs)[1], 0.1, np.ones(4))
    assert "instance" not in str(stages)  # a variable of Python's own abc module


def test_two_scans_and_two_calls_of_a_module_are_groups_of_their_own() -> None:
    layer = xg.nn.Linear(2, 2, dtype=xg.float64)

    def f(layer: Any, x: Any) -> Any:
        x, _ = xg.scan(lambda c, _: (c * 0.5, None), x, None, length=2)
        x, _ = xg.scan(lambda c, _: (c + 1.0, None), x, None, length=2)
        return xg.sum(layer(layer(x)))

    groups = xg.draw(f, layer, np.ones(2))._picture.groups
    assert [g.label for g in groups if g.kind == "scan"] == ["scan over t = 0, 1"] * 2
    assert [g.label for g in groups if g.kind == "module"] == ["Linear"] * 2
    assert [g.label for g in groups if g.kind == "step"] == ["t = 0", "t = 1"] * 2


def test_the_carry_of_a_program_goes_back() -> None:
    program = xg.trace(lambda h, xs: xg.scan(lambda h, x: (xg.tanh(h + x), h), h, xs)[0], 0.5, np.ones(4))
    drawing = xg.draw(program, depth=1)
    assert drawing.svg().count('class="wire back"') == 1
    ((after, before),) = drawing._picture.back
    assert (after.op, before.kind) == ("tanh", "port")


# What is missing


def test_a_function_that_fails_shows_what_it_computed() -> None:
    def f(x: Any, W: Any) -> Any:
        h = xg.tanh(2.0 * x)
        return W @ h

    drawing = xg.draw(f, np.ones(3), np.ones((2, 2)))
    assert "h" in texts(drawing.svg())
    assert "f failed: ShapeError" in drawing.notes[0]
    assert any("f failed" in text for text in texts(drawing.svg()))
    with pytest.raises(ZeroDivisionError):  # nothing was computed
        xg.draw(lambda x: 1 / 0, 2.0)


def test_a_tensor_shows_what_is_alive_and_says_what_is_not() -> None:
    x = xg.tensor([1.0, 2.0], requires_grad=True, name="x")
    z = xg.sum(xg.tanh(x) * x)
    alive = xg.draw(z)
    assert "not kept" in texts(alive.svg())
    by_op = {box.op: box for box in alive._picture.boxes}
    np.testing.assert_array_equal(by_op["tanh"].value.numpy(), np.tanh([1.0, 2.0]))
    np.testing.assert_array_equal(by_op[""].value.numpy(), [1.0, 2.0])
    assert by_op["*"].value is None
    assert float(by_op["sum"].value) == z.item()
    z.backward()
    freed = xg.draw(z)
    assert "freed by backward" in texts(freed.svg())
    assert "freed by backward" in freed.notes[0]
    np.testing.assert_allclose(next(b for b in freed._picture.boxes if not b.op).grad.numpy(), x.grad.numpy())


def test_nan_and_infinity_are_counted() -> None:
    with np.errstate(all="ignore"):
        svg = xg.draw(lambda x: xg.sum(xg.log(x)), np.linspace(-1, 1, 21)).svg()
    assert any(text.endswith("10 NaN, 1 infinite") for text in texts(svg, "value"))
    assert "nan" in texts(svg, "value")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3)),
        np.full((3, 4), np.nan),
        np.arange(12).reshape(3, 4),
        np.ones((2, 2), bool),
        np.ones((30, 70), np.float16),
        np.exp(1j * np.arange(6.0)),
        np.array(2**40),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_of_every_kind(array: Any) -> None:
    ET.fromstring(xg.draw(lambda x: +x, array, gradients=False).svg())


def test_a_heat_map_averages_and_keeps_the_last_rows() -> None:
    array = np.arange(50.0 * 2).reshape(50, 2)
    cells = np.array(summary(xg.asarray(array)).cells)
    expected = [array[i : i + 3].mean(0) for i in range(0, 50, 3)]
    np.testing.assert_allclose(cells, np.array(expected) / 99.0)


def test_extreme_numbers_are_summarised_without_overflow_or_warning(recwarn: pytest.WarningsRecorder) -> None:
    largest = np.finfo(float).max
    huge = summary(xg.asarray(np.full((50, 6), largest)))
    assert np.array(huge.cells).min() == 1.0
    assert huge.mean == huge.least == huge.most == largest
    mixed = summary(xg.asarray(np.array([[np.inf, -np.inf, np.nan, 1e-320, largest]] * 60)))
    assert mixed.odd == "60 NaN, 120 infinite"
    assert (mixed.least, mixed.most) == (1e-320, largest)
    assert not recwarn.list


def test_names_inject_nothing() -> None:
    evil = "</script><script>alert(1)</script>&\"'<!--"
    x = xg.tensor(2.0, requires_grad=True, name=evil)
    with xg.record():
        z = xg.tanh(x)
    drawing = xg.draw(xg.graph(z))
    root = ET.fromstring(drawing.svg())
    assert not list(root.iter("script")) + list(root.iter(f"{SVG}script"))
    assert any(evil[:20] in (t.text or "") for t in root.iter(f"{SVG}text"))
    html = drawing.html()
    assert html.count("<script") == 2
    assert html.count("</script>") == 2
    assert "<!--" not in html
    assert any(evil in box["name"] for box in page_data(html)["boxes"].values())


# Sizes and files


def test_a_page_of_a_gru_is_small_and_needs_no_network() -> None:
    gru, xs = gru_problem(1)
    html = xg.draw(gru_loss, gru, xs).html()
    assert len(html) < 300_000
    assert not re.search(r"(?:src|href)=['\"]?(?:https?:)?//", html)
    assert set(re.findall(r"https?://[^\"' )]*", html)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.slow
def test_long_computations_are_grouped_and_say_so() -> None:
    def f(x: Any) -> Any:
        for _ in range(1500):
            x = xg.tanh(0.9 * x)
        return x

    drawing = xg.draw(f, 0.5)
    assert len(drawing._picture.boxes) > 3000
    assert len(texts(drawing.svg())) < 1000
    assert any("too many to show at once" in note for note in drawing.notes)
    data = page_data(drawing.html())
    assert len(data["boxes"]) <= 2500
    assert any("too many to open here" in note for note in data["notes"])


def test_a_step_of_a_long_loop_opens_with_the_part_around_it() -> None:
    def f(h: Any) -> Any:
        return xg.scan(lambda h, _: (xg.tanh(h), h), h, None, length=200)[0]

    drawing = xg.draw(f, 0.5, open="t = 150")
    svg = drawing.svg()
    assert texts(svg).count("tanh") == 1
    assert "t = 149" in texts(svg)
    assert "t = 0" not in texts(svg)
    data = page_data(drawing.html())
    names = [box["name"] for box in data["boxes"].values()]
    order = ["scan over t = 0, ..., 199", "t = 0 … t = 39", "t = 0", "t = 40 … t = 79", "t = 40", "t = 199"]
    assert sorted(order, key=names.index) == order
    for group in data["open"]:
        assert data["groups"][group]["parent"] in (0, *data["open"])


def test_wires_of_many_steps_into_a_stack_are_not_all_drawn() -> None:
    gru, xs = gru_problem(20)
    svg = xg.draw(gru_loss, gru, xs, depth=2).svg()
    assert svg.count('<path class="wire') < 60
    assert any("only the wire of the last is drawn" in text for text in texts(svg))


def test_boxes_do_not_overlap() -> None:
    gru, xs = gru_problem(3)
    drawing = xg.draw(gru_loss, gru, xs, depth=4)

    def check(group: Any) -> None:
        placed = group.placed
        for i, a in enumerate(placed):
            for b in placed[:i]:
                apart = (
                    a.x + a.width <= b.x
                    or b.x + b.width <= a.x
                    or a.y + a.height <= b.y
                    or b.y + b.height <= a.y
                )
                assert apart, (a.item.box.name, b.item.box.name)
            assert a.x >= 0
            assert a.x + a.width <= group.width + 1e-9
            if a.inside is not None:
                check(a.inside)

    writer = drawing._writer
    check(compose(writer.levels, 0, drawing._open, writer.boxes.size))


@pytest.mark.parametrize("suffix", ["svg", "html", "dot", "png"])
def test_saves_files(suffix: str, tmp_path: Path) -> None:
    xg.draw(neuron, *NEURON).save(tmp_path / f"f.{suffix}")
    start = (tmp_path / f"f.{suffix}").read_bytes()[:20].lower()
    assert start.startswith(
        {"svg": b"<svg", "html": b"<!doctype", "dot": b"digraph", "png": b"\x89png"}[suffix]
    )


def test_wrong_arguments_say_what_is_right() -> None:
    with pytest.raises(ValueError, match=r"saved as \.svg, \.html, \.dot, \.png"):
        xg.draw(neuron, *NEURON).save("f.jpg")
    with pytest.raises(TypeError, match="draw takes a function"):
        xg.draw(3)
    with pytest.raises(KeyError, match="no group 'lstm' to open; the groups are 'logistic'"):
        xg.draw(neuron, *NEURON, open=["lstm"])
    with pytest.raises(TypeError, match="missing a required argument"):
        xg.draw(neuron, [1.0])


def test_without_igraph_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r"pip install 'xgrad\[viz\]'"):
        xg.draw(neuron, *NEURON).svg()


def test_importing_xgrad_does_not_import_pictures() -> None:
    code = "import sys, xgrad; print([m for m in sys.modules if m.startswith('xgrad.viz') or m == 'igraph'])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "cell.py").write_text(
        "import xgrad as xg\n\ndef cell(W, h, b=0.5):\n    h_new = xg.tanh(W @ h + b)\n    return h_new\n"
    )

    def run(*args: str) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "xgrad", "draw", *args],
            cwd=tmp_path,
            env={**__import__("os").environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("cell.py:cell", "3x2", "[1, 2]", "-o", "cell.svg")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cell.svg: Drawing(")
    assert "h_new" in texts((tmp_path / "cell.svg").read_text())
    for args, message in (
        (["cell.py:cell"], "cell(W, h, b) needs 2 arguments, not 0"),
        (["cell.py:cel", "1", "2"], "defines no 'cel'; it has cell"),
        (["nothing.py:f"], "no file 'nothing.py'"),
        (["cell.py:cell", "3x2", "abc"], "'abc' is neither a Python literal nor a shape"),
    ):
        failed = run(*args)
        assert failed.returncode == 1
        assert message in failed.stderr


@pytest.mark.slow
def test_two_thousand_nodes_take_no_minutes() -> None:
    """The figure is in the documentation; this only finds a layout whose time explodes."""

    def f(x: Any) -> Any:
        values = [x]
        for i in range(1000):
            values.append(xg.tanh(values[i // 2] * values[-1]))
        return values[-1]

    start = time.perf_counter()
    xg.draw(f, 0.5).svg()
    assert time.perf_counter() - start < 60


def test_the_page_of_fifty_steps_is_small() -> None:
    def loss(h: Any, xs: Any) -> Any:
        return xg.sum(xg.scan(lambda h, x: (xg.tanh(0.5 * h + x), h), h, xs)[1])

    assert len(xg.draw(loss, 0.1, np.linspace(-1, 1, 50)).html()) < 100_000
    assert len(xg.draw(gru_loss, *gru_problem(50)).html()) < 300_000


def test_rows_that_igraph_brings_together_are_kept_apart() -> None:
    items = [Item(Box(name), column=0, row=row) for name, row in (("a", 0.0), ("b", 0.5), ("c", 3.0))]
    other = Item(Box("d"), column=1, row=0.25)
    _keep_apart([*items, other])
    assert [item.row for item in items] == [0.0, 1.0, 3.0]
    assert other.row == 0.25
