"""Nested containers of Tensors: lists, tuples, dicts, None, and modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

NAMESPACE = "xgrad"


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of `tree`, and its structure."""
    leaves, structure = optree.tree_flatten(tree, namespace=NAMESPACE)
    return list(leaves), structure


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """A tree of that structure with these leaves."""
    return optree.tree_unflatten(structure, leaves)


def map(f: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """A tree of the structure of `tree` with `f` applied to its leaves, and to those of `rest` beside them.

    >>> import xgrad as xg
    >>> xg.tree_map(lambda x: 2 * x, {"a": 1, "b": [2, 3]})
    {'a': 2, 'b': [4, 6]}
    """
    return optree.tree_map(f, tree, *rest, namespace=NAMESPACE)


def paths(tree: Any) -> list[str]:
    """How to reach each leaf from the root, as `[0]['W']`."""
    return [optree_path(path) for path in optree.tree_paths(tree, namespace=NAMESPACE)]


def optree_path(path: tuple[Any, ...]) -> str:
    """A path as Python would write it."""
    return "".join(f"[{part!r}]" if isinstance(part, int) else f"[{part!r}]" for part in path)
