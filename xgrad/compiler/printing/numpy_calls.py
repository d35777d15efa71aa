"""The NumPy expression of each gate, and helper functions for gates that NumPy lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ...ops import OPS
from ..codegen.numpy.element import of_element
from ..codegen.numpy.plan import NUMPY
from .listing import ATOM, Text, expression, index, infix, key_argument
from .spelling import identifier, literal

#: Helper functions, written before those that use them. `np` stands for the library.
HELPERS = {
    "softmax": """
def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)
""",
    "logsumexp": """
def logsumexp(x, axis=None, keepdims=False):
    top = np.max(x, axis=axis, keepdims=True)
    total = np.sum(np.exp(x - np.where(np.isfinite(top), top, 0)), axis=axis, keepdims=True)
    z = np.log(np.where(total > 0, total, 1)) + top
    return z if keepdims else np.squeeze(z, axis=axis)
""",
    "root": '''
def root(x):
    """x ** 0.5, for which NumPy takes the square root of real numbers: of -inf and -0 none is meant."""
    return x**0.5 if np.iscomplexobj(x) else np.sqrt(np.where(x == -np.inf, np.inf, x)) + 0.0
''',
    "scatter": '''
def scatter(values, key, shape):
    """Zeros with `values` added at `key`."""
    z = np.zeros(shape, values.dtype)
    np.add.at(z, key, values)
    return z
''',
    "put": '''
def put(values, key, shape):
    """Zeros with `values` at `key`, which names each place once."""
    z = np.zeros(shape, values.dtype)
    z[key] = values
    return z
''',
    "preceded": '''
def preceded(x, first, axis):
    """`x` after one more number along an axis."""
    shape = list(x.shape)
    shape[axis] = 1
    return np.concatenate((np.full(shape, first, x.dtype), x), axis=axis)
''',
    "cofactor": '''
def cofactor(x):
    """det(x) times the transposed inverse, for singular matrices too."""
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    others = np.prod(np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]), axis=-1)
    sign = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return sign * ((np.conj(u) * others[..., None, :]) @ np.conj(vh))
''',
    "eig": '''
def eig(x):
    """Eigenvalues and eigenvectors: complex, where NumPy returns real arrays if all of them are real."""
    w, v = np.linalg.eig(x)
    dtype = np.result_type(x.dtype, np.complex64)
    return w.astype(dtype), v.astype(dtype)
''',
    "seal": '''
def seal(x):
    """A zero for each row, also for rows without elements."""
    return np.zeros((*x.shape[:-1], 1), x.real.dtype)
''',
    "setitem": '''
def setitem(x, v, key):
    """A copy of `x` with `v` at `key`."""
    z = np.array(x)
    z[key] = v
    return z
''',
}


def dtype_name(xp: str, dtype: Any) -> str:
    """Write a dtype as the library names it."""
    name = getattr(dtype, "name", dtype)
    if name == "bfloat16":
        raise TypeError(
            f"{xp} has no bfloat16, so the program cannot be written as plain Python: trace it in float32 "
            f"or float16"
        )
    return f"{xp}.{'bool_' if name == 'bool' else name}"


def known(op: str) -> bool:
    """Whether the gate can be written.

    A user's own gate is written as its function, whatever its name.
    """
    if op in OPS and OPS[op].listing.registered:
        return False
    by_name = _of_extension(op) or (op in OPS and OPS[op].kernel.in_numpy is not None)
    return (
        by_name
        or op in HELPERS
        or op in _WRITTEN
        or (op in OPS and OPS[op].function in FORMULAS)
        or infix(op, (Text("x"), Text("y"))) is not None
    )


def helper(name: str) -> str:
    """Return the text of a helper function: one of the above, or the scalar definition of an op."""
    if name in HELPERS:
        return HELPERS[name]
    op = FORMULAS[name]
    operands = {operand: Text(operand) for operand in op.operands}
    lines: list[str] = []
    if op.kernel.integers is not op.kernel.scalar and op.kernel.integers is not None:
        before, text = of_element("np", op.kernel.integers, operands, whole=True)
        whole = [*before, f"return {text.text}"]
        lines += [
            f"if np.result_type({', '.join(op.operands)}).kind in 'biu':",
            *(f"    {line}" for line in whole),
        ]
    assert op.kernel.scalar is not None
    before, text = of_element("np", op.kernel.scalar, operands)
    lines += [*before, f"return {text.text}"]
    return "\n".join([f"\ndef {name}({', '.join(op.operands)}):", *(f"    {line}" for line in lines), ""])


def _of_extension(op: str) -> bool:
    """Whether the op is in linalg or fft, which have the same names in the library."""
    return op in OPS and "." in OPS[op].function


def written(xp: str, op: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    """Write `op(*args)` in the library called `xp`, adding the helpers it calls to `helpers`."""
    if op == "**" and args[1].text == "0.5":
        helpers.add("root")
        return Text(f"root({args[0].text})")
    found = infix(op, args)
    if found is not None:
        return found
    if op in _WRITTEN:
        return _WRITTEN[op](xp, args, params, helpers)
    if op in HELPERS:
        helpers.add(op)
    entry = OPS[op]
    if entry.function in FORMULAS:
        helpers.add(entry.function)
        return Text(f"{entry.function}({', '.join(a.text for a in args)})")
    name = op if op in HELPERS else f"{xp}.{entry.function if _of_extension(op) else entry.kernel.in_numpy}"
    keywords = [f"{k}={literal(v)}" for k, v in params.items() if v is not None and v is not False]
    if op in ("reshape", "broadcast_to"):
        keywords = [literal(params["shape"])]
    if _of_extension(op):
        keywords = [
            f"{k}={literal(v)}"
            for k, v in params.items()
            if k not in OPS[op].defaults or v != OPS[op].defaults[k]
        ]
    return Text(f"{name}({', '.join([*(a.text for a in args), *keywords])})")


def _same(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    return args[0]


def _product_added(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    return expression("@+", args, params)


def _getitem(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    return Text(f"{args[0].within(ATOM)}[{index(params['key'], [a.text for a in args[1:]])}]")


def _scatter(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    helper = "scatter" if len(args) > 1 else "put"
    helpers.add(helper)
    return Text(
        f"{helper}({args[0].text}, {key_argument(params['key'], [a.text for a in args[1:]])}, "
        f"{literal(params['shape'])})"
    )


def _untake(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    helpers.add("scatter")
    axis = params["axis"] % len(params["shape"])
    return Text(
        f"scatter({args[0].text}, ({'slice(None), ' * axis}{args[1].text},), {literal(params['shape'])})"
    )


def _setitem(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    helpers.add("setitem")
    return Text(
        f"setitem({args[0].text}, {args[1].text}, {key_argument(params['key'], [a.text for a in args[2:]])})"
    )


def _astype(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    return Text(f"{args[0].within(ATOM)}.astype({dtype_name(xp, params['dtype'])})")


def _sign(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    return Text(f"{xp}.sign({args[0].text})")


def _transpose(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    axes = params["axes"]
    return Text(
        f"{args[0].within(ATOM)}.T" if axes is None else f"{xp}.transpose({args[0].text}, {literal(axes)})"
    )


def _spread(
    xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str], *, function: str
) -> Text:
    """Write a variance or standard deviation; CuPy only accepts the correction as `ddof`."""
    options = ", ".join(
        f"{k}={literal(params[p])}"
        for k, p in (("axis", "axis"), ("ddof", "correction"), ("keepdims", "keepdims"))
    )
    return Text(f"{xp}.{function}({args[0].text}, {options})")


def _running(
    xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str], *, function: str
) -> Text:
    """Write a cumulative sum or product."""
    axis = literal(params["axis"] or 0)  # None is only allowed for arrays with one axis
    text = f"{xp}.{function}({args[0].text}, axis={axis})"
    if params["include_initial"]:
        helpers.add("preceded")
        text = f"preceded({text}, {int(function == 'cumprod')}, {axis})"
    return Text(text)


def _einsum(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    return Text(f"{xp}.einsum({', '.join([literal(params['subscripts']), *(a.text for a in args)])})")


def _joined(function: str) -> Any:
    def join(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
        return Text(f"{xp}.{function}(({', '.join(a.text for a in args)},), axis={literal(params['axis'])})")

    return join


def _new(xp: str, args: Sequence[Text], params: Mapping[str, Any], helpers: set[str]) -> Text:
    parts = [literal(v) for v in params["args"]]
    parts += [] if params["dtype"] is None else [f"dtype={dtype_name(xp, params['dtype'])}"]
    parts += [f"{identifier(k)}={literal(v)}" for k, v in params["options"].items()]
    return Text(f"{xp}.{identifier(params['function'])}({', '.join(parts)})")


_WRITTEN: dict[str, Callable[[str, Sequence[Text], Any, set[str]], Text]] = {
    "@+": _product_added,
    "after": _same,
    "astype": _astype,
    "complex_sign": _sign,
    "concat": _joined("concatenate"),
    "cumulative_prod": partial(_running, function="cumprod"),
    "cumulative_sum": partial(_running, function="cumsum"),
    "einsum": _einsum,
    "getitem": _getitem,
    "new": _new,
    "none": _same,
    "stop_gradient": _same,
    "round_to": _astype,
    "scatter": _scatter,
    "setitem": _setitem,
    "stack": _joined("stack"),
    "std": partial(_spread, function="std"),
    "transpose": _transpose,
    "untake": _untake,
    "var": partial(_spread, function="var"),
}

#: Ops that NumPy lacks, by the names of the functions that compute their scalar definitions.
FORMULAS = {
    op.function: op
    for op in OPS.values()
    if op.elementwise
    and op.kernel.in_numpy is None
    and NUMPY.knows(op)
    and op.name not in _WRITTEN
    and infix(op.name, (Text("x"), Text("y"))) is None
}
