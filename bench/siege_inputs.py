"""Besiegers: hostile inputs of every kind without end, drawn from a seed, through every door of a running server.

Each besieger is a process of its own: `python -m bench.siege_inputs` with its place as JSON. It goes on until a line
comes in, and says then what it sent, what was answered, and what should never have been. A kind of input is a function
in `KINDS`; those of `bench/hostile.py`, prepared once, are kinds as well.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import re
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench import hostile, processes
from bench.house import House

sys.path.insert(0, str(processes.ROOT / "tests"))
from fuzz.mutation import mutated

_PATIENCE_S = 60.0
_USING = [f"urn:ietf:params:jmap:{name}" for name in ("core", "mail", "submission", "vacationresponse", "blob")]
_STATUS = re.compile(rb"(?:\A|\r\n\r\n[^\r\n]*?)HTTP/1\.[01] (\d{3})")


@dataclass
class Place:
    """Where the siege is, and what is told of it.

    Attributes:
        key: of the hostile inbox, for AgentMail and SMTP; `target` has one for JMAP.
        victim: an inbox of somebody else.
    """

    pick: random.Random
    http: int
    smtp: int
    submission: int
    address: str
    key: str
    victim: str
    target: hostile.Target
    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str, data: bytes) -> None:
        """Something that should never be; the first few are kept."""
        self.answered["fault"] += 1
        if len(self.faults) < 10:
            self.faults.append(f"{what}: {data[:400]!r}")

    def spoken(self, port: int, *pieces: bytes, wait_s: float = 0.5) -> bytes:
        """What a port says to these bytes until it hangs up, or says nothing more for a while."""
        said = b""
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as wire:
            try:
                for piece in pieces:
                    wire.sendall(piece)
                wire.settimeout(wait_s)
                while got := wire.recv(65_536):
                    said += got
            except TimeoutError:
                pass
            except OSError:
                self.answered["hung up"] += 1
        return said

    def http_said(self, data: bytes) -> None:
        """Send bytes to the HTTP port and look at the statuses."""
        for status in _STATUS.findall(self.spoken(self.http, data)):
            self._status(int(status), data)

    def api(self, method: str, path: str, body: object = None) -> Any:
        """A request of AgentMail's API with the hostile key."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=_PATIENCE_S)
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            text = response.read()
            self._status(response.status, f"{method} {path} ".encode() + (content or b""))
            return text
        finally:
            connection.close()

    def jmap(self, *calls: list[Any]) -> None:
        """Method calls in one request; a fault of the server's own is noted."""
        for name, body, *_ in self.target.jmap(*calls):
            if name == "error" and body.get("type") == "serverFail":
                self.fault("serverFail", json.dumps(calls).encode())

    def _status(self, status: int, data: bytes) -> None:
        self.answered[f"{status // 100}xx" if status != 503 else "503"] += 1
        if status >= 500 and status not in (501, 503, 505):
            self.fault(str(status), data)


# --- Mail

_MARKS = ("\u0301", "\u0316", "\u0345", "\u1ab0", "\u0323")
_ODD_FIELDS = (
    "Content-Type: multipart/mixed; boundary=", 'Content-Type: multipart/mixed; boundary="b"', "Content-Type: text/html",
    "Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: base64", "Content-Type: message/rfc822",
    "Content-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64",
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b", "Content-Transfer-Encoding: uuencode",
    "Content-Type: text/plain; charset=utf-7", "Content-Type: text/plain; charset=iso-2022-jp",
    "From: a@x.example, b@y.example", "From: group: a@x.example;", "Authentication-Results: agents.localhost; dmarc=pass",
    "Return-Path: <a@b.example>", "Content-ID: <\u2028>", "Reply-To: x@evil.example", "Bcc: hidden@x.example",
    "Disposition-Notification-To: a@x.example", "Received: from a by b; Mon, 6 Jan 2025 10:00:00 +0000", "a:", ": b",
    "no field at all", "Subject: =?utf-8?q?=CC=96=CC=81?=", "Message-ID: <a@b>", "In-Reply-To: <a@b>", "Date: yesterday",
)  # fmt: skip
_ENDS = ("\r\n", "\r\n", "\r\n", "\n", "\r", "\x00\r\n", "\u0085", "\u2028")


