"""Templates of instructions: lines of Python with placeholders for operands.

    {f}     a floating array
    {m}     a floating array with an axis
    {M}     a floating array with two axes
    {T}     a floating array with three axes
    {v}     a vector
    {Q}     a square matrix
    {g}     one that broadcasts with the first
    {s}     one of the first's form
    {w}     one that the first can be multiplied by
    {i}     integers                {i1}  integers with an axis
    {n}     one integer
    {b}     booleans                {b1}  booleans with an axis
    {c}     complex numbers         {c1}  complex numbers with an axis
    {C}     a complex matrix
    {0} {1} earlier operands
    {R}     rows, one for each element of a batch
    {W}     a matrix that the previous operand can be multiplied by
    {ax}    an axis of the first
    {ax1}   an axis of one more
    {k}     a small integer
    {perm}  a permutation of the first's axes
    {t}     the name of the result, for instructions of several lines

Values stay small, so that tolerances can be small.
"""

from __future__ import annotations

ELEMENTWISE = """
xg.tanh({f})
2 * xg.sigmoid({f})
xg.sin({f})
xg.cos({f})
xg.exp(-({f} * {0}))
xg.exp(xg.tanh({f})) / 3
xg.expm1(0.5 * xg.sin({f}))
xg.log1p({f} * {0})
xg.sqrt(1 + {f} ** 2) - 1
xg.atan({f})
-{f}
xg.abs({f})
xg.relu({f})
{f} ** 2 / 2
xg.square({f}) / 2
(1 + {f} * {0}) ** 0.25
0.5 * {f} + 0.25
1.0 - {f}
{f} * 1
{f} / 3
1 / (1.5 + {f} * {0})
2.0 ** xg.tanh({f}) / 2
xg.clip({f}, -0.7, 0.8)
xg.sign({f}) * 0.3
xg.floor(3 * {f}) / 3
0.5 * xg.stop_gradient({f}) + 0.1
xg.log2(1 + {f} * {0})
xg.log10(2 + {f} * {0})
xg.reciprocal(1.5 + {f} * {0})
xg.tan(0.7 * xg.tanh({f}))
xg.asin(0.8 * xg.tanh({f}))
xg.acos(0.8 * xg.tanh({f})) / 3
xg.atanh(0.8 * xg.tanh({f})) / 2
xg.sinh(xg.tanh({f}))
xg.cosh(xg.tanh({f})) - 1
xg.asinh({f})
xg.acosh(1.5 + {f} * {0})
xg.ceil(3 * {f}) / 3
xg.trunc(3 * {f}) / 3
xg.round(3 * {f}) / 3
xg.astype(xg.signbit({f} - 0.0173), xg.float64) * {0}
"""

BINARY = """
0.5 * ({f} + {g})
0.5 * ({f} - {g})
{f} * xg.tanh({g})
0.5 * ({f} * {g})
{f} / (1 + {g} ** 2)
xg.maximum({f}, {g} + 0.0371)
xg.minimum({f}, {g} - 0.0173)
xg.where(xg.less({f}, {g} - 0.0219), {0}, {g})
xg.sigmoid({f}) * {g} + (1 - xg.sigmoid({0})) * {g}
xg.hypot({f}, {g} + 3) - 3
xg.logaddexp({f}, {g}) / 2
xg.atan2({f}, {g} + 3)
xg.copysign({f}, {g} - 0.0231)
xg.remainder({f}, 0.7 + {g} ** 2)
xg.floor_divide({f} + 0.0131, 0.7 + {g} ** 2) / 4
(1.2 + xg.sin({f})) ** {g} / 4
xg.tanh({f} + {g} - {g})
"""

