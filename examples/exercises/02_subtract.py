"""Exercise 2: differences.

    change = new - old
    rest = 1 - gate
    f = change * rest

How does a change of `old` change `f`, and how does a change of `gate`? One line of the backward pass below
is wrong. Run this file, mend the line, and run it again, until all gradients are right.
"""

import xgrad as xg


def forward(new, old, gate):
    change = new - old
    rest = 1 - gate
    f = change * rest
    return f


def backward(new, old, gate):
    change = new - old
    rest = 1 - gate

    df = 1.0
    # f = change * rest
    dchange = rest * df
    drest = change * df
    # rest = 1 - gate
    dgate = drest
    # change = new - old
    dnew = dchange
    dold = -dchange
    return {
        "df": df,
        "dchange": dchange,
        "drest": drest,
        "dgate": dgate,
        "dnew": dnew,
        "dold": dold,
    }


print(xg.check_derivation(forward, (3.0, 1.5, 0.2), backward))
