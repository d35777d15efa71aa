"""`compile`: functions that are traced once, optimised, and then run as a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any

from ..backends import current_device, current_matmul_precision
from ..compiler.caches import ROOM, Cache
from ..compiler.executors import Executable
from ..compiler.families import Families
from ..compiler.ir import Program
from ..compiler.keys import is_array
from ..compiler.weak import NumberWanted, varies
from ..core.context import MODE
from ..core.pytree import Structure, flatten, unflatten
from ..core.recording import warn
from ..core.tensor import Tensor
from ..namespace import asarray
from .arguments import Static, signature, static_arguments, takes_any_name, unchanged
from .reverse_mode import name_of
from .traced_function import TracedFunction

#: The number of signatures that a compiled function caches whatever their memory.
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
            Tensor from outside, or an argument that is no Tensor, in place.
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
        self._traced = Cache(SIGNATURES, weigh=lambda traced: traced.bytes, room=ROOM)
        self._deciding = Cache(64 * SIGNATURES)  # of small objects
        self._families = Families(SIGNATURES)
        self._traces, self._warned = 0, False

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

    def __repr__(self) -> str:
        times = f"{self._traces} time{'s' * (self._traces != 1)}"
        return f"<compiled {name_of(self._f)}, traced {times}>"

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
        self,
        traced: TracedFunction,
        values: list[Any],
        outside: list[Tensor],
        structure: Structure,
        result: Any,
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

    def _find(self, leaves: list[Any], structure: Structure) -> tuple[TracedFunction, list[Tensor]]:
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

    def _traced_with_numbers(
        self, known: _Deciding, leaves: list[Any], structure: Structure
    ) -> TracedFunction:
        """The trace for such arguments, and for the values of the numbers that it depends on.

        Which numbers these are may depend on their values, so each known set of places is tried.
        """
        for places in known.sets:
            key = known.key(places, leaves)
            if self._traced.find(key) is not None:
                return self._traced_for(key, leaves, structure, known.wanted)
        traced = self._trace(leaves, structure, known.wanted)
        places = tuple(sorted(traced.deciding))
        kept: TracedFunction = self._traced.get(known.key(places, leaves), lambda: traced)
        known.add(places, traced.wanted)
        return kept

    def _traced_for(
        self, key: Any, leaves: list[Any], structure: Structure, values: tuple[int, ...]
    ) -> TracedFunction:
        """The trace for this key, valid for the present state of the Tensors that it uses from outside.

        Numbers at the places `values` are constants of the trace.
        """
        while True:
            traced: TracedFunction = self._traced.get(key, lambda: self._trace(leaves, structure, values))
            now = traced.outside_now()
            if now == traced.outside_then:
                return traced
            key = (*key, now)

    def _trace(self, leaves: list[Any], structure: Structure, values: tuple[int, ...]) -> TracedFunction:
        self._traces += 1
        if self._traces - self._families.served == SIGNATURES + 1 and not self._warned:
            self._warned = True
            name = getattr(self._f, "__name__", "the function")
            warn(
                f"compile has traced {name} for {SIGNATURES} signatures and now discards old ones: its "
                f"arguments keep changing in shape, dtype or Python numbers. Pad arrays to a few shapes, "
                f"pass numbers as arrays, or call the function uncompiled"
            )
        weak = {i for i, v in enumerate(leaves) if varies(v)} - set(values)
        try:
            return TracedFunction(self._called, self._f, leaves, structure, values, self._families)
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

    def __repr__(self) -> str:
        return f"<{self.__func__!r} of an object of {type(self.__self__).__name__}>"

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
