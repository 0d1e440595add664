"""``python -m numclip`` shows the configuration; its commands check the installed copy, and draw norms."""

import argparse
import os
import sys
from pathlib import Path

from numclip import __version__, show_config


def main() -> int:
    """Run the command; return the exit status."""
    try:
        status = _run(_arguments())
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as head, has closed the pipe. Flushing the buffer at exit would raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m numclip", description="Show the configuration, check the installed copy, or draw norms."
    )
    parser.add_argument("--version", action="version", version=f"numclip {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="{config,selftest,plot}")
    commands.add_parser(
        "config", help="what a report of a bug needs: versions, processor, threads, cache (the default)"
    )
    commands.add_parser("selftest", help="check the installed copy against exact results")
    plot = commands.add_parser("plot", help="draw the CSV file of a GradientMonitor")
    plot.add_argument("csv", type=Path, help="the file")
    plot.add_argument("picture", type=Path, nargs="?", help="by default beside the file, as .png")
    parser.set_defaults(command="config")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "config":
        show_config()
        return 0
    if arguments.command == "plot":
        return _plot(arguments.csv, arguments.picture or arguments.csv.with_suffix(".png"))
    from numclip import _selftest

    return min(_selftest.run(), 1)


def _plot(csv: Path, picture: Path) -> int:
    from numclip import _norms, _plot

    try:
        norms = _norms.read(csv)
        _plot.draw(norms).savefig(picture)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"python -m numclip: {error}", file=sys.stderr)
        return 2
    print(f"{picture} shows {len(norms.steps)} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