SHAPES = """
{M}.T
{Q}.T
{Q}.T + 0.25 * {0}
xg.permute_dims({M}, {perm})
xg.permute_dims(xg.permute_dims({M}, {perm}), {perm})
xg.moveaxis({M}, 0, -1)
xg.reshape({f}, (-1,))
xg.reshape({M}, {0}.shape[::-1])
{m}[0]
{m}[-1]
{m}[..., -1]
{m}[::2]
{m}[1::2]
{m}[..., ::-1]
{m}[::-1]
{m}[1:]
{m}[:-1]
{m}[..., 1:]
{m}[..., :1]
{M}[:, 0]
{M}[:, ::-1]
{f}[None]
{f}[..., None]
xg.broadcast_to({f}, (2, *{0}.shape))
xg.broadcast_to({m}[:1], {0}.shape)
xg.flip({m}, axis={ax})
xg.roll({m}, {k}, axis={ax})
xg.concat([{m}, {s}], axis={ax})
xg.concat([{m}[1:], {0}[:1]])
xg.concat([{m}, {s}])[-{0}.shape[0]:]
xg.concat([{m}, {s}])[{k}:]
xg.concat([{m}, {0}[::-1]])[:{0}.shape[0]]
xg.stack([{f}, {s}], axis={ax1})
xg.stack([{f}, {s}])[{k} % 2]
xg.tile({m}, 2)
xg.repeat({m}, 2, axis={ax})
xg.tril({M})
xg.triu({M}, k=1)
xg.squeeze({f}[None], 0)
xg.zeros_like({f}) + 0.3
xg.ones_like({f}) * {0}
"""

REDUCTIONS = """
xg.tanh(xg.sum({f}))
xg.tanh(xg.sum({m}, axis={ax}))
xg.tanh(xg.sum({m}, axis={ax}, keepdims=True))
xg.mean({f})
xg.mean({m}, axis={ax})
xg.mean({m}, axis={ax}, keepdims=True)
xg.mean({M}, axis=(0, 1))
xg.max({m}, axis={ax})
xg.max({m})
xg.min({m}, axis={ax}, keepdims=True)
xg.prod(1 + 0.3 * xg.tanh({m}), axis={ax}) / 3
xg.var({m}, axis={ax})
xg.std({m} + xg.arange({0}.shape[-1]), axis=-1) / 2
xg.logsumexp({m}, axis={ax}) / 2
xg.softmax({m}, axis={ax})
({m} - xg.mean({0}, axis=-1, keepdims=True)) / xg.sqrt(xg.var({0}, axis=-1, keepdims=True) + 0.5)
xg.cumulative_sum({m}, axis={ax}) / 3
xg.cumulative_prod(1 + 0.2 * xg.sin({m}), axis={ax}) / 3
xg.diff({m}, axis={ax})
xg.sort({m}, axis={ax})
xg.sort({m}, axis=-1)[..., ::-1]
xg.take_along_axis({m}, xg.argsort({0}, axis={ax}), axis={ax0})
xg.take_along_axis({m}, xg.argmax({0}, axis={ax}, keepdims=True), axis={ax0})
xg.linalg.vector_norm({m} + 2, axis={ax}) / 4
xg.linalg.matrix_norm({M} + 2) / 4
xg.linalg.trace({Q}) / 3
xg.linalg.inv({Q} / 4 + 2 * xg.eye({0}.shape[-1]))
xg.real(xg.fft.fft({m})) / 3
"""

PRODUCTS = """
xg.tanh({m} @ {w})
xg.tanh({m} @ {w})
{m} @ {w}
xg.tanh({m} @ {w} + {g})
xg.tanh({M} @ {w})
xg.tanh({m} @ {wt}.T)
xg.tanh({m} @ {wt}.T)
xg.tanh({w2} @ {m})
xg.tanh({M}.T @ {0}) / 2
xg.tanh({M} @ {0}.T) / 2
xg.tanh({Q} @ {0})
xg.tanh({v}[:, None] * {v}[None, :])
0.4 * {M}.T @ {s}
xg.tanh(({m} - {g}) @ {w})
xg.tanh(({m} * {g}) @ {w})
xg.tanh({m}[..., ::-1] @ {w})
xg.tanh(xg.concat([{m}, {s}], axis=-1) @ xg.concat([{w}, {1}]))
xg.tanh(xg.sort({m}, axis=-1) @ {w})
xg.tanh(xg.cumulative_sum({m}, axis=-1) @ {w})
xg.tanh(xg.real(xg.fft.fft({m})) @ {w})
xg.tanh(xg.softmax({m}, axis=-1) @ {w})
xg.tanh(xg.einsum('...i,...i->...', {m}, {s}))
xg.tanh(xg.einsum('ij,kj->ki', {M}, {wt}))
xg.tanh(xg.tensordot({m}, {w}, axes=1))
xg.vecdot({m}, {s}) / 3
{m} @ np.ones(({0}.shape[-1], 2)) / 3
np.cos(np.arange({m}.shape[-1])) * {0}
"""

