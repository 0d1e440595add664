"""``python -m numclip`` shows the configuration, ``python -m numclip selftest`` checks the installed copy."""

import argparse
import os
import sys

from numclip import __version__, show_config

COMMANDS = {
    "config": "what a report of a bug needs: versions, processor, threads, cache (the default)",
    "selftest": "check the installed copy against exact results",
}


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m numclip",
        description="Show the configuration, or check the installed copy.",
        epilog="\n".join(f"{command:10}{text}" for command, text in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, default="config")
    parser.add_argument("--version", action="version", version=f"numclip {__version__}")
    try:
        status = _run(parser.parse_args().command)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as head, has closed the pipe. Flushing the buffer at exit would raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _run(command: str) -> int:
    if command == "config":
        show_config()
        return 0
    from numclip import _selftest

    return min(_selftest.run(), 1)


if __name__ == "__main__":
    sys.exit(main())
