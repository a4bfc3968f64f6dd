"""Durable acceptance: how many mails a second are answered with 250 by us and by postfix, on the same disk.

postfix takes the mail and holds it: it does no work at all after the 250. We are measured twice: as we run by
default, which files each mail at once, beside accepting; and in the smtp role alone, which like the peer only
accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import house, postfix, processes
from bench.disk import fsync_rate
from bench.house import House
from bench.postfix import Postfix
from bench.report import Row, Skipped, at_least, median, skipped, spread

RUNS = 3
WANTED = 2.0
# Sessions, pipelined, and whether the claim is about it.
CASES = ((1, False, False), (10, False, True), (10, True, True), (50, False, True), (50, True, True))
_SECONDS = ("--seconds", "3", "--warm-up", "0.7")


def measure(work: Path) -> Iterator[Row]:
    """Rows for 1, 10 and 50 sessions, in both dialogues and both roles, and the disk's limit."""
    with ExitStack() as stack:
        peer: Postfix | None = None
        try:
            peer = stack.enter_context(postfix.running(work / "postfix-hold", hold=True))
        except Skipped as reason:
            yield skipped("accept: postfix", str(reason))
        with house.running(work / "accept") as ours:
            yield from _compare(ours, peer, None, "accept and file")
        try:
            with _smtp_only(work) as (ours, inbox):
                yield from _compare(ours, peer, inbox, "accept only")
        except RuntimeError as error:
            yield skipped("accept only", str(error))
    yield Row("disk: 4 KB append and fsync, one after the other", f"{fsync_rate(work):,.0f} /s")


@contextmanager
def _smtp_only(work: Path) -> Iterator[tuple[House, str]]:
    """A server in the smtp role, with an inbox made beforehand: it has no API to make one with."""
    folder = work / "accept-smtp"
    settings = house.environment(folder, processes.free_port(), processes.free_port())
    house.command(settings, "init")
    address = house.command(settings, "inbox", "create", f"accept@{house.DOMAIN}")["address"]
    with house.running(folder, "--role", "smtp") as ours:
        yield ours, address


def _compare(ours: House, peer: Postfix | None, inbox: str | None, what: str) -> Iterator[Row]:
    """A row for each case. Without an inbox each run gets one of its own, and is over when all its mail is filed."""
    for sessions, pipelined, is_claim in CASES:
        rates: dict[str, list[float]] = {"ours": [], "peer": []}
        for run in range(RUNS):
            arguments = ["--sessions", str(sessions), *_SECONDS, *(["--pipelined"] if pipelined else [])]
            tag = f"{sessions}-{int(pipelined)}-{run}"
            address = inbox or ours.inbox(f"accept-{tag}")
            to = ("--port", str(ours.port), "--recipient", address, "--tag", tag)
            got = processes.load("smtp_load", *to, *arguments)
            rates["ours"].append(got["rate"])
            if inbox is None:
                # No run begins with the work of the one before; and every 250 is held to its promise.
                ours.wait_filed(address, got["accepted"])
                ours.settle()
            if peer is not None:
                to_peer = ("--port", str(peer.port), "--recipient", postfix.RECIPIENT)
                rates["peer"].append(processes.load("smtp_load", *to_peer, *arguments)["rate"])
                peer.empty()
        dialogue = "pipelined" if pipelined else "plain"
        claim = f"{what}: {sessions} session{'s'[: sessions > 1]}, {dialogue} ({spread(rates['ours'])})"
        beside = median(rates["peer"]) if rates["peer"] else None
        yield at_least(claim, median(rates["ours"]), beside, WANTED if is_claim else None, "/s", "postfix")
