"""A siege: ordinary mail goes in and out of one server while hostile inputs of every kind come through every door.

`./dev bench siege [MINUTES]`. Measured are the longest stall of the loop (a parallel `GET /health`) beside what this
machine keeps a process waiting anyhow, the server's memory, answers that are faults of the server's own, and whether all
ordinary mail arrived as it was sent. What comes is in `bench/siege_inputs.py`; `SIEGE_SEED` begins it elsewhere.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import select
import smtplib
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench import house, processes
from bench.hostile import memory_mb
from bench.house import House
from bench.report import Row

STALL_S = 0.1
# What caches, pools and an allocator keep after a while; more is a leak.
GROWTH_MB = 128
_WARM_S = 30
_DOORS = ("http", "smtp", "jmap", "http", "jmap")
_WORDS = "ordinary mail that has to arrive, with ümläuts, and nothing else "


def measure(work: Path, minutes: float = 2.0) -> list[Row]:
    """The siege, for so many minutes."""
    seed = os.environ.get("SIEGE_SEED", "1")
    with house.running(work / "house") as server, ExitStack() as ends:
        log = work / "house.log"
        ordinary, other = server.inbox("ordinary"), server.inbox("other")
        besiegers = []
        for number, door in enumerate(_DOORS):
            address = server.inbox(f"hostile{number}")
            made = server.call("POST", f"/v0/inboxes/{quote(address, safe='@')}/api-keys", {"name": "siege"})
            asked = {
                "door": door, "seed": f"{seed}/{number}", "folder": str(server.folder), "owner": server.key,
                "http": server.http_port, "smtp": server.port, "submission": server.submission_port,
                "address": address, "key": made["api_key"], "victim": ordinary,
            }  # fmt: skip
            besiegers.append(_process(ends, "siege_inputs", json.dumps(asked)))
        load = _process(ends, "siege", "load", str(server.http_port), str(server.port), server.key, ordinary, other)
        probe = _process(ends, "siege", "probe", str(server.http_port))
        control = _process(ends, "siege", "probe", "0")
        memory = _sampled(server.pid, minutes * 60)
        told = [_ended(each) for each in (*besiegers, load, probe, control)]
        server.settle()
        left = memory_mb(server.pid, "VmRSS")
        peak = memory_mb(server.pid, "VmHWM")
        lost = _lost(server, told[len(_DOORS)]["sent"], ordinary, other)
        said = log.read_text(errors="replace")
        for found in re.finditer(r"Traceback", said):
            print(said[max(0, found.start() - 300) : found.start() + 3_000], file=sys.stderr)
    return _rows(told, memory, left, peak, lost, said.count("Traceback"), minutes)


def _rows(
    told: list[dict[str, Any]],
    memory: list[float],
    left: float,
    peak: float,
    lost: list[str],
    traces: int,
    minutes: float,
) -> list[Row]:
    *besiegers, load, probe, control = told
    sent, answered, faults = Counter[str](), Counter[str](), list[str]()
    for each in besiegers:
        sent.update(each["sent"])
        answered.update(each["answered"])
        faults += each["faults"]
    for fault in (*faults, *load["faults"]):
        print(f"fault: {fault[:1_000]}", file=sys.stderr)
    for name, count in sorted(sent.items()):
        print(f"{name}: {count}", file=sys.stderr)
    print(f"answers: {dict(answered.most_common())}", file=sys.stderr)
    warm, last = _middle(memory, 0), _middle(memory, -1)
    count = len(load["sent"])

    def row(claim: str, ours: str, limit: str = "", ratio: float | None = None) -> Row:
        if ratio is None:
            return Row(claim, ours)
        return Row(claim, ours, limit, ratio, "≤ 1", "met" if ratio <= 1 else "missed")

    def waits(found: dict[str, Any]) -> str:
        return f"{1000 * found['longest_s']:.0f} ms, {found['over_50']} over 50 and {found['over_100']} over 100 of {found['count']}"

    return [
        row("siege: inputs", f"{sum(sent.values())} in {minutes:g} min"),
        row("siege: what the machine keeps a process waiting", waits(control)),
        row("siege: the health", waits(probe), f"{1000 * STALL_S:.0f} ms", probe["longest_s"] / STALL_S),
        row("siege: memory that grew", f"{warm:.0f} → {last:.0f} MB, peak {peak:.0f}, at rest {left:.0f}", f"+{GROWTH_MB} MB", max(0.0, last - warm) / GROWTH_MB),
        row("siege: faults of the server", f"{answered['fault']} answers, {traces} in the log", "none", 2.0 * (answered["fault"] + traces > 0)),
        row("siege: ordinary mails lost or changed", f"{len(lost)} of {count}", "none", 2.0 * (bool(lost) or not count)),
        row("siege: ordinary calls that failed", f"{len(load['faults'])}, the slowest took {load['slowest_s']:.2f} s", "none", 2.0 * bool(load["faults"])),
    ]  # fmt: skip


def _middle(samples: list[float], end: int) -> float:
    """The middle value of the first or the last quarter: one large mail on its way is no growth."""
    some = max(1, len(samples) // 4)
    return sorted(samples[:some] if end == 0 else samples[-some:])[some // 2]


def _sampled(pid: int, seconds: float) -> list[float]:
    time.sleep(min(_WARM_S, seconds / 4))
    end, found = time.monotonic() + seconds, list[float]()
    while time.monotonic() < end:
        found.append(memory_mb(pid, "VmRSS"))
        time.sleep(1)
    return found


def _process(ends: ExitStack, module: str, *arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", f"bench.{module}", *arguments]
    made = subprocess.Popen(line, cwd=processes.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ends.callback(made.kill)
    return made


def _ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = process.communicate("\n", timeout=600)
    if process.returncode:
        raise RuntimeError(f"{process.args!r:.200} ended with {process.returncode}")
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    return told


def _lost(server: House, sent: list[list[str]], ordinary: str, other: str) -> list[str]:
    """The subjects of those ordinary mails that are not there, or not as they were sent."""
    shown: dict[str, str] = {}
    for address in (ordinary, other):
        for id_ in server.all_ids(address):
            found = server.call("GET", house.messages_path(address, id_))
            shown[f"{address} {found.get('subject', '')}"] = (found.get("text") or "").strip()
    return [subject for address, subject, text in sent if shown.get(f"{address} {subject}") != text.strip()]


# --- Beside the siege: who asks for the health, and who has ordinary mail


def _stopped(wait_s: float) -> bool:
    return bool(select.select([sys.stdin], [], [], wait_s)[0])


def _probe(port: int) -> None:
    """Ask for the health again and again; with port 0 ask for nothing, to know the machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    waits: list[float] = []
    begun = time.monotonic()
    while not _stopped(0.005):
        if port:
            begun = time.monotonic()
            try:
                connection.request("GET", "/health")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
                waits.append(10.0)  # whatever the reason, nobody may cut this one
                continue
            waits.append(time.monotonic() - begun)
        else:
            waits.append(max(0.0, time.monotonic() - begun - 0.005))
            begun = time.monotonic()
    told = {
        "longest_s": max(waits),
        "over_50": sum(each > 0.05 for each in waits),
        "over_100": sum(each > 0.1 for each in waits),
    }
    print(json.dumps({**told, "count": len(waits)}))


