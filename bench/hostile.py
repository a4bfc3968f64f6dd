"""What one caller can do to all others: the longest wait of `GET /health` beside each attack, and the memory it takes.

Each kind is a function that sends one attack to a running server; `KINDS` is the table of them, and a new one is a
row there. The health of the server is asked for all the while from another process; a quiet server is measured in
the same run. Nothing here waits for more than the server's own answer.
"""

from __future__ import annotations

import http.client
import json
import select
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench import house, processes
from bench.house import House
from bench.report import Row

STALL_S = 0.05
MEMORY_MB = 256
_USING = [
    f"urn:ietf:params:jmap:{name}" for name in ("core", "mail", "submission", "blob")
]  # fmt: skip
MIB = 1024 * 1024
MARKS = "\u0316\u0301"


class Target:
    """The server, one inbox of it and a key to that."""

    def __init__(self, server: House, address: str) -> None:
        self.server = server
        self.address = address
        made = server.call("POST", f"/v0/inboxes/{quote(address, safe='@')}/api-keys", {"name": "hostile"})
        self.key = str(made["api_key"])
        session = json.loads(self.ask("GET", "/.well-known/jmap"))
        self.account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
        found = self.jmap(["Mailbox/get", {}])[0][1]["list"]
        self.boxes = {box["role"]: box["id"] for box in found if box["role"]}

    def ask(self, method: str, path: str, content: bytes | None = None, kind: str = "application/json") -> bytes:
        """One request; its answer's body, whatever the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=300)
        try:
            connection.request(method, path, content, {"Authorization": f"Bearer {self.key}", "Content-Type": kind})
            return connection.getresponse().read()
        finally:
            connection.close()

    def jmap(self, *calls: list[Any]) -> list[Any]:
        """Method calls in one request; their responses, or none when the request was refused as a whole."""
        full = [[name, {"accountId": self.account, **args}, str(number)] for number, (name, args) in enumerate(calls)]
        body = json.dumps({"using": _USING, "methodCalls": full}).encode()
        answer = json.loads(self.ask("POST", "/jmap/", body))
        return list(answer.get("methodResponses", ()))

    def upload(self, data: bytes, kind: str = "application/octet-stream") -> str:
        """The id of an uploaded blob."""
        return str(json.loads(self.ask("POST", f"/jmap/upload/{self.account}/", data, kind))["blobId"])

    def fill(self, raw: bytes, count: int) -> list[str]:
        """Take a mail into the inbox so many times; the ids."""
        blob = self.upload(raw, "message/rfc822")
        emails = {str(number): {"blobId": blob, "mailboxIds": {self.boxes["inbox"]: True}} for number in range(count)}
        made = self.jmap(["Email/import", {"emails": emails}])[0][1]["created"]
        return [each["id"] for each in made.values()]

    def hand_in(self, raw: bytes) -> None:
        """Hand a mail in from outside, and wait until it is filed."""
        before = self._count()
        with smtplib.SMTP("127.0.0.1", self.server.port, timeout=300) as client:
            try:
                client.sendmail("stranger@example.org", [self.address], raw)
            except smtplib.SMTPException:
                return  # refused: as good an answer as any
        # The server never comes to rest while its health is asked for.
        processes.wait_for(lambda: self._count() > before, "the mail being filed", 120, 0.1)

    def _count(self) -> int:
        found = self.jmap(["Email/query", {"limit": 0, "calculateTotal": True}])
        return int(found[0][1]["total"])


def mail(subject: str, body: str = "words", *, extra: str = "", html: bool = False) -> bytes:
    """A message of one text."""
    kind = "html" if html else "plain"
    head = f"From: a@example.org\nTo: b@example.org\nSubject: {subject}\n{extra}MIME-Version: 1.0\n"
    text = f"{head}Content-Type: text/{kind}; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{body}\n"
    return text.replace("\n", "\r\n").encode()


# --- Each kind, with what it needs prepared

Attack = Callable[[], object]


def marks_by_mail(target: Target) -> Attack:
    """117 KB of alternating marks in subject and text."""
    raw = mail("a" + MARKS * 29_000, "a" + MARKS * 29_000)
    return lambda: target.hand_in(raw)


def marks_in_a_mailbox_name(target: Target) -> Attack:
    """The same in the name of a mailbox."""
    return lambda: target.jmap(["Mailbox/set", {"create": {"a": {"name": "a" + MARKS * 29_000}}}])


def marks_in_a_search(target: Target) -> Attack:
    """The same in what is looked for."""
    return lambda: target.jmap(["Email/query", {"filter": {"text": "a" + MARKS * 29_000}}])


def doubled_references(target: Target) -> Attack:
    """An answer that refers to itself twice, thirty times."""
    calls: list[list[Any]] = [["Core/echo", {"a": "x" * 1_000}]]
    for number in range(1, 31):
        before = {"resultOf": str(number - 1), "name": "Core/echo", "path": ""}
        calls.append(["Core/echo", {"#a": before, "#b": before}])
    return lambda: target.jmap(*calls)


def ranges_of_a_blob(target: Target) -> Attack:
    """A hundred ranges of one upload."""
    size = 20 * MIB
    blob = target.upload(b"word " * (size // 5))
    ids = [f"P{blob[1:]}-{start}-{size}-n" for start in range(100)]
    return lambda: target.jmap(["Blob/get", {"ids": ids, "properties": ["data"]}])


def one_long_blob(target: Target) -> Attack:
    """The longest blob as an answer, which is allowed."""
    blob = target.upload(bytes(25 * MIB))
    return lambda: target.jmap(["Blob/get", {"ids": [blob], "properties": ["data:asBase64"]}])


def attached_again_and_again(target: Target) -> Attack:
    """One upload attached sixty times."""
    blob = target.upload(bytes(20 * MIB))
    parts = [{"blobId": blob, "type": "application/x-data"} for _ in range(60)]
    draft = {"mailboxIds": {target.boxes["drafts"]: True}, "attachments": parts}
    return lambda: target.jmap(["Email/set", {"create": {"a": draft}}])


def one_long_draft(target: Target) -> Attack:
    """A draft of the longest attachments, which is allowed."""
    blob = target.upload(bytes(17 * MIB))
    draft = {
        "mailboxIds": {target.boxes["drafts"]: True}, "attachments": [{"blobId": blob, "type": "application/x-data"}],
    }  # fmt: skip
    return lambda: target.jmap(["Email/set", {"create": {"a": draft}}])


def parsed_ranges(target: Target) -> Attack:
    """Twenty ranges of one message, each to be parsed."""
    raw = mail("long", "<p>words <b>and</b> more</p>\n" * 700_000, html=True)
    blob = target.upload(raw, "message/rfc822")
    ids = [f"P{blob[1:]}-{start}-{len(raw)}-n" for start in range(20)]
    return lambda: [target.jmap(["Email/parse", {"blobIds": some}]) for some in (ids, ids[:2])]


def mailbox_conditions(target: Target) -> Attack:
    """Twenty thousand conditions on four hundred mailboxes."""
    create = {str(number): {"name": f"box {number}"} for number in range(400)}
    target.jmap(["Mailbox/set", {"create": create}])

    def attack() -> None:
        for count in (20_000, 240):
            filter_ = {"operator": "OR", "conditions": [{"name": f"none {n}"} for n in range(count)]}
            target.jmap(*[["Mailbox/query", {"filter": filter_}]] * 4)

    return attack


def email_conditions(target: Target) -> Attack:
    """Thirty queries of two hundred conditions."""
    target.fill(mail("few", "words"), 400)
    kinds: list[Callable[[int], dict[str, Any]]] = [
        lambda n: {"hasKeyword": f"k{n}"}, lambda n: {"text": f"none{n}", "minSize": 1},
        lambda n: {"someInThreadHaveKeyword": f"k{n}"}, lambda n: {"inMailbox": f"m{n}"},
    ]  # fmt: skip
    calls = [
        ["Email/query", {"filter": {"operator": "OR", "conditions": [kinds[number % 4](n) for n in range(200)]}}]
        for number in range(30)
    ]
    return lambda: target.jmap(*calls)


def snippets(target: Target) -> Attack:
    """Snippets of forty mails of 340 KB."""
    ids = target.fill(mail("long", "<b>x</b> <i>yz</i> " * 17_500, html=True), 40)
    return lambda: target.jmap(["SearchSnippet/get", {"emailIds": ids, "filter": {"text": "nothing"}}])


def texts_in_many_calls(target: Target) -> Attack:
    """All texts of forty mails, in sixteen calls."""
    ids = target.fill(mail("long", "Words, and more of them.\n" * 40_000), 40)
    args = {"ids": ids, "properties": ["bodyValues", "textBody"], "fetchAllBodyValues": True}
    return lambda: target.jmap(*[["Email/get", args]] * 16)


def json_of_nothing(target: Target) -> Attack:
    """Ten megabytes of empty lists, and as many of text."""

    def attack() -> None:
        target.jmap(["Core/echo", {"a": [[]] * 2_500_000}])
        target.jmap(["Core/echo", {"a": 'She said "no".\n' * 500_000}])

    return attack


def empty_fields(target: Target) -> Attack:
    """23 MB of header fields."""
    raw = b"Return-Path: <x@example.org>\r\n" + b"a:\r\n" * (23 * MIB // 4) + b"\r\nwords\r\n"
    return lambda: target.hand_in(raw)


def hits_of_tags(target: Target) -> Attack:
    """Search hits in mails of 1.2 MB of tags."""
    raw = mail("tagged", "<b>needle</b> " + "<i>x</i> " * 130_000, html=True)
    for _ in range(10):
        target.hand_in(raw)
    path = f"/v0/inboxes/{quote(target.address, safe='@')}/messages/search?q=needle"
    return lambda: target.ask("GET", path)


KINDS: tuple[Callable[[Target], Attack], ...] = (
    marks_by_mail, marks_in_a_mailbox_name, marks_in_a_search, doubled_references, ranges_of_a_blob, one_long_blob,
    attached_again_and_again, one_long_draft, parsed_ranges, mailbox_conditions, email_conditions, snippets,
    texts_in_many_calls, json_of_nothing, empty_fields, hits_of_tags,
)  # fmt: skip


# --- Measuring


def measure(work: Path) -> Iterator[Row]:
    """Each kind on a server of its own folder, beside a quiet one."""
    with house.running(work / "house") as server:
        server.settle()
        with _watched(server) as quiet:
            time.sleep(2)
        yield _row("hostile: nothing", quiet, promised=False)
        for number, kind in enumerate(KINDS):
            said = (kind.__doc__ or kind.__name__).strip().rstrip(".")
            claim = f"hostile: {said[0].lower()}{said[1:]}"
            try:
                attack = kind(Target(server, server.inbox(f"hostile{number}")))
                server.settle()
                with _watched(server) as seen:
                    attack()
                yield _row(claim, seen)
            except (OSError, RuntimeError, http.client.HTTPException) as error:  # the others are still worth knowing
                yield Row(claim, verdict=f"missed: {error}")


def _row(claim: str, seen: dict[str, float], *, promised: bool = True) -> Row:
    stall, memory = seen["longest_s"], seen["memory_mb"]
    ours = f"{1000 * stall:.0f} ms, +{memory:.0f} MB, took {seen['took_s']:.1f} s"
    if not promised:
        return Row(claim, ours)
    met = stall <= STALL_S and memory <= MEMORY_MB
    peer = f"{1000 * STALL_S:.0f} ms, +{MEMORY_MB} MB (limits)"
    return Row(claim, ours, peer, stall / STALL_S, "≤ 1", "met" if met else "missed")


@contextmanager
def _watched(server: House) -> Iterator[dict[str, float]]:
    """The longest wait of the server's health while something goes on, and by how much its memory grew at most."""
    seen: dict[str, float] = {}
    before = memory_mb(server.pid, "VmRSS")
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak begins anew
    probe = subprocess.Popen(
        [sys.executable, "-m", "bench.hostile", str(server.http_port)], cwd=processes.ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert probe.stdout is not None
        probe.stdout.readline()  # it has begun
        begun = time.monotonic()
        yield seen
        seen["took_s"] = time.monotonic() - begun
    finally:
        said, _ = probe.communicate("\n", timeout=300)
    seen["longest_s"] = float(said)
    seen["memory_mb"] = max(0.0, memory_mb(server.pid, "VmHWM") - before)


def memory_mb(pid: int, name: str) -> float:
    """What the kernel says of a process's memory, such as `VmRSS`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not say {name}")


def _probe(port: int) -> None:
    """Ask for the health every few milliseconds until a line comes in; prints the longest wait in seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    longest = 0.0
    print("begun", flush=True)
    while not select.select([sys.stdin], [], [], 0.002)[0]:
        begun = time.monotonic()
        connection.request("GET", "/health")
        connection.getresponse().read()
        longest = max(longest, time.monotonic() - begun)
    print(longest)


if __name__ == "__main__":
    _probe(int(sys.argv[1]))