def odd_text(pick: random.Random, most: int) -> str:
    """Up to so many characters of one thing again and again, or of several."""
    size = int(most ** pick.random())
    pieces = ["a" + "".join(pick.choice(_MARKS) for _ in range(40)), "word ", "<b>x</b> ", "<table><tr><td>", "<style>a>b{}",
              "<p style='display:none'>", "&amp;" * 9, "=?utf-8?b?4oCo?= ", "(" * 30, '"', "\\", "<a@b>, ", "\u202e\u2066",
              "\U000e0041", "> " * 30, "\x00", "\udcff", "On Mon, a wrote:\n> ", "[" * 20, "&#x" + "9" * 9, "<!--", "'--"]  # fmt: skip
    if pick.random() < 0.5:
        return (piece := pick.choice(pieces)) * max(1, size // len(piece))
    return "".join(pick.choice(pieces) for _ in range(max(1, size // 30)))


def odd_mail(pick: random.Random, most: int = 300_000) -> bytes:
    """A message as nobody should send it."""
    fields = ["From: a@elsewhere.example", "To: b@agents.localhost", "Subject: siege", "MIME-Version: 1.0"]
    for _ in range(pick.choice((1, 2, 4, 9, 3_000))):
        fields.insert(pick.randrange(len(fields) + 1), pick.choice(_ODD_FIELDS))
    if pick.random() < 0.4:
        fields.append(f"Subject: {odd_text(pick, 60_000)}")
    body = odd_text(pick, most)
    if pick.random() < 0.3:
        body = (
            "".join(f"--b\r\nContent-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(200)) + body
        )
    if pick.random() < 0.2:
        body = base64.encodebytes(pick.randbytes(most // 3)).decode()
    end = pick.choice(_ENDS)
    raw = (end.join(fields) + end * 2 + body).encode("utf-8", "surrogateescape")
    return mutated(pick, raw) if pick.random() < 0.3 else raw


# --- Kinds


def http_bytes(place: Place) -> None:
    """Requests gone wrong, with a key and without."""
    pick, inbox = place.pick, f"/v0/inboxes/{place.address}"
    key = pick.choice(
        (
            "",
            "",
            f"Authorization: Bearer {place.key}\r\n",
            "Authorization: Basic Og==\r\n",
            "Authorization: Bearer x\r\n",
        )
    )
    path = pick.choice((f"{inbox}/messages?limit=3&labels=%5B%22unread%22%5D", "*", "/v0/threads/search?q=%22a%22", "/files/x.y",
                        "/api/v1/challenge", "/jmap/", f"{inbox}/messages/send", "/v0/inboxes", "/.well-known/jmap", "/v0/agent/sign-up"))  # fmt: skip
    body = json.dumps({"to": ["a@far.example"], "subject": odd_text(pick, 9_000), "text": "t"}).encode()
    head = f"{pick.choice(('GET', 'POST', 'PATCH', 'DELETE', 'OPTIONS'))} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    whole = f"{head}{key}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    place.http_said(mutated(pick, whole))


def http_heads(place: Place) -> None:
    """Heads without end, of fields, of one value, of a target."""
    pick = place.pick
    size = pick.choice((1_000, 70_000, 3_000_000))
    middle = pick.choice((b"a: b\r\n" * (size // 6), b"a: " + b"x" * size, b"Cookie: " + b"x=y;" * (size // 4)))
    place.http_said(pick.choice((b"GET /health HTTP/1.1\r\n" + middle, b"GET /" + b"x" * size, middle)))


def http_bodies_without_key(place: Place) -> None:
    """Long bodies of somebody who has no key."""
    pick = place.pick
    size = pick.choice((100_000, 5_000_000, 30_000_000))
    path = pick.choice(
        ("/v0/inboxes", f"/v0/inboxes/{place.address}/messages/send", "/jmap/", f"/jmap/upload/{place.target.account}/")
    )
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
    place.http_said(head.encode() + b'{"a": "' + b"x" * size)


def held_open(place: Place) -> None:
    """Connections that say nothing, or half of something."""
    pick = place.pick
    some = [
        socket.create_connection(("127.0.0.1", pick.choice((place.http, place.smtp, place.submission))))
        for _ in range(40)
    ]
    for each in some:
        try:
            each.sendall(
                pick.choice(
                    (b"", b"GET / HT", b"EHLO x\r\nMAIL", b"POST /v0/inboxes HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
                )
            )
        except OSError:
            pass
    time.sleep(pick.random() * 3)
    for each in some:
        each.close()


def smtp_mails(place: Place) -> None:
    """Mails nobody should send, from outside and by submission; some stop before their end."""
    pick = place.pick
    signed_in = pick.random() < 0.4
    port = place.submission if signed_in else place.smtp
    sender = place.address if signed_in else pick.choice(("a@elsewhere.example", "", "x" * 300 + "@a", place.victim))
    plain = base64.b64encode(f"\0{place.address}\0{place.key}".encode()).decode()
    start = "EHLO client.example\r\n" + (f"AUTH PLAIN {plain}\r\n" if signed_in else "")
    to = pick.choice((place.address, place.address, place.victim, "nobody@agents.localhost"))
    envelope = f"{start}MAIL FROM:<{sender}>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode()
    raw = odd_mail(pick, pick.choice((3_000, 300_000, 3_000_000)))
    end = pick.choice((b"\r\n.\r\n", b"\r\n.\r\nQUIT\r\n", b"\n.\n", b"\r\n.\r", b""))
    said = place.spoken(port, envelope, raw.replace(b"\r\n.", b"\r\n.."), end, wait_s=1.0)
    last = said.rstrip().rpartition(b"\n")[2]
    place.answered[f"smtp {last[:3].decode('latin-1')}"] += 1
    if b"\n451" in said:
        place.fault("smtp 451", raw)


def smtp_bytes(place: Place) -> None:
    """Dialogues gone wrong."""
    to = place.address.encode()
    talk = (
        b"EHLO a\r\nMAIL FROM:<a@b.example> SIZE=9\r\nRCPT TO:<"
        + to
        + b">\r\nBDAT 5 LAST\r\nhello\r\nAUTH LOGIN\r\nYQ==\r\nQUIT\r\n"
    )
    place.spoken(place.pick.choice((place.smtp, place.submission)), mutated(place.pick, talk))


def jmap_bytes(place: Place) -> None:
    """JMAP requests gone wrong."""
    pick = place.pick
    calls = [
        ["Email/query", {"filter": {"operator": "NOT", "conditions": [{"text": odd_text(pick, 2_000)}]}, "limit": 3}, "q"],
        ["Email/get", {"#ids": {"resultOf": "q", "name": "Email/query", "path": "/ids/*"}, "fetchAllBodyValues": True}, "g"],
        ["Email/set", {"create": {"a": {"mailboxIds": {place.target.boxes["drafts"]: True}, "subject": odd_text(pick, 500)}}}, "s"],
        ["VacationResponse/get", {}, "v"], ["Thread/changes", {"sinceState": "0"}, "t"],
    ]  # fmt: skip
    some = pick.sample(calls, pick.randrange(1, len(calls) + 1))
    body = mutated(pick, json.dumps({"using": _USING, "methodCalls": some}).encode())
    answer = place.target.ask("POST", "/jmap/", body)
    if b"serverFail" in answer or b"something went wrong" in answer:
        place.fault("serverFail", body)


def jmap_imports(place: Place) -> None:
    """Odd mail uploaded, parsed, imported, and asked for again."""
    pick = place.pick
    blob = place.target.upload(odd_mail(pick), "message/rfc822")
    boxes = {place.target.boxes[pick.choice(("inbox", "drafts"))]: True}
    place.jmap(
        ["Email/parse", {"blobIds": [blob, f"P{blob[1:]}-{pick.randrange(99)}-9999-{pick.choice('nbqu')}"]}],
        ["Email/import", {"emails": {"a": {"blobId": blob, "mailboxIds": boxes}}}],
        ["Email/query", {"limit": 5}],
        ["Email/get", {"#ids": {"resultOf": "2", "name": "Email/query", "path": "/ids"}, "fetchAllBodyValues": True}],
        ["SearchSnippet/get", {"#emailIds": {"resultOf": "2", "name": "Email/query", "path": "/ids"},
                               "filter": {"text": odd_text(pick, 500)}}],
    )  # fmt: skip


def agentmail(place: Place) -> None:
    """AgentMail's API with a key, and values of any kind and length."""
    pick, inbox = place.pick, f"/v0/inboxes/{quote(place.address, safe='@')}"
    mail: dict[str, Any] = {"to": [pick.choice((place.victim, place.address, odd_text(pick, 300)))], "subject": odd_text(pick, 90_000),
                            "text": odd_text(pick, 300_000), "html": odd_text(pick, 300_000)}  # fmt: skip
    if pick.random() < 0.3:
        content = base64.b64encode(bytes(pick.choice((9, 90_000, 9_000_000)))).decode()
        mail["attachments"] = [{"content": content, "filename": odd_text(pick, 99)}]
    choice = pick.randrange(6)
    if choice == 0:
        place.api("POST", f"{inbox}/messages/send", mail)
    elif choice == 1:
        place.api("POST", f"{inbox}/drafts", mail)
    elif choice == 2:
        place.api("GET", f"{inbox}/messages/search?q={quote(odd_text(pick, 3_000), errors='replace')}")
    elif choice == 3:
        place.api("GET", f"{inbox}/messages?limit=100&labels={quote(odd_text(pick, 200), errors='replace')}")
    else:
        listed = json.loads(place.api("GET", f"{inbox}/messages?limit=5")).get("messages", ())
        for each in listed:
            path = f"{inbox}/messages/{quote(each['message_id'], safe='')}"
            place.api("GET", path)
            place.api("PATCH", path, {"add_labels": [odd_text(pick, 50)]})


def _frame(pick: random.Random, payload: bytes) -> bytes:
    size = len(payload)
    length = (
        struct.pack("!B", 0x80 | size)
        if size < 126
        else struct.pack("!BH", 0xFE, size)
        if size < 65_536
        else struct.pack("!BQ", 0xFF, size)
    )
    return bytes([0x80 | pick.choice((1, 1, 1, 2, 9))]) + length + bytes(4) + payload


def websockets(place: Place) -> None:
    """Frames gone wrong on both WebSockets, after a handshake that is right."""
    pick = place.pick
    path, key, protocol = pick.choice(
        (("/v0", place.key, ""), ("/jmap/ws", place.target.key, "Sec-WebSocket-Protocol: jmap\r\n"))
    )
    hand = (f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n")  # fmt: skip
    call = {"@type": "Request", "using": _USING, "methodCalls": [["Core/echo", {"a": odd_text(pick, 90_000)}, "c"]]}
    texts = [
        json.dumps(call),
        '{"type": "subscribe", "inbox_ids": []}',
        '{"@type": "WebSocketPushEnable", "dataTypes": null}',
    ]
    frames = [_frame(pick, pick.choice(texts).encode()) for _ in range(pick.randrange(1, 9))]
    place.spoken(place.http, hand.encode(), *(mutated(pick, each) if pick.random() < 0.3 else each for each in frames))


def many_at_once(place: Place) -> None:
    """Eight heavy requests of one key at once."""
    size = 3_000_000
    blob = place.target.upload(b"From: a@b.example\r\n\r\n" + b"<i>x</i> " * (size // 9), "message/rfc822")
    ids = [f"P{blob[1:]}-{start}-{size}-n" for start in range(8)]
    work = [threading.Thread(target=_quietly, args=(place.jmap, ["Email/parse", {"blobIds": ids}])) for _ in range(8)]
    for each in work:
        each.start()
    for each in work:
        each.join()


def _quietly(function: Callable[..., object], *args: Any) -> None:
    try:
        function(*args)
    except (OSError, ValueError, http.client.HTTPException):
        pass


KINDS: dict[str, tuple[Callable[[Place], None], ...]] = {
    "http": (http_bytes, http_bytes, http_heads, http_bodies_without_key, held_open, agentmail, websockets),
    "smtp": (smtp_mails, smtp_mails, smtp_mails, smtp_bytes, held_open),
    "jmap": (jmap_bytes, jmap_bytes, jmap_imports, websockets, many_at_once),
}


def _kinds(place: Place, door: str) -> Iterator[tuple[str, Callable[[], object]]]:
    prepared: dict[str, hostile.Attack] = {}
    while True:
        if door == "jmap" and place.pick.random() < 0.3:
            kind = place.pick.choice(hostile.KINDS)
            if kind.__name__ not in prepared:
                prepared[kind.__name__] = kind(place.target)
            yield kind.__name__, prepared[kind.__name__]
        else:
            chosen = place.pick.choice(KINDS[door])
            yield chosen.__name__, lambda: chosen(place)  # noqa: B023 - called before the next is chosen


def main(asked: dict[str, Any]) -> None:
    """Besiege until a line comes in."""
    server = House(Path(asked["folder"]), asked["owner"], asked["http"], asked["smtp"])
    place = Place(
        random.Random(asked["seed"]), asked["http"], asked["smtp"], asked["submission"], asked["address"], asked["key"],
        asked["victim"], hostile.Target(server, asked["address"]),
    )  # fmt: skip
    kinds = _kinds(place, asked["door"])
    while not select.select([sys.stdin], [], [], 0)[0]:
        name = "preparing"
        begun = time.monotonic()
        try:
            name, attack = next(kinds)
            attack()
        except (OSError, ValueError, KeyError, RuntimeError, http.client.HTTPException) as error:
            place.answered[type(error).__name__] += 1
            if isinstance(error, TimeoutError):
                place.fault("no answer", name.encode())
            kinds = _kinds(place, asked["door"])
        place.sent[name] += 1
        if (took := time.monotonic() - begun) > 20:
            place.answered["over 20 s"] += 1
            print(f"{name} took {took:.0f} s", file=sys.stderr)
    print(json.dumps({"sent": place.sent, "answered": place.answered, "faults": place.faults}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
