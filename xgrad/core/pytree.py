"""Nested containers of Tensors: lists, tuples, dicts, None, and modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import optree

from .context import MODE
from .weak import settled

_NAMESPACE = "xgrad"
_NOW = "xgrad.now"
_SORTED = "xgrad.now.sorted"  # as the one before, but for the order of a dict's keys
#: With `now`, dicts whose keys have another order are different: a function may iterate over them.
_ORDERED = optree.dict_insertion_ordered(True, namespace=_NOW)
_ORDERED.__enter__()  # for good


#: A nested container of arrays, as modules, tuples and dictionaries are; or one array. JAX's PyTree.
Tree = Any
#: How a tree is nested, without its leaves.
Structure = optree.PyTreeSpec


def flatten(tree: Any, *, now: bool = False) -> tuple[list[Any], Structure]:
    """The leaves of `tree`, and its structure.

    With `now`, the structure includes the other attributes of the objects in the tree and the order of the
    keys of dicts, so it compares unequal once one of those has changed. In a trace, weak numbers are replaced
    by their present values.
    """
    leaves, structure = flatten_weak(tree, now=now)
    return list(map(settled, leaves)) if MODE.get().trace is not None else leaves, structure


def flatten_weak(tree: Any, *, now: bool = False) -> tuple[list[Any], Any]:
    """As `flatten`, but keep weak numbers, whose values later calls may change."""
    try:
        leaves, structure = optree.tree_flatten(tree, namespace=_NOW if now else _NAMESPACE)
    except RecursionError as error:
        if "flattening" not in str(error):  # the message is about the tree, not the code around it
            raise
        raise ValueError(f"containers are nested too deeply: {error}") from error
    return list(leaves), structure


def sorted_by_key(structure: Any, leaves: list[Any]) -> list[int]:
    """The places of the leaves of a tree, flattened `now`, in the order that they have without `now`.

    There, the keys of dicts are sorted.
    """
    places: dict[int, list[int]] = {}
    for i in reversed(range(len(leaves))):
        places.setdefault(id(leaves[i]), []).append(i)
    again, _ = optree.tree_flatten(unflatten(structure, leaves), namespace=_SORTED)
    return [places[id(v)].pop() for v in again]


def unflatten(structure: Any, leaves: Iterable[Any]) -> Any:
    """A tree of that structure with these leaves."""
    return optree.tree_unflatten(structure, leaves)


def tree_map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """A tree of the structure of `tree` with `f` applied to its leaves, and to those of `rest` beside them.

    >>> import xgrad as xg
    >>> xg.tree_map(lambda x: 2 * x, {"a": 1, "b": [2, 3]})
    {'a': 2, 'b': [4, 6]}
    """
    return optree.tree_map(f, tree, *rest, namespace=_NAMESPACE)


def leaves_with_paths(tree: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Each leaf after the keys, indices and attribute names that lead to it."""
    paths, leaves, _ = optree.tree_flatten_with_path(tree, namespace=_NAMESPACE)
    return list(zip(paths, leaves, strict=True))


def broadcast_prefix(prefix: Any, tree: Any) -> list[Any]:
    """For each leaf of `tree`, the leaf of `prefix` above it.

    A None in `prefix` stands for all leaves below it. Raises ValueError if `prefix` is no prefix of `tree`.
    """
    options: Any = {"none_is_leaf": True, "namespace": _NAMESPACE}
    full = optree.tree_leaves(tree, **options)
    return [
        v
        for v, leaf in zip(optree.broadcast_prefix(prefix, tree, **options), full, strict=True)
        if leaf is not None
    ]


def paths(tree: Any) -> list[str]:
    """How to reach each leaf from the root, as `[0]['W']`."""
    return ["".join(f"[{part!r}]" for part in path) for path, _ in leaves_with_paths(tree)]


def register(
    kind: type, children: Callable[[Any], Any], rebuilt: Callable[[Any, Any], Any], *, now: bool = False
) -> None:
    """Register a class as a container.

    `children(x)` returns the children, a description of the rest, and the children's names. For `now`, see
    `flatten`.
    """
    for namespace in (_NOW, _SORTED) if now else (_NAMESPACE,):
        optree.register_pytree_node(kind, children, rebuilt, namespace=namespace)
