"""The command line of train.py: its options, and how it exits with an error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn


def fail(message: str) -> NoReturn:
    """Exit with one line instead of a stack trace."""
    sys.exit(f"train.py: {message}")


def number(kind: type, least: float, most: float) -> Callable[[str], Any]:
    """Return a parser for a number from `least` to `most`."""

    def parse(word: str) -> Any:
        value = kind(word)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{word} must be from {least:,} to {most:,}")
        return value

    parse.__name__ = {int: "whole number", float: "number"}[kind]  # as argparse calls it
    return parse


def folder(word: str) -> str:
    """Check that the name of a folder is not empty."""
    if not word:
        raise argparse.ArgumentTypeError(
            "the name of a folder must not be empty; use . for the current folder"
        )
    return word


def arguments(description: str | None, argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the options of the command, and check their bounds."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=32, width=100
        ),
    )
    add, size, many, real = (
        parser.add_argument,
        number(int, 1, 2**16),
        number(int, 1, 10**9),
        number(float, 1e-30, 1e30),
    )
    add(
        "--data",
        metavar="FILE",
        help="text to learn, UTF-8 (default: the reference pages that come with Python)",
    )
    add(
        "--out",
        type=folder,
        metavar="FOLDER",
        default="runs",
        help="folder for the checkpoint and the training curve (default: %(default)s)",
    )
    add("--resume", action="store_true", help="continue from the checkpoint in the --out folder")
    add(
        "--overwrite",
        action="store_true",
        help="start again, even if the --out folder has the checkpoint of another run; replace a report",
    )
    add(
        "--report",
        type=folder,
        metavar="FOLDER",
        help="folder for a page about the run: report.html",
    )
    add(
        "--steps",
        type=many,
        default=1000,
        metavar="N",
        help="number of training steps, each on one window of text (default: %(default)s)",
    )
    add(
        "--hidden", type=size, default=256, metavar="N", help="size of the GRU's state (default: %(default)s)"
    )
    add(
        "--embedding",
        type=size,
        default=64,
        metavar="N",
        help="size of the embedding of a character (default: %(default)s)",
    )
    add(
        "--batch",
        type=many,
        default=32,
        metavar="N",
        help="number of text streams read in parallel (default: %(default)s)",
    )
    add(
        "--window",
        type=many,
        default=64,
        metavar="N",
        help="characters in a window, through which gradients flow back (default: %(default)s)",
    )
    add(
        "--lr",
        type=real,
        default=5e-3,
        metavar="X",
        help="initial learning rate of Adam (default: %(default)s)",
    )
    add(
        "--clip",
        type=real,
        default=1.0,
        metavar="X",
        help="maximum norm of the gradient (default: %(default)s)",
    )
    add(
        "--validate-every",
        type=many,
        default=200,
        metavar="N",
        help="steps between evaluations on the held-out text (default: %(default)s)",
    )
    add(
        "--streams",
        type=many,
        default=16,
        metavar="N",
        help="number of streams that the held-out text is cut into (default: %(default)s)",
    )
    add(
        "--sample",
        type=number(int, 0, 10**6),
        default=300,
        metavar="N",
        help="number of characters to generate at the end (default: %(default)s)",
    )
    warm = number(float, 1e-3, 1e3)
    add(
        "--temperature",
        type=warm,
        default=0.7,
        metavar="X",
        help="temperature of the sample; a lower one takes fewer risks (default: %(default)s)",
    )
    add(
        "--seed",
        type=number(int, 0, 2**64 - 1),
        default=0,
        metavar="N",
        help="random seed; the same seed gives the same run (default: %(default)s)",
    )
    add(
        "--dtype",
        choices=["float32", "float64"],
        default="float32",
        help="dtype of the weights (default: %(default)s)",
    )
    add(
        "--precision",
        choices=["float32", "bfloat16", "float16"],
        help="dtype of the arithmetic, if different from that of the weights",
    )
    add("--device", metavar="NAME", help="cpu, cuda, cuda:N or auto (default: XGRAD_DEVICE, or cpu)")
    add("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(argv)
