"""JMAP beside Cyrus: the calls a mail client makes all day, in a mailbox of 10,000 messages, the same in both.

Both are asked by the same client, in turns; each request's answer is checked once before it is timed.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import cyrus, house, processes
from bench.report import Row, Skipped, at_most, median, skipped

SIZE = 10_000
RUNS = 3
USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
COMMON = "regards"
CHANGES = 1_000
CHANGES_MS = 10.0
_LIST = ["id", "threadId", "mailboxIds", "keywords", "from", "subject", "receivedAt", "size", "preview"]
_BEGIN_S = 1_700_000_000

Bodies = list[dict[str, Any]]


class Server:
    """Either of the two: where it answers, and the ids a request needs."""

    def __init__(self, name: str, port: int, authorization: str, settle: Callable[[], None] = lambda: None) -> None:
        self.settle = settle
        self.name = name
        self.port = port
        self.authorization = authorization
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        session = json.loads(self._ask("GET", "/.well-known/jmap" if name != "cyrus" else "/jmap/", None, ""))
        self.account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
        boxes = self.call(["Mailbox/get", {"accountId": self.account}])["list"]
        self.boxes = {box["role"]: box["id"] for box in boxes if box["role"]}
        self.ids: list[str] = []

    def _ask(self, method: str, path: str, content: bytes | None, kind: str) -> bytes:
        headers = {"Authorization": self.authorization} | ({"Content-Type": kind} if kind else {})
        return processes.ask(self._connection, method, path, content, headers)

    def send(self, body: dict[str, Any]) -> list[Any]:
        """A request; its method responses, none of them an error."""
        answer = json.loads(self._ask("POST", "/jmap/", json.dumps(body).encode(), "application/json"))
        responses: list[Any] = answer["methodResponses"]
        for name, arguments, _ in responses:
            failed = {key: value for key, value in arguments.items() if key.startswith("not") and value}
            if name == "error" or failed:
                raise RuntimeError(f"{self.name} answered {name} {str(failed or arguments)[:300]}")
        return responses

    def call(self, *calls: list[Any]) -> dict[str, Any]:
        """Methods called in one request; the last one's answer."""
        answer: dict[str, Any] = self.send(batch(*calls))[-1][1]
        return answer

    def upload(self, raw: bytes) -> str:
        """Bytes handed in; the blob's id."""
        return str(json.loads(self._ask("POST", f"/jmap/upload/{self.account}/", raw, "message/rfc822"))["blobId"])

    def upload_together(self, raws: list[bytes]) -> list[str]:
        """The same in one call (RFC 9404), which Cyrus has not."""
        create = {
            f"b{number}": {"data": [{"data:asBase64": base64.b64encode(raw).decode()}], "type": "message/rfc822"}
            for number, raw in enumerate(raws)
        }
        body = batch(["Blob/upload", {"accountId": self.account, "create": create}])
        body["using"] = [*USING, "urn:ietf:params:jmap:blob"]
        made = self.send(body)[0][1]["created"]
        return [made[f"b{number}"]["id"] for number in range(len(raws))]

    def import_(self, mails: list[tuple[bytes, int, bool]], blob_ids: list[str] | None = None) -> None:
        """Put messages into the inbox by `Email/import`, and before that by upload unless that has been done."""
        emails = {
            f"e{number}": {
                "blobId": blob_ids[number] if blob_ids else self.upload(raw),
                "mailboxIds": {self.boxes["inbox"]: True},
                "keywords": {"$seen": True} if is_seen else {},
                "receivedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
            }
            for number, (raw, at, is_seen) in enumerate(mails)
        }
        self.call(["Email/import", {"accountId": self.account, "emails": emails}])


def batch(*calls: list[Any]) -> dict[str, Any]:
    """A request of method calls, numbered."""
    return {"using": USING, "methodCalls": [[*call, str(number)] for number, call in enumerate(calls)]}


