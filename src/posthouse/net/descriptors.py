"""File descriptors: as many as the system lets this process have, and each door's share of them.

A connection is a descriptor, and so is a file of the database. Whoever opens connections without an end must not
keep the database from its files, nor mail from its port.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

# Database, blobs, listeners, the control socket, and calls to others: the dialer, couriers, DNS.
_KEPT = 192
_LEAST = 32
# More would be asked of a system that names no limit.
_ENOUGH = 1 << 20


@dataclass(frozen=True, slots=True)
class Shares:
    """How many connections the doors may hold open at once: all HTTP ports together, each SMTP port."""

    http: int
    smtp: int


def raise_limit() -> int:
    """Ask for as many descriptors as the process may have without asking anybody; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _ENOUGH if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # some systems have a lower limit that getrlimit does not name
        return soft
    return wanted


def shares(descriptors: int, *, http: int, smtp: int) -> Shares:
    """What of so many descriptors each door gets: at most what is asked for, half for HTTP, a quarter for SMTP."""
    free = descriptors - min(_KEPT, descriptors // 4)
    return Shares(http=max(_LEAST, min(http, free // 2)), smtp=max(_LEAST, min(smtp, free // 8)))
