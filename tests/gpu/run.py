"""Run the checks on a GPU, without pytest: all of them, or those whose names contain one of the words given.

    python tests/gpu/run.py [--long] [--seconds N] [word ...]

It ends after N seconds in any case, and fails if a check has failed.
"""

import argparse
import faulthandler
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import checks_of_bits  # noqa: E402, F401 they register
import checks_of_order  # noqa: E402, F401
from registry import CHECKS, Skipped  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seconds", type=int, default=550)
    options = parser.parse_args()
    faulthandler.dump_traceback_later(options.seconds, exit=True)
    chosen = [check for check in CHECKS if options.long or not check.is_long]
    if options.words:
        chosen = [check for check in chosen if any(word in check.name for word in options.words)]
    counts = Counter()
    for check in chosen:
        start, note = time.perf_counter(), ""
        try:
            check()
            outcome = "passed"
        except Skipped as error:
            outcome, note = "skipped", str(error)
        except Exception:
            outcome, note = "FAILED", traceback.format_exc()
        counts[outcome] += 1
        print(f"{outcome:8}{time.perf_counter() - start:8.2f} s  {check.name}  {note}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "no such check")
    return 1 if counts["FAILED"] or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