def _load(http_port: int, smtp_port: int, key: str, ordinary: str, other: str) -> None:
    """Mail from outside, mail from inbox to inbox, the list and the newest: every second or so."""
    server = House(Path(), key, http_port, smtp_port)
    pick = random.Random(1)
    sent: list[tuple[str, str, str]] = []
    faults: list[str] = []
    slowest = 0.0
    number = 0
    while not _stopped(0.7):
        number += 1
        subject, text = f"Ordinary {number}", _WORDS * pick.randrange(1, 60)
        for turn in (_hand_in, _send, _look):
            begun = time.monotonic()
            try:
                address = turn(server, ordinary, other, subject, text)
                if address:
                    sent.append((address, subject, text))
            except (OSError, RuntimeError, smtplib.SMTPException, http.client.HTTPException) as error:
                faults.append(f"{turn.__name__} {subject}: {error!r}")
            slowest = max(slowest, time.monotonic() - begun)
    print(json.dumps({"sent": sent, "faults": faults, "slowest_s": slowest}))


def _hand_in(server: House, ordinary: str, other: str, subject: str, text: str) -> str:
    raw = f"From: friend@elsewhere.example\r\nTo: {ordinary}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    raw += f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n"
    with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
        client.sendmail("friend@elsewhere.example", [ordinary], raw.encode(), ["BODY=8BITMIME"])
    return ordinary


def _send(server: House, ordinary: str, other: str, subject: str, text: str) -> str:
    server.call("POST", f"{house.messages_path(ordinary)}/send", {"to": [other], "subject": subject, "text": text})
    return other


def _look(server: House, ordinary: str, other: str, subject: str, text: str) -> str:
    for each in server.messages(other, limit=3)["messages"][:1]:
        server.call("GET", house.messages_path(other, each["message_id"]))
    return ""


if __name__ == "__main__":
    if sys.argv[1] == "probe":
        _probe(int(sys.argv[2]))
    else:
        _load(int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