PLACES = """
{m}[{n} % {0}.shape[0]]
{m}[{i} % {0}.shape[0]]
{m}[..., {n} % {0}.shape[-1]]
xg.take({m}, {i1} % {0}.shape[-1], axis=-1)
xg.take({m}, np.array([0, 0, -1]) % {0}.shape[0], axis=0)
xg.take(xg.repeat({m}, 5, axis=0), {i1}, axis=0)
xg.take({m}, xg.argmax({m}) % {0}.shape[0], axis=0)
xg.take({m}, xg.argsort({v})[0] % {0}.shape[0], axis=0)
{m}[np.array([-1, 0, 0])]
{m}[xg.argmin({m}) % {0}.shape[0]]
{t} = xg.positive({m}); {t}[0] = 0.5
{t} = xg.positive({m}); {t}[0] = xg.mean({g})
{t} = 1 * xg.positive({m}); {t}[..., -1] = {f_row}
{t} = xg.positive({m}); {t}[::-1] = {s}
{t} = xg.positive({m}); {t}[1:] = {0}[:-1]
{t} = xg.positive({m}); {t}[{n} % {0}.shape[0]] = 0.25 * {0}[-1]
{t} = xg.positive({m}); {t}[1:] += 0.5 * {0}[:-1]
{t} = xg.zeros_like({m}); {t}[0] = {0}[-1]; {t}[-1] = xg.sin({0}[0])
{t} = xg.positive({m}); {t} += xg.sin({s})
{t} = xg.positive({m}); {t}[...] = 0.5 * {s}; {t} *= {0}
"""

OTHERS = """
{i} + 1
({i} * 3 + 1) % 5
{i} // 2
-{i} % 3
{i} % 3 << 2
{i} >> 1
~{i} & 3
({i} | 1) ^ 2
xg.logical_xor({b}, xg.less({f}, 0.317))
xg.logical_not({b})
xg.isinf({f})
xg.argmax({m}, axis={ax})
xg.argmin({m})
xg.argsort({m}, axis=-1)
xg.astype(xg.floor(2 * xg.tanh({f})), xg.int64)
xg.astype({i}, xg.int32)
xg.where({b}, {n}, 2)
xg.sum(xg.astype({b}, xg.int32))
xg.sum({b})
xg.cumulative_sum({i1}, axis=-1) % 7
xg.maximum({i}, 1)
{i}[::-1]
xg.arange({m}.shape[0])
xg.greater({f}, 0.113)
xg.less({f}, {g} + 0.0411)
~{b}
{b} ^ {b}
{b} & ~{b}
xg.any({b})
xg.all({b})
xg.equal({i} % 2, 0)
xg.isfinite({f})
xg.logical_or({b}, xg.greater({f}, 0.517))
xg.astype({i}, xg.float64) / 5
{f} * xg.cos({n} * 0.5)
{f} + 0.1 * {n}
xg.where({b}, {f}, 0.3)
xg.where({b}, {f}, {g})
{b} * {f}
xg.sum(xg.where({b}, {f}, 0.0)) / 3
{c} * {c} / 2
{c} + {f}
{f} * (0.6 + 0.8j)
xg.conj({c})
xg.exp(1j * {f})
xg.real({c})
xg.imag({c})
xg.real({c} * xg.conj({0})) / 2
xg.real({c} * xg.exp(0.3j))
xg.abs({c} + 3) / 3
xg.sum({c}) / 4
xg.astype({f}, xg.float32)
xg.astype({f}, xg.float64)
xg.astype({f}, xg.float32) * 0.5
"""

