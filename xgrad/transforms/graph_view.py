"""View of a recorded graph: every stage with its name, op, value and gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..backends.dtypes import is_floating
from ..compiler.names import Names
from ..compiler.printing.shapes import Shapes, shapes
from ..compiler.printing.spelling import shown
from ..core.backward import output_gradient, sweep
from ..core.context import mode
from ..core.dispatch import Value, apply
from ..core.graph import NOTHING, Leaf, Node, ancestors
from ..core.pytree import flatten, paths, unflatten
from ..core.recording import Constants, Recorded, names_from_variables
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import asarray
from ..ops.shaping import ITEM
from .backward_stages import BackwardStage, backward_stages
from .graph_program import program_of
from .graph_text import expression, listing, table
from .lifting import as_number, parameter_names


@contextmanager
def record() -> Iterator[None]:
    """Keep every value, gradient and variable name computed inside a `with` block, for `graph` to show.

    A value that leaves the graph there, as by `float(t)`, is warned of.

    >>> import xgrad as xg
    >>> x = xg.tensor(3.0, requires_grad=True, name="x")
    >>> with xg.record():
    ...     z = x * x
    >>> print(xg.graph(z))
    x     = leaf     () float64    = 3.
    z     = x * x    () float64    = 9.
    """
    with mode(record=True, lifted=True), names_from_variables():
        yield


def graph(f: Callable[..., Any] | Tensor, *args: Any) -> Graph:
    """The graph that `f(*args)` records, in topological order; or that of a Tensor, with the values kept.

    Args:
        f: a function that returns one Tensor, or a Tensor.
        args: its arguments, arrays or nested containers of them. Inputs carry the names of the parameters.
            Python integers count as floats, as in `grad`; integers of NumPy stay integers.

    >>> import xgrad as xg
    >>> g = xg.graph(lambda x, y: x * y + y, 2.0, 3.0)
    >>> g.bprop()
    >>> [(node.name, node.op, float(node.value), float(node.grad)) for node in g]
    [('x', 'input', 2.0, 3.0), ('y', 'input', 3.0, 3.0), ('z1', '*', 6.0, 1.0), ('z2', '+', 9.0, 1.0)]
    """
    if isinstance(f, Tensor):
        return Graph(f, [])
    inputs: list[Tensor] = []
    inspect.signature(f).bind(*args)  # raises the same TypeError as the call would
    with mode(record=True, grad=True, lifted=True), names_from_variables() as constants:
        lifted = [
            _lifted(arg, name, inputs) for arg, name in zip(args, parameter_names(f, len(args)), strict=True)
        ]
        z = f(*lifted)
    if not isinstance(z, Tensor):
        raise TypeError(
            f"graph needs a function that returns one Tensor, not {type(z).__name__}: for several outputs, "
            f"return one of them, or the sum of each times its gradient"
        )
    return Graph(z, inputs, constants)


def _lifted(arg: Any, name: str, inputs: list[Tensor]) -> Any:
    leaves, structure = flatten(arg)
    lifted = [
        _input(asarray(as_number(leaf)), f"{name}{path}")
        for leaf, path in zip(leaves, paths(arg), strict=True)
    ]
    inputs += lifted
    return unflatten(structure, [x._alias() for x in lifted])


def _input(x: Tensor, name: str | None) -> Tensor:
    node = Recorded(None, x.device, (), {}, NOTHING, x.shape, x.data.dtype)
    node.remember(x.data, [], needs=is_floating(x.dtype), name=name)
    return Tensor(x.data, x.device, node)


class GraphNode:
    """One stage of a graph.

    `name` is the name of its input or variable, else z1, z2, ... in order. `operands` are the stages and
    numbers that it was computed from.
    """

    def __init__(self, name: str, node: Node | Tensor, operands: tuple[Any, ...]) -> None:
        self.name = name
        self.operands = operands
        self._at = node
        self._grad: Tensor | None = None

    @property
    def node(self) -> Any:
        """The engine's node."""
        return self._at.node if isinstance(self._at, Tensor) else self._at

    @property
    def op(self) -> str:
        """The op that computed it; "input", "leaf" or "constant" where none did."""
        node = self.node
        if node is None:
            return "constant"
        if node.op is None:
            return "input" if not isinstance(node, Leaf) else "leaf" if node.needs else "constant"
        return str(node.op.name)

    @property
    def params(self) -> dict[str, Any]:
        """The op's parameters."""
        return self.node.params if self.node is not None else {}

    @property
    def source(self) -> str:
        """File and line of its source code."""
        return getattr(self.node, "source", "?")

    @property
    def value(self) -> Tensor | None:
        """The value; None if it was computed outside `graph` and `record`, and not kept."""
        if isinstance(self._at, Tensor):
            return self._at.detach()
        value = getattr(self._at, "value", None)
        return None if value is None or isinstance(value, tuple) else Tensor(value, self._at.device)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `bprop` or `backward` found here."""
        return self._grad if self._grad is not None else getattr(self.node, "grad", None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return tuple(self.node.shape if self.node is not None else self._at.shape)

    def expression(self) -> str:
        """The stage as an expression: `z1 + z2`, `tanh(z3)`."""
        return expression(self)

    def __repr__(self) -> str:
        return f"GraphNode({shown(self.name)} = {self.expression()})"


class Graph:
    """A graph: its stages in topological order.

    Iterate over the stages, look one up by name, or run them again: `fprop` forward, `bprop` backward.
    `output` is the stage of the result.
    """

    def __init__(self, output: Tensor, inputs: list[Tensor], constants: Constants | None = None) -> None:
        self.nodes = _stages(output, [x.node for x in inputs], constants or {})
        self.output = next(stage for stage in self.nodes if _key(stage._at) == _key(output))
        self._value = output

    def __iter__(self) -> Iterator[GraphNode]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> GraphNode:
        for stage in self.nodes:
            if stage.name == name:
                return stage
        raise KeyError(f"no stage {name!r}; the stages are {', '.join(stage.name for stage in self.nodes)}")

    def bprop(self, dz: Any = None) -> None:
        """Compute the gradient of every stage in reverse; the output's is `dz`, by default 1 for a scalar."""
        z, order = self._value, self._order()
        with mode(record=False, grad=False):
            grads = sweep(
                [(z, output_gradient(z, dz))], order, None, create_graph=False, free=False, keep=True
            )
        for stage in self.nodes:
            g = grads.get(stage.node)
            stage._grad = g if isinstance(g, Tensor) else None

    def _order(self) -> list[Node]:
        """The engine's nodes, newest first."""
        root = self._value.node
        if root is None or not root.needs:
            raise GraphError("no gradient flows through this graph: it has no floating-point input")
        return ancestors([root])[0]

    def backward(self, dz: Any = None) -> Iterator[BackwardStage]:
        """Go through the backward pass one `deriv` at a time, from the output; as `bprop` otherwise.

        Each step has the call, the numbers that go in and come out, and where they are added. Gradients are
        set in the graph as the iteration reaches them.

        >>> import xgrad as xg
        >>> def f(x, y):
        ...     s = x + y
        ...     return s * x
        >>> for stage in xg.graph(f, 3.0, -4.0).backward():
        ...     print(stage)
        z2 = s * x
            ds, dx = deriv(dz2, s, x, "*")
            dz2 = 1.
            ds  = 3.
            dx  = -1.
        s = x + y
            ret = deriv(ds, x, y, "+")
            ds  = 3.
            dx += 3.    now 2.
            dy  = 3.
        """
        order, z = self._order(), self._value
        return backward_stages(self.nodes, z, output_gradient(z, dz), order)

    def fprop(self, **inputs: Any) -> Tensor:
        """Compute every stage again with new values for some inputs, by name, and return the output.

        Raises KeyError for a name that is no input, ShapeError where the new values do not fit.
        """
        known = {stage.name for stage in self.nodes if stage.op == "input"}
        if unknown := set(inputs) - known:
            raise KeyError(
                f"no input {', '.join(sorted(unknown))}; the inputs are {', '.join(sorted(known))}"
            )
        new: dict[GraphNode, Any] = {}
        with mode(record=True, grad=True):
            for stage in self.nodes:
                new[stage] = _again(stage, new, inputs)
        for stage, z in new.items():
            stage._grad = None
            if isinstance(stage._at, Recorded):
                stage._at = z[0].node.parents[0] if isinstance(z, tuple) else z.node
        self._value = new[self.output]
        return self._value.detach()

    def shapes(self) -> Shapes:
        """The shapes of the stages and of each term of the gradients; see `Program.shapes`.

        Every time step of a scan is listed. Raises GraphError for a graph that was not recorded by `graph` or
        in a `record` block.

        >>> import xgrad as xg
        >>> print(xg.graph(lambda x, y: x * y, xg.ones((2, 3)), 2.0).shapes())
        x           (2, 3)  dx                              (2, 3)
        y           ()      dy                              ()
        z1 = x * y  (2, 3)  dx = dz1 * y                    (2, 3)
                            dy = sum(dz1 * x, axis=(0, 1))  ()  y is broadcast over axes 0, 1
        """
        return shapes(program_of(self.nodes, self.output))

    def __str__(self) -> str:
        return listing(self.nodes)

    def _repr_html_(self) -> str:
        return table(self.nodes)

    def __repr__(self) -> str:
        inputs = ", ".join(shown(stage.name) for stage in self.nodes if stage.op in ("input", "leaf"))
        return f"<Graph of {len(self)} stages, from {inputs or 'constants'} to {shown(self.output.name)}>"


