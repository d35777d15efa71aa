"""`derive`: the listing of a function's backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from ..backends import find_device
from ..backends.dtypes import canonical, is_complex, is_floating
from ..compiler.ir import Item, Operand, Program, Stage, Value, substitute
from ..compiler.names import Names
from ..compiler.printing import source as _source  # importing it sets Program.source
from ..compiler.printing.listing import (
    ATOM,
    SUM,
    Row,
    Text,
    aligned,
    expression,
    form,
    opened,
    operand,
)
from ..compiler.printing.loops import code_rows
from ..compiler.printing.spelling import (
    expression_name,
    identifier,
    is_identifier,
    shown,
)
from ..compiler.printing.tables import html_text
from ..compiler.scan import derivative_of
from ..compiler.trace import Tracer, trace_to_ir
from ..compiler.variables import Var, spec_of
from ..core.pytree import tree_map
from ..core.rules import ShapeDtype, conjugate_vjp
from ..core.tensor import Tensor
from ..errors import GraphError
from ..ops import OPS, Op
from ..ops.rules import Given
from .deriv_calls import deriv_call, empty_container, path_of
from .lifting import as_number
from .tracing import trace


class Derivation(NamedTuple):
    """`forward`, a program, and `backward`, the lines of code that compute its gradients.

    The text is Python that runs, given the inputs and the functions of `xg`, or without gates, of NumPy.
    """

    forward: Program
    backward: str

    def __str__(self) -> str:
        program = opened(self.forward, taken=_RESERVED, spelled=identifier)
        lines = code_rows(program.stages, Names.beside(program))
        inputs = "".join(f"# {shown(v.name)} is given: {form(v)}\n" for v in program.inputs)
        return f"# forward\n{inputs}{aligned(list(lines), '# ')}\n\n# backward\n{self.backward}"

    def __repr__(self) -> str:
        return repr(self.forward).replace("Program", "Derivation of", 1)

    def _repr_html_(self) -> str:
        return html_text(str(self))


def derive(f: Callable[..., Any], *args: Any, inline: bool = False) -> Derivation:
    """List the backward pass of `f(*args)`, stage by stage, in terms of `deriv` and `+=`.

    Args:
        f, args: as for `trace`; Python integers count as floats. All floating-point inputs get gradients.
        inline: write out the rule of each gate instead of calling `deriv`.

    Returns:
        A Derivation: print it. A scan has its backward loop written out.

    Raises:
        TraceError, as `trace` does.

    >>> import xgrad as xg
    >>> print(xg.derive(lambda x: xg.tanh(x * x), 1.0))
    # forward
    # x is given: () float64
    z1 = x * x       # () float64
    z2 = tanh(z1)    # () float64
    <BLANKLINE>
    # backward
    dz2 = 1.0                                # () float64
    dz1 = deriv(dz2, z1, None, "tanh")[0]    # () float64
    ret = deriv(dz1, x, x, "*")
    dx  = ret[0]                             # () float64
    dx += ret[1]
    >>> print(xg.derive(lambda x: xg.tanh(x * x), 1.0, inline=True).backward)
    dz2 = 1.0                    # () float64
    dz1 = dz2 * (1 - z2 * z2)    # () float64
    dx  = dz1 * x                # () float64
    dx += dz1 * x
    """
    return _Backward(_speakable(trace(f, *tree_map(as_number, args))), inline).derivation()


#: Names used in the text of a backward pass besides ops.
_CALLED = (
    "Hole",
    "arange",
    "complex",
    "deriv",
    "empty",
    "eye",
    "float",
    "full",
    "linspace",
    "ones",
    "range",
    "ret",
    "reversed",
    "slice",
    "zeros",
    "zeros_like",
    "_",
)
#: Names that no value may have.
_RESERVED = (*_CALLED, *filter(str.isidentifier, OPS))


def _speakable(program: Program) -> Program:
    """Rename values to names that are valid in expressions and shadow nothing that the text uses."""
    names = Names(_RESERVED)
    values = [*program.inputs, *(v for s in program.stages for v in s.outputs)]
    values.sort(key=lambda v: not is_identifier(v.name))  # names that can stay come first
    # also the stem of `params['W']`
    stems = {v.name.partition("[")[0] for v in values if expression_name(v.name) == v.name}
    stems.difference_update(names.taken, (v.name for v in values))
    names.taken |= stems

    def name(v: Value) -> str:
        return names.unique(
            expression_name(v.name) if v.name.partition("[")[0] in stems else identifier(v.name)
        )

    new: dict[Value, Operand] = {v: v._replace(name=name(v)) for v in values}

    def renamed(v: Operand) -> Any:
        return new[v] if type(v) is Value else v

    stages = []
    for item in program.stages:
        s = substitute(item, new)
        assert isinstance(s, Stage)  # scans are still stages here
        stages.append(replace(s, outputs=tuple(map(renamed, s.outputs))))
    inputs, outputs = (tuple(map(renamed, values)) for values in (program.inputs, program.outputs))
    return replace(program, inputs=inputs, stages=tuple(stages), outputs=outputs)


class _Backward:
    """The lines of a backward pass, last stage first."""

    def __init__(self, program: Program, inline: bool) -> None:
        self.program, self.inline = program, inline
        self.names = Names((*_RESERVED, *(v.name for v in program.inputs)))
        for s in program.stages:
            self.names.taken.update(v.name for v in s.outputs)
        self.lines: list[Row] = []
        self.grads: dict[Value, str] = {}  # the name of each gradient that has been given a value
        self.own: set[Value] = set()  # values whose gradient is not aliased, so may be added to in place
        self.derivatives: dict[Value, Any] = {}  # the derivatives of scans, by first output
        self.called: dict[Value, str] = {}  # the name of each gradient, assigned or not

    def derivation(self) -> Derivation:
        """Write both passes."""
        program = self._with_residuals()
        self.lines += [Row(0, name, text) for name, text in self._containers()]
        roots = list(dict.fromkeys(v for v in program.outputs if type(v) is Value and v in self.active))
        for v in roots:
            name = self.grads[v] = self._d(v)
            if v.shape == () and len(roots) == 1:
                self.lines.append(Row(0, name, "1.0", form(v)))
            else:
                self.lines.append(Row(0, "", f"# {name} is given: {form(v)}"))
        for s in reversed(program.stages):
            assert isinstance(s, Stage)
            if any(v in self.grads for v in s.outputs):
                (self._scan if s.op == "scan" else self._written_out if self.inline else self._by_deriv)(s)
        for v in program.inputs:
            if is_floating(v.dtype) and v not in self.grads:
                self._add(v, Text(f"zeros_like({v.name})"))
        return Derivation(program, aligned(self.lines, "# "))

    def _containers(self) -> Iterator[tuple[str, str]]:
        """The lists and dicts, still empty, that the gradients of the parts of arguments are put into."""
        parts: dict[str, list[list[Any]]] = {}
        for v in self.program.inputs:
            stem, bracket, _ = self._d(v).partition("[")
            if bracket:
                parts.setdefault(stem, []).append(path_of(self._d(v)))
        yield from ((stem, empty_container(places)) for stem, places in parts.items())

    def _with_residuals(self) -> Program:
        """The program with the residuals for the backward loops as further outputs of its scans.

        Sets `active`: the values that have a gradient.
        """
        self.active = {v for v in self.program.inputs if is_floating(v.dtype)}
        stages: list[Item] = []
        for s in self.program.stages:
            assert isinstance(s, Stage)
            if self._wanted(s):
                self.active.update(v for v in s.outputs if is_floating(v.dtype))
                if s.op == "scan":
                    s = self._kept(s)
            stages.append(s)
        return replace(self.program, stages=tuple(stages))

    def _kept(self, s: Stage) -> Stage:
        derivative = derivative_of(s.params["body"], tuple(v in self.active for v in s.operands))
        self.derivatives[s.outputs[0]] = derivative
        forward, length = derivative.forward, s.params["length"]
        kept = forward.program.outputs[len(s.outputs) :]
        more = tuple(
            Value(self._name(f"{v.name}s"), (length, *v.shape), v.dtype) for v in kept if type(v) is Value
        )
        return Stage("scan", s.operands, s.outputs + more, {**s.params, "body": forward}, s.source)

    def _wanted(self, s: Stage) -> dict[int, Value]:
        """The operands that have a gradient, by position."""
        op = OPS[s.op]
        rules = op.rules * len(s.operands) if op.variadic else op.rules
        return {
            i: v
            for i, (v, rule) in enumerate(zip(s.operands, rules))
            if rule is not None and type(v) is Value and v in self.active
        }

    def _name(self, stem: str) -> str:
        """A unique name that is valid in an expression."""
        return self.names.unique(expression_name(stem))

    def _d(self, v: Value) -> str:
        """The name of the gradient of `v`."""
        if v not in self.called:
            self.called[v] = self._name(f"d{v.name}")
        return self.called[v]

    def _add(self, v: Value, text: Text) -> None:
        """Write a contribution to the gradient of `v`: assign the first, add the others."""
        again, name = v in self.grads, self._d(v)
        if v in self.own:
            self.lines.append(Row(0, "", f"{name} += {text.text}"))
            return
        self.grads[v] = name
        if again or text.level < ATOM or text.text.startswith(("deriv(", "ret[")):
            self.own.add(v)
        self.lines.append(Row(0, name, f"{name} + {text.within(SUM)}" if again else text.text, form(v)))

    def _by_deriv(self, s: Stage) -> None:
        custom, wanted = s.op == "custom", self._wanted(s)
        # what a gate captures from outside is no operand of it
        operands = s.operands[: s.params["count"]] if custom else s.operands
        args = [operand(v).text for v in operands]
        parts = [self.grads.get(v, "None") for v in s.outputs]
        dz = parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
        entry, params = (s.params["entry"], dict(s.params["options"])) if custom else (OPS[s.op], s.params)
        call = deriv_call(dz, args, entry, params)
        if len(args) == 1:
            self._add(wanted[0], Text(f"{call}[0]"))
        elif self.grads.keys().isdisjoint(wanted.values()) and len(set(wanted.values())) == len(wanted):
            for v in wanted.values():
                self.grads[v] = self._d(v)
                self.own.add(v)
            left = ", ".join(self.grads[wanted[i]] if i in wanted else "_" for i in range(len(args)))
            self.lines.append(Row(0, left, call, form(*wanted.values())))
        else:
            self.lines.append(Row(0, "ret", call))
            for i, v in wanted.items():
                self._add(v, Text(f"ret[{i}]"))

    def _written_out(self, s: Stage) -> None:
        """Write the rule of each operand as an expression, by tracing the rule."""
        op, wanted = OPS[s.op], self._wanted(s)
        one = len(s.outputs) == 1 and s.op != "custom"  # the rule of a custom gate always takes tuples
        moved = [v for v in s.outputs if v in self.grads]
        targets = [
            ShapeDtype(wanted[i].shape, canonical(wanted[i].dtype)) if i in wanted else None
            for i in range(len(s.operands))
        ]
        given: list[Value] = []  # the wanted operands that get a gradient

        def rule(*tensors: Tensor) -> list[Tensor]:
            variables = iter(tensors)
            moves = {v: next(variables) for v in moved}
            dz: Any = tuple(moves.get(v) for v in s.outputs)
            z: Any = tuple(next(variables) for _ in s.outputs)
            dz, z = (dz[0], z[0]) if one else (dz, z)
            x = tuple(next(variables) if type(v) is Value else v for v in s.operands)
            vjp = conjugate_vjp if one and is_complex(s.output.dtype) else Op.vjp
            found = vjp(op, Given(Tensor.xp, dz, op.save(z, x)), targets, dict(s.params))
            given.extend(v for i, v in wanted.items() if found[i] is not None)
            return [found[i] for i in wanted if found[i] is not None]

        device = find_device("cpu")
        specs = [spec_of(v, device) for v in (*moved, *s.outputs, *s.values)]
        texts = [self.grads[v] for v in moved] + [v.name for v in (*s.outputs, *s.values)]
        traced = trace_to_ir(rule, specs, kind=_source.Written)
        known = dict(zip(traced.inputs, map(Text, texts), strict=True))
        for v, gradient in zip(given, traced.outputs, strict=True):
            self._add(v, self._nested(traced.tracer, gradient, known))
        traced.close()

    def _nested(self, tracer: Tracer, result: Var, known: dict[Var, Text]) -> Text:
        """Write `result` as one expression; repeated subexpressions get names, in lines before it."""
        useful = tracer.ancestors([result], known)
        entries = [e for e in tracer.written if e[3][0] in useful and e[3][0] not in known]
        uses: dict[Any, int] = {}
        for _, operands, _, _, _ in entries:
            for v in operands:
                if type(v) is Var:
                    uses[v] = uses.get(v, 0) + 1
        for op, operands, params, (out,), _ in entries:
            if op.name in ("reshape", "broadcast_to") and operands[0].shape == out.shape:
                known[out] = known[operands[0]]
                continue
            text = expression(op.name, [known[v] if type(v) is Var else operand(v) for v in operands], params)
            if uses.get(out, 0) > 1:
                name = self.names.unique("t")
                self.lines.append(Row(0, name, text.text))
                text = Text(name)
            known[out] = text
        return known[result]

    def _scan(self, s: Stage) -> None:
        """Write the backward loop, which is a scan in reverse time."""
        derivative = self.derivatives[s.outputs[0]]
        visible = s.outputs[: derivative.visible]
        back = derivative.back(tuple(v in self.grads for v in visible))
        if back is None:
            raise GraphError(
                "derive: a gate in a scan has a rule that reads different values when only some of its "
                "outputs have a gradient, which derive does not support"
            )
        source: dict[str, Any] = {"z": s.outputs, "x": s.operands, "number": (0.0,)}
        source["outside"] = [Value(f"outside{k}", v.shape, v.dtype.name) for k, v in enumerate(back.outside)]
        source["dz"] = [Value(self.grads[v], v.shape, v.dtype) if v in self.grads else None for v in visible]
        operands = tuple(source[kind][i] for kind, i in back.operands)
        forms = back.body.forms(s.params["length"])
        targets = [s.operands[i] for i, _ in back.results]
        outputs, after = [], []
        for k, (shape, dtype) in enumerate(forms):
            v = next((v for v, (_, place) in zip(targets, back.results) if place == k), None)
            if type(v) is Value and v not in self.grads:
                name = self.grads[v] = self._d(v)
                if k >= back.body.carries:  # a final carry may be the first one, unchanged
                    self.own.add(v)
            else:
                name = self._name(f"d{v.name}" if type(v) is Value else "d")
                if type(v) is Value:
                    after.append((v, name))
            outputs.append(Value(name, shape, dtype))
        params = {"body": back.body, "length": s.params["length"], "reverse": not s.params["reverse"]}
        scan = Program((), (Stage("scan", operands, tuple(outputs), params),), ())
        loop = opened(scan, taken=self.names.taken, spelled=identifier)
        self.lines += code_rows(loop.stages, Names((*self.names.taken, *Names.beside(loop).taken)))
        for v, name in after:
            self._add(v, Text(name))
