"""Text of modules and optimisers."""

from __future__ import annotations

from typing import Any

import pytest

import xgrad as xg


class Net(xg.nn.Module):
    """Submodules, a list and a dict of them, and a tied Tensor."""

    def __init__(self) -> None:
        self.heads = 4
        self.embed = xg.nn.Embedding(5, 3)
        self.layers = [xg.nn.Linear(3, 3), xg.nn.Linear(3, 3), xg.nn.Linear(3, 2)]
        self.more = {"gru": xg.nn.GRU(2, 3), "none": None}
        self.out = self.embed.weight


def test_a_module_is_an_indented_tree() -> None:
    assert repr(Net()) == (
        """Net(
  101 parameters, float32, heads=4, out: tied to embed.weight
  embed: Embedding(15 parameters, weight: (5, 3))
  layers: [
    0 to 1: each Linear(12 parameters, weight: (3, 3), bias: (3,))
    2: Linear(8 parameters, weight: (2, 3), bias: (2,))
  ]
  more: {
    gru: GRU(54 parameters, reset='before', W_zh: (3, 3), W_zx: (3, 2), W_rh: (3, 3), W_rx: (3, 2),
        W_h: (3, 3), W_x: (3, 2), b_z: (3,), b_r: (3,), b_h: (3,))
  }
)"""
    )


def test_the_count_is_that_of_the_parameters() -> None:
    net = Net()
    assert f"{sum(p.size for p in net.parameters())} parameters" in repr(net)


def test_a_small_module_is_one_line() -> None:
    assert repr(xg.nn.Linear(2, 1)) == "Linear(3 parameters, float32, weight: (1, 2), bias: (1,))"
    assert repr(xg.nn.Module()) == "Module(0 parameters)"


def test_mixed_dtypes_and_devices_are_said() -> None:
    net = Net()
    net.out = xg.zeros(2, dtype=xg.float64, device="strict:1")
    text = repr(net)
    assert "float32, float64 on strict:1" in text
    assert "out: (2,) float64" in text


def test_odd_contents_are_no_error() -> None:
    net = Net()
    net.text = "line\nbreak" * 50
    net.this = [net]  # of itself
    net.gradients = xg.tree_map(lambda p: None, xg.nn.Linear(2, 2))
    assert max(map(len, repr(net).splitlines())) < 400
    shapes = xg.tree_map(lambda p: p.shape, xg.nn.Linear(2, 2))
    assert repr(shapes).startswith("Linear(")
    seen: list[str] = []
    xg.trace(lambda net: (seen.append(repr(net)), net.weight)[1], xg.nn.Linear(2, 1))
    assert seen == ["Linear(3 parameters, float32, weight: (1, 2), bias: (1,))"]


def test_the_table_of_a_module_is_escaped() -> None:
    net = Net()
    setattr(net, "<script>alert(1)</script>", xg.zeros(2))
    html = net._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "tied to embed.weight" in html
    assert "103 parameters" in html


def test_an_optimiser_says_its_settings_and_steps() -> None:
    model = xg.nn.Linear(2, 1)
    optimizer = xg.optim.Adam(model, lr=0.1)
    start = "<Adam(lr=0.1, betas=(0.9, 0.999), eps=1e-08) of 3 parameters in 2 Tensors, after"
    assert repr(optimizer) == f"{start} 0 steps>"
    optimizer.step(xg.tree_map(xg.ones_like, model))
    assert repr(optimizer) == f"{start} 1 step>"
    sgd = xg.optim.SGD([xg.tensor(1.0, requires_grad=True)], momentum=0.9)
    assert repr(sgd) == "<SGD(lr=0.01, momentum=0.9) of 1 parameter in 1 Tensor, after 0 steps>"


def scaled(x: Any) -> Any:
    return 2 * x


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: xg.trace(scaled, 1.0), "<Program scaled(x): 1 stage>"),
        (lambda: xg.derive(scaled, 1.0), "<Derivation of scaled(x): 1 stage>"),
        (lambda: xg.compile(scaled), "<compiled scaled, traced 0 times>"),
        (lambda: xg.custom_vjp(scaled), "<custom_vjp scaled>"),
        (lambda: xg.random.default_rng(0), "Generator(device='cpu')"),
        (lambda: xg.current_device(), "device('cpu')"),
        (lambda: xg.graph(scaled, 1.0), "<Graph of 2 stages, from x to z1>"),
    ],
)
def test_other_objects_are_short(value: Any, text: str) -> None:
    assert repr(value()) == text


def test_a_program_counts_its_loops() -> None:
    program = xg.trace(lambda xs: xg.scan(lambda h, x: (h + x, None), xs[0], xs)[0], xg.zeros(3))
    assert repr(program) == "<Program <lambda>(xs): 2 stages, one of them a loop>"


def test_a_stage_is_one_line() -> None:
    assert repr(xg.trace(scaled, xg.zeros(3)).stages) == "(<Stage z1 = *(2, x)>,)"


def test_a_gate_shows_its_attributes() -> None:
    class Scale(xg.Gate):
        def __init__(self, s: Any) -> None:
            self.s = s

        def forward(self, x: Any) -> Any:
            return self.s * x

        def backward(self, dz: Any) -> Any:
            return self.s * dz

    assert repr(Scale(2.0)) == "Scale(s=2.0)"
    assert repr(Scale(xg.zeros(2000))) == "Scale(s=s)"
