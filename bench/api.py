"""Reading by API beside the framework's empty typed endpoint plus the raw query; and sending, beside the disk.

Both servers answer the same question about the same database file, from one process each, to the same client in a
third. Time per request: over one connection the median, over eight the reciprocal of the rate, which is what the
server's core is busy with.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import house, processes
from bench.disk import fsync_rate
from bench.house import House, messages_path
from bench.report import Row, at_least, at_most, median

RUNS = 5
WANTED = 1.5
SIZES = (1_000, 10_000)
CONNECTIONS = (1, 8)

Requests = list[tuple[str, str, object]]


def measure(work: Path) -> Iterator[Row]:
    """Rows for a list of 50 and one message, in a small and a large mailbox, then for sending."""
    with house.running(work / "api") as ours:
        for size in SIZES:
            inbox = ours.inbox(f"box-{size}")
            arguments = ("--recipient", inbox, "--tag", f"box-{size}", "--count", str(size), "--pipelined")
            processes.load("smtp_load", "--port", str(ours.port), *arguments)
            ours.wait_filed(inbox, size)
            ours.settle()
            with _peer(work, ours, inbox) as port:
                yield from _read(work, ours, inbox, port, size)
        yield from _send(work, ours)


@contextmanager
def _peer(work: Path, ours: House, inbox: str) -> Iterator[int]:
    port = processes.free_port()
    line = [sys.executable, "-m", "bench.api_peer", str(ours.database), inbox, str(port)]
    with processes.child(line, work / "api-peer.log", processes.clean_environment()):
        processes.wait_for(lambda: processes.accepts(port), "the API peer listening", 20)
        yield port


def _read(work: Path, ours: House, inbox: str, peer_port: int, size: int) -> Iterator[Row]:
    ids = random.Random(size).sample(ours.all_ids(inbox), 200)
    path = messages_path(inbox)
    pairs: list[tuple[str, Requests, Requests]] = [
        ("list of 50", [("GET", f"{path}?limit=50", None)], [("GET", "/list", None)]),
        (
            "get of one",
            [("GET", messages_path(inbox, message_id), None) for message_id in ids],
            [("GET", f"/one/{message_id.removeprefix('msg_')}", None) for message_id in ids],
        ),
    ]
    for what, mine, theirs in pairs:
        for connections in CONNECTIONS:
            times: dict[str, list[float]] = {"ours": [], "peer": []}
            bodies: dict[str, float] = {}
            for _ in range(RUNS):
                for who, port, requests, key in (
                    ("ours", ours.http_port, mine, ours.key),
                    ("peer", peer_port, theirs, ""),
                ):
                    got = _ask(work, port, requests, key, connections)
                    times[who].append(got["p50_ms"] if connections == 1 else 1000 / got["rate"])
                    bodies[who] = got["body_bytes"]
            claim = (
                f"api: {what} of {size:,}, {connections} connection{'s'[: connections > 1]} "
                f"({bodies['ours']:,.0f} and {bodies['peer']:,.0f} octets)"
            )
            yield at_most(claim, median(times["ours"]), median(times["peer"]), WANTED, "ms", "bare")


def _send(work: Path, ours: House) -> Iterator[Row]:
    """Sends within the house: the id is given after the commit, so the disk is what to compare with."""
    sender, recipient = ours.inbox("sender"), ours.inbox("recipient")
    body = {"to": [recipient], "subject": "Hello", "text": "The quick brown fox.\n" * 190}
    for connections in CONNECTIONS:
        rates = []
        for _ in range(3):
            got = _ask(work, ours.http_port, [("POST", messages_path(sender), body)], ours.key, connections)
            rates.append(got["rate"])
            ours.settle()
        claim = f"api: send 4 KB within the house, {connections} connection{'s'[: connections > 1]}"
        yield at_least(claim, median(rates), fsync_rate(work), None, "/s", "fsync")


def _ask(work: Path, port: int, requests: Requests, key: str, connections: int) -> dict[str, Any]:
    path = work / "requests.json"
    path.write_text(json.dumps(requests))
    arguments = ["--port", str(port), "--requests", str(path), "--connections", str(connections)]
    return processes.load("http_load", *arguments, *(["--key", key] if key else []))
