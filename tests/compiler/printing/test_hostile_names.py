"""Hostile names remain names in generated Python, listings, graphs, and text of kernels."""

from __future__ import annotations

import ast
import keyword
import pickle
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.programs import numpy_names
from xgrad.compiler.codegen.llvm import plan as llvm
from xgrad.compiler.codegen.numpy import plan as numpy_text
from xgrad.compiler.lowering.lower import lower
from xgrad.compiler.names import Names
from xgrad.compiler.passes import optimise
from xgrad.compiler.printing.source import source
from xgrad.compiler.printing.spelling import called, expression_name, identifier, literal, quoted, shown
from xgrad.ops import OPS
from xgrad.transforms.derivation import _Backward, _speakable, derive
from xgrad.transforms.tracing import trace

CALLS: list[str] = []  # no generated text may ever append to this
EVIL = f"__import__('sys').modules['{__name__}'].CALLS.append('called')"

NAMES = [
    "",
    " ",
    "'",
    '"',
    '"""',
    "'''",
    "\\",
    "\\'",
    "\n",
    "\r",
    "\x00",
    "\x0b",
    "\x85",
    "\u2028",
    "\u2029",
    "\u202e",
    "\ud800",
    "{",
    "}",
    "{0}",
    "%s",
    "#",
    "a b",
    "a.b",
    "a-b",
    "1",
    "1x",
    "x'",
    "()",
    "[]",
    ";",
    ",",
    "=",
    "x = 1",
    "return",
    "lambda",
    "None",
    "True",
    "__debug__",
    "np",
    "cp",
    "numpy",
    "deriv",
    "eriv",
    "ret",
    "zeros_like",
    "zeros",
    "float",
    "complex",
    "slice",
    "range",
    "reversed",
    "saved",
    "forward",
    "backward",
    "sum",
    "tanh",
    "sigmoid",
    "scatter",
    "t",
    "_",
    "__class__",
    "print",
    "exec",
    "x",
    "dx",
    "z1",
    "dz1",
    "z2_2",
    "ﬁ",
    "ｎｐ",
    "ª",
    "²",
    "①",
    "σ",
    "𝐱",
    "x\u0301",
    "é",
    "х",
    "a\u200bb",
    "名前",
    "🙂",
    "run",
    "entry",
    "buffers",
    "view",
    "empty",
    "x\nimport os",
    f"x\n    {EVIL}\n",
    f'x"; {EVIL}; "',
    f"x'); {EVIL}; ('",
    f"x\r{EVIL}",
    f"\\\n{EVIL}",
    f"'''\n{EVIL}\n'''",
    f"{{{EVIL}}}",
    f"x, {EVIL}",
    EVIL,
    f"x[{EVIL}]",
    f"x['a', {EVIL}]",
    "x['a']",
    "x[0]",
    "x['a\\']",
    "x['a'] + 1",
    "n" * 10_000,
    "x\n" * 5_000,
    "'" * 10_000,
]


def some(names: list[str]) -> list[Any]:
    """Mark all but every fourth name as slow."""
    return [pytest.param(n, marks=[] if i % 4 == 0 else pytest.mark.slow) for i, n in enumerate(names)]


@pytest.fixture(autouse=True)
def _nothing_was_called() -> Iterator[None]:
    CALLS.clear()
    yield
    assert CALLS == []


def named(name: str) -> tuple[Callable[[Any], Any], Any, Any]:
    """Return a function of one argument and two Tensors with that name."""
    a = xg.tensor([0.5, -1.5], requires_grad=True, name=name)
    b = xg.tensor([2.0, 0.25], name=name)

    def f(x: Any) -> Any:
        y = xg.sigmoid(x * a) + x
        return xg.sum(xg.tanh(y * b) * a)

    return f, a, b


def by_numpy(x: Any, a: Any, b: Any) -> Any:
    return np.sum(np.tanh((np.tanh(0.5 * x * a) * 0.5 + 0.5 + x) * b) * a)


def slope(f: Callable[..., Any], args: list[Any], i: int) -> Any:
    """Return the gradient with respect to argument `i`, by finite differences."""
    found = np.zeros_like(args[i])
    for k in range(found.size):
        moved = [np.array(v) for v in args]
        moved[i][k] += 1e-6
        up = f(*moved)
        moved[i][k] -= 2e-6
        found[k] = (up - f(*moved)) / 2e-6
    return found


X, A, B = np.array([0.3, 0.7]), np.array([0.5, -1.5]), np.array([2.0, 0.25])


