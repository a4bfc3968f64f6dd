"""The scanner as a filter: one JSON object a line in, one a line out. Needs no data folder and no server."""

from __future__ import annotations

import base64
import binascii
from typing import IO, Any

import msgspec

from posthouse.kit.errors import Malformed
from posthouse.scan import outbound
from posthouse.scan.passages import File, Letter


class _File(msgspec.Struct):
    filename: str = ""
    content_type: str = ""
    content: str | None = None
    content_b64: str | None = None


class _Fields(msgspec.Struct):
    to: str | list[str] = ""
    subject: str = ""
    text: str | None = None
    html: str | None = None
    cc: list[str] = []
    bcc: list[str] = []
    attachments: list[_File] = []


def scan_outbound(lines: IO[str], out: IO[str]) -> None:
    """Judge messages given as `{"to", "subject", "text", "html", "attachments"}`, each line by itself.

    Every line is answered with `{"flag", "score", "rules"}`, at once: `flag` says that an account at `guarded` would
    wait with it. All recipients count as outside. A line that cannot be read is answered with `{"error"}`.
    """
    for line in lines:
        if not line.strip():
            continue
        try:
            verdict = outbound.judge(_letter(line))
            answer: dict[str, Any] = {
                "flag": outbound.is_held(verdict),
                "score": verdict.score,
                "rules": verdict.rule_ids,
            }
        except Malformed as error:
            answer = {"error": error.message}
        out.write(msgspec.json.encode(answer).decode() + "\n")
        out.flush()


def _letter(line: str) -> Letter:
    try:
        fields = msgspec.json.decode(line, type=_Fields)
        files = [File(file.filename, file.content_type, _content(file)) for file in fields.attachments]
    except (msgspec.DecodeError, msgspec.ValidationError, binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise Malformed(f"this line is no message: {error}") from error
    to = fields.to if isinstance(fields.to, list) else [fields.to]
    return Letter(fields.subject, fields.text or "", fields.html or "", files, [*to, *fields.cc, *fields.bcc])


def _content(file: _File) -> bytes:
    if file.content_b64 is not None:
        return base64.b64decode("".join(file.content_b64.split()), validate=True)
    return (file.content or "").encode("utf-8", "replace")
