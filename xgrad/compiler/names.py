"""Names for values: each once in a program."""

from __future__ import annotations

from collections.abc import Iterable

from .ir import Loop, Program, Value, everything


class Names:
    """Names that are not taken yet."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(taken)
        self._last: dict[str, int] = {}  # by stem, the number that was put after it last
        self._count = 0

    @classmethod
    def beside(cls, program: Program) -> Names:
        """Names that a program does not have, its loops' bodies included."""
        names = cls(v.name for v in program.inputs)
        for s in everything(program.stages):
            names.taken.update(v.name for v in (*s.outputs, *(s.inner if isinstance(s, Loop) else ())))
        return names

    def unique(self, stem: str) -> str:
        """`stem` itself, or with a number after it where that is taken: h, h_2, h_3."""
        name = stem
        while name in self.taken:
            self._last[stem] = self._last.get(stem, 1) + 1
            name = f"{stem}_{self._last[stem]}"
        self.taken.add(name)
        return name

    def new(self, shape: tuple[int, ...], dtype: str) -> Value:
        """A value of that form, called v1, v2, ..."""
        name = ""
        while not name or name in self.taken:
            self._count += 1
            name = f"v{self._count}"
        self.taken.add(name)
        return Value(name, shape, dtype)