GATED = """
bent({f}, {s})
product({f}, {s})
turned({f})
pair({f})[0]
pair({f})[1]
pair({f})[0] * pair({0})[1]
logistic({f})
leaky({f}, {s})
damped({f}, {s})
softish({f})
softish({f}, k=2.0) / 2
blend({f}, {s})
xg.checkpoint(xg.sin)({f})
xg.checkpoint(lambda a, b: xg.tanh(a * xg.sin(b)))({f}, {s})
xg.checkpoint(lambda a: xg.tanh(a @ a.T) if a.ndim == 2 else xg.tanh(a))({f})
"""

CELLS = """
xg.tanh({R} @ {W})
xg.tanh({R} @ {W} + {R} @ {W})
xg.sigmoid({R} @ {W} + {R} @ {W})
xg.sigmoid({R} @ {W} + {R} @ {W} + {R} @ {W})
xg.sigmoid({R} @ {W} + {g})
xg.tanh(({R} * xg.sigmoid({s})) @ {W})
xg.tanh({R} @ {W} + xg.sigmoid({s}) * ({R} @ {W}))
xg.sigmoid({R}) * {s} + (1 - xg.sigmoid({0})) * {s}
(1 - {R}) * {s} + {0} * {s}
{R} * {s}
xg.tanh({R} + {s})
0.5 * ({R} + {s})
0.9 * {R} + 0.1 * {s}
{R} - {s}
xg.tanh(xg.exp(-xg.abs({R} + 3)) * {s})
xg.softmax({R}, axis=-1)
({R} - xg.mean({0}, axis=-1, keepdims=True)) / xg.sqrt(xg.var({0}, axis=-1, keepdims=True) + 0.5)
xg.tanh(xg.concat([{R}, {R}], axis=-1))[:, :{0}.shape[-1]]
xg.sigmoid({R} @ {W})[:, ::-1]
xg.tanh(xg.concat([{R}, {0}], axis=-1) @ xg.concat([{W}, {1}]))
xg.tanh(xg.concat([{R}, {s}], axis=-1) @ xg.concat([{W}, {2} / 2]))
xg.tanh(({R} + {s}) @ {W})
xg.tanh(({R} + {g}) @ {W})
xg.tanh(({R} - {g}) @ {W})
{R} @ {W}
{R} @ {W} + {R} @ {W}
xg.tanh(({R}.T).T @ {W})
"""

GATHERS = """
{m}[xg.argmax({m}) % {0}.shape[0]]
{m}[xg.argmax({m}, axis=-1) % {0}.shape[0]]
{m}[xg.argmin({0}, axis=0) % {0}.shape[0]]
{m}[xg.clip({i}, 0, {0}.shape[0] - 1)]
{m}[{i} % {0}.shape[0]]
{m}[{i} % {0}.shape[0] - {0}.shape[0]]
{m}[-1 - {i} % {0}.shape[0]]
{m}[..., {i1} % {0}.shape[-1]]
{m}[::-1][{i} % {0}.shape[0]]
{m}[::2][{i} % {0}[::2].shape[0]]
{m}[..., ::-1][..., -1 - {i} % {0}.shape[-1]]
{M}[{n} % {0}.shape[0], ::-1]
{M}[{i} % {0}.shape[0], {i} % {0}.shape[1]]
{M}[{i} % {0}.shape[0], ..., xg.argmax({0}) % {0}.shape[-1]]
{M}[:, {i} % {0}.shape[1]]
{M}[1:, {i} % {0}.shape[1]]
{M}.T[{i} % {0}.shape[-1]]
{i1}[{i} % {0}.shape[0]]
{b1}[{i} % {0}.shape[0]]
xg.take({m}, {i1} % {0}.shape[{ax}], axis={ax0})
xg.take({m}, -1 - {i1} % {0}.shape[{ax}], axis={ax0})
xg.take({M}.T, {i1} % {0}.shape[0], axis=-1)
xg.take_along_axis({m}, xg.argsort({s}, axis={ax}), axis={ax0})
xg.take_along_axis({m}, xg.argsort({s}, axis={ax})[::-1], axis={ax0})
xg.take_along_axis({M}.T, xg.argsort({s}.T, axis=0), axis=0)
xg.take_along_axis({m}, xg.argmin({s}, axis={ax}, keepdims=True), axis={ax0})
xg.where(xg.equal(xg.arange({m}.shape[-1]), {n} % 5), {0}, 0.5)
xg.where(xg.equal(xg.arange({m}.shape[-1]), xg.argmax({0}, axis=-1, keepdims=True)), {0}, 0.1)
xg.astype(xg.equal({i1}[..., None] % 5, xg.arange(5)), xg.float64) / 2
xg.eye({m}.shape[-1])[xg.argmax({0}, axis=-1)] * {0}
xg.eye(5)[{i} % 5] / 2
xg.cos(xg.arange({m}.shape[-1], dtype={0}.dtype)) * {0}
"""

