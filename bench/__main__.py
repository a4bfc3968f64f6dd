"""`./dev bench [NAME …]`: measure, print each row as it is known, then one table. Ends with 1 when a promise was missed.

A number behind `siege` is for how many minutes.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import signal
import sys
import time

from bench import processes
from bench.report import Row, line, table

NAMES = ("disk", "accept", "deliver", "api", "jmap", "scale", "fanout", "parse", "start", "install", "hostile", "siege")
# A report of the disk alone, and what goes on for as long as one likes.
_NOT_OF_ALL = ("disk", "siege")


def main() -> int:
    """Run the claims named, or all."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; all when none is named")
    given = parser.parse_args().names
    numbers = [float(name) for name in given if name.isdecimal()]
    names = [name for name in given if not name.isdecimal()] or [name for name in NAMES if name not in _NOT_OF_ALL]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        parser.error(f"{unknown[0]} is not one of {', '.join(NAMES)}")
    # As with Ctrl-C: leaving by an exception stops the servers and clears the folder on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows: list[Row] = []
    broken = False
    for name in names:
        begun = time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            with processes.work_folder() as work:
                more = numbers[:1] if name == "siege" else []
                for row in importlib.import_module(f"bench.{name}").measure(work, *more):
                    rows.append(row)
                    print(f"  {line(row)}", file=sys.stderr, flush=True)
        except Exception as error:  # the other claims are still worth knowing
            broken = True
            rows.append(Row(name, verdict=f"failed: {' '.join(str(error).split())[:300]}"))
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}\n")
    print(table(rows))
    return int(broken or any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
