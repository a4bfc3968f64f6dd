"""Run what lies below a folder: `python -m conformance PATH`.

Each check answers (name, passed, what was seen). Nothing here is part of the project's own suite, which has
to pass without any of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from conformance import bounces, documents, jmap_suite, openapi


class Result(NamedTuple):
    """What became of one check."""

    name: str
    passed: bool
    seen: str


CHECKS: tuple[Callable[[Path], Iterator[tuple[str, bool, str]]], ...] = (
    openapi.agentmail_operations,
    documents.agentmail_sample,
    documents.atomicmail_python,
    documents.atomicmail_node,
    jmap_suite.run,
    bounces.run,
)


def main() -> int:
    """Run all checks that find their material; 0 when all of them passed, 2 when nothing was found."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print("usage: ./dev conformance PATH, a folder with the public suites and documents", file=sys.stderr)
        return 2
    root = Path(sys.argv[1]).resolve()
    results = [Result(*found) for check in CHECKS for found in check(root)]
    for result in results:
        print(f"{'passed' if result.passed else 'FAILED'}  {result.name}: {result.seen}")
    if not results:
        print(f"nothing known was found below {root}", file=sys.stderr)
        return 2
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
