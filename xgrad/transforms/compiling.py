"""`compile`: functions that are traced once, optimised, and then run as a program."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import update_wrapper
from typing import Any

from ..backends import Device, DeviceError, current_device, current_matmul_precision, device_of
from ..compiler.caches import Cache, Once
from ..compiler.executors import Executable
from ..compiler.ir import Body, Program
from ..compiler.keys import exact, is_array
from ..compiler.scan import apply_scan
from ..compiler.trace import Spec, trace_to_ir
from ..compiler.weak import Numbers, NumberWanted, varies
from ..core.context import MODE, no_grad
from ..core.graph import Input, Leaf
from ..core.memory import out_of_memory
from ..core.pytree import Structure, flatten, sorted_by_key, unflatten
from ..core.tensor import Tensor
from ..errors import GraphError
from ..namespace import asarray
from .arguments import Static, signature, static_arguments, takes_any_name, unchanged
from .lifting import returned

#: The number of signatures that a compiled function caches.
SIGNATURES = 64


def compile(
    f: Callable[..., Any],
    *,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
) -> Compiled:
    """Compile `f`: trace it once for each signature of shapes and dtypes, and optimise it as a whole.

    Memory is planned in advance.

    Args:
        f: a function of arrays, Tensors, or nested containers of them, that returns Tensors in nested
            containers. It may use `grad`, `value_and_grad`, `vjp` and `scan`. Python numbers among its
            arguments are inputs of the program, unless the function needs their values, as in `if`,
            `range` or a shape: then it is traced for each value. Booleans, strings and other objects are
            part of the signature, with their attributes at the time of the call, and so are numbers and
            arrays that modules hold beside their Tensors. Tensors that it uses from outside are read at each
            call, and Tensors among its arguments may be changed in place; other side effects happen once.
        static_argnums: positions of arguments whose values are part of the signature; `f` receives them
            unchanged.
        static_argnames: their names. If one of the two is left out, it follows from the other.

    Returns:
        A function with the same results, up to rounding, in newly allocated memory. `.program(*args)` is the
        traced program; `.explain(*args)` says what the passes did to it and what a run costs.

    Raises:
        TraceError: `f` branches on the value of a Tensor, takes one out, draws random numbers, or changes a
            Tensor from outside, or an array, in place.
        GraphError: an argument that is changed in place is given twice, or used from outside as well.
        TypeError: an argument for which changes cannot be detected, such as an iterator.
        ValueError: `f` has no argument of that name, or at that position.

    >>> import xgrad as xg
    >>> slope = xg.compile(xg.grad(lambda x: xg.sum(x**3)))
    >>> slope(xg.asarray([1.0, 2.0]))
    tensor([ 3., 12.])
    """
    return Compiled(f, static_argnums, static_argnames)


class Compiled:
    """A compiled function, as `compile` returns it."""

    def __init__(
        self,
        f: Callable[..., Any],
        static_argnums: int | Iterable[int] | None = None,
        static_argnames: str | Iterable[str] | None = None,
    ) -> None:
        update_wrapper(self, f)
        self._f = f
        self._static = static_arguments(f, static_argnums, static_argnames)
        self._ordered = takes_any_name(f)  # and may see in which order its keyword arguments were given
        self._traced = Cache(SIGNATURES)
        self._deciding = Cache(SIGNATURES)
        self._traces = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = self._flat(args, kwargs)
        mode = MODE.get()
        if mode.hooks is not None:  # the hooks need to see every op
            return self._plainly(structure, [asarray(v) if is_array(v) else v for v in leaves])
        traced, outside = self._find(leaves, structure)
        arrays = [leaves[i] for i in traced.read]
        if mode.check is None:
            return unflatten(traced.structure, traced.run(arrays, outside))
        before = [asarray(v)._alias() if i in traced.read else v for i, v in enumerate(leaves)]
        result = unflatten(traced.structure, traced.run(arrays, outside))
        self._check(traced, before, outside, structure, result)
        return result

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else Bound(self, instance)

    def _flat(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
        """Flatten the arguments to leaves and structure."""
        if self._static is not None:
            numbers, names = self._static
            args = tuple([Static(v) if i in numbers else v for i, v in enumerate(args)])
            kwargs = {name: Static(v) if name in names else v for name, v in kwargs.items()}
        if len(kwargs) > 1 and not self._ordered:
            kwargs = dict(sorted(kwargs.items()))
        return flatten((args, kwargs), now=True)

    def _plainly(self, structure: Structure, leaves: list[Any]) -> Any:
        """Call the uncompiled function on these leaves."""
        arguments = unflatten(structure, leaves)
        with unchanged(arguments):  # they are new containers
            return self._called(arguments)

    def _called(self, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        """Call the uncompiled function on these arguments."""
        args, kwargs = arguments
        return self._f(
            *[v.of if type(v) is Static else v for v in args],
            **{name: v.of if type(v) is Static else v for name, v in kwargs.items()},
        )

    def _check(
        self, traced: _Traced, values: list[Any], outside: list[Tensor], structure: Structure, result: Any
    ) -> None:
        """Compare the result with that of the function run op by op."""

        def again() -> Any:
            return self._plainly(structure, [v._alias() if isinstance(v, Tensor) else v for v in values])

        operands = [*(values[i] for i in traced.read), *outside]
        MODE.get().check.function(
            f"the compiled function {getattr(self._f, '__name__', '')!r}", traced, result, operands, again
        )

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """The program traced for arguments like these."""
        return self._find(*self._flat(args, kwargs))[0].body.program

    def executable(self, *args: Any, **kwargs: Any) -> Executable:
        """The executable for arguments like these."""
        return self._find(*self._flat(args, kwargs))[0].executable

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """What each pass did for arguments like these, and what one run costs."""
        return _explain(self.executable(*args, **kwargs))

    def _find(self, leaves: list[Any], structure: Structure) -> tuple[_Traced, list[Tensor]]:
        """The trace for such arguments, and its extra inputs: outside Tensors and number arguments."""
        mode = MODE.get()
        numbers, parts = [], []
        for i, v in enumerate(leaves):
            if varies(v):
                numbers.append(i)
                parts.append(type(v))
            else:
                parts.append(signature(v))
        key = (
            structure,
            tuple(parts),
            current_device(),
            current_matmul_precision(),
            mode.grad,
            mode.check is not None,
        )
        if not numbers:
            traced = self._traced_for(key, leaves, structure, ())
            return traced, traced.outside
        known: _Deciding = self._deciding.get(key, _Deciding)
        traced = self._traced_with_numbers(known, leaves, structure)
        outside = traced.read_outside(leaves)
        if outside is None:  # a number has another type or fails: trace for these values
            everything = tuple(numbers)
            traced = self._traced_for(known.key(everything, leaves), leaves, structure, everything)
            outside = traced.outside
        return traced, outside

    def _traced_with_numbers(self, known: _Deciding, leaves: list[Any], structure: Structure) -> _Traced:
        """The trace for such arguments, and for the values of the numbers that it depends on.

        Which numbers these are may depend on their values, so each known set of places is tried.
        """
        for places in known.sets:
            key = known.key(places, leaves)
            if self._traced.find(key) is not None:
                return self._traced_for(key, leaves, structure, known.wanted)
        traced = self._trace(leaves, structure, known.wanted)
        places = tuple(sorted(traced.deciding))
        kept: _Traced = self._traced.get(known.key(places, leaves), lambda: traced)
        known.add(places, traced.wanted)
        return kept

    def _traced_for(
        self, key: Any, leaves: list[Any], structure: Structure, values: tuple[int, ...]
    ) -> _Traced:
        """The trace for this key, valid for the present state of the Tensors that it uses from outside.

        Numbers at the places `values` are constants of the trace.
        """
        while True:
            traced: _Traced = self._traced.get(key, lambda: self._trace(leaves, structure, values))
            now = traced.outside_now()
            if now == traced.outside_then:
                return traced
            key = (*key, now)

    def _trace(self, leaves: list[Any], structure: Structure, values: tuple[int, ...]) -> _Traced:
        self._traces += 1
        if self._traces == SIGNATURES + 1:
            name = getattr(self._f, "__name__", "the function")
            warnings.warn(
                f"compile has traced {name} for {SIGNATURES} signatures and now discards old ones: its "
                f"arguments keep changing in shape, dtype or Python numbers. Pad arrays to a few shapes, "
                f"pass numbers as arrays, or call the function uncompiled",
                stacklevel=4,
            )
        weak = {i for i, v in enumerate(leaves) if varies(v)} - set(values)
        try:
            return _Traced(self._called, self._f, leaves, structure, values)
        except (Exception, NumberWanted) as error:
            if not weak:
                raise
            wanted = error.places if isinstance(error, NumberWanted) else weak
        # trace again with these numbers as constants: the function may need them, or give a clearer error
        return self._trace(leaves, structure, tuple(sorted({*values, *wanted})))


class _Deciding:
    """Which number arguments the traces of one signature depend on.

    Attributes:
        sets: sets of argument places; the values there determine a trace.
        wanted: places of numbers that cannot be traced, as an array library needs their values.
    """

    def __init__(self) -> None:
        self.sets: tuple[tuple[int, ...], ...] = ()
        self.wanted: tuple[int, ...] = ()

    def add(self, places: tuple[int, ...], wanted: Iterable[int]) -> None:
        """Add the places that another trace depends on."""
        self.wanted = tuple(sorted({*self.wanted, *wanted}))
        if places not in self.sets:
            self.sets = (*self.sets, places)

    def key(self, places: tuple[int, ...], leaves: list[Any]) -> tuple[Any, ...]:
        """A key for a trace that depends on the values at these places.

        This object stands in it for the rest of the signature, which is large.
        """
        return self, *[(i, signature(leaves[i])) for i in places]


class Bound:
    """A compiled method, bound to an object."""

    def __init__(self, function: Compiled, instance: object) -> None:
        update_wrapper(self, function)
        self.__func__, self.__self__ = function, instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """The program traced for arguments like these."""
        return self.__func__.program(self.__self__, *args, **kwargs)

    def executable(self, *args: Any, **kwargs: Any) -> Executable:
        """The executable for arguments like these."""
        return self.__func__.executable(self.__self__, *args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """What each pass did for arguments like these, and what one run costs."""
        return self.__func__.explain(self.__self__, *args, **kwargs)


def _explain(program: Program | Executable) -> str:
    """Describe what each pass did to a program, and what one run costs."""
    from ..compiler.printing.explain import explain  # imports the passes, so not at `import xgrad`

    return explain(program)


Program.explain = _explain


def _spec(leaf: Any) -> Spec:
    """The specification of the variable that replaces an argument in the trace."""
    x, node = asarray(leaf), None
    if x.requires_grad:
        # a transform takes a leaf as its value, and stays connected to others
        kind = Leaf if isinstance(x.node, Leaf) else Input
        node = kind(x.device, x.shape, x.dtype)
    return Spec(x.shape, x.dtype, x.device, fixed=not isinstance(leaf, Tensor), node=node)


def _device(leaves: list[Any], outside: list[Tensor]) -> Device:
    """The device of all Tensors that a function reads."""
    devices = list(dict.fromkeys(v.device for v in (*leaves, *outside) if isinstance(v, Tensor)))
    if len(devices) > 1:
        places = " and ".join(map(str, devices))
        raise DeviceError(
            f"a compiled function runs on one device, but got Tensors on {places}; move one with .to(device)"
        )
    return devices[0] if devices else current_device()


class _Traced:
    """One trace of a function: its program, and its inputs from outside."""

    def __init__(
        self,
        f: Callable[[Any], Any],
        user: Callable[..., Any],
        leaves: list[Any],
        structure: Structure,
        values: tuple[int, ...],
    ) -> None:
        places = sorted_by_key(structure, leaves)
        self.read = [i for i in places if isinstance(leaves[i], Tensor) or is_array(leaves[i])]
        weak = {i: v for i, v in enumerate(leaves) if varies(v) and i not in values}
        self._numbers = Numbers(weak)

        mode = MODE.get()
        traced = trace_to_ir(
            lambda *x: self._outputs(f, leaves, structure, x),
            [_spec(leaves[i]) for i in self.read],
            grad=mode.grad,
            remember=mode.check is not None,
            user=user,
        )
        #: `deciding`: places of numbers whose values the trace depends on; `wanted`: those that are constants
        self.wanted = values
        self.deciding = self._numbers.deciding.union(values)
        self.outside = traced.outside
        self._seen = traced.seen
        then = tuple([v.requires_grad for v in self.outside])
        self.outside_then = (then, *[value for _, value in self._seen]) if self._seen else then
        self._inputs = self._numbers.read(self.outside)
        self.device = _device(leaves, self.outside)
        self.body = Body(traced.program(), 0, 0, whole=True)
        self._foreign = any(
            not isinstance(leaves[i], Tensor) and device_of(leaves[i]) is not self.device for i in self.read
        )
        traced.close()
        self._numbers.close()
        self._run: Executable | None = None  # the executable, cached for fast calls
        program, device = self.body.program, self.device
        self._executable = Once(lambda: Executable(program, device, whole=True))

    def _outputs(
        self, f: Callable[[Any], Any], leaves: list[Any], structure: Structure, x: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """The outputs of the function on variables, followed by the arguments that it changed in place."""
        variables = [v.data for v in x]
        given = {**dict(zip(self.read, x, strict=True)), **self._numbers.traced}
        arguments = unflatten(structure, [given.get(i, v) for i, v in enumerate(leaves)])
        with unchanged(arguments):
            result = f(arguments)
        found, self.structure = flatten(result)
        self.changed = [k for k, (v, before) in enumerate(zip(x, variables)) if v.data is not before]
        found = returned(found, "a compiled function") + [asarray(x[k]) for k in self.changed]
        self.connected = any(z.requires_grad for z in found)
        return found

    def outside_now(self) -> tuple[Any, ...]:
        """The outside state that the trace depends on, now.

        It is which Tensors need a gradient, and the values of those that Python code has looked at.
        """
        needs = tuple([v.requires_grad for v in self.outside])
        return (needs, *[exact(v.data) for v, _ in self._seen]) if self._seen else needs

    def read_outside(self, leaves: list[Any]) -> list[Tensor] | None:
        """The inputs besides the argument arrays: outside Tensors and numbers.

        None if the numbers do not fit the trace.
        """
        numbers = self._numbers.values(leaves)
        if numbers is None:
            return None
        found = list(self.outside)
        try:
            for k, source in self._inputs.items():
                found[k] = Tensor(source.array(numbers[source.position]), source.device)
        except (ArithmeticError, TypeError, ValueError, Warning):
            return None
        return found

    @property
    def executable(self) -> Executable:
        """The executable of the program."""
        return self._executable()  # type: ignore[no-any-return]

    def _prepare(self) -> Executable:
        self._run = found = self.executable
        return found

    def run(self, arrays: list[Any], outside: list[Tensor]) -> list[Tensor]:
        """Run the program and return its outputs; update the arguments that are changed in place."""
        operands = [*arrays, *outside]
        trace = MODE.get().trace
        if trace is not None:
            for v, _ in self._seen:
                trace.looked_at(v)
        if not self.changed:
            return self._computed(operands)
        for k in self.changed:
            if sum(v is arrays[k] for v in operands) > 1:
                raise GraphError(
                    "a compiled function changes an argument in place that was passed twice, or that it "
                    "also uses from outside: pass a copy, +t"
                )
        found = self._computed(operands)
        for k, z in zip(self.changed, found[-len(self.changed) :], strict=True):
            # a leaf can only be changed under no_grad, so the function did that too
            with no_grad() if arrays[k].is_leaf else nullcontext():
                arrays[k][...] = z
        return found[: -len(self.changed)]

    def _computed(self, operands: list[Any]) -> list[Tensor]:
        """All outputs, followed by the new values of the arguments in `changed`."""
        if MODE.get().trace is not None or (
            self.connected
            and MODE.get().grad
            and any(isinstance(v, Tensor) and v.requires_grad for v in operands)
        ):
            z = apply_scan([asarray(v) for v in operands], body=self.body, length=1, reverse=False)
            return [v[0] for v in z]
        device = self.device
        if self._foreign:
            operands = [asarray(v) for v in operands]
        try:
            run = self._run or self._prepare()
            found = run([v.data if isinstance(v, Tensor) else v for v in operands])
        except MemoryError as error:
            shapes = ", ".join(str(v.shape) for v in operands)
            raise out_of_memory(
                error,
                f"{self.executable.kind} compiled for arguments of shape {shapes or '()'}",
                device,
                (),
            ) from error
        return [Tensor(z, device) for z in found]
