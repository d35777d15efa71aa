# Made from the table of functions by `python docs/generate.py`.
from ..backends.types import (
    ArrayLike,
)
from ..core.tensor import (
    Tensor,
)
from ..ops.axes import (
    Axis,
)

def abs(x: ArrayLike, /) -> Tensor:
    """|x|; its derivative at 0 is 0."""

def acos(x: ArrayLike, /) -> Tensor:
    """Angle between 0 and π whose cosine is x."""

def acosh(x: ArrayLike, /) -> Tensor:
    """Inverse of the hyperbolic cosine."""

def add(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x + y"""

def all(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements along `axis` (an axis, a tuple of them, or None for all) are true."""

def any(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether any element along `axis` (an axis, a tuple of them, or None for all) is true."""

def argmax(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Index of the maximum, on a tie the first; without an axis, into the flattened array."""

def argmin(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Index of the minimum, on a tie the first; without an axis, into the flattened array."""

def argsort(x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices along `axis` that sort it in ascending order, or descending. Equal elements keep their order."""

def asin(x: ArrayLike, /) -> Tensor:
    """Angle between -π/2 and π/2 whose sine is x."""

def asinh(x: ArrayLike, /) -> Tensor:
    """Inverse of the hyperbolic sine."""

def atan(x: ArrayLike, /) -> Tensor:
    """Angle between -π/2 and π/2 whose tangent is x."""

def atan2(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """Angle of the point (y, x), between -π and π: atan2(sin a, cos a) = a."""

def atanh(x: ArrayLike, /) -> Tensor:
    """Inverse of the hyperbolic tangent."""

def bitwise_and(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x & y; bitwise for integers."""

def bitwise_invert(x: ArrayLike, /) -> Tensor:
    """~x; bitwise for integers."""

def bitwise_left_shift(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x << y"""

def bitwise_or(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x | y; bitwise for integers."""

def bitwise_right_shift(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x >> y"""

def bitwise_xor(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x ^ y; bitwise for integers."""

def ceil(x: ArrayLike, /) -> Tensor:
    """The smallest integer not less than x; no gradient flows back."""

def cholesky(x: ArrayLike, /, *, upper: bool = False) -> Tensor:
    """Cholesky factors of positive definite matrices."""

def conj(x: ArrayLike, /) -> Tensor:
    """Complex conjugate."""

def copysign(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """|x| with the sign of y."""

def cos(x: ArrayLike, /) -> Tensor:
    """Cosine of an angle in radians."""

def cosh(x: ArrayLike, /) -> Tensor:
    """Hyperbolic cosine."""

def count_nonzero(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The number of nonzero elements along `axis` (an axis, a tuple of them, or None for all)."""

def det(x: ArrayLike, /) -> Tensor:
    """Determinant of square matrices."""

def divide(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x / y"""

def equal(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x == y"""

def exp(x: ArrayLike, /) -> Tensor:
    """eˣ"""

def expm1(x: ArrayLike, /) -> Tensor:
    """eˣ - 1, exact near 0"""

def fft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: str = 'backward') -> Tensor:
    """Discrete Fourier transform along `axis`: z_k is the sum of x_j e^(-2πi jk/n)."""

def floor(x: ArrayLike, /) -> Tensor:
    """The largest integer not greater than x; no gradient flows back."""

def floor_divide(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """floor(x / y); no gradient flows back."""

def greater(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x > y"""

def greater_equal(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x >= y"""

def hypot(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """√(x² + y²), without overflow; its derivative at (0, 0) is 0."""

def ifft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: str = 'backward') -> Tensor:
    """Inverse of `fft`, with the same arguments."""

def imag(x: ArrayLike, /) -> Tensor:
    """Imaginary part."""

def inv(x: ArrayLike, /) -> Tensor:
    """Inverse of square matrices."""

def irfft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: str = 'backward') -> Tensor:
    """Inverse of `rfft`: n real numbers, by default 2 (m - 1) of them, from m = n//2 + 1 frequencies."""

def isfinite(x: ArrayLike, /) -> Tensor:
    """Whether each element is neither infinite nor NaN."""

def isinf(x: ArrayLike, /) -> Tensor:
    """Whether each element is infinite."""

def isnan(x: ArrayLike, /) -> Tensor:
    """Whether each element is NaN."""

def less(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x < y"""

def less_equal(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x <= y"""

def log(x: ArrayLike, /) -> Tensor:
    """Natural logarithm."""

def log10(x: ArrayLike, /) -> Tensor:
    """Logarithm to base 10."""

def log1p(x: ArrayLike, /) -> Tensor:
    """log(1 + x), exact near 0"""

def log2(x: ArrayLike, /) -> Tensor:
    """Logarithm to base 2."""

def logaddexp(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """log(exp(x) + exp(y)), without overflow."""

def logical_and(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """Whether both are true."""

def logical_not(x: ArrayLike, /) -> Tensor:
    """Whether each element is false."""

def logical_or(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """Whether at least one is true."""

def logical_xor(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """Whether exactly one is true."""

def logsumexp(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log of the sum of exp(x) over axes, without overflow."""

def max(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Maximum. The gradient goes to exactly one element: on a tie the first. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def maximum(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The larger of two. On a tie the gradient goes to `x`."""

def mean(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def min(x: ArrayLike, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Minimum. The gradient goes to exactly one element: on a tie the first. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def minimum(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The smaller of two. On a tie the gradient goes to `x`."""

def multiply(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x * y"""

def negative(x: ArrayLike, /) -> Tensor:
    """-x"""

def nextafter(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """The next floating-point number after x in the direction of y."""

def not_equal(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x != y"""

def positive(x: ArrayLike, /) -> Tensor:
    """+x"""

def pow(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x ** y. The derivative in x is 0 where y is 0, and the derivative in y is 0 where x is 0."""

def real(x: ArrayLike, /) -> Tensor:
    """Real part."""

def reciprocal(x: ArrayLike, /) -> Tensor:
    """1 / x"""

def relu(x: ArrayLike, /) -> Tensor:
    """max(x, 0); its derivative at 0 is 0."""

def remainder(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x - y * floor(x / y), with the sign of y."""

def rfft(x: ArrayLike, /, *, n: int | None = None, axis: int = -1, norm: str = 'backward') -> Tensor:
    """The first n//2 + 1 elements of the `fft` of real numbers: the others are their conjugates."""

def round(x: ArrayLike, /) -> Tensor:
    """The nearest integer, on a tie the even one; no gradient flows back."""

def sigmoid(x: ArrayLike, /) -> Tensor:
    """1 / (1 + exp(-x)), without overflow."""

def signbit(x: ArrayLike, /) -> Tensor:
    """Whether the sign bit of each element is set: it is negative, or -0."""

def sin(x: ArrayLike, /) -> Tensor:
    """Sine of an angle in radians."""

def sinh(x: ArrayLike, /) -> Tensor:
    """Hyperbolic sine."""

def softmax(x: ArrayLike, /, *, axis: Axis = -1) -> Tensor:
    """exp(x) divided by its sum over `axis`, without overflow."""

def sort(x: ArrayLike, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements along `axis` in ascending order, or descending."""

def sqrt(x: ArrayLike, /) -> Tensor:
    """Square root; its derivative at 0 is infinite."""

def square(x: ArrayLike, /) -> Tensor:
    """x²"""

def std(x: ArrayLike, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Standard deviation, the square root of the variance. Where it is 0, so is the gradient. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def subtract(x: ArrayLike, y: ArrayLike, /) -> Tensor:
    """x - y"""

def tan(x: ArrayLike, /) -> Tensor:
    """Tangent of an angle in radians."""

def tanh(x: ArrayLike, /) -> Tensor:
    """Hyperbolic tangent."""

def tril(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """Matrices with 0 above the k-th diagonal."""

def triu(x: ArrayLike, /, *, k: int = 0) -> Tensor:
    """Matrices with 0 below the k-th diagonal."""

def trunc(x: ArrayLike, /) -> Tensor:
    """x rounded towards 0 to an integer; no gradient flows back."""

def var(x: ArrayLike, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """Variance: the sum of |x - mean(x)|² over n - correction. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

def where(condition: ArrayLike, a: ArrayLike, b: ArrayLike, /) -> Tensor:
    """`a` where `condition` is true, else `b`."""
