"""Unique names for the values of a program."""

from __future__ import annotations

from collections.abc import Iterable

from .ir import Loop, Program, Value, everything


class Names:
    """Generates unused names."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self._last: dict[str, int] = {}  # by stem, the last number appended to it
        self._count = 0

    @classmethod
    def beside(cls, program: Program) -> Names:
        """Return names unused in a program, including its loops' bodies."""
        names = cls(v.name for v in program.inputs)
        for s in everything(program.stages):
            names.taken.update(v.name for v in (*s.outputs, *(s.inner if isinstance(s, Loop) else ())))
        return names

    def unique(self, stem: str) -> str:
        """Return `stem`, or `stem` with a number if it is taken: h, h_2, h_3."""
        name = stem
        while name in self.taken:
            self._last[stem] = self._last.get(stem, 1) + 1
            name = f"{stem}_{self._last[stem]}"
        self.taken.add(name)
        return name

    def new(self, shape: tuple[int, ...], dtype: str) -> Value:
        """Return a new value of that form, called v1, v2, ..."""
        name = ""
        while not name or name in self.taken:
            self._count += 1
            name = f"v{self._count}"
        self.taken.add(name)
        return Value(name, shape, dtype)