ASSIGNMENTS = """
{t} = xg.positive({m}); {t}[{i} % {0}.shape[0]] = 0.25
{t} = xg.positive({m}); {t}[{i1} % {0}.shape[0]] = xg.stop_gradient({0}[{1} % {0}.shape[0]][::-1])
{t} = xg.positive({m}); {t}[xg.argsort({0}, axis=0)[..., 0] % {0}.shape[0]] = 0.25 * {0}[::-1]
{t} = xg.positive({m}); {t}[xg.argmax({0}) % {0}.shape[0]] = xg.sin({0}[0])
{t} = xg.positive({M}.T); {t}[{i} % {0}.shape[-1]] = 0.75
{t} = xg.positive({M}); {t}[:, {i} % {0}.shape[1]] = 0.5
{t} = xg.positive({M}); {t}[::-1, xg.arange({0}.shape[1])] = xg.sin({0})
{t} = xg.positive({M}); {t}[::2, {n} % {0}.shape[1]] = xg.mean({g})
{t} = xg.positive({M}); {t}[{i} % {0}.shape[0], {i} % {0}.shape[1]] = 0.3
{t} = xg.positive({m}); {t}[{i} % {0}.shape[0]] += 0.5
{t} = xg.zeros_like({m}); {t}[-1 - {n} % {0}.shape[0]] = {0}[0]
{t} = xg.positive({i1}); {t}[{n} % {0}.shape[0]] = 2
{t} = xg.positive({i1}); {t}[{i1} % {0}.shape[0]] = {0}[{1} % {0}.shape[0]][::-1]
{t} = xg.positive({i1}); {t}[..., {i} % {0}.shape[-1]] = {0}[..., -1 - {1} % {0}.shape[-1]]
{t} = ~{b1}; {t}[{i1} % {0}.shape[0]] = {0}[{1} % {0}.shape[0]][::-1]
{t} = xg.positive({c1}); {t}[{i} % {0}.shape[0]] = 0.25 - 0.5j
{t} = xg.positive({c1}); {t}[{n} % {0}.shape[0]] = xg.conj({0}[-1])
"""

