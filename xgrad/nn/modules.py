"""Modules: objects with Tensors, which are trees whose leaves are these Tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, Self

from ..backends import Device
from ..backends.dtypes import canonical, is_floating
from ..backends.types import ArrayLike, DTypeLike
from ..compiler.keys import Static
from ..core import pytree
from ..core.context import MODE, no_grad, within
from ..core.tensor import Tensor
from ..namespace import any as any_of
from ..namespace import asarray, astype, tensor
from ..ops.axes import integer
from ..random import Generator, default_rng
from ..state_dicts import fitting
from . import showing, ties


class Module:
    """Base class of everything with weights.

    A subclass sets Tensors, modules, and lists or dicts of them as attributes in `__init__`, and defines
    `__call__`. It is then a tree: `grad(loss)(model, x)` returns gradients in the structure of the model, and
    `tree_map` maps over it.

    A Tensor that occurs in several places is one tied parameter. It has one gradient, summed over all places,
    and the name of the first place. `tree_map`, `cast` and `to` keep the ties.

    >>> import xgrad as xg
    >>> class Scale(xg.nn.Module):
    ...     def __init__(self):
    ...         self.s = xg.tensor(2.0, requires_grad=True)
    ...     def __call__(self, x):
    ...         return self.s * x
    >>> xg.grad(lambda model, x: model(x))(Scale(), 3.0).s
    tensor(3.)
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            setattr(cls, "__call__", _scoped(vars(cls)["__call__"]))  # noqa: B010 - mypy knows no other way
        for now in (False, True):
            pytree.register(cls, partial(_children, now=now), partial(_rebuilt, cls), now=now)

    def named_parameters(self) -> dict[str, Tensor]:
        """The Tensors by path, such as "gru.W_zh"."""
        return {".".join(map(str, path)): leaf for path, leaf in pytree.leaves_with_paths(self)}

    def parameters(self) -> list[Tensor]:
        """The Tensors of this module and its submodules."""
        return list(self.named_parameters().values())

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for p in self.parameters():
            p.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """The parameter values by name, for saving."""
        return {name: p.detach() for name, p in self.named_parameters().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the values of `state`, which must match the names, shapes and dtypes of this module.

        On an error nothing changes. Raises KeyError for missing or unknown names, ShapeError and TypeError
        for values that do not match. Other names of a tied parameter may be included with the same values;
        ValueError if they differ.
        """
        state = self._without_ties(state)
        mine = self.named_parameters()
        values = fitting(type(self).__name__, mine, state)
        with no_grad():
            for name, value in values.items():
                mine[name][...] = value

    def _without_ties(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """`state` with only the first name of each tied parameter."""
        others = {
            ".".join(map(str, place)): ".".join(map(str, first)) for place, first in ties.found(self, Module)
        }
        if not isinstance(state, Mapping) or others.keys().isdisjoint(state):
            return state
        for name, first in others.items():
            if name in state and first in state:
                one, other = asarray(state[first]), asarray(state[name])
                if one.shape != other.shape or bool(any_of(one != other)):
                    raise ValueError(
                        f"{name} is tied to {first}, but the state dict has different values for them; give "
                        f"both the same value, or untie them in the module"
                    )
        first_names = {others.get(name, name): value for name, value in state.items() if name in others}
        return {**first_names, **{name: value for name, value in state.items() if name not in others}}

    def to(self, device: str | Device) -> Self:
        """Copy of this module with its weights on another device."""

        def moved(p: Tensor) -> Tensor:
            return tensor(p, requires_grad=p.requires_grad, device=device)

        twin: Self = pytree.tree_map(moved, self)
        return twin

    def __treescope_repr__(self, path: str | None, subtree_renderer: Any) -> Any:
        """Show the module in Treescope as a tree of its attributes."""
        from treescope.repr_lib import render_object_constructor

        return render_object_constructor(type(self), vars(self), path, subtree_renderer)

    def __repr__(self) -> str:
        return showing.text(self, Module)

    def _repr_html_(self) -> str:
        return showing.table(self, Module)


def _scoped(call: Callable[..., Any]) -> Callable[..., Any]:
    """A module's `__call__` whose ops a picture draws as one box."""

    @wraps(call)
    def scoped(self: Module, *args: Any, **kwargs: Any) -> Any:
        if not MODE.get().record:
            return call(self, *args, **kwargs)
        with within("module", type(self).__name__):
            return call(self, *args, **kwargs)

    return scoped


def cast(tree: Any, dtype: DTypeLike) -> Any:
    """Convert the floating Tensors and arrays of a module, or any tree, to another dtype.

    Gradients flow back to the originals, in their dtype.

    So a loss can compute in half precision while its weights, their gradients and the optimiser stay in
    float32. Integers, booleans and Python numbers stay as they are. Raises TypeError for a dtype that is not
    floating, as the gradient would be lost, and for complex to real.

    >>> import xgrad as xg
    >>> model = xg.nn.Linear(3, 2)
    >>> loss = lambda model, x: xg.sum(xg.nn.cast(model, xg.float16)(x))
    >>> xg.grad(loss)(model, xg.ones((5, 3), dtype=xg.float16)).bias
    tensor([5., 5.], dtype=float32)
    """

    if dtype is None or not is_floating(dtype):
        raise TypeError(
            f"nn.cast takes a floating-point dtype, not {None if dtype is None else canonical(dtype)}, as no "
            f"gradient flows through other dtypes; use xg.float32 or xg.float16"
        )

    def cast_leaf(x: Any) -> Any:
        return astype(x, dtype, copy=False) if hasattr(x, "dtype") and is_floating(x.dtype) else x

    return pytree.tree_map(cast_leaf, tree)


def uniform_parameter(
    shape: tuple[int, ...], limit: float, dtype: DTypeLike, rng: Generator | None, device: str | Device | None
) -> Tensor:
    """Draw a weight uniformly from [-limit, limit)."""
    if rng is not None and not isinstance(rng, Generator):
        raise TypeError(
            f"rng must be a generator made by xg.random.default_rng(seed), not {type(rng).__name__}"
        )
    return tensor(
        (rng or default_rng()).uniform(-limit, limit, shape, dtype=dtype), requires_grad=True, device=device
    )


def sizes(who: str, **given: object) -> None:
    """Raise TypeError or ValueError unless all of these are positive integers."""
    for name, n in given.items():
        if integer(f"{who}: {name}", n) < 1:
            raise ValueError(f"{who}: {name} must be at least 1, not {n}")


def checked_input(x: ArrayLike, weight: Tensor, who: Module) -> Tensor:
    """Convert `x` to a Tensor on the device of `weight`.

    Raises TypeError for a floating dtype other than that of `weight`.
    """
    t = x if isinstance(x, Tensor) else asarray(x, device=weight.device)
    if t.dtype != weight.dtype:
        name = type(who).__name__
        way_out = f"use x.astype(xg.{weight.dtype})"
        if is_floating(t.dtype):
            way_out += f", {name}(..., dtype=xg.{t.dtype}), or xg.nn.cast(model, xg.{t.dtype})"
        raise TypeError(f"{name} has {weight.dtype} weights, but its input is {t.dtype}; {way_out}")
    return t


#: Types of attributes that contain no Tensors.
_PLAIN = frozenset((type(None), bool, int, float, complex, str))


def _children(module: Module, *, now: bool) -> tuple[list[Any], Any, list[str]]:
    seen: set[int] = set()
    dynamic: list[str] = []
    static: list[tuple[str, Any]] = []
    tied = False
    for name, value in vars(module).items():
        kind = type(value)
        if kind is Tensor:
            has, again = True, id(value) in seen
            seen.add(id(value))
        else:
            has, again = (False, False) if kind in _PLAIN else ties.holds(value, Module, seen)
        if has:
            dynamic.append(name)
            tied = tied or again
        else:
            static.append((name, value))
    places: tuple[Any, ...] = ()
    if tied:
        places = tuple(ties.found(module, Module))
        for place, first in places:
            module = ties.replaced(module, place, ties.Tie(first))
    return (
        [vars(module)[name] for name in dynamic],
        (tuple(dynamic), Static(tuple(static), now), places),
        dynamic,
    )


def _rebuilt(cls: type[Module], described: Any, children: Any) -> Module:
    names, static, places = described
    module = object.__new__(cls)
    vars(module).update(static)
    vars(module).update(zip(names, children, strict=True))
    for place, first in places:
        module = ties.replaced(module, place, ties.at(module, first))
    return module