def measure(work: Path) -> Iterator[Row]:
    """A row for each call."""
    mails = messages(SIZE)
    with ExitStack() as stack:
        servers = [_ours(stack, work)]
        for begin in range(0, SIZE, 500):
            some = mails[begin : begin + 500]
            servers[0].import_(some, servers[0].upload_together([raw for raw, _, _ in some]))
        try:
            peer = stack.enter_context(cyrus.running(work / "cyrus"))
            peer.fill(mails)
            peer.index()
            servers.append(Server("cyrus", peer.http_port, peer.authorization))
        except Skipped as reason:
            yield skipped("jmap: Cyrus", str(reason))
        for server in servers:
            server.ids = _all_ids(server)
        for what, wanted, connections, make in _claims():
            yield _row(work, servers, what, wanted, connections, make)
        yield _imports(servers)
        yield _changes(work, servers[0])


def _ours(stack: ExitStack, work: Path) -> Server:
    ours = stack.enter_context(house.running(work / "jmap"))
    address = ours.inbox("box")
    settings = house.environment(ours.folder, ours.http_port, ours.port)
    key = house.command(settings, "key", "create", "--surface", "atomicmail", "--inbox", address)["key"]
    return Server("posthouse", ours.http_port, f"Bearer {key}", ours.settle)


def messages(count: int) -> list[tuple[bytes, int, bool]]:
    """Mails of 1 to 6 KB from 500 writers, a third of them answers; each a minute after the last, 10 % unread."""
    chance = random.Random(11)
    words = ["".join(chance.choices("abcdefghiklmnoprstuw", k=chance.randint(3, 9))) for _ in range(5_000)]
    made = []
    for number in range(count):
        parent = chance.randrange(number) if number and chance.random() < 0.3 else None
        writer = chance.randrange(500)
        subject = f"Re: topic {parent}" if parent is not None else f"topic {number}"
        head = [
            f"From: Writer {writer} <writer{writer}@sender.invalid>",
            "To: box@peer.invalid",
            f"Subject: {subject}",
            f"Message-ID: <{number}@sender.invalid>",
            "Date: " + time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(_BEGIN_S + 60 * number)),
            *([f"In-Reply-To: <{parent}@sender.invalid>"] if parent is not None else []),
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
        ]
        lines = [" ".join(chance.choices(words, k=10)) for _ in range(chance.randint(12, 90))]
        text = "\r\n".join([*head, "", *lines, "", COMMON, f"Writer {writer}", ""])
        made.append((text.encode(), _BEGIN_S + 60 * number, chance.random() < 0.9))
    return made


def _all_ids(server: Server) -> list[str]:
    found: list[str] = []
    while len(found) < SIZE:
        arguments = {"accountId": server.account, "filter": {"inMailbox": server.boxes["inbox"]},
                     "sort": [{"property": "receivedAt", "isAscending": False}],
                     "position": len(found), "limit": 1_000}  # fmt: skip
        page = server.call(["Email/query", arguments])["ids"]
        if not page:
            raise RuntimeError(f"{server.name} lists {len(found)} of {SIZE} messages")
        found += page
    return found


Make = Callable[[Server], Bodies]


def _claims() -> list[tuple[str, float, int, Make]]:
    return [
        ("list of 50 of the inbox, 1 connection", 0.25, 1, _list),
        ("list of 50 of the inbox, 8 connections", 0.25, 8, _list),
        ("list of 50 with a word of every message, 1 connection", 0.5, 1, _text),
        ("one message with its text, 1 connection", 1.0, 1, _one),
        ("all mailboxes, 1 connection", 1.0, 1, _mailboxes),
        ("flag 50 messages, 1 connection", 1.0, 1, _flags),
        ("create a draft, 1 connection", 1.0, 1, _draft),
    ]


def _query_and_get(server: Server, filter_: dict[str, Any]) -> Bodies:
    query = {"accountId": server.account, "filter": filter_, "limit": 50,
             "sort": [{"property": "receivedAt", "isAscending": False}]}  # fmt: skip
    get = {"accountId": server.account, "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"},
           "properties": _LIST}  # fmt: skip
    return [batch(["Email/query", query], ["Email/get", get])]


def _list(server: Server) -> Bodies:
    return _query_and_get(server, {"inMailbox": server.boxes["inbox"]})


def _text(server: Server) -> Bodies:
    return _query_and_get(server, {"text": COMMON})


