"""How each gate is written in NumPy, and the functions that the gates without a name there are written as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ops import OPS
from .listing import ATOM, Text, expression, index, infix, key_argument

#: What has the same name there.
_FUNCTIONS = frozenset((
    "abs", "all", "any", "argmax", "argmin", "broadcast_to", "conj", "cos", "exp", "expm1", "floor", "imag", "isfinite", "isnan",
    "log", "log1p", "logical_and", "logical_not", "logical_or", "max", "maximum", "mean", "min", "minimum", "real", "reshape", "sign",
    "sin", "sqrt", "sum", "take", "tanh", "tril", "triu", "where",
))  # fmt: skip

#: Functions of their own, put before those that use them. `np` stands for the library.
HELPERS = {
    "sigmoid": '''
def sigmoid(x):
    return np.tanh(0.5 * x) * 0.5 + 0.5
''',
    "relu": '''
def relu(x):
    return np.where(x < 0, 0, x)
''',
    "softmax": '''
def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)
''',
    "logsumexp": '''
def logsumexp(x, axis=None, keepdims=False):
    top = np.max(x, axis=axis, keepdims=True)
    total = np.sum(np.exp(x - np.where(np.isfinite(top), top, 0)), axis=axis, keepdims=True)
    z = np.log(np.where(total > 0, total, 1)) + top
    return z if keepdims else np.squeeze(z, axis=axis)
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
    "cofactor": '''
def cofactor(x):
    """det(x) times the transposed inverse, for singular matrices too."""
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    others = np.prod(np.where(np.eye(s.shape[-1], dtype=bool), 1, s[..., None, :]), axis=-1)
    return (np.linalg.det(u) * np.linalg.det(vh))[..., None, None] * ((np.conj(u) * others[..., None, :]) @ np.conj(vh))
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
    """A dtype as the library has it."""
    name = getattr(dtype, "name", dtype)
    if name == "bfloat16":
        raise TypeError(f"{xp} alone has no bfloat16, which is what a program written as plain Python would need: trace it in float32 or float16")
    return f"{xp}.{'bool_' if name == 'bool' else name}"


def known(op: str) -> bool:
    """Whether the gate can be written down."""
    return _of_extension(op) or op in _FUNCTIONS or op in HELPERS or op in _WRITTEN or infix(op, (Text("x"), Text("y"))) is not None


def _of_extension(op: str) -> bool:
    """Whether it is one of linalg or fft, which are called there as here."""
    return op in OPS and "." in OPS[op].function


def written(xp: str, op: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    """`op(*args)` in the library called `xp`. The helpers it calls are added to `helpers`."""
    found = infix(op, args)
    if found is not None:
        return found
    if op in _WRITTEN:
        return _WRITTEN[op](xp, args, params, helpers)
    if op in HELPERS:
        helpers.add(op)
    name = op if op in HELPERS else f"{xp}.{OPS[op].function if _of_extension(op) else op}"
    keywords = [f"{k}={v!r}" for k, v in params.items() if v is not None and v is not False]
    if op in ("reshape", "broadcast_to"):
        keywords = [repr(params["shape"])]
    if _of_extension(op):
        keywords = [f"{k}={v!r}" for k, v in params.items() if k not in OPS[op].defaults or v != OPS[op].defaults[k]]
    return Text(f"{name}({', '.join([*(a.text for a in args), *keywords])})")


def _same(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    return args[0]


def _product_added(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    return expression("@+", args, params)


def _getitem(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    return Text(f"{args[0].within(ATOM)}[{index(params['key'], [a.text for a in args[1:]])}]")


def _scatter(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    helper = "scatter" if len(args) > 1 else "put"
    helpers.add(helper)
    return Text(f"{helper}({args[0].text}, {key_argument(params['key'], [a.text for a in args[1:]])}, {params['shape']})")


def _untake(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    helpers.add("scatter")
    axis = params["axis"] % len(params["shape"])
    return Text(f"scatter({args[0].text}, ({'slice(None), ' * axis}{args[1].text},), {params['shape']})")


def _setitem(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    helpers.add("setitem")
    return Text(f"setitem({args[0].text}, {args[1].text}, {key_argument(params['key'], [a.text for a in args[2:]])})")


def _astype(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    return Text(f"{args[0].within(ATOM)}.astype({dtype_name(xp, params['dtype'])})")


def _sign(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    return Text(f"{xp}.sign({args[0].text})")


def _seal(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    return Text(f"{xp}.zeros_like({args[0].within(ATOM)}[..., :1])")


def _transpose(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    axes = params["axes"]
    return Text(f"{args[0].within(ATOM)}.T" if axes is None else f"{xp}.transpose({args[0].text}, {axes})")


def _joined(function: str) -> Any:
    def join(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
        return Text(f"{xp}.{function}(({', '.join(a.text for a in args)},), axis={params['axis']})")

    return join


def _new(xp: str, args: Sequence[Text], params: Any, helpers: set[str]) -> Text:
    parts = [repr(v) for v in params["args"]]
    parts += [] if params["dtype"] is None else [f"dtype={dtype_name(xp, params['dtype'])}"]
    parts += [f"{k}={v!r}" for k, v in params["options"].items()]
    return Text(f"{xp}.{params['function']}({', '.join(parts)})")


_WRITTEN: dict[str, Callable[[str, Sequence[Text], Any, set[str]], Text]] = {
    "@+": _product_added,
    "after": _same,
    "astype": _astype,
    "complex_sign": _sign,
    "concat": _joined("concatenate"),
    "getitem": _getitem,
    "new": _new,
    "none": _same,
    "stop_gradient": _same,
    "round_to": _astype,
    "scatter": _scatter,
    "seal": _seal,
    "setitem": _setitem,
    "stack": _joined("stack"),
    "transpose": _transpose,
    "untake": _untake,
}
