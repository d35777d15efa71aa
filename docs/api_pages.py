"""The API reference: on which page each public name is described. Building the site writes the pages."""

from __future__ import annotations

from pathlib import Path

#: Title, a sentence, and the names of each page. A name of `xg.nn` is written "nn.GRU".
PAGES: dict[str, tuple[str, str, str]] = {
    "01-derivatives": (
        "Derivatives",
        "Functions that take a function and return its derivative. You can nest them, and apply them to "
        "loops and compiled functions.",
        "grad value_and_grad vjp jvp jacobian hessian hvp elementwise_grad stop_gradient checkpoint "
        "custom_vjp custom_jvp check_grads check_derivation tree_map",
    ),
    "02-tensors": (
        "Tensors",
        "Creating Tensors, and their methods. Tensors also have the operators of NumPy's arrays.",
        "tensor asarray Tensor no_grad astype from_dlpack",
    ),
    "03-programs": (
        "Programs",
        "A function as a list of stages: loops through time, compilation, printing, and export to Python.",
        "scan compile trace derive graph record Graph GraphNode draw",
    ),
    "04-gates": (
        "Gates and ops",
        "The derivative of one op, and how to define your own ops.",
        "deriv gate Gate register_op unregister_op",
    ),
    "05-debugging": (
        "Debugging and exceptions",
        "Context managers that check your code while it runs, and the exceptions that xgrad raises.",
        "detect_nan detect_cuts Cut debug.validate info GraphError DeviceError OutOfMemoryError "
        "ShapeError TraceError UnknownOpError ValidationError",
    ),
    "06-nn": (
        "xg.nn: modules and losses",
        "Modules hold weights. They are trees, so `grad(loss)(model, x)` has the model's structure.",
        "nn.Module nn.Linear nn.Embedding nn.GRU nn.cross_entropy nn.dropout nn.cast",
    ),
    "07-optim": (
        "xg.optim: optimisers",
        "Optimisers update the parameters of a module, or single Tensors, with their gradients.",
        "optim.Optimizer optim.SGD optim.Adam optim.clip_by_global_norm optim.LossScale optim.all_finite",
    ),
    "08-random-io": (
        "xg.random and xg.io: random numbers and files",
        "Random numbers that are the same on every device, and checkpoints in the safetensors format.",
        "random.default_rng random.philox random.Generator random.Philox io.save io.load",
    ),
    "09-devices": (
        "Devices",
        "Where Tensors are stored, and how to register another array library as a backend.",
        "device set_device current_device matmul_precision backends.current_matmul_precision "
        "backends.devices backends.find_device backends.device_of backends.count_transfers "
        "backends.Transfers backends.Copies backends.register backends.Device backends.Backend "
        "backends.Array",
    ),
    "10-creation": (
        "Creating arrays",
        "These functions take a `dtype` and a `device`; the default is float64 on the current device. "
        "Negative lengths raise ShapeError.",
        "zeros ones full empty eye arange linspace meshgrid zeros_like ones_like full_like empty_like "
        "tril triu",
    ),
    "11-elementwise": (
        "Elementwise functions",
        "Operands are Tensors, arrays or numbers of any shapes that broadcast as in NumPy; a gradient is "
        "summed back to the shape of its operand. Functions raise ShapeError if shapes do not "
        "broadcast, DeviceError if operands are on different devices, and TypeError if one is not an array "
        "of numbers.",
        "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_invert bitwise_left_shift "
        "bitwise_or bitwise_right_shift bitwise_xor ceil clip conj copysign cos cosh divide equal exp "
        "expm1 floor floor_divide greater greater_equal hypot imag isfinite isinf isnan less "
        "less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor "
        "maximum minimum multiply negative nextafter not_equal positive pow real reciprocal relu "
        "remainder round sigmoid sign signbit sin sinh sqrt square subtract tan tanh trunc where",
    ),
    "12-reductions": (
        "Reductions, sorting and searching",
        "`axis` is an axis, a tuple of axes, or None for all; `keepdims=True` keeps them with length 1. An "
        "axis that does not exist raises NumPy's AxisError, and the maximum of an empty array ShapeError.",
        "sum prod mean var std max min logsumexp softmax all any count_nonzero cumulative_sum "
        "cumulative_prod diff argmax argmin sort argsort searchsorted nonzero unique_all "
        "unique_counts unique_inverse unique_values",
    ),
    "13-shapes": (
        "Shapes and indices",
        "Functions that only move elements; a gradient moves them back. Shapes and axes that do not fit "
        "raise ShapeError, and an index out of bounds raises IndexError.",
        "reshape permute_dims transpose moveaxis broadcast_to broadcast_arrays expand_dims squeeze "
        "concat stack unstack flip roll repeat tile take take_along_axis",
    ),
    "14-linalg": (
        "Products and xg.linalg",
        "A matrix is in the last two axes; the axes before them are batches. [Where a derivative is not "
        "obvious](../21-hard-points.md) says what happens at equal eigenvalues and singular values. "
        "Shapes that do not fit raise ShapeError; a singular matrix raises the array library's LinAlgError.",
        "matmul vecdot tensordot matrix_transpose einsum linalg.solve linalg.inv linalg.det "
        "linalg.slogdet linalg.cholesky linalg.qr linalg.svd linalg.svdvals linalg.eigh "
        "linalg.eigvalsh linalg.eig linalg.eigvals linalg.pinv linalg.matrix_rank linalg.matrix_power "
        "linalg.matrix_norm linalg.vector_norm linalg.cross linalg.outer linalg.diagonal linalg.trace "
        "linalg.matmul linalg.matrix_transpose linalg.tensordot linalg.vecdot",
    ),
    "15-fft": (
        "xg.fft: Fourier transforms",
        "The functions of the array standard's extension; `norm` and lengths are NumPy's.",
        "fft.fft fft.ifft fft.fftn fft.ifftn fft.rfft fft.irfft fft.rfftn fft.irfftn fft.hfft "
        "fft.ihfft fft.fftfreq fft.rfftfreq fft.fftshift fft.ifftshift",
    ),
    "16-dtypes": (
        "dtypes and constants",
        "`xg.bool`, `xg.int8` to `xg.int64`, `xg.uint8` to `xg.uint64`, `xg.float16`, `xg.bfloat16`, "
        "`xg.float32`, `xg.float64`, `xg.complex64` and `xg.complex128` are dtypes; they are NumPy's "
        "on every device. The constants `xg.e`, `xg.pi`, `xg.inf`, `xg.nan` are Python floats, and "
        "`xg.newaxis` is None.",
        "finfo iinfo isdtype result_type can_cast __array_namespace_info__",
    ),
}