@pytest.mark.parametrize("name", some(NAMES), ids=lambda n: repr(n[:20]))
def test_names_in_source(name: str) -> None:
    f, *_ = named(name)
    program = trace(f, X)
    text = source(program)
    assert ast.dump(ast.parse(text)).count("Call") == ast.dump(
        ast.parse(source(trace(named("ordinary")[0], X)))
    ).count("Call")
    module: dict[str, Any] = {}
    exec(text, module)
    z, saved = module["forward"](X, A, B)
    np.testing.assert_allclose(z, by_numpy(X, A, B), rtol=1e-12)
    for i, g in enumerate(module["backward"](saved, np.ones(()))):
        np.testing.assert_allclose(g, slope(by_numpy, [X, A, B], i), rtol=1e-6)
    ast.parse(source(program, "cupy"))


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("name", some(NAMES), ids=lambda n: repr(n[:20]))
def test_names_in_derive(name: str, inline: bool) -> None:
    f, *_ = named(name)
    writer = _Backward(_speakable(trace(f, X)), inline)
    derivation = writer.derivation()
    assert str(derivation) == str(derive(f, X, inline=inline))
    here = numpy_names()
    for v, value in zip(derivation.forward.inputs, (X, A, B), strict=True):
        stem = v.name.partition("[")[0]
        if stem != v.name:
            here[stem], here[f"d{stem}"] = {"a": 0}, {"a": 0}
        here["leaf"] = np.array(value)
        exec(f"{v.name} = leaf", here)
    ast.parse(str(derivation))
    exec(str(derivation), here)
    for i, v in enumerate(derivation.forward.inputs):
        np.testing.assert_allclose(eval(writer.called[v], here), slope(by_numpy, [X, A, B], i), rtol=1e-6)


