"""The reset-before GRU optimised by hand, as the reference for generated loops.

It has a forward and a backward pass, with gradients for the six weights and the inputs. The weights are
packed once, when a loop is created:

    Wx = [W_zx; W_rx; W_x]ᵀ (I, 3H)        Wzr = [W_zh; W_rh]ᵀ (H, 2H)        Wh = W_hᵀ (H, H)
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class Loop(ABC):
    """The arrays that both loops use.

    `G` holds z and r of each step side by side, `C` the candidate; dG, dC and dA are the gradients of the
    arguments of their sigmoid and tanh.
    """

    def __init__(self, W: dict[str, Array], x: Array, dy: Array) -> None:
        self.x, self.dy = np.ascontiguousarray(x), np.ascontiguousarray(dy)
        self.sizes = *x.shape, W["W_h"].shape[0]
        T, B, _, H = self.sizes
        self.Wx = np.concatenate([W["W_zx"], W["W_rx"], W["W_x"]]).T.copy()
        self.Wzr, self.Wh = np.concatenate([W["W_zh"], W["W_rh"]]).T.copy(), W["W_h"].T.copy()
        self.hs = np.zeros((T + 1, B, H), "f")
        self.rh = np.empty((T, B, H), "f")
        self.dh, self.s = np.empty((2, B, H), "f")
        self.dWx, self.dWzr, self.dWh, self.dx = (
            np.empty_like(self.Wx),
            np.empty_like(self.Wzr),
            np.empty_like(self.Wh),
            np.empty_like(self.x),
        )

    def held(self) -> int:
        """Bytes of all arrays of one forward and backward pass: inputs, outputs and residuals."""
        arrays = {
            id(owner): owner
            for a in vars(self).values()
            if isinstance(a, np.ndarray)
            for owner in [a if a.base is None else a.base]
        }
        return sum(a.nbytes for a in arrays.values())

    @abstractmethod
    def step(self) -> None:
        """Forward, then backward."""

    def gradients(self) -> dict[str, Array]:
        """The gradients computed by `step`: views with the names and shapes of the weights, and `x`."""
        H = self.sizes[3]
        zx, rx, hx = (self.dWx[:, i * H : (i + 1) * H].T for i in range(3))
        return {
            "W_zh": self.dWzr[:, :H].T,
            "W_zx": zx,
            "W_rh": self.dWzr[:, H:].T,
            "W_rx": rx,
            "W_h": self.dWh.T,
            "W_x": hx,
            "x": self.dx,
        }


class NumpyLoop(Loop):
    """NumPy calls that write to preallocated arrays."""

    def __init__(self, W: dict[str, Array], x: Array, dy: Array) -> None:
        super().__init__(W, x, dy)
        T, B, _, H = self.sizes
        self.G, self.C, self.dA = (
            np.empty((T, B, 2 * H), "f"),
            np.empty((T, B, H), "f"),
            np.empty((T, B, 3 * H), "f"),
        )
        self.s2, self.u = np.empty((B, 2 * H), "f"), np.empty((B, H), "f")
        self._gates = [(zr, zr[:, :H], zr[:, H:]) for zr in self.G]
        self._changes = [(d[:, : 2 * H], d[:, :H], d[:, H : 2 * H], d[:, 2 * H :]) for d in self.dA]

    def step(self) -> None:
        """Forward, then backward."""
        self._forward()
        self._backward()

    def _forward(self) -> None:
        T, B, _, H = self.sizes
        s, s2, Wzr, Wh, rh = self.s, self.s2, self.Wzr, self.Wh, self.rh
        x = self.x.reshape(T * B, -1)
        np.matmul(x, self.Wx[:, : 2 * H], out=self.G.reshape(T * B, 2 * H))
        np.matmul(x, self.Wx[:, 2 * H :], out=self.C.reshape(T * B, H))
        for t, (zr, z, r) in enumerate(self._gates):
            h, c, new = self.hs[t], self.C[t], self.hs[t + 1]
            np.matmul(h, Wzr, out=s2)
            zr += s2
            zr *= 0.5  # sigmoid(a) = (tanh(a / 2) + 1) / 2
            np.tanh(zr, out=zr)
            zr += 1
            zr *= 0.5
            np.multiply(r, h, out=rh[t])
            np.matmul(rh[t], Wh, out=s)
            c += s
            np.tanh(c, out=c)
            np.subtract(c, h, out=new)
            new *= z
            new += h

    def _backward(self) -> None:
        T, B, _, H = self.sizes
        dh, s, u, WhT, WzrT, dy = self.dh, self.s, self.u, self.Wh.T, self.Wzr.T, self.dy
        dh.fill(0)
        for t in reversed(range(T)):
            h, c = self.hs[t], self.C[t]
            (_, z, r), (dzr, dz, dr, dc) = self._gates[t], self._changes[t]
            dh += dy[t]
            np.multiply(dh, z, out=s)  # dc = dh * z * (1 - c²)
            np.multiply(c, c, out=u)
            np.subtract(1, u, out=u)
            np.multiply(s, u, out=dc)
            np.subtract(c, h, out=u)  # dz = dh * z * (c - h) * (1 - z), and dh * (1 - z) = dh - dh * z
            u *= s
            dh -= s
            np.subtract(1, z, out=s)
            np.multiply(u, s, out=dz)
            np.matmul(dc, WhT, out=s)  # the gradient of r * h
            s *= r
            dh += s
            s *= h  # dr = (that) * h * r * (1 - r)
            np.subtract(1, r, out=u)
            np.multiply(s, u, out=dr)
            np.matmul(dzr, WzrT, out=s)
            dh += s
        d, x = self.dA.reshape(T * B, 3 * H), self.x.reshape(T * B, -1)
        np.matmul(x.T, d, out=self.dWx)
        np.matmul(self.hs[:-1].reshape(T * B, H).T, d[:, : 2 * H], out=self.dWzr)
        np.matmul(self.rh.reshape(T * B, H).T, d[:, 2 * H :], out=self.dWh)
        np.matmul(d, self.Wx.T, out=self.dx.reshape(T * B, -1))


class CompiledLoop(Loop):
    """The same as one function compiled by numba; its products accumulate into their target."""

    def __init__(self, W: dict[str, Array], x: Array, dy: Array) -> None:
        super().__init__(W, x, dy)
        T, B, _, H = self.sizes
        # Gates and candidate in separate arrays, so that their rows are contiguous.
        self.G, self.dG = np.empty((2, T, B, 2 * H), "f")
        self.C, self.dC = np.empty((2, T, B, H), "f")
        self.Wxg, self.Wxc = self.Wx[:, : 2 * H].copy(), self.Wx[:, 2 * H :].copy()
        self.dWxg, self.dWxc = np.empty_like(self.Wxg), np.empty_like(self.Wxc)
        del self.Wx, self.dWx
        self._run = compiled()

    def step(self) -> None:
        """Forward, then backward."""
        inputs = self.x, self.dy, self.Wxg, self.Wxc, self.Wzr, self.Wh
        between = self.hs, self.G, self.C, self.rh, self.dG, self.dC, self.dh, self.s
        self._run(*inputs, *between, self.dWxg, self.dWxc, self.dWzr, self.dWh, self.dx)

    def gradients(self) -> dict[str, Array]:
        """The gradients computed by `step`, as views."""
        H = self.sizes[3]
        zx, rx = self.dWxg[:, :H].T, self.dWxg[:, H:].T
        return {
            "W_zh": self.dWzr[:, :H].T,
            "W_zx": zx,
            "W_rh": self.dWzr[:, H:].T,
            "W_rx": rx,
            "W_h": self.dWh.T,
            "W_x": self.dWxc.T,
            "x": self.dx,
        }


def openblas() -> ctypes.CDLL:
    """NumPy's own OpenBLAS if this process has loaded one, else that of the wheel scipy-openblas64."""
    maps = Path("/proc/self/maps")
    names = {line.split()[-1] for line in maps.read_text().splitlines()} if maps.exists() else set()
    beside = Path(np.__file__).parent.with_name("numpy.libs")
    for path in (*sorted(n for n in names if "openblas" in n), *map(str, sorted(beside.glob("*openblas*")))):
        library = ctypes.CDLL(path)
        if hasattr(library, "scipy_cblas_sgemm64_"):
            return library
    import scipy_openblas64

    folder = Path(scipy_openblas64.get_lib_dir())
    return ctypes.CDLL(
        str(next(p for p in sorted(folder.glob("*openblas64*")) if p.suffix in (".so", ".dylib", ".dll")))
    )


