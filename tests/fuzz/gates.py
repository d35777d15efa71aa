"""Source of the custom gates that random programs call; a printed program begins with it.

The rules are true derivatives.
"""

from __future__ import annotations

GATES = {
    "bent": """
@xg.custom_vjp
def bent(x, y):
    return xg.sin(x) * y
def _bent_back(kept, dz):
    x, y = kept
    return dz * xg.cos(x) * y, dz * xg.sin(x)
bent.defvjp(lambda x, y: (xg.sin(x) * y, (x, y)), _bent_back)
""",
    "product": """
@xg.custom_jvp
def product(x, y):
    return x * xg.tanh(y)
@product.defjvp
def _rule(x, t):
    return product(*x), t[0] * xg.tanh(x[1]) + x[0] * t[1] * (1 - xg.tanh(x[1]) ** 2)
""",
    "turned": """
@xg.custom_jvp
def turned(x):
    return xg.cos(x)
@turned.defjvp
def _turned_rule(x, t):
    return turned(x[0]), -xg.sin(x[0]) * t[0]
""",
    "pair": """
@xg.custom_vjp
def pair(x):
    return xg.tanh(x), 0.5 * x * x
pair.defvjp(lambda x: (pair(x), x), lambda x, dz: (dz[0] * (1 - xg.tanh(x) ** 2) + dz[1] * x,))
""",
    "logistic": """
@xg.gate(dx=lambda dz, z: dz * (1 - z) * z)
def logistic(x):
    return 1 / (1 + xg.exp(-x))
""",
    "leaky": """
@xg.gate
def leaky(x, y):
    return 0.3 * x + xg.tanh(y) * x
""",
    "Damped": """
class Damped(xg.Gate):
    def forward(self, x, y):
        self.x, self.y = x, y
        return 0.5 * x * xg.sin(y)
    def backward(self, dz):
        return 0.5 * dz * xg.sin(self.y), 0.5 * dz * self.x * xg.cos(self.y)
damped = Damped()
""",
    "softish": """
softish = xg.register_op("softish", lambda xp, x, *, k=1.0: xp.log1p(xp.exp(k * x)) / k,
    dx=lambda xp, dz, x, *, k: dz / (1 + xp.exp(-k * x)))
""",
    "blend": """
blend = xg.register_op("blend", lambda xp, x, y: 0.5 * x * y + 0.25 * y,
    dx=lambda dz, y: 0.5 * dz * y, dy=lambda dz, x: dz * (0.5 * x + 0.25))
""",
}
