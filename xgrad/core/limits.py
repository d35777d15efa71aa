"""Derivatives through eigenvectors and singular vectors at equal values: quotients 0 / 0, as limits.

Let the values w of a decomposition with vectors V move apart, to w + εs. There, the derivative of a smooth
function of the matrix has quotients n(ε) / (ε (s_j - s_i)), whose numerators n come from the gradients of w
and V. By l'Hôpital's rule they become n'(0) / (s_j - s_i): how the gradients change along s, which one more
sweep finds. The function is smooth only if the gradient of the matrix found in this way does not depend on
the choice of V.

This holds for the first derivative. In a recorded sweep, which will be differentiated again, such a quotient
is `sealed`: it is right at its point, but its derivative is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ..backends.dtypes import canonical, finfo
from ..backends.types import Array, Namespace
from ..ops.perturbation import Limit, Spectrum
from ..ops.spectral import DECOMPOSITIONS
from .context import MODE, mode
from .dispatch import lift
from .graph import FREED, Node, ancestors, leading_to

if TYPE_CHECKING:
    from .tensor import Tensor

Sweep = Callable[..., dict[Node, Any]]


def decompositions(order: Sequence[Node], ops: Set[Any]) -> list[Node]:
    """The decompositions in `order`, whose ops are `ops`; none in a trace, where values are unknown."""
    if ops.isdisjoint(DECOMPOSITIONS) or MODE.get().trace is not None:
        return []
    return [node for node in order if node.op in DECOMPOSITIONS]


def limits_at(
    sweep: Sweep, roots: Sequence[tuple[Tensor, Tensor]], nodes: Sequence[Node], *, recorded: bool
) -> dict[Node, Limit]:
    """How the rules of decompositions treat equal values, for nodes that have any."""
    found = {node: limit_at(sweep, roots, node, recorded=recorded) for node in nodes}
    return {node: limit for node, limit in found.items() if limit is not None}


def limit_at(
    sweep: Sweep, roots: Sequence[tuple[Tensor, Tensor]], node: Node, *, recorded: bool
) -> Limit | None:
    """How the rule of `node` treats equal values in a reverse sweep; None where no values are equal.

    `roots` are pairs of an output and its gradient. `sweep` runs the reverse sweep from such roots over a
    list of nodes. With `recorded`, the gradient will be differentiated. The `Limit` holds Tensors.
    """
    if node.saved is FREED:
        return None
    spectrum: Spectrum = node.op.calculus.spectrum  # type: ignore[union-attr]
    xp, values = node.device.xp, node.saved[0][spectrum.at]
    with node.device.guard or nullcontext():
        differences = spectrum.differences(xp, values)
        near = spectrum.equal(xp, values, differences, 1)
        if not any(bool(xp.any(mask)) for mask in near):
            return None
    kind = type(roots[0][0])
    with mode(grad=True, hooks=None):
        dz = _swept(sweep, roots, node)
        if dz is None:
            return None
        towards = kind(spectrum.apart(xp, values), node.device)
        dvalues = dz[spectrum.at]
        moved = (
            None
            if dvalues is None or not dvalues.requires_grad
            else _swept(sweep, [(dvalues, towards)], node)
        )
        moved = [None] * len(dz) if moved is None else moved
        whole = lift(kind, node)[0]
        numerators, changed = (spectrum.numerators(kind.xp, given, whole) for given in (dz, moved))
        ties = spectrum.equal(kind.xp, whole[spectrum.at], spectrum.differences(kind.xp, whole[spectrum.at]))
        close = [kind(mask, node.device) for mask in near]
        masks, refused = _smooth(
            spectrum, list(zip(numerators, changed, strict=True)), whole[spectrum.at], towards, close, ties
        )
        limit = Limit("limit", masks, towards, moved)
        refused = refused | _ambiguous(sweep, dz, limit, whole, node, ties)
        sealed = _used(sweep, roots, masks, whole, node) if recorded else None
    return limit._replace(masks=[mask & ~refused for mask in masks], refused=refused[..., 0], sealed=sealed)


def limit_along(
    sweep: Sweep, outputs: Sequence[Tensor], node: Node, *, recorded: bool
) -> tuple[Limit, Limit | None] | None:
    """As `limit_at`, for the forward sweep to `outputs`.

    Returns two limits: one for everything except the quotients 0 / 0, and one for those quotients alone.
    Smoothness is tested by a reverse sweep from the outputs, along a direction without a pattern.
    """
    with mode(grad=True, hooks=None):
        roots = [(z, _direction(z.xp, z)) for z in outputs if z.requires_grad]
    limit = limit_at(sweep, roots, node, recorded=recorded)
    if limit is None:
        return None
    masks: Sequence[Tensor] = limit.masks  # type: ignore[assignment]  # here they are Tensors
    part = limit._replace(way="part", refused=None) if any(bool(mask.any()) for mask in masks) else None
    return limit._replace(way="rest"), part


def seal_of(kind: type[Tensor], node: Node, limit: Limit) -> Any:
    """A zero whose derivative is NaN where a quotient of `limit` is sealed."""
    xp, values = kind.xp, lift(kind, node)[0][node.op.calculus.spectrum.at]  # type: ignore[union-attr]
    zero = xp.seal(values)[..., None]
    return sum(xp.sum(xp.where(_any(xp, mask), zero, 0)) for mask in limit.sealed or ())


def _swept(sweep: Sweep, roots: Sequence[tuple[Any, Any]], node: Node) -> Any:
    """The gradients of the outputs of `node`, recorded; None if no gradient reaches it."""
    if not roots:
        return None
    order, _ = ancestors([z.node for z, _ in roots], {node})
    wanted = leading_to(order, [node])
    reached = [(z, dz) for z, dz in roots if z.node in wanted]
    if not reached:
        return None
    return sweep(reached, [n for n in order if n in wanted], wanted, create_graph=True, free=False).get(node)


def _largest(xp: Namespace, x: Array, like: Array) -> Array:
    """|x|, reduced to the largest of each column where `like` has one number a column."""
    size = xp.abs(x)
    return xp.max(size, axis=-2, keepdims=True) if like.shape[-2] == 1 != x.shape[-2] else size


def _any(xp: Namespace, mask: Array | None) -> Any:
    return xp.any(mask, axis=(-2, -1), keepdims=True)


def _smooth(
    spectrum: Spectrum,
    numerators: Sequence[tuple[tuple[Array, Array], tuple[Array, Array]]],
    values: Tensor,
    towards: Tensor,
    near: Sequence[Tensor],
    ties: Sequence[Array],
) -> tuple[list[Tensor], Array]:
    """Where the numerators vanish with their differences, and for which matrices one of them does not.

    `numerators` are pairs of a numerator and its change along `towards`.
    """
    xp = values.xp
    eps = finfo(canonical(values.dtype)).eps
    size = xp.sum(xp.abs(values), axis=-1, keepdims=True)[..., None]
    masks: list[Tensor] = []
    refused = size < 0
    for ((n, scale), (m, m_scale)), d, t, close, tie in zip(
        numerators,
        spectrum.differences(xp, values),
        spectrum.differences(xp, towards),
        near,
        ties,
        strict=True,
    ):
        vanishes = _largest(xp, n - m * (d / t), tie) <= 1e4 * eps * (scale + size * m_scale)
        masks.append(close & vanishes)
        refused = refused | _any(xp, tie & ~vanishes)
    return masks, refused


def _direction(xp: Namespace, x: Array) -> Any:
    """An array like `x` of numbers between -1 and 1 without a pattern."""
    i = xp.reshape(xp.arange(x.size, dtype="float64", device=x.device), x.shape)
    return xp.astype(xp.sin(1 + i * i + 0.7 * i), x.dtype)


def _sums(xp: Namespace, given: Sequence[Array | None], values: Array) -> Any:
    """The sum of absolute values over all arrays, for each matrix."""
    return sum(
        xp.sum(xp.abs(v), axis=tuple(range(values.ndim - 1, v.ndim)))[..., None, None]
        for v in given
        if v is not None
    )


def _ambiguous(
    sweep: Sweep,
    dz: Sequence[Tensor | None],
    limit: Limit,
    whole: Sequence[Tensor],
    node: Node,
    ties: Sequence[Array],
) -> Array:
    """The matrices whose gradient depends on the choice of vectors at equal values."""
    spectrum: Spectrum = node.op.calculus.spectrum  # type: ignore[union-attr]
    values = whole[spectrum.at]
    xp = values.xp
    eps = finfo(canonical(values.dtype)).eps
    found: list[Any] = [spectrum.rule(xp, [*dz, limit], whole)]
    # these must be 0 for every choice of vectors
    found += [
        xp.where(tie, n, 0) for (n, _), tie in zip(spectrum.numerators(xp, dz, whole), ties, strict=True)
    ]
    turned = _swept(sweep, [(v, _direction(xp, v)) for v in found if v.requires_grad], node)
    ambiguous = xp.zeros((*values.shape[:-1], 1, 1), dtype="bool", device=values.device)
    if turned is None:
        return ambiguous
    noise = xp.sum(xp.abs(values), axis=-1, keepdims=True)[..., None]
    floor = 1e4 * eps * (_sums(xp, dz, values) + noise * _sums(xp, limit.moved, values))
    for (n, scale), tie in zip(spectrum.numerators(xp, turned, whole), ties, strict=True):
        ambiguous = ambiguous | _any(xp, tie & (_largest(xp, n, tie) > eps**0.4 * scale + floor))
    return ambiguous


def _used(
    sweep: Sweep,
    roots: Sequence[tuple[Tensor, Tensor]],
    masks: Sequence[Array],
    whole: Sequence[Tensor],
    node: Node,
) -> list[Array]:
    """The part of `masks` whose vectors the outputs depend on, found by sweeping a gradient of NaN."""
    spectrum: Spectrum = node.op.calculus.spectrum  # type: ignore[union-attr]
    xp: Any = whole[spectrum.at].xp
    with mode(grad=False):
        reached = _swept(sweep, [(z, xp.full_like(dz, xp.nan)) for z, dz in roots], node)
        return [
            mask & (scale != 0)
            for mask, (_, scale) in zip(masks, spectrum.numerators(xp, reached, whole), strict=True)
        ]
