"""The commands `python -m xgrad info`, about this machine, and `python -m xgrad draw`, for pictures."""

from __future__ import annotations

import argparse

from .information import info


def main() -> None:
    """Run the command named on the command line, or list the available ones."""
    from .viz import command

    parser = argparse.ArgumentParser(
        prog="python -m xgrad",
        description="xgrad, an autograd library for NumPy and CuPy arrays.",
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser(
        "info",
        help="show devices, versions, BLAS, measured speed, and advice on making xgrad faster here",
    )
    drawing = commands.add_parser(
        "draw",
        help="draw a function of a file, forward and backward, as a page or a picture",
        description=command.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(drawing)
    given = parser.parse_args()
    if given.command == "info":
        print(info())
    elif given.command == "draw":
        print(command.run(given))
    else:
        parser.print_help()


if __name__ == "__main__":
    main()
