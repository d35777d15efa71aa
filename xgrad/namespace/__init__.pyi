# Made from the table of functions by `python docs/generate.py`.
from typing import Any
from . import (
    fft as fft,
    linalg as linalg,
)
from ..core.tensor import (
    Tensor,
)
from .creation import (
    arange as arange,
    asarray as asarray,
    astype as astype,
    empty as empty,
    eye as eye,
    from_dlpack as from_dlpack,
    ones as ones,
    show as show,
    tensor as tensor,
    to_device as to_device,
    zeros as zeros,
)
from .cumulative import (
    cumulative_prod as cumulative_prod,
    cumulative_sum as cumulative_sum,
    diff as diff,
)
from .einstein import (
    einsum as einsum,
)
from .elementwise import (
    clip as clip,
    sign as sign,
)
from .filling import (
    empty_like as empty_like,
    full as full,
    full_like as full_like,
    linspace as linspace,
    meshgrid as meshgrid,
    ones_like as ones_like,
    zeros_like as zeros_like,
)
from .indexing import (
    scatter as scatter,
    setitem as setitem,
    take as take,
    take_along_axis as take_along_axis,
    untake as untake,
)
from .inspection import (
    __array_namespace_info__ as __array_namespace_info__,
    can_cast as can_cast,
    finfo as finfo,
    iinfo as iinfo,
    isdtype as isdtype,
    result_type as result_type,
)
from .linear_algebra import (
    matmul as matmul,
    matrix_transpose as matrix_transpose,
    tensordot as tensordot,
    vecdot as vecdot,
)
from .manipulation import (
    broadcast_arrays as broadcast_arrays,
    broadcast_to as broadcast_to,
    concat as concat,
    expand_dims as expand_dims,
    flip as flip,
    moveaxis as moveaxis,
    permute_dims as permute_dims,
    repeat as repeat,
    reshape as reshape,
    roll as roll,
    squeeze as squeeze,
    stack as stack,
    tile as tile,
    transpose as transpose,
    unstack as unstack,
)
from .ordering import (
    nonzero as nonzero,
    searchsorted as searchsorted,
    unique_all as unique_all,
    unique_counts as unique_counts,
    unique_inverse as unique_inverse,
    unique_values as unique_values,
)
from .reductions import (
    prod as prod,
    sum as sum,
)

__array_api_version__: str
bfloat16: Any
bool: Any
complex128: Any
complex64: Any
def abs(x: Any, /) -> Tensor:
    """|x|; its derivative at 0 is 0."""

def acos(x: Any, /) -> Tensor:
    """Angle between 0 and π whose cosine is x."""

def acosh(x: Any, /) -> Tensor:
    """Inverse of the hyperbolic cosine."""

def add(x: Any, y: Any, /) -> Tensor:
    """x + y"""

