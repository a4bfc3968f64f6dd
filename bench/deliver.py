"""Sustained until readable: from the first connection until the last mail stands in the mailbox, both servers.

Ours is read through the API, postfix's in the maildir. A server that accepts faster than it files gains nothing:
the clock runs until the spool is empty.
"""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import house, postfix, processes
from bench.postfix import Postfix
from bench.report import Row, Skipped, at_least, median, skipped, spread

RUNS = 3
MESSAGES = 4_000
ALONE = 60
WANTED = 1.0


def measure(work: Path) -> Iterator[Row]:
    """Rows for 10 and 50 sessions, and how long one mail alone takes."""
    with ExitStack() as stack:
        peer: Postfix | None = None
        try:
            peer = stack.enter_context(postfix.running(work / "postfix-deliver", hold=False))
        except Skipped as reason:
            yield skipped("deliver: postfix", str(reason))
        ours = stack.enter_context(house.running(work / "deliver"))
        _send(ours.port, ours.inbox("warm"), 10, 500)
        for sessions in (10, 50):
            rates: list[float] = []
            beside: list[float] = []
            behind: list[float] = []
            for run in range(RUNS):
                inbox = ours.inbox(f"deliver-{sessions}-{run}")
                sent = _send(ours.port, inbox, sessions, MESSAGES)
                filed_at = max(ours.wait_filed(inbox, MESSAGES), sent["ended_at"])
                rates.append(MESSAGES / (filed_at - sent["started_at"]))
                behind.append(filed_at - sent["ended_at"])
                ours.settle()
                if peer is not None:
                    beside.append(_peer_rate(peer, sessions))
            claim = (
                f"deliver: {sessions} sessions, {MESSAGES:,} mails until readable "
                f"({spread(rates)}; last filed {median(behind):.1f} s after its 250)"
            )
            yield at_least(claim, median(rates), median(beside) if beside else None, WANTED, "/s", "postfix")
        yield _alone(ours)


def _send(port: int, recipient: str, sessions: int, count: int) -> dict[str, Any]:
    to = ("--port", str(port), "--recipient", recipient)
    return processes.load("smtp_load", *to, "--sessions", str(sessions), "--count", str(count))


def _peer_rate(peer: Postfix, sessions: int) -> float:
    sent = _send(peer.port, postfix.RECIPIENT, sessions, MESSAGES)
    there_at = processes.wait_for(lambda: peer.delivered() >= MESSAGES, "postfix delivering", 300, 0.02)
    peer.empty()
    return MESSAGES / float(max(there_at, sent["ended_at"]) - sent["started_at"])


def _alone(ours: house.House) -> Row:
    """From the 250 of a single mail until the list shows it, on a server at rest; the list is asked without a pause."""
    waits = []
    inbox = ours.inbox("alone")
    with smtplib.SMTP("127.0.0.1", ours.port, "client.invalid", timeout=30) as client:
        for run in range(ALONE):
            time.sleep(0.05)
            text = f"From: ann@sender.invalid\r\nTo: {inbox}\r\nSubject: {run}\r\n\r\n" + "Hello there.\r\n" * 280
            client.sendmail("ann@sender.invalid", inbox, text)
            accepted_at = time.monotonic()

            def shown(subject: str = str(run)) -> bool:
                return any(mail["subject"] == subject for mail in ours.messages(inbox, limit=1)["messages"])

            waits.append(1000 * (processes.wait_for(shown, "the mail being listed", 10, 0) - accepted_at))
    p95 = sorted(waits)[ALONE * 95 // 100]
    return Row(f"deliver: one mail on an idle server, 250 to readable (p95 {p95:.0f} ms)", f"{median(waits):.1f} ms")
