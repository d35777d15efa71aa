"""The solutions: for each exercise the wrong line, the right line, and why."""

SOLUTIONS = {
    "01_multiply.py": (
        "dq = q * df",
        "dq = z * df",
        "A multiply gate hands each input the gradient times the other input.",
    ),
    "02_subtract.py": (
        "dgate = drest",
        "dgate = -drest",
        "What is subtracted gets the negative of the gradient.",
    ),
    "03_staged.py": (
        "dx = dnum",
        "dx += dnum",
        "The gradients of all uses of a value add up.",
    ),
    "04_sigmoid.py": (
        "ddot = sigdx(dot) * df",
        "ddot = sigdx(f) * df",
        "f * (1 - f) is the derivative in terms of the output f of the sigmoid.",
    ),
    "05_tanh.py": (
        "da = (1 - h) * dh",
        "da = (1 - h**2) * dh",
        "The derivative of tanh is 1 - tanh².",
    ),
    "06_mean.py": (
        "dsquare = np.ones_like(error) * dloss",
        "dsquare = np.ones_like(error) * dloss / error.size",
        "Each of N elements has the share 1 / N of their mean.",
    ),
    "07_matmul.py": (
        "dx = W @ dy",
        "dx = W.T @ dy",
        "Each factor gets the gradient times the other factor transposed, on the side where that one stands.",
    ),
    "08_layer.py": (
        "db = da",
        "db = da.sum(axis=0)",
        "b is used once for each row, so the gradients of all rows add up.",
    ),
    "09_gru.py": (
        "dz7 = dz8 * sigdx(z8) * (1 - sigdx(z8))",
        "dz7 = dz8 * sigdx(z8)",
        "sigdx is the derivative already, z * (1 - z).",
    ),
    "10_through_time.py": (
        "dW += da @ h[t].T",
        "dW += da @ h[t - 1].T",
        "W multiplies the state of the step before.",
    ),
}
