"""A million messages beside ten thousand: what a first page costs must not grow with the mailbox.

Two servers of the same build, one folder each, asked in turns for the same pages over HTTP on one connection. The
folders are filled before the servers start (`bench/scale_fill.py`); SQLite, as it runs by default.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench import house, scale_fill
from bench.house import House
from bench.report import Row, at_most
from bench.scale_fill import COMMON, FREQUENT, FREQUENT_WRITER, KEYWORD, RARE_WRITER, UNCOMMON

SIZES = (10_000, int(os.environ.get("BENCH_SCALE") or 1_000_000))
ROUNDS = 15
WANTED = 2.0
_ADDRESS = f"big@{house.DOMAIN}"
_LIST = ["id", "threadId", "mailboxIds", "keywords", "from", "subject", "receivedAt", "size", "preview"]
_NEWEST = [{"property": "receivedAt", "isAscending": False}]

Request = tuple[str, str, object]


def measure(work: Path) -> Iterator[Row]:
    """A row for each page: the large mailbox's median beside the small one's."""
    with _serving(work / "scale-small", SIZES[0]) as small, _serving(work / "scale-large", SIZES[1]) as large:
        yield from compare(small, large)


def compare(small: _Mailbox, large: _Mailbox) -> Iterator[Row]:
    """Ask both for everything, in turns."""
    for (what, one), (_, other) in zip(small.requests(), large.requests(), strict=True):
        times: dict[str, list[float]] = {"small": [], "large": []}
        for turn in range(ROUNDS + 2):
            for name, box, request in (("small", small, one), ("large", large, other)):
                begun = time.perf_counter()
                box.ask(request)
                if turn > 1:  # the first fill the caches, of both
                    times[name].append(1000 * (time.perf_counter() - begun))
        middle = {name: statistics.median(taken) for name, taken in times.items()}
        claim = f"scale: {what}, {SIZES[1]:,} messages"
        yield at_most(claim, middle["large"], middle["small"], WANTED, "ms", f"{SIZES[0]:,}")


class _Mailbox:
    """A server with one full mailbox."""

    def __init__(self, ours: House, jmap_key: str, count: int) -> None:
        self._agentmail = ours.key
        self._house = ours
        self._jmap = jmap_key
        self._count = count
        session = self.ask(("GET", "/.well-known/jmap", None))
        self._account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
        boxes = self._call([["Mailbox/get", {"accountId": self._account}, "0"]])[0][1]["list"]
        self._boxes = {box["role"]: box["id"] for box in boxes}

    def ask(self, request: Request) -> dict[str, Any]:
        """One request; JMAP's own with the key of its door."""
        method, path, body = request
        self._house.key = self._agentmail if path.startswith("/v0/") else self._jmap
        answer = self._house.call(method, path, body)
        failed = [each for each in answer.get("methodResponses", ()) if each[0] == "error"]
        if failed:
            raise RuntimeError(f"{json.dumps(body)[:300]} answered {failed[0]}")
        return answer

    def _call(self, calls: list[Any]) -> list[Any]:
        answer: list[Any] = self.ask(("POST", "/jmap/", _batch(calls)))["methodResponses"]
        return answer

    def requests(self) -> Iterator[tuple[str, Request]]:
        """Each page with its name."""
        yield from self._pages_of_jmap()
        yield from self._pages_of_agentmail()

    def _pages_of_jmap(self) -> Iterator[tuple[str, Request]]:
        inbox = {"inMailbox": self._boxes["inbox"]}
        oldest = [{"property": "receivedAt", "isAscending": True}]
        sorts = {name: [{"property": name, "isAscending": True}, *_NEWEST] for name in ("subject", "from", "size")}
        for what, arguments in (
            ("inbox", {"filter": inbox}),
            ("inbox, oldest first", {"filter": inbox, "sort": oldest}),
            ("inbox, a message per thread", {"filter": inbox, "collapseThreads": True}),
            ("inbox, unread", {"filter": inbox | {"notKeyword": "$seen"}}),
            ("unread of all mailboxes", {"filter": {"notKeyword": "$seen"}}),
            ("inbox, flagged", {"filter": inbox | {"hasKeyword": "$flagged"}}),
            ("inbox, with a keyword", {"filter": inbox | {"hasKeyword": KEYWORD}}),
            ("inbox, flagged first", {"filter": inbox, "sort": [_flagged_first(), *_NEWEST]}),
            ("from a frequent writer", {"filter": {"from": FREQUENT_WRITER}}),
            ("inbox, from a frequent writer", {"filter": inbox | {"from": FREQUENT_WRITER}}),
            ("from a rare writer, 2 of them", {"filter": {"from": RARE_WRITER}, "limit": 2}),
            ("to the account itself", {"filter": {"to": _ADDRESS}}),
            ("a word of every message", {"filter": {"text": COMMON}}),
            ("inbox, a word of every message", {"filter": inbox | {"text": COMMON}}),
            ("a word of one in three", {"filter": {"text": FREQUENT}}),
            ("a word of one in fifty", {"filter": {"text": UNCOMMON}}),
            ("two words", {"filter": {"text": f"{COMMON} {UNCOMMON}"}}),
            ("a word of subjects", {"filter": {"subject": COMMON}}),
            ("by subject", {"filter": inbox, "sort": sorts["subject"]}),
            ("by sender", {"filter": inbox, "sort": sorts["from"]}),
            ("by size", {"filter": inbox, "sort": sorts["size"]}),
            ("drafts by subject", {"filter": {"inMailbox": self._boxes["drafts"]}, "sort": sorts["subject"]}),
            ("before the middle", {"filter": inbox | {"before": self._middle()}}),
        ):
            yield f"JMAP, {what}", ("POST", "/jmap/", _batch(self._query_and_get(arguments)))

    def _middle(self) -> str:
        at = scale_fill.BEGIN + self._count // 2 * scale_fill.STEP_MS
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 1000))

    def _query_and_get(self, arguments: dict[str, Any]) -> list[Any]:
        query = {"accountId": self._account, "limit": 50, "sort": _NEWEST} | arguments
        ids = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
        return [
            ["Email/query", query, "0"],
            ["Email/get", {"accountId": self._account, "#ids": ids, "properties": _LIST}, "1"],
        ]

    def _pages_of_agentmail(self) -> Iterator[tuple[str, Request]]:
        inbox = f"/v0/inboxes/{quote(_ADDRESS, safe='@')}"
        for what, path in (
            ("list", "messages?limit=50"),
            ("list, oldest first", "messages?limit=50&ascending=true"),
            ("list, spam too", "messages?limit=50&include_spam=true"),
            ("list, unread", "messages?limit=50&labels=unread"),
            ("list, with a label", f"messages?limit=50&labels={KEYWORD}"),
            ("list, from a frequent writer", f"messages?limit=50&from={quote(FREQUENT_WRITER)}"),
            ("list, a common word of subjects", f"messages?limit=50&subject={COMMON}"),
            ("threads", "threads?limit=50"),
            ("threads, unread", "threads?limit=50&labels=unread"),
            ("threads, with a label", f"threads?limit=50&labels={KEYWORD}"),
            ("search, a word of every message", f"messages/search?limit=20&q={COMMON}"),
            ("search, a word of one in three", f"messages/search?limit=20&q={FREQUENT}"),
            ("search, a word of one in fifty", f"messages/search?limit=20&q={UNCOMMON}"),
            ("search, a frequent writer", f"messages/search?limit=20&q={quote(FREQUENT_WRITER)}"),
            ("search of threads, a word of every message", f"threads/search?limit=20&q={COMMON}"),
            ("search of threads, a word of one in fifty", f"threads/search?limit=20&q={UNCOMMON}"),
        ):
            yield f"AgentMail, {what}", ("GET", f"{inbox}/{path}", None)


def _flagged_first() -> dict[str, Any]:
    return {"property": "hasKeyword", "keyword": "$flagged", "isAscending": False}


def _batch(calls: list[Any]) -> dict[str, Any]:
    return {"using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"], "methodCalls": calls}


@contextmanager
def _serving(folder: Path, count: int) -> Iterator[_Mailbox]:
    settings = house.environment(folder, 1, 1)
    house.command(settings, "init")
    house.command(settings, "inbox", "create", _ADDRESS)
    scale_fill.fill(folder / "posthouse.db", _ADDRESS, count)
    with serving(folder, count) as box:
        yield box


@contextmanager
def serving(folder: Path, count: int) -> Iterator[_Mailbox]:
    """A server on a folder that has been filled."""
    key = house.command(
        house.environment(folder, 1, 1), "key", "create", "--surface", "atomicmail", "--inbox", _ADDRESS
    )["key"]
    with house.running(folder) as ours:
        ours.settle()
        yield _Mailbox(ours, str(key), count)