def _again(stage: GraphNode, new: dict[GraphNode, Any], inputs: dict[str, Any]) -> Any:
    """Compute a stage again, from its recomputed operands."""
    if stage.op == "input":
        old = Tensor(stage.node.value, stage.node.device)
        return _input(
            asarray(inputs[stage.name], dtype=old.dtype, device=old.device) if stage.name in inputs else old,
            stage.node.name,
        )
    if isinstance(stage._at, Tensor):
        return stage._at
    if stage.node.op is ITEM:
        return new[stage.operands[0]][stage.params["i"]]
    operands = tuple(new[v] if isinstance(v, GraphNode) else v for v in stage.operands)
    z = apply(stage.node.op, operands, stage.params)
    if isinstance(z, Tensor) and isinstance(z.node, Recorded):
        z.node.name = stage.node.name
    return z


def _stages(output: Tensor, inputs: list[Any], constants: Constants) -> list[GraphNode]:
    """Every stage that the output was computed from, in the order of recording."""
    found: dict[int, tuple[Any, list[Any]]] = {}
    stack: list[Any] = [output.node if output.node is not None else output, *inputs]
    while stack:
        at = stack.pop()
        node = at.node if isinstance(at, Value) else at
        key = _key(at)
        if key in found:
            continue
        operands = _operands(node)
        found[key] = (at, operands)
        stack += [v for v in operands if isinstance(v, Node | Value)]
    ordered = dict(sorted(found.items(), key=lambda item: _number(item[1][0])))
    names = _names(ordered, constants)
    stages: dict[int, GraphNode] = {}
    for key, (at, operands) in ordered.items():
        refer = [stages[_key(v)] if isinstance(v, Node | Value) else v for v in operands]
        stages[key] = GraphNode(names[key], at, tuple(refer))
    return list(stages.values())


