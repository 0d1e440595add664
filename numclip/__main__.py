"""``python -m numclip`` shows the configuration, ``python -m numclip selftest`` checks the installed copy."""

import argparse
import sys

from numclip import show_config


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser("python -m numclip", description="Show the configuration, or check it.")
    parser.add_argument("command", nargs="?", choices=["config", "selftest"], default="config")
    if parser.parse_args().command == "config":
        show_config()
        return 0
    from numclip import _selftest

    return min(_selftest.run(), 1)


if __name__ == "__main__":
    sys.exit(main())