def _one(server: Server) -> Bodies:
    ids = random.Random(3).sample(server.ids, 200)
    return [
        batch(["Email/get", {"accountId": server.account, "ids": [id_], "fetchAllBodyValues": True}]) for id_ in ids
    ]


def _mailboxes(server: Server) -> Bodies:
    return [batch(["Mailbox/get", {"accountId": server.account}])]


def _flags(server: Server) -> Bodies:
    bodies = []
    for begin in range(0, 500, 50):
        for value in (True, None):
            update = {id_: {"keywords/$flagged": value} for id_ in server.ids[begin : begin + 50]}
            bodies.append(batch(["Email/set", {"accountId": server.account, "update": update}]))
    return bodies


def _draft(server: Server) -> Bodies:
    draft = {
        "mailboxIds": {server.boxes["drafts"]: True},
        "keywords": {"$draft": True, "$seen": True},
        "from": [{"name": "Box", "email": "box@peer.invalid"}],
        "to": [{"name": "Ann", "email": "ann@sender.invalid"}],
        "subject": "A draft",
        "textBody": [{"partId": "t", "type": "text/plain"}],
        "bodyValues": {"t": {"value": "The quick brown fox.\n" * 50}},
    }
    return [batch(["Email/set", {"accountId": server.account, "create": {"d": draft}}])]


def _row(work: Path, servers: list[Server], what: str, wanted: float, connections: int, make: Make) -> Row:
    bodies = {}
    for server in servers:
        bodies[server.name] = make(server)
        answer = server.send(bodies[server.name][0])
        if "list of 50" in what and len(answer[-1][1]["list"]) != 50:
            raise RuntimeError(f"{server.name} lists {len(answer[-1][1]['list'])} messages")
    times: dict[str, list[float]] = {server.name: [] for server in servers}
    for _ in range(RUNS):
        for server in servers:
            server.settle()
            times[server.name].append(_load(work, server, bodies[server.name], connections))
    middle = {name: median(taken) for name, taken in times.items()}
    return at_most(f"jmap: {what}", middle["posthouse"], middle.get("cyrus"), wanted, "ms", "cyrus")


def _load(work: Path, server: Server, bodies: Bodies, connections: int) -> float:
    path = work / "bodies.json"
    path.write_text(json.dumps(bodies))
    arguments = ["--port", str(server.port), "--authorization", server.authorization, "--bodies", str(path)]
    return float(processes.load("jmap_load", *arguments, "--connections", str(connections))["p50_ms"])


def _imports(servers: list[Server]) -> Row:
    """Uploads and one import of 50 messages, none of them seen before."""
    times: dict[str, list[float]] = {server.name: [] for server in servers}
    fresh = [
        (raw.replace(b"@sender.invalid>\r\nDate", b"@import.invalid>\r\nDate"), at, is_seen)
        for raw, at, is_seen in messages(50 * RUNS)
    ]
    for run in range(RUNS):
        for server in servers:
            server.settle()
            begun = time.perf_counter()
            server.import_(fresh[50 * run : 50 * run + 50])
            times[server.name].append(1000 * (time.perf_counter() - begun))
    middle = {name: median(taken) for name, taken in times.items()}
    claim = "jmap: upload and import 50 messages"
    return at_most(claim, middle["posthouse"], middle.get("cyrus"), 1.0, "ms", "cyrus")


def _changes(work: Path, ours: Server) -> Row:
    """What a client asks that was away for a while; the limit is what nobody notices."""
    state = ours.call(["Email/get", {"accountId": ours.account, "ids": []}])["state"]
    for begin in range(0, CHANGES, 250):
        update = {id_: {"keywords/$answered": True} for id_ in ours.ids[begin : begin + 250]}
        ours.call(["Email/set", {"accountId": ours.account, "update": update}])
    body = batch(["Email/changes", {"accountId": ours.account, "sinceState": state}])
    if len(ours.send(body)[0][1]["updated"]) != CHANGES:
        raise RuntimeError("Email/changes does not name all that changed")
    took = median([_load(work, ours, [body], 1) for _ in range(RUNS)])
    return at_most(f"jmap: Email/changes after {CHANGES:,} changes", took, CHANGES_MS, 1.0, "ms", "limit")
