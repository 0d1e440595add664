"""Shared by the examples that draw a picture: its path, and Ctrl-C."""

import argparse
import os
import sys
from pathlib import Path

from matplotlib.backend_bases import FigureCanvasBase

INTERRUPTED = 130  # the exit code of a shell for Ctrl-C


def picture(name):
    """Return the path of a picture that can be written; for argparse, which reports errors."""
    path = Path(name)
    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in formats:
        raise argparse.ArgumentTypeError(f"{name} should end in one of .{', .'.join(sorted(formats))}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"no such directory: {path.parent}")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot write to {name}")
    return path


def run_main(main):
    """Exit with the code that `main` returns; Ctrl-C outside of the training needs no traceback either."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