def compiled() -> Any:
    """Compile the function that `CompiledLoop` runs."""
    import numba

    sgemm = openblas().scipy_cblas_sgemm64_
    flag, long, pointer, real = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
    sgemm.restype, sgemm.argtypes = (
        None,
        [flag] * 3 + [long] * 3 + [real, pointer, long, pointer, long, real, pointer, long],
    )
    ROWS, PLAIN, TURNED, ZERO, HALF, ONE = 101, 111, 112, np.float32(0), np.float32(0.5), np.float32(1)
    inline: Decorator = numba.njit(inline="always")
    fast: Decorator = numba.njit(fastmath=True, error_model="numpy")

    # tanh(x) = x p(x²) / q(x²) within 3e-7 in float32, fitted up to x = 8, where tanh is 1 within that error.
    # It vectorises.
    EDGE = np.float32(8)
    p0, p1, p2, p3, p4 = (
        np.float32(c) for c in (0.999999994, 0.134444976, 3.57159763e-03, 2.18946555e-05, 1.52304090e-08)
    )
    q0, q1, q2, q3, q4 = (
        np.float32(c) for c in (1, 0.467778250, 2.61644414e-02, 3.41129137e-04, 8.52244301e-07)
    )

    @inline
    def tanh(a: Any) -> Any:
        a = min(max(a, -EDGE), EDGE)
        b = a * a
        return (
            a
            * ((((p4 * b + p3) * b + p2) * b + p1) * b + p0)
            / ((((q4 * b + q3) * b + q2) * b + q1) * b + q0)
        )

    @inline
    def sigmoid(a: Any) -> Any:
        return HALF * tanh(HALF * a) + HALF

    @inline
    def product(a: Any, b: Any, keep: Any, c: Any, n: Any, k: Any, m: Any) -> Any:
        """c = a @ b + keep * c, with a (n, k) and b (k, m)."""
        sgemm(ROWS, PLAIN, PLAIN, n, m, k, ONE, a.ctypes.data, k, b.ctypes.data, m, keep, c.ctypes.data, m)

    @inline
    def product_bt(a: Any, b: Any, keep: Any, c: Any, n: Any, k: Any, m: Any) -> Any:
        """c = a @ bᵀ + keep * c, with b (m, k)."""
        sgemm(ROWS, PLAIN, TURNED, n, m, k, ONE, a.ctypes.data, k, b.ctypes.data, k, keep, c.ctypes.data, m)

    @inline
    def product_at(a: Any, b: Any, c: Any, n: Any, k: Any, m: Any) -> Any:
        """c = aᵀ @ b, with a (k, n)."""
        sgemm(ROWS, TURNED, PLAIN, n, m, k, ONE, a.ctypes.data, n, b.ctypes.data, m, ZERO, c.ctypes.data, m)

    @fast
    def gates(h: Any, z: Any, r: Any, rh: Any) -> None:
        for j in range(len(h)):
            z[j] = sigmoid(z[j])
            s = sigmoid(r[j])
            r[j] = s
            rh[j] = s * h[j]

    @fast
    def blend(h: Any, z: Any, c: Any, new: Any) -> None:
        for j in range(len(h)):
            v = tanh(c[j])
            c[j] = v
            new[j] = h[j] + z[j] * (v - h[j])

    @fast
    def unblend(dh: Any, dy: Any, h: Any, z: Any, c: Any, dz: Any, dc: Any) -> None:
        for j in range(len(h)):
            d, v = dh[j] + dy[j], c[j]
            through, kept = d * z[j], ONE - z[j]
            dz[j] = through * (v - h[j]) * kept
            dc[j] = through * (ONE - v * v)
            dh[j] = d * kept

    @fast
    def ungate(dh: Any, drh: Any, h: Any, r: Any, dr: Any) -> None:
        for j in range(len(h)):
            d = drh[j] * r[j]
            dh[j] += d
            dr[j] = d * h[j] * (ONE - r[j])

    @fast
    def run(
        x: Any,
        dy: Any,
        Wxg: Any,
        Wxc: Any,
        Wg: Any,
        Wc: Any,
        hs: Any,
        G: Any,
        C: Any,
        rh: Any,
        dG: Any,
        dC: Any,
        dh: Any,
        s: Any,
        dWxg: Any,
        dWxc: Any,
        dWg: Any,
        dWc: Any,
        dx: Any,
    ) -> None:
        (T, B, I), H = x.shape, Wc.shape[0]  # noqa: E741
        product(x, Wxg, ZERO, G, T * B, I, 2 * H)
        product(x, Wxc, ZERO, C, T * B, I, H)
        for t in range(T):
            product(hs[t], Wg, ONE, G[t], B, H, 2 * H)
            for b in range(B):
                gates(hs[t, b], G[t, b, :H], G[t, b, H:], rh[t, b])
            product(rh[t], Wc, ONE, C[t], B, H, H)
            for b in range(B):
                blend(hs[t, b], G[t, b, :H], C[t, b], hs[t + 1, b])
        dh[:] = 0
        for t in range(T - 1, -1, -1):
            for b in range(B):
                unblend(dh[b], dy[t, b], hs[t, b], G[t, b, :H], C[t, b], dG[t, b, :H], dC[t, b])
            product_bt(dC[t], Wc, ZERO, s, B, H, H)
            for b in range(B):
                ungate(dh[b], s[b], hs[t, b], G[t, b, H:], dG[t, b, H:])
            product_bt(dG[t], Wg, ONE, dh, B, 2 * H, H)
        n = T * B
        product_at(x, dG, dWxg, I, n, 2 * H)
        product_at(x, dC, dWxc, I, n, H)
        product_at(hs, dG, dWg, H, n, 2 * H)
        product_at(rh, dC, dWc, H, n, H)
        product_bt(dG, Wxg, ZERO, dx, n, 2 * H, I)
        product_bt(dC, Wxc, ONE, dx, n, H, I)

    return run