ORDERS = """
xg.sort({m}, axis={ax})
xg.sort({m}, axis={ax}, descending=True)
xg.sort({M}.T, axis={ax})
xg.sort({m}[::-1], axis={ax})
xg.sort({i1} % 3, axis={ax})
xg.argsort({i1} % 3, axis={ax})
xg.argsort({i1} % 2, axis={ax}, descending=True)
xg.argsort({i1}[::-1], axis={ax})
xg.argsort({m}[..., ::-1], axis={ax})
xg.argsort(xg.floor(2 * {m}), axis={ax})
xg.argsort(xg.floor(2 * {M}).T, axis={ax}, descending=True)
xg.argsort(xg.where(xg.greater({m}, 0.313), xg.nan, xg.floor(3 * {0})), axis={ax})
xg.isnan(xg.sort(xg.where(xg.greater({m}, 0.313), xg.nan, {0}), axis={ax}))
xg.argmax(xg.where(xg.greater({m}, 0.313), xg.nan, {0}), axis={ax})
xg.argmin(xg.where(xg.less({m}, -0.313), xg.nan, {0}), axis={ax})
xg.argmax(xg.floor(2 * {m}), axis={ax})
xg.argmin({i1} % 3, axis={ax})
xg.argmax({i1} % 3, axis={ax}, keepdims=True)
xg.argmax({i1} % 2)
xg.argmax({b1}, axis={ax})
xg.cumulative_sum({m}, axis={ax}, include_initial=True) / 3
xg.cumulative_sum({m}[..., ::-1], axis=-1)[..., ::-1] / 3
xg.cumulative_sum({M}.T, axis={ax}, include_initial=True) / 3
xg.cumulative_prod(1 + 0.2 * xg.sin({m}), axis={ax}, include_initial=True) / 3
xg.cumulative_prod(1 + 0.2 * xg.sin({m}[::-1]), axis={ax}) / 3
xg.cumulative_sum({i1}[::-1], axis={ax}, include_initial=True) % 7
xg.cumulative_sum({b1}, axis={ax})
xg.cumulative_prod({i1} % 3 - 1, axis={ax})
xg.cumulative_sum({c1}, axis={ax}) / 4
xg.cumulative_sum({c1}[::-1], axis={ax}, include_initial=True) / 4
"""

SUMS = """
xg.tanh(xg.einsum('...ij,...jk->...ik', {M}, {w}))
xg.tanh(xg.einsum('...i,...i,...i->...', {m}, {s}, {s}))
xg.tanh(xg.einsum('...i,...i->i...', {m}, {s}))
xg.tanh(xg.einsum('ij,jk->ki', {R}, {W}))
xg.tanh(xg.einsum('ij,ik->jk', {R}, {s}))
xg.tanh(xg.einsum('ij,ij->j', {R}, {s}))
xg.tanh(xg.einsum('ij,ij->ji', {R}, {s}))
xg.tanh(xg.einsum('ij,kl->ik', {R}, {R})) / 2
xg.tanh(xg.einsum('ij,jk,lk->li', {R}, {W}, {1}))
xg.tanh(xg.einsum('ij,ij,jk->k', {R}, {s}, {W}))
xg.tanh(xg.einsum('ij,jk,ij->ik', {R}, {W}, {0}))
xg.tanh(xg.einsum('i,j,j->ji', {v}, {v}, {1}))
xg.tanh(xg.einsum('ii->i', {Q}))
xg.tanh(xg.einsum('ij,ji->', {Q}, {0}))
xg.tanh(xg.einsum('ij->j', {R}))
xg.tanh(xg.einsum('aij,aik->akj', {T}, {0}))
xg.tanh(xg.einsum('aij,bij->ab', {T}, {0}))
xg.tanh(xg.einsum('aij,jk->kai', {T}, {W}))
xg.tanh(xg.einsum('aij,aij,aij->ja', {T}, {s}, {0}))
xg.einsum('...i,...i->...', {c1}, {s}) / 4
xg.imag(xg.einsum('ij,kj->ik', {C}, {0})) / 4
xg.tanh(xg.broadcast_to({M}, (2, *{0}.shape)) @ {w})
xg.tanh({M}[None] @ {w})
xg.tanh({T} @ xg.permute_dims({0}, (0, 2, 1)))
xg.tanh(xg.permute_dims({T}, (1, 0, 2)) @ {W})
xg.tanh(xg.stack([{R}, {s}])[:, None] @ xg.stack([{0}.T, {1}.T]))
xg.tanh({T}[..., ::-1] @ xg.permute_dims({0}[::-1], (0, 2, 1)))
{C} @ xg.conj({0}).T / 4
xg.imag({C} @ {0}.T) / 3
xg.real({C}.T @ {0}) / 3
"""