def all(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Whether all elements along `axis` (an axis, a tuple of them, or None for all) are true."""

def any(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Whether one element along `axis` (an axis, a tuple of them, or None for all) at least is true."""

def argmax(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Index of the maximum, on a tie the first; without an axis, into the flattened array."""

def argmin(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Index of the minimum, on a tie the first; without an axis, into the flattened array."""

def argsort(x: Any, /, *, axis: Any = -1, descending: Any = False, stable: Any = True) -> Tensor:
    """The indices along `axis` that sort it in ascending order, or descending. Equal elements keep their order."""

def asin(x: Any, /) -> Tensor:
    """Angle between -π/2 and π/2 whose sine is x."""

def asinh(x: Any, /) -> Tensor:
    """Inverse of the hyperbolic sine."""

def atan(x: Any, /) -> Tensor:
    """Angle between -π/2 and π/2 whose tangent is x."""

def atan2(x: Any, y: Any, /) -> Tensor:
    """Angle of the point (y, x), between -π and π: atan2(sin a, cos a) is a."""

def atanh(x: Any, /) -> Tensor:
    """Inverse of the hyperbolic tangent."""

def bitwise_and(x: Any, y: Any, /) -> Tensor:
    """x & y, of integers bit by bit."""

def bitwise_invert(x: Any, /) -> Tensor:
    """~x, of integers bit by bit."""

def bitwise_left_shift(x: Any, y: Any, /) -> Tensor:
    """x << y"""

def bitwise_or(x: Any, y: Any, /) -> Tensor:
    """x | y, of integers bit by bit."""

def bitwise_right_shift(x: Any, y: Any, /) -> Tensor:
    """x >> y"""

def bitwise_xor(x: Any, y: Any, /) -> Tensor:
    """x ^ y, of integers bit by bit."""

def ceil(x: Any, /) -> Tensor:
    """The smallest whole number that is not less; no gradient flows back."""

def conj(x: Any, /) -> Tensor:
    """Complex conjugate."""

def copysign(x: Any, y: Any, /) -> Tensor:
    """|x| with the sign of y."""

def cos(x: Any, /) -> Tensor:
    """Cosine of an angle in radians."""

def cosh(x: Any, /) -> Tensor:
    """Hyperbolic cosine."""

def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """How many elements along `axis` (an axis, a tuple of them, or None for all) are not zero."""

def divide(x: Any, y: Any, /) -> Tensor:
    """x / y"""

def equal(x: Any, y: Any, /) -> Tensor:
    """x == y"""

def exp(x: Any, /) -> Tensor:
    """eˣ"""

def expm1(x: Any, /) -> Tensor:
    """eˣ - 1, exact near 0"""

def floor(x: Any, /) -> Tensor:
    """The largest whole number that is not greater; no gradient flows back."""

def floor_divide(x: Any, y: Any, /) -> Tensor:
    """floor(x / y), which has no derivative."""

def greater(x: Any, y: Any, /) -> Tensor:
    """x > y"""

def greater_equal(x: Any, y: Any, /) -> Tensor:
    """x >= y"""

def hypot(x: Any, y: Any, /) -> Tensor:
    """√(x² + y²), without overflow; its derivative at (0, 0) is 0."""

def imag(x: Any, /) -> Tensor:
    """Imaginary part."""

def isfinite(x: Any, /) -> Tensor:
    """Whether each element is neither infinite nor NaN."""

def isinf(x: Any, /) -> Tensor:
    """Whether each element is infinite."""

def isnan(x: Any, /) -> Tensor:
    """Whether each element is NaN."""

def less(x: Any, y: Any, /) -> Tensor:
    """x < y"""

def less_equal(x: Any, y: Any, /) -> Tensor:
    """x <= y"""

def log(x: Any, /) -> Tensor:
    """Natural logarithm."""

def log10(x: Any, /) -> Tensor:
    """Logarithm to base 10."""

def log1p(x: Any, /) -> Tensor:
    """log(1 + x), exact near 0"""

def log2(x: Any, /) -> Tensor:
    """Logarithm to base 2."""

def logaddexp(x: Any, y: Any, /) -> Tensor:
    """log(exp(x) + exp(y)), without overflow."""

def logical_and(x: Any, y: Any, /) -> Tensor:
    """Whether both are true."""

def logical_not(x: Any, /) -> Tensor:
    """Whether it is false."""

def logical_or(x: Any, y: Any, /) -> Tensor:
    """Whether one at least is true."""

def logical_xor(x: Any, y: Any, /) -> Tensor:
    """Whether just one is true."""

def logsumexp(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """log of the sum of exp(x) over axes, without overflow."""

def max(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Maximum. The gradient goes to exactly one element: on a tie the first. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def maximum(x: Any, y: Any, /) -> Tensor:
    """The larger of two. On a tie the gradient goes to `x`."""

def mean(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Arithmetic mean. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def min(x: Any, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """Minimum. The gradient goes to exactly one element: on a tie the first. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def minimum(x: Any, y: Any, /) -> Tensor:
    """The smaller of two. On a tie the gradient goes to `x`."""

def multiply(x: Any, y: Any, /) -> Tensor:
    """x * y"""

def negative(x: Any, /) -> Tensor:
    """-x"""

def nextafter(x: Any, y: Any, /) -> Tensor:
    """The number next to x in the direction of y."""

def not_equal(x: Any, y: Any, /) -> Tensor:
    """x != y"""

def positive(x: Any, /) -> Tensor:
    """+x"""

def pow(x: Any, y: Any, /) -> Tensor:
    """x ** y. The derivative is 0 where y is 0, and flat in y where x is 0."""

def real(x: Any, /) -> Tensor:
    """Real part."""

def reciprocal(x: Any, /) -> Tensor:
    """1 / x"""

def relu(x: Any, /) -> Tensor:
    """max(x, 0); its derivative at 0 is 0."""

def remainder(x: Any, y: Any, /) -> Tensor:
    """x - y * floor(x / y), with the sign of y."""

def round(x: Any, /) -> Tensor:
    """The nearest whole number, the even one of two; no gradient flows back."""

def sigmoid(x: Any, /) -> Tensor:
    """1 / (1 + exp(-x)), without overflow."""

def signbit(x: Any, /) -> Tensor:
    """Whether each element is negative, -0 included."""

def sin(x: Any, /) -> Tensor:
    """Sine of an angle in radians."""

def sinh(x: Any, /) -> Tensor:
    """Hyperbolic sine."""

def softmax(x: Any, /, *, axis: Any = -1) -> Tensor:
    """exp(x) divided by its sum over `axis`, without overflow."""

def sort(x: Any, /, *, axis: Any = -1, descending: Any = False, stable: Any = True) -> Tensor:
    """The elements along `axis` in ascending order, or descending."""

def sqrt(x: Any, /) -> Tensor:
    """Square root; its derivative at 0 is infinite."""

def square(x: Any, /) -> Tensor:
    """x²"""

def std(x: Any, /, *, axis: Any = None, correction: Any = 0.0, keepdims: Any = False) -> Tensor:
    """Standard deviation, the root of the variance. Where that is 0, so is the gradient. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def subtract(x: Any, y: Any, /) -> Tensor:
    """x - y"""

def tan(x: Any, /) -> Tensor:
    """Tangent of an angle in radians."""

def tanh(x: Any, /) -> Tensor:
    """Hyperbolic tangent."""

def tril(x: Any, /, *, k: Any = 0) -> Tensor:
    """Matrices with 0 above the k-th diagonal."""

def triu(x: Any, /, *, k: Any = 0) -> Tensor:
    """Matrices with 0 below the k-th diagonal."""

def trunc(x: Any, /) -> Tensor:
    """The whole number next to it towards 0; no gradient flows back."""

def var(x: Any, /, *, axis: Any = None, correction: Any = 0.0, keepdims: Any = False) -> Tensor:
    """Variance: the sum of |x - mean(x)|² over n - correction. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def where(condition: Any, a: Any, b: Any, /) -> Tensor:
    """`a` where `condition` holds, else `b`."""

e: float
float16: Any
float32: Any
float64: Any
inf: float
int16: Any
int32: Any
int64: Any
int8: Any
nan: float
newaxis: None
pi: float
uint16: Any
uint32: Any
uint64: Any
uint8: Any

__all__ = [
    "__array_namespace_info__",
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asarray",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "bool",
    "broadcast_arrays",
    "broadcast_to",
    "can_cast",
    "ceil",
    "clip",
    "complex128",
    "complex64",
    "concat",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "divide",
    "e",
    "einsum",
    "empty",
    "empty_like",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "fft",
    "finfo",
    "flip",
    "float16",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "from_dlpack",
    "full",
    "full_like",
    "greater",
    "greater_equal",
    "hypot",
    "iinfo",
    "imag",
    "inf",
    "int16",
    "int32",
    "int64",
    "int8",
    "isdtype",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "linalg",
    "linspace",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "nan",
    "negative",
    "newaxis",
    "nextafter",
    "nonzero",
    "not_equal",
    "ones",
    "ones_like",
    "permute_dims",
    "pi",
    "positive",
    "pow",
    "prod",
    "real",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "result_type",
    "roll",
    "round",
    "searchsorted",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "softmax",
    "sort",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensor",
    "tensordot",
    "tile",
    "transpose",
    "tril",
    "triu",
    "trunc",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "var",
    "vecdot",
    "where",
    "zeros",
    "zeros_like",
]
