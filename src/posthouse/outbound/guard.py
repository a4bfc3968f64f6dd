"""Looking at what is sent, before it is taken on: the seat of the scan in the one send path.

The guard reads the composed bytes, never the fields they came from, so that every door is seen alike. It looks off
the event loop; what it cannot look at, in time or at all, waits for the owner wherever findings do.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any

from posthouse.kit import log
from posthouse.kit.aside import UNDERWAY, aside
from posthouse.scan import outbound
from posthouse.scan.passages import File, Letter
from posthouse.scan.verdict import Finding, Verdict
from posthouse.wire.address import Address
from posthouse.wire.contents import Contents
from posthouse.wire.headers import decode_text
from posthouse.wire.message import ParsedMessage, Part

_log = log.get("guard")

# The levels at which mail is looked at; at `gated` the owner decides with the findings before him.
LOOKED_AT = frozenset({"gated", "guarded", "monitored"})
# Less than this is looked at in a millisecond or two, sooner than a thread is called.
_INLINE_BYTES = 2_048
_TIMEOUT_S = 30.0
# Fields that are looked at where they are read: the people's names, the subject.
_READ = frozenset({"from", "to", "cc", "bcc", "sender", "reply-to", "date", "subject", "mime-version", "received"})
# What divides the parts; their names are random numbers, put there by programs.
_DELIMITER = re.compile(rb"^--[^\r\n]*(?:\r?\n|\Z)", re.MULTILINE)
_BOUNDARY = re.compile(r'boundary="?[^";]*"?', re.IGNORECASE)

UNSEEN = Finding(
    "ob_unseen", "attachment_risk", "high", "Nobody has looked at this message: the scan failed.", "", "message"
)
GATED = {"rule": "level_gated", "text": "this account's mail waits for its owner"}
# What is kept of a finding: `rule`, `text`, `category`, `severity`, `match` (redacted), `place`.
Findings = list[dict[str, Any]]


class Guard:
    """Looks at messages. One for the process."""

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._is_ready = False

    async def look(self, raw: bytes, parsed: ParsedMessage, recipients: Sequence[str]) -> Findings:
        """What is found in a message, as it is kept. Never raises: a scan that fails or takes long is a finding."""
        try:
            above = _INLINE_BYTES if self._is_ready else 0
            work = aside(len(raw), _judge, raw, parsed, recipients, above=above, room=UNDERWAY)
            verdict = await asyncio.wait_for(work, self._timeout_s)
            self._is_ready = True  # the rules have been read
            return written_down(verdict.findings)
        except Exception as error:
            _log.error("a message could not be looked at", exc_info=error)
            return written_down([UNSEEN])


def _judge(raw: bytes, parsed: ParsedMessage, recipients: Sequence[str]) -> Verdict:
    return outbound.judge(letter_of(raw, parsed, recipients))


def letter_of(raw: bytes, parsed: ParsedMessage, recipients: Sequence[str]) -> Letter:
    """All of a message that somebody can read, out of the bytes that are sent: header fields, names of people, texts,
    every other part, and what stands between the parts, where no reader looks.
    """
    contents = Contents(raw)
    files = [
        File(
            file.part.filename or "",
            file.part.content_type,
            contents.span(file.part.start, file.part.end, file.part.encoding),
        )
        for file in parsed.files
    ]
    fields = list(_fields(parsed.structure))
    people: Sequence[Address] = (*parsed.from_, *parsed.sender, *parsed.reply_to, *parsed.to, *parsed.cc)
    fields += [person.name for person in people if person.name]
    beside = _between(raw, parsed.structure, len(raw))
    return Letter(
        parsed.subject, parsed.text or "", parsed.html or "", files, recipients, "\n".join(fields), "\n".join(beside)
    )


def _fields(part: Part) -> Iterator[str]:
    for name, value in part.headers:
        if name.lower() not in _READ:
            yield f"{name}: {_BOUNDARY.sub('', decode_text(value))}"
    for child in part.parts:
        yield from _fields(child)


def _between(raw: bytes, part: Part, end: int) -> list[str]:
    """What a multipart says before its first part and after its last (RFC 2046 §5.1.1), and parts within likewise.

    Args:
        end: what stands before this offset may be behind its last delimiter.
    """
    if not part.is_multipart or not part.parts:
        return []
    before = _DELIMITER.split(raw[part.start : part.parts[0].start], maxsplit=1)[0]
    _, after, *_ = [*_DELIMITER.split(raw[part.parts[-1].end : end], maxsplit=2), b"", b""]
    found = [piece.decode("utf-8", "replace") for piece in (before, after) if piece.strip()]
    ends = [*(child.start for child in part.parts[1:]), part.end]
    for child, child_end in zip(part.parts, ends, strict=True):
        found += _between(raw, child, child_end)
    return found


def why_held(level: str, findings: Findings | None) -> Findings | None:
    """Why mail waits for the owner, by its level and what was found in it; None when it does not wait.

    Args:
        findings: None: nobody has looked, and that is not "nothing was found".
    """
    if level == "gated":
        return [GATED, *(findings or ())]
    if level != "guarded":
        return None
    if findings is None:
        return written_down([UNSEEN])
    return findings if any(each["severity"] in outbound.HOLDS for each in findings) else None


def written_down(findings: Sequence[Finding]) -> Findings:
    """Findings as they are kept with a submission and shown to the owner."""
    return [
        {
            "rule": finding.rule_id,
            "text": finding.description,
            "category": finding.category,
            "severity": finding.severity,
            "match": finding.match,
            "place": finding.place,
        }
        for finding in findings
    ]
