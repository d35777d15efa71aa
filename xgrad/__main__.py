"""`python -m xgrad info`: show devices, versions, speed and advice for this machine."""

from __future__ import annotations

import argparse

from .information import info


def main() -> None:
    """Run the command named on the command line, or list the available ones."""
    parser = argparse.ArgumentParser(
        prog="python -m xgrad",
        description="xgrad, an array library that differentiates what is computed with it.",
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser(
        "info", help="devices, versions, BLAS, measured speed, and advice where this machine could be faster"
    )
    if parser.parse_args().command == "info":
        print(info())
    else:
        parser.print_help()


if __name__ == "__main__":
    main()
