"""`python -m xgrad info`: show devices, versions, speed and advice for this machine."""

from __future__ import annotations

import argparse

from .information import info


def main() -> None:
    """Run the command named on the command line, or list the available ones."""
    parser = argparse.ArgumentParser(
        prog="python -m xgrad",
        description="xgrad, an autograd library for NumPy and CuPy arrays.",
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser(
        "info",
        help="show devices, versions, BLAS, measured speed, and advice on making xgrad faster here",
    )
    if parser.parse_args().command == "info":
        print(info())
    else:
        parser.print_help()


if __name__ == "__main__":
    main()