#: Functions that bear another name elsewhere, which is where they are described.
ALIASES = {"linalg.matmul", "linalg.matrix_transpose", "linalg.tensordot", "linalg.vecdot"}
#: What a Tensor has for the engine's use alone.
INTERNAL = "data fill flags flat node partition put resize sort view xp"


def names(page: str) -> list[str]:
    """The public names that a page describes."""
    return PAGES[page][2].split()


def text(page: str) -> str:
    """A page, for Sphinx: each name with the signature and the docstring that it has in the code."""
    title, sentence, _ = PAGES[page]
    return f"# {title}\n\n{sentence}\n\n```{{eval-rst}}\n" + "\n".join(map(_entry, names(page))) + "```\n"


def _entry(name: str) -> str:
    import xgrad as xg

    value: object = xg
    for part in name.split("."):
        value = getattr(value, part)
    kind = (
        "autoexception"
        if isinstance(value, type) and issubclass(value, Exception)
        else "autoclass"
        if isinstance(value, type)
        else "autofunction"
    )
    options = "   :no-index:\n" if name in ALIASES else ""
    if name == "Tensor":
        options += f"   :inherited-members:\n   :exclude-members: {', '.join(INTERNAL.split())}\n"
    return f".. {kind}:: xgrad.{name}\n{options}"


def write(folder: Path) -> None:
    """Write all pages, and one that lists them, where they are not there as they should be."""
    folder.mkdir(exist_ok=True)
    listed = "\n".join(PAGES)
    pages = {page: text(page) for page in PAGES}
    pages["index"] = (
        "# API reference\n\nEvery public name, with its signature, its errors and an example.\n\n"
        f"```{{toctree}}\n{listed}\n```\n"
    )
    for page, said in pages.items():
        path = folder / f"{page}.md"
        if not path.exists() or path.read_text() != said:
            path.write_text(said)
