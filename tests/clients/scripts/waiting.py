"""Waiting for what a server does in its own time."""

import time


def until(look, what):
    """Ask until there is an answer."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")
