"""Result files: one per day, GPU and part, rewritten after every case to survive aborted runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import ROOT

FOLDER = ROOT / "benchmarks" / "results"


class Results:
    """Results of one part: `machine`, and records by name.

    An existing file of the same day is continued.
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
        """The records by name."""
        found: dict[str, Any] = self.data["records"]
        return found

    def record(self, name: str, value: Any) -> None:
        """Store a record, and write the file and its page.

        If the commit has changed, both commits are listed.
        """
        commits = self.data["machine"]["xgrad"].split(", ")
        if self._commit not in commits:
            self.data["machine"]["xgrad"] = ", ".join([*commits, self._commit])
        self.records[name] = value
        self.write()

    def finish(self) -> None:
        """Mark the results as complete."""
        self.data["finished"] = True
        self.write()

    def write(self) -> None:
        """Write both files, each atomically."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (self.path, json.dumps(self.data, indent=1)),
            (self.path.with_suffix(".md"), self._page(self.data)),
        ):
            beside = path.with_name(f".{path.name}")
            beside.write_text(text + "\n")
            beside.replace(path)