OPAQUE = """
xg.linalg.svdvals({R} + 2 * xg.eye(*{0}.shape)) / 4
xg.linalg.eigh({Q} + {0}.T + xg.eye(len({0})) * xg.arange(len({0})))[0] / 4
(lambda w, v: (v * w**2) @ v.T)(*xg.linalg.eigh({Q} + {0}.T + xg.eye(len({0})) * xg.arange(len({0})))) / 9
(lambda u, s, v: (u * s) @ v)(*xg.linalg.svd({R} + 2 * xg.triu(xg.ones_like({0})), full_matrices=False)) / 2
xg.linalg.slogdet({Q} / 4 + 2 * xg.eye({0}.shape[-1]))[1] / 4
xg.linalg.det({Q} / 4 + xg.eye({0}.shape[-1])) / 4
xg.linalg.cholesky({Q} @ {0}.T / 9 + xg.eye({0}.shape[-1])) / 2
xg.linalg.solve({Q} / 4 + 2 * xg.eye({0}.shape[-1]), {0})
xg.searchsorted(xg.sort({v}), {f})
xg.searchsorted(xg.arange(5), {i} % 5)
xg.searchsorted(xg.sort({i1}[..., 0]), {i}, side="right")
xg.sum(xg.where({b}, {c}, 0.5j)) / 4
xg.concat([{c1}, xg.conj({0})[::-1]])
{c1}[{i} % {0}.shape[0]]
xg.take({c1}, {i1} % {0}.shape[-1], axis=-1)
{c} * ({f} - 0.5j)
xg.exp(0.5j * {f}) * xg.conj({c})
"""

FOURIER = """
xg.real(xg.fft.fft({m}, axis={ax}, norm='ortho')) / 2
xg.imag(xg.fft.fft({m}, n=5, axis={ax})) / 3
xg.fft.fft({c1}, n=4, axis={ax}) / 4
xg.fft.fft({c1}, axis={ax}, norm='forward')
xg.fft.fftn({M}, norm='ortho') / 2
xg.imag(xg.fft.ifft({m}, n=2, axis={ax}, norm='forward')) / 3
xg.fft.ifft({c1}, axis={ax}, norm='ortho')
xg.real(xg.fft.ifft({c1}, n=16, axis={ax}))
xg.fft.ifft(xg.exp(0.5j * {m}) * xg.fft.fft({c1}, n={0}.shape[-1]))
xg.fft.rfft({m}, axis={ax}, norm='ortho') / 2
xg.imag(xg.fft.rfft({m}, n=7, axis={ax})) / 3
xg.real(xg.fft.rfftn({M}, norm='ortho'))
xg.fft.irfft(xg.fft.rfft({m}, axis={ax}) * (0.6 - 0.5j), n={0}.shape[{ax0}], axis={ax0})
xg.fft.irfft(xg.conj(xg.fft.rfft({v})) * xg.fft.rfft({0}, norm='forward'), n=len({0}))
xg.fft.irfft({c1}, n=5, axis={ax}, norm='ortho') / 2
xg.fft.irfft({c1}, n=33, axis={ax})
xg.fft.irfft({m}, n=4, axis={ax}) / 2
xg.fft.hfft({c1}, n=6, axis={ax}, norm='forward') / 3
xg.real(xg.fft.ihfft({m}, axis={ax}, norm='ortho')) / 2
"""

FAMILIES = {
    "elementwise": (ELEMENTWISE, 4),
    "binary": (BINARY, 4),
    "shape": (SHAPES, 4),
    "reduce": (REDUCTIONS, 3),
    "product": (PRODUCTS, 4),
    "place": (PLACES, 2),
    "other": (OTHERS, 3),
    "gate": (GATED, 1),
    "cell": (CELLS, 0),
    "gather": (GATHERS, 0),
    "assignment": (ASSIGNMENTS, 0),
    "order": (ORDERS, 0),
    "einsum": (SUMS, 0),
    "opaque": (OPAQUE, 0),
    "fourier": (FOURIER, 0),
}
TEMPLATES = {name: text.strip().splitlines() for name, (text, _) in FAMILIES.items()}
WEIGHTS = {name: weight for name, (_, weight) in FAMILIES.items()}
#: For programs with ops that are neither maps nor plain products.
CALL_WEIGHTS = WEIGHTS | {
    "gather": 8,
    "assignment": 6,
    "order": 8,
    "einsum": 5,
    "opaque": 4,
    "other": 6,
    "fourier": 4,
}
