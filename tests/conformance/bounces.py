"""Bounces people collected in public (sisimai's set of emails): how many are recognised, and rightly read.

Below PATH are looked for: the set (folders `bsd`, `dos`, `mac`, `tmp`, `err` of one-mail files named by the system
that wrote them), its Perl tests (`*.t` with the expected reason and hardness of each), and ordinary mail as JSON
lines (`raw_eml_b64`, `label` 0). The last two may be missing; then less is told.
"""

from __future__ import annotations

import base64
import itertools
import json
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posthouse.kit.errors import Malformed
from posthouse.outbound.suppressions import is_hard
from posthouse.wire import bounce_text, multipart_report, raw_headers
from posthouse.wire.address import normalize
from posthouse.wire.dsn import Dsn, parse_dsn
from posthouse.wire.feedback import FeedbackReport, parse_feedback
from posthouse.wire.message import ParsedMessage, parse

Found = Iterator[tuple[str, bool, str]]

# What the set's own tests call no bounce: an answer by a machine, a report that all went well.
_NO_FAILURE = ("vacation", "delivered", "feedback")
_ADDRESS = re.compile(r"[\w.+=/-]+@[\w.-]+\w")
_WRITTEN_TO = re.compile(
    rb"(?im)^[ \t]*(?:to|cc|for|x-original-to|delivered-to|original-rcpt-to|(?:final|original)-recipient)[ :]"
    rb"([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)"
)
_BEFORE_THE_MAIL = 1_500
# Their tests call an address soft that was refused after the text was sent, or is suspended, though the code in the
# mail says for good (5.1.1, 5.2.1). By the standard's codes, which is what we go by, that is hard.
_OPINIONS = ("filtered", "suspend")
_ORDINARY = 1_000


@dataclass(frozen=True, slots=True)
class Expected:
    """What the set's tests say of one recipient of one mail."""

    reason: str
    is_hard: bool


def run(root: Path) -> Found:
    """The set below `root`, if it is there."""
    files = sorted(path for path in root.rglob("*.eml") if path.parent.name in ("bsd", "dos", "mac", "tmp", "err"))
    if len(files) < 100:
        return
    known = _expected(root)
    read = named = right = judged = agreed = bounces = 0
    misses: list[str] = []
    for path in files:
        raw = path.read_bytes()
        if path.parent.name == "mac":
            raw = raw.replace(b"\r", b"\r\n")
        expected = known.get(path.stem)
        if path.stem.startswith("rfc3834") or (expected and all(each.reason in _NO_FAILURE[:2] for each in expected)):
            continue  # an absence, or a success
        bounces += 1
        report = read_bounce(raw)
        if report is None:
            misses.append(f"{path.parent.name}/{path.stem}: not recognised")
            continue
        read += 1
        wanted = _wanted(raw)
        if wanted:
            named += 1
            right += bool(wanted & _addresses(report))
            if not wanted & _addresses(report):
                misses.append(f"{path.parent.name}/{path.stem}: {sorted(_addresses(report))} for {sorted(wanted)[:4]}")
        if isinstance(report, Dsn) and expected and expected[0].reason not in (*_NO_FAILURE, *_OPINIONS):
            judged += 1
            hard = is_hard(report.recipients[0].status)
            agreed += hard == expected[0].is_hard
            if hard != expected[0].is_hard:
                misses.append(f"{path.stem}: {report.recipients[0].status}, {expected[0]}")
    yield "bounces recognised", read >= 0.97 * bounces, f"{read} of {bounces}"
    yield "bounces with the right recipient", right >= 0.95 * named, f"{right} of {named}"
    if judged:
        yield "bounces hard or soft", agreed >= 0.9 * judged, f"{agreed} of {judged}"
    ordinary = list(_ordinary(root))
    if ordinary:
        # One that is a report by its form was sent to a list by mistake, and is one.
        taken = [name for name, raw in ordinary if read_bounce(raw) is not None and b"\nAction:" not in raw]
        yield "ordinary mail taken for a bounce", not taken, f"{len(taken)} of {len(ordinary)} {taken[:3]}"
    for miss in misses:
        print(f"        {miss}")


def read_bounce(raw: bytes) -> Dsn | FeedbackReport | None:
    """A mail as it is read when it comes to the address that bounces come to."""
    parsed = parse(raw)
    for reader in (parse_dsn, parse_feedback):
        try:
            return reader(raw)
        except Malformed:
            continue
    return bounce_text.read(raw, parsed, _mail_from(parsed))


def _mail_from(parsed: ParsedMessage) -> str:
    value = next((value for name, value in parsed.headers if name.lower() == "return-path"), "<>")
    return value.strip().strip("<>")


def _addresses(report: Dsn | FeedbackReport) -> set[str]:
    if isinstance(report, FeedbackReport):
        return {normalize(each) for each in (*report.original_recipients, *report.original_to)}
    return {normalize(a) for each in report.recipients for a in (each.final_recipient, each.original_recipient) if a}


def _wanted(raw: bytes) -> set[str]:
    """Whom the mail that came back was written to: its own To, Cc and `for`, wherever it is quoted."""
    fields, body = raw_headers.split(raw)
    own = {normalize(each) for name in (b"to", b"cc") for each in multipart_report.addresses(fields, name)}
    text = raw[body:]
    found = {normalize(each) for each in multipart_report.addresses(fields, b"x-failed-recipients")}
    for match in _WRITTEN_TO.finditer(text):
        found |= {normalize(each) for each in _ADDRESS.findall(match[1].decode("latin-1"))}
    if found:
        # A list or a forward on the way: the report's first line names whom it passed the mail to.
        found |= {normalize(each) for each in _ADDRESS.findall(text[:_BEFORE_THE_MAIL].decode("latin-1"))} - own
    if not found:
        found = {normalize(each) for each in _ADDRESS.findall(text.decode("latin-1"))} - own
    return found


def _expected(root: Path) -> dict[str, tuple[Expected, ...]]:
    """`lhost-exim-05` and the like, out of the tests' tables."""
    found: dict[str, tuple[Expected, ...]] = {}
    entry = re.compile(r"'(\d+)'\s*=>\s*\[((?:\s*\[[^\[\]]*\],?)+)\s*\]")
    for path in root.rglob("[0-9]*-*.t"):
        stem = re.sub(r"^\d+-", "", path.stem)
        for match in entry.finditer(path.read_text("utf-8", "replace")):
            rows = [re.findall(r"'([^']*)'|\b([01])\b", row) for row in re.findall(r"\[([^\[\]]*)\]", match[2])]
            said = tuple(Expected(row[2][0], row[3][1] == "1") for row in rows if len(row) >= 4)
            if said:
                found[f"{stem}-{match[1]}"] = said
    return found


def _ordinary(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("inbound-dev.jsonl*")):
        data = path.read_bytes()
        lines = (lzma.decompress(data) if path.suffix == ".xz" else data).splitlines()
        rows = (row for row in map(json.loads, lines) if row["label"] == 0)
        for row in itertools.islice(rows, _ORDINARY):
            yield row["id"], base64.b64decode(row["raw_eml_b64"])
        return