@pytest.mark.parametrize("name", some(NAMES), ids=lambda n: repr(n[:20]))
def test_names_in_listings_and_graphs(name: str) -> None:
    f, *_ = named(name)
    program = trace(f, X)
    usual = str(trace(named("ordinary")[0], X)).splitlines()
    assert len(str(program).splitlines()) == len(usual)
    assert all(line.isprintable() and len(line) < 1000 for line in str(program).splitlines())
    with xg.record():
        lines, others = (str(xg.graph(g(xg.asarray(X)))).splitlines() for g in (f, named("ordinary")[0]))
    assert len(lines) == len(others)
    assert all(line.isprintable() and len(line) < 1000 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", some(NAMES), ids=lambda n: repr(n[:20]))
def test_names_are_not_in_the_text_of_kernels(name: str) -> None:
    """The text for LLVM, CUDA and the NumPy executor is identical with harmless names."""
    texts = []
    for n in (name, "ordinary"):
        program = trace(xg.value_and_grad(named(n)[0]), X)
        plan = lower(optimise(program)).plan
        texts.append((llvm.write(plan), numpy_text.write(plan), source(program, "cuda")))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", some([n for n in NAMES if n]))
def test_keys_of_containers(name: str) -> None:
    def f(params: Any) -> Any:
        return xg.sum(params[name] * params["other"]["w"] ** 2)

    args = {name: X, "other": {"w": A}}
    module: dict[str, Any] = {}
    program = trace(f, args)
    exec(source(program), module)
    order = [X, A] if "['w']" in program.inputs[1].name else [A, X]
    z, saved = module["forward"](*order)
    np.testing.assert_allclose(z, np.sum(X * A**2))
    want = [A**2, 2 * X * A]
    for g, w in zip(module["backward"](saved, np.ones(())), want if order[0] is X else want[::-1]):
        np.testing.assert_allclose(g, w)
    text = str(derive(f, args))
    ast.parse(text)
    assert len(str(program).splitlines()) == 6


def gradient(f: Callable[[Any], Any], x: Any, dz: Any) -> Any:
    """Run the backward pass that `derive` writes, for a function of one argument and one stage."""
    writer = _Backward(_speakable(trace(f, x)), False)
    backward = writer.derivation().backward
    (given,), (result,) = writer.program.inputs, writer.program.outputs
    here = numpy_names() | {given.name: np.array(x), writer.called[result]: np.array(dz)}
    exec(backward, here)
    return here[writer.called[given]]


OPS_NAMES = [n for n in NAMES if n and n not in OPS and n not in ("sum",)]
OPS_NAMES += [
    "linalg.norm",
    "mylib.softplus",
    "np.exp",
    "numpy.sum",
    "fft.fft2",
    "random.normal",
    "__import__",
    "os.system",
    "mean2",
    "squeeze",
    "absolute",
]


@pytest.mark.parametrize("name", some(OPS_NAMES), ids=lambda n: repr(n[:20]))
def test_registered_ops_are_what_their_functions_do(name: str) -> None:
    """A registered op calls its own function, even if the library has another one of that name."""
    own = xg.register_op(
        name,
        lambda xp, x, *, k=3: xp.tanh(x) * k + x,
        dx=lambda xp, dz, x, *, k: dz * ((1 - xp.tanh(x) ** 2) * k + 1),
    )
    try:
        program = trace(lambda x: xg.sum(own(x, k=5) * own(x)), X)
        assert pickle.loads(pickle.dumps(program)) == program
        want = lambda x: np.sum((np.tanh(x) * 5 + x) * (np.tanh(x) * 3 + x))
        for backend in ("numpy", "cupy"):
            ast.parse(source(program, backend))
        module: dict[str, Any] = {}
        exec(source(program), module)
        z, saved = module["forward"](X)
        np.testing.assert_allclose(z, want(X))
        np.testing.assert_allclose(module["backward"](saved, np.ones(()))[0], slope(want, [X], 0), rtol=1e-6)
        np.testing.assert_allclose(xg.compile(lambda x: xg.sum(own(x, k=5) * own(x)))(X).numpy(), want(X))
        np.testing.assert_allclose(
            gradient(lambda x: own(x, k=5), X, [1.0, 2.0]), ((1 - np.tanh(X) ** 2) * 5 + 1) * [1.0, 2.0]
        )
        ast.parse(str(derive(lambda x: xg.sum(own(x)), X, inline=True)))
        assert all(line.isprintable() for line in str(program).splitlines())
    finally:
        xg.unregister_op(name)


@pytest.mark.parametrize(
    "name",
    [
        "tanh",
        "linalg.inv",
        "fft.fft",
        "+",
        "@+",
        "add_product",
        "scan",
        "new",
        "custom",
        "checkpoint",
        "item",
    ],
)
def test_the_library_keeps_its_names(name: str) -> None:
    with pytest.raises(ValueError, match="already in the table"):
        xg.register_op(name, lambda xp, x: x)
    with pytest.raises((ValueError, xg.UnknownOpError)):
        xg.unregister_op(name)


@pytest.mark.parametrize("name", some([*NAMES, "linalg.norm", "tanh", "sigmoid"]), ids=lambda n: repr(n[:20]))
def test_gates(name: str) -> None:
    def cube(x: Any) -> Any:
        return x * x * x

    cube.__name__ = name
    own = xg.gate(cube, dx=lambda dz, x: dz * 3 * x * x)
    program = trace(lambda x: xg.sum(own(x) * x), X)
    module: dict[str, Any] = {}
    exec(source(program), module)
    z, saved = module["forward"](X)
    np.testing.assert_allclose(z, np.sum(X**4))
    np.testing.assert_allclose(module["backward"](saved, np.ones(()))[0], 4 * X**3)
    for inline in (False, True):
        ast.parse(str(derive(lambda x: xg.sum(own(x) * x), X, inline=inline)))
    text = derive(lambda x: own(x) * x, X).backward
    if name in OPS:  # the gate's rule is used, not that of the op of the same name
        assert quoted(name) not in text
    assert len(str(program).splitlines()) == 5
    with xg.record():
        assert len(str(xg.graph(own(xg.asarray(X)))).splitlines()) == 2


@pytest.mark.parametrize(
    "name", some([n for n in NAMES if n and not n.isidentifier()]), ids=lambda n: repr(n[:20])
)
def test_parameters(name: str) -> None:
    """Hostile names and values of parameters."""
    own = xg.register_op(
        "own_parameters",
        lambda xp, x, **params: x * len(next(iter(params.values()))),
        dx=lambda dz, **params: dz,
    )
    try:
        program = trace(lambda x: own(x, **{name: name}), X)
        assert len(str(program).splitlines()) == 3
        exec(source(program), {})
        ast.parse(str(derive(lambda x: own(x, **{name: name}), X)))
    finally:
        xg.unregister_op("own_parameters")


def test_numbers_are_read_back_to_the_bit() -> None:
    tiny, zero = 5e-324, -0.0
    numbers = [
        0,
        -1,
        True,
        2.5,
        zero,
        tiny,
        1e308,
        float("inf"),
        -float("inf"),
        1j,
        complex(zero, 1),
        complex(1, zero),
        complex(zero, zero),
    ]
    numbers += [
        complex(float("inf"), 2),
        complex(float("nan"), zero),
        np.float64(1.5),
        np.int64(-3),
        np.bool_(True),
        np.float32(0.1),
        np.complex64(1 - 2j),
    ]
    for v in numbers:
        found = eval(literal(v), {"__builtins__": {"float": float, "complex": complex}})
        plain = v.item() if isinstance(v, np.generic) else v
        assert type(found) is type(plain)
        assert np.array(found).tobytes() == np.array(plain).tobytes()
    for v in ((1, (2, "x\n"), slice(None, 3), ..., None, [1.5]), (), ("'\"\\",), np.dtype("float32")):
        found = eval(literal(v), {"__builtins__": {"slice": slice}})
        assert found == ("float32" if isinstance(v, np.dtype) else v)
    with pytest.raises(TypeError, match="cannot be written"):
        literal(object())


class Liar(float):
    """A number whose text is code."""

    def __repr__(self) -> str:
        return EVIL

    __str__ = __repr__


def test_values_whose_text_is_code() -> None:
    assert literal((Liar(2.0),)) == "(2.0,)"
    own = xg.register_op("own_liar", lambda xp, x, *, k=1: x * float(k), dx=lambda dz, *, k: dz * float(k))
    try:
        module: dict[str, Any] = {}
        program = trace(lambda x: own(x, k=Liar(2.0)) * 3.0, X)
        exec(source(program), module)
        np.testing.assert_allclose(module["forward"](X)[0], 6 * X)
        np.testing.assert_allclose(gradient(lambda x: own(x, k=Liar(2.0)), X, [1.0, 1.0]), [2.0, 2.0])
        assert EVIL not in str(program)
    finally:
        xg.unregister_op("own_liar")


@pytest.mark.parametrize("name", some(NAMES), ids=lambda n: repr(n[:20]))
def test_the_functions_themselves(name: str) -> None:
    found = identifier(name)
    assert found.isidentifier()
    assert not keyword.iskeyword(found)
    assert found != "__debug__"
    assert unicodedata.normalize("NFKC", found) == found
    assert len(found) < 100
    assert ast.literal_eval(quoted(name)) == name
    assert quoted(name).isprintable()
    assert shown(name).isprintable()
    ast.parse(f"{expression_name(name)} = 1")
    names, stem = Names(["x"]), expression_name(name)
    found_twice = {names.unique(stem), names.unique(stem), names.unique("ordinary")}
    assert len(found_twice) == 3
    assert "x" not in found_twice


@pytest.mark.parametrize("op", ["+", "@+", "<=", "tanh", "linalg.norm"])
def test_ops_keep_their_symbols(op: str) -> None:
    assert called(op) == op


def gate_of(name: str) -> Any:
    def function(x: Any) -> Any:
        return x * x + 1

    function.__name__ = name
    return xg.gate(function, dx=lambda dz, x: 3 * x * dz)  # a rule that no other op has


@pytest.mark.parametrize("name", ["tanh", "+", "&", "sum", "exp", "add", "my_gate", "a b", "def", "\n"])
def test_gates_named_as_ops_of_the_table(name: str) -> None:
    """The text from `derive` calls the gate and its rule, not the op.

    If the gate is missing, it raises NameError.
    """
    mine = gate_of(name)
    x = xg.asarray([0.5, -1.5])
    text = str(derive(lambda x: xg.sum(xg.tanh(mine(x)) * xg.exp(x)), x))
    with pytest.raises(NameError):
        exec(text, {**vars(xg), "x": x})
    (called_as,) = {
        node.func.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and node.func.id not in vars(xg)  # type: ignore[attr-defined]
    }
    space = {**vars(xg), "x": x, called_as: mine}
    exec(text, space)
    z, e = np.asarray([0.5, -1.5]) ** 2 + 1, np.exp([0.5, -1.5])
    np.testing.assert_allclose(
        space["dx"].numpy(), (1 - np.tanh(z) ** 2) * e * 3 * np.asarray([0.5, -1.5]) + np.tanh(z) * e
    )


def test_gates_of_one_name() -> None:
    """The rule is that of the gate that the function uses, not of the one created last."""
    first, last = gate_of("cell"), xg.gate(gate_of("cell").__wrapped__, dx=lambda dz, x: 100 * dz)
    x = xg.asarray([0.5, -1.5])
    for mine, slope in ((first, [1.5, -4.5]), (last, [100.0, 100.0])):
        space = {**vars(xg), "x": x, "cell": mine}
        exec(str(derive(lambda x: xg.sum(mine(x)), x)), space)
        assert space["dx"].tolist() == slope
