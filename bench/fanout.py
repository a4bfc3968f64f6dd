"""Events fanned out: mails that come in by SMTP, told to webhooks and over WebSockets.

A real server, and one other process (`fanout_ends`) that sends the mails and hears of them. Every mail is one event,
and each listener has to hear of each mail or the run fails. The time of a telling is from the mail's 250 to its last
octet at the listener: filing is in it, and sending.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import house, processes
from bench.house import House
from bench.report import Row, median, spread

RUNS = 3
LISTENERS = 20
# Mails a second, each told to all listeners: 1,040 events a second.
STEADY = 52
SOCKETS = 500
# What is promised.
RATE, BUSY_MS, IDLE_MS, MEMORY_MB = 1_000, 1_000, 150, 100
_INBOXES = 10
_POSTS = 6_000


def measure(work: Path) -> Iterator[Row]:
    """Rows for WebSockets, webhooks and the memory of many sockets."""
    folder = work / "fanout"
    folder.mkdir()
    (folder / "posthouse.toml").write_text("webhooks_allow_private = true\n")
    with house.running(folder) as ours:
        bench = _Bench(ours)
        bench.tell(1, "--count", "500", what="sockets")  # the first requests load what is loaded late
        for compressed in (False, True):
            yield _memory(ours, compressed=compressed)
        yield from _rows(bench, "sockets", "WebSocket")
        yield from _rows(bench, "webhooks", "webhook")


class _Bench:
    """Runs the other end against a server at rest."""

    def __init__(self, ours: House) -> None:
        self._ours = ours
        self._inboxes = [ours.inbox(f"fan-{number}") for number in range(_INBOXES)]
        self._sink = processes.free_port()
        self._hooks: list[str] = []
        self._runs = 0

    def tell(self, listeners: int, *arguments: str, what: str) -> dict[str, Any]:
        """Send mails to so many `webhooks` or `sockets`; returns what `fanout_ends` measured."""
        ours = self._ours
        self._listen(listeners if what == "webhooks" else 0)
        self._runs += 1
        got = processes.load(
            "fanout_ends", "--smtp", str(ours.port), "--recipients", ",".join(self._inboxes), "--sink", str(self._sink),
            "--http", str(ours.http_port), "--key", ours.key, "--tag", f"fan-{self._runs}", f"--{what}", str(listeners),
            *arguments,
        )  # fmt: skip
        ours.settle()
        return got

    def bare(self, octets: int) -> float:
        """Posts a second that a bare sender gets to the same sink."""
        sink = processes.free_port()
        line = [sys.executable, "-m", "bench.fanout_ends", "--sink", str(sink), "--posts", str(_POSTS), "--tag", "bare"]
        with subprocess.Popen(line, cwd=processes.ROOT, stdout=subprocess.PIPE) as taking:
            processes.wait_for(lambda: processes.accepts(sink), "the sink listening", 20)
            sender = [sys.executable, "-m", "bench.fanout_peer", str(sink), str(_POSTS), str(octets)]
            subprocess.run(sender, cwd=processes.ROOT, check=True, timeout=120)
            answer = taking.communicate(timeout=60)[0]
        return float(json.loads(answer)["rate"])

    def _listen(self, count: int) -> None:
        """Have so many webhooks, each with a path of its own on the sink."""
        for webhook_id in self._hooks[count:]:
            self._ours.call("DELETE", f"/v0/webhooks/{webhook_id}")
        del self._hooks[count:]
        for number in range(len(self._hooks), count):
            made = self._ours.call("POST", "/v0/webhooks", {"url": f"http://127.0.0.1:{self._sink}/{number}"})
            self._hooks.append(made["webhook_id"])


def _rows(bench: _Bench, what: str, name: str) -> Iterator[Row]:
    """One kind of listener: idle, one of them, a steady rate to many, as fast as it goes to many."""
    idle = bench.tell(1, "--count", "60", "--rate", "5", "--sessions", "1", what=what)
    yield _at_most(f"fanout: {name}, idle: from the 250 to the listener, p95", idle["p95_ms"], IDLE_MS, "ms")
    one = [bench.tell(1, "--count", "1500", what=what)["rate"] for _ in range(RUNS)]
    yield Row(f"fanout: 1 {name}, mails as fast as they are filed ({spread(one)})", f"{median(one):,.0f} /s")
    steady = bench.tell(LISTENERS, "--count", str(STEADY * 10), "--rate", str(STEADY), what=what)
    claim = (
        f"fanout: {LISTENERS} {name}s at {steady['rate']:,.0f} events/s: from the 250 to the listener, p95 "
        f"(middle {steady['p50_ms']:.0f} ms, longest {steady['max_ms']:.0f} ms)"
    )
    yield _at_most(claim, steady["p95_ms"], BUSY_MS, "ms")
    fast: list[float] = []
    beside: list[float] = []
    for _ in range(RUNS):
        fast.append(bench.tell(LISTENERS, "--count", "300", what=what)["rate"])
        if what == "webhooks":
            beside.append(bench.bare(round(steady["octets"])))
    fastest = median(fast)
    yield Row(
        f"fanout: {LISTENERS} {name}s, as fast as it goes ({spread(fast)}), {steady['octets']:,.0f} octets",
        f"{fastest:,.0f} /s",
        f"{median(beside):,.0f} /s (bare sender)" if beside else "",
        fastest / median(beside) if beside else None,
        f"≥ {RATE:,} /s",
        "met" if fastest >= RATE else "missed",
    )


def _memory(ours: House, *, compressed: bool) -> Row:
    """What the server's resident memory grows by."""
    # A key holds a hundred streams.
    keys = [str(ours.call("POST", "/v0/api-keys", {})["api_key"]) for _ in range(SOCKETS // 100)]
    before = _resident_mb(ours.pid)
    line = [
        sys.executable, "-m", "bench.fanout_ends", "--hold", "--sockets", str(SOCKETS), "--http", str(ours.http_port),
        "--key", ",".join(keys), *(["--deflate"] if compressed else []),
    ]  # fmt: skip
    inbox = ours.inbox(f"sockets-{int(compressed)}")
    with subprocess.Popen(line, cwd=processes.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as open_sockets:
        assert open_sockets.stdout is not None
        assert open_sockets.stdin is not None
        if open_sockets.stdout.readline() != b"open\n":
            raise RuntimeError(f"{SOCKETS} sockets could not be opened")
        # Each has been told something by then: what a socket needs for that is in the figure.
        processes.load("smtp_load", "--port", str(ours.port), "--recipient", inbox, "--count", "20", "--sessions", "1")
        ours.settle()
        grown = _resident_mb(ours.pid) - before
        open_sockets.stdin.close()
    ours.settle()
    claim = f"fanout: {SOCKETS} open WebSockets{', compression offered' if compressed else ''}: more memory"
    return _at_most(claim, grown, MEMORY_MB, "MB")


def _at_most(claim: str, value: float, limit: float, unit: str) -> Row:
    verdict = "met" if value <= limit else "missed"
    return Row(claim, f"{value:,.1f} {unit}", f"{limit:g} {unit} (limit)", value / limit, "≤ 1", verdict)


def _resident_mb(pid: int) -> float:
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