def _names(stages: dict[int, tuple[Any, list[Any]]], constants: Constants) -> dict[int, str]:
    """Name each stage as the user did, else z1, z2, ... by position; c for constants."""
    called: dict[int, str] = {}
    places: dict[int, str] = {}
    computed = 0
    for key, (at, operands) in stages.items():
        node = at.node if isinstance(at, Value) else at
        computed += bool(operands)
        name, steps = getattr(node, "name", None), getattr(node, "steps", ())
        if name:
            called[key] = f"{name}[t={','.join(map(str, steps))}]" if steps else name
        elif operands:
            places[key] = f"z{computed}"
        else:
            _, places[key] = constants.get(key, (None, "c"))
    names = Names()
    return {key: names.unique(stem) for key, stem in (called | places).items()}


def _key(v: Any) -> int:
    """The identity of a stage: its node, or a constant's array."""
    if isinstance(v, Value):
        return id(v.data if v.node is None else v.node)
    return id(v)


def _number(at: Any) -> int:
    """Sort key for the order of recording; constants, which have no node, come first."""
    node = at.node if isinstance(at, Value) else at
    return -1 if node is None else node.number


def _operands(node: Any) -> list[Any]:
    if isinstance(node, Recorded):
        return node.operands
    return [p for p in node.parents if p is not None] if node is not None else []
