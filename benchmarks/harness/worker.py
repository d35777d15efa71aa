"""The parent's side of a peer that runs in its own process."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import ROOT


class Failed(Exception):
    """A peer's process ended, timed out, or answered with an error."""


def environment(device: str) -> dict[str, str]:
    """Environment variables for a process that uses a device and the xgrad of this checkout."""
    return {
        **os.environ,
        "XGRAD_DEVICE": device,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_alone()), os.environ.get("PYTHONPATH")])),
    }


def _alone() -> Path:
    """A folder with only a link to the package.

    With the repository root on the path, `backends` could be imported too.
    """
    folder = ROOT / "build" / "alone"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "xgrad").is_symlink():
        with suppress(FileExistsError):  # another process was faster
            (folder / "xgrad").symlink_to(ROOT / "xgrad")
    return folder


class Worker:
    """The process of a peer in a suite; the suite "gpu" covers all GPU parts.

    It starts with the first request, and restarts after a failed one.

    `variables` are additional environment variables.
    """

    def __init__(self, suite: str, peer: str, device: str, **variables: str) -> None:
        self.suite, self.peer, self.device, self.variables = suite, peer, device, variables
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, limit: float, do: str, **arguments: Any) -> Any:
        """The answer to a request, within `limit` seconds. Raises Failed with the reason."""
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed("it had ended") from None
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise self._failed("the process ended" if ready else f"no answer within {limit:.0f} s")
        answer = json.loads(line)
        if "error" in answer:  # after a GPU error all later calls may fail
            self.close()
            raise Failed(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        env = environment(self.device) | self.variables
        # JAX would preallocate three quarters of the shared GPU memory
        env["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        env.pop("CUPY_TF32", None)
        if self.device == "cpu":
            env["JAX_PLATFORMS"] = "cpu"
        command = [sys.executable, "-W", "ignore", str(ROOT / "benchmarks"), "worker"]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has failed
        self._process = subprocess.Popen(
            [*command, self.suite, self.peer, self.device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=env,
            bufsize=0,
        )

    def _failed(self, why: str) -> Failed:
        self.close()
        self._said.seek(0)
        last = self._said.read().decode(errors="replace").strip().rpartition("\n")[2]
        return Failed(f"{why}{': ' if last else ''}{last[:300]}")
