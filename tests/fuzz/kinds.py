"""What is computed of a random program: its value or derivatives.

This is text that is run with `xg` or its stand-ins.
"""

from __future__ import annotations

HELPERS = '''
def total(outputs):
    """A number made of all that is floating in the outputs."""
    found = 0.0
    for v in outputs:
        for part in (xg.real(v), xg.imag(v)) if v.dtype.kind == "c" else (v,) if v.dtype.kind == "f" else ():
            weights = xg.asarray(np.cos(np.arange(part.size)).reshape(part.shape))
            found = found + xg.sum(xg.sin(part + 0.3) * weights)
    return found

def direction(x):
    """A direction to move an argument in."""
    away = 0.5 + np.sin(1 + np.arange(x.size)).reshape(x.shape)
    return xg.asarray(away.astype(str(x.dtype).split(".")[-1]))

def placed(args, floats):
    """All arguments, of which the floating ones are given."""
    args = list(args)
    for i, v in zip(FLOATS, floats):
        args[i] = v
    return args

def floating(outputs):
    return tuple(v for v in outputs if v.dtype.kind in "fc")
'''

KINDS = {
    "value": """
def run(*args, **options):
    return f(*args, **options)
""",
    "grad": """
def run(*args, **options):
    def loss(*args):
        z = f(*args, **options)
        return total(z), z
    (value, z), g = xg.value_and_grad(loss, argnums=FLOATS, has_aux=True)(*args)
    return (value, *g, *z)
""",
    "jvp": """
def run(*args, **options):
    floats = tuple(xg.asarray(args[i]) for i in FLOATS)
    moved = lambda *floats: floating(f(*placed(args, floats), **options))
    z, t = xg.jvp(moved, floats, tuple(map(direction, floats)))
    return (*z, *t)
""",
    "hvp": """
def run(*args, **options):
    floats = tuple(xg.asarray(args[i]) for i in FLOATS)
    loss = lambda floats: total(f(*placed(args, floats), **options))
    return tuple(xg.hvp(loss, (floats,), (tuple(map(direction, floats)),)))
""",
    "grad of grad": """
def run(*args, **options):
    floats = tuple(xg.asarray(args[i]) for i in FLOATS)
    numbers = tuple(range(len(floats)))
    slope = xg.grad(lambda *floats: total(f(*placed(args, floats), **options)), argnums=numbers)
    return tuple(xg.grad(lambda *floats: total(slope(*floats)), argnums=numbers)(*floats))
""",
    "grad of jvp": """
def run(*args, **options):
    floats = tuple(xg.asarray(args[i]) for i in FLOATS)
    loss = lambda *v: total(f(*placed(args, v), **options))
    moved = lambda *floats: xg.jvp(loss, floats, tuple(map(direction, floats)))[1]
    return tuple(xg.grad(moved, argnums=tuple(range(len(floats))))(*floats))
""",
    "backward": """
def run(*args, **options):
    for c in CAPTURED:
        c.grad = None
    leaves = [xg.tensor(v, requires_grad=True) if i in FLOATS else v for i, v in enumerate(args)]
    z = f(*leaves, **options)
    loss = total(z)
    if getattr(loss, "requires_grad", False):
        loss.backward()
    found = [leaves[i] for i in FLOATS] + list(CAPTURED)
    return tuple(xg.zeros(v.shape, dtype=v.dtype) if v.grad is None else v.grad for v in found)
""",
}
