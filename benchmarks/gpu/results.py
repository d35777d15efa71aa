"""Results in files: one for a day, a GPU and a part, written anew after every case, so that a run that is cut
off loses nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import ROOT

FOLDER = ROOT / "benchmarks" / "results"


class Results:
    """What one part found: `machine`, and by name whatever was recorded.

    Where a file of this day is there, it is gone on with.
    """

    def __init__(
        self,
        folder: Path,
        part: str,
        machine: dict[str, str],
        page: Callable[[dict[str, Any]], str],
        force: bool = False,
    ) -> None:
        name = f"{machine['date']}-{re.sub('[^a-z0-9]+', '-', machine['GPU'].lower()).strip('-')}-{part}"
        self.path, self._page = folder / f"{name}.json", page
        self._commit = machine["xgrad"]
        self.data: dict[str, Any] = {"part": part, "machine": machine, "finished": False, "records": {}}
        if self.path.exists() and not force:
            self.data = json.loads(self.path.read_text())

    @property
    def records(self) -> dict[str, Any]:
        """By name."""
        found: dict[str, Any] = self.data["records"]
        return found

    def record(self, name: str, value: Any) -> None:
        """Keep it, and write the file and its page.

        Where the commit is another than before, both are named.
        """
        commits = self.data["machine"]["xgrad"].split(", ")
        if self._commit not in commits:
            self.data["machine"]["xgrad"] = ", ".join([*commits, self._commit])
        self.records[name] = value
        self.write()

    def finish(self) -> None:
        """Say that nothing is missing."""
        self.data["finished"] = True
        self.write()

    def write(self) -> None:
        """Both files, each whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (self.path, json.dumps(self.data, indent=1)),
            (self.path.with_suffix(".md"), self._page(self.data)),
        ):
            beside = path.with_name(f".{path.name}")
            beside.write_text(text + "\n")
            beside.replace(path)
