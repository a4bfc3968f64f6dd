"""What the guard looks at: every octet that somebody can read, out of the bytes that are sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from posthouse.outbound import guard
from posthouse.outbound.guard import Guard, why_held
from posthouse.scan.verdict import Verdict
from posthouse.wire.message import ParsedMessage, parse

SECRET = "postgres://app:Tr0ub4dor-3x@db.corp.example:5432/orders"
RULE = "ob_connection_string"


def _mail(**headers: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    for name, value in {"From": "ann@a.test", "To": "bob@b.test", "Subject": "Hello", **headers}.items():
        del message[name]
        message[name] = value
    return message


def _in_text() -> bytes:
    message = _mail()
    message.set_content(f"Here: {SECRET}\n")
    return message.as_bytes()


def _in_subject() -> bytes:
    message = _mail(Subject=SECRET)
    message.set_content("See above.\n")
    return message.as_bytes()


def _in_a_field() -> bytes:
    message = _mail(**{"X-Note": SECRET})
    message.set_content("Nothing here.\n")
    return message.as_bytes()


def _in_a_name() -> bytes:
    message = _mail()
    message.set_content("Nothing here.\n")
    return message.as_bytes().replace(b"To: bob@b.test", f'To: "{SECRET}" <bob@b.test>'.encode())


def _in_hidden_html() -> bytes:
    message = _mail()
    message.set_content("Nothing here.\n")
    message.add_alternative(f'<p>Hello</p><div style="display:none">{SECRET}</div>', subtype="html")
    return message.as_bytes()


def _in_a_comment() -> bytes:
    message = _mail()
    message.set_content(f"<p>Hello</p><!-- {SECRET} -->", subtype="html")
    return message.as_bytes()


def _in_a_third_alternative() -> bytes:
    message = _mail()
    message.set_content("Nothing here.\n")
    message.add_alternative("<p>Nor here</p>", subtype="html")
    message.add_alternative(SECRET, subtype="markdown")
    return message.as_bytes()


def _in_a_file() -> bytes:
    message = _mail()
    message.set_content("See the file.\n")
    message.add_attachment(SECRET.encode(), maintype="application", subtype="octet-stream", filename="notes.bin")
    return message.as_bytes()


def _in_a_message() -> bytes:
    inner = _mail(Subject="Inner")
    inner.set_content(f"{SECRET}\n")
    message = _mail()
    message.set_content("See the message.\n")
    message.add_attachment(inner)
    return message.as_bytes()


def _in_a_field_of_a_part() -> bytes:
    message = _mail()
    message.set_content("See the file.\n")
    message.add_attachment(
        b"1", maintype="application", subtype="octet-stream", headers=[f"Content-Description: {SECRET}"]
    )
    return message.as_bytes()


def _parts(before: str = "", after: str = "", inner_after: str = "") -> bytes:
    lines = [
        "From: ann@a.test", "To: bob@b.test", "Subject: Parts", "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="outer"', "", before, "--outer",
        'Content-Type: multipart/alternative; boundary="inner"', "", "--inner", "Content-Type: text/plain", "",
        "Nothing here.", "--inner--", inner_after, "--outer", "Content-Type: text/plain", "", "Nor here.",
        "--outer--", after, "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    "raw",
    [
        _in_text(), _in_subject(), _in_a_field(), _in_a_name(), _in_hidden_html(), _in_a_comment(),
        _in_a_third_alternative(), _in_a_file(), _in_a_message(), _in_a_field_of_a_part(), _parts(before=SECRET),
        _parts(after=SECRET), _parts(inner_after=SECRET),
    ],
    ids=[
        "text", "subject", "field", "name", "hidden html", "comment", "third alternative", "file", "message",
        "field of a part", "preamble", "epilogue", "epilogue within",
    ],
)  # fmt: skip
async def test_a_secret_is_found_wherever_it_stands(raw: bytes) -> None:
    found = await Guard().look(raw, parse(raw), ["bob@b.test"])
    assert RULE in {each["rule"] for each in found}
    assert "Tr0ub4dor" not in str(found), "what is found is shown redacted"
    assert why_held("guarded", found) == found
    assert why_held("monitored", found) is None


async def test_ordinary_mail_is_let_through() -> None:
    for raw in (_parts(), _parts("This is a message in MIME format.", "--\r\nBye")):
        assert await Guard().look(raw, parse(raw), ["bob@b.test"]) == []


async def test_what_could_not_be_looked_at_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(raw: bytes, parsed: ParsedMessage, recipients: Sequence[str]) -> Verdict:
        raise ValueError("no rules today")

    raw = _parts()
    monkeypatch.setattr(guard, "_judge", fails)
    found = await Guard().look(raw, parse(raw), ["bob@b.test"])
    assert [each["rule"] for each in found] == ["ob_unseen"]
    assert why_held("guarded", found) == found


async def test_what_takes_too_long_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_slow(raw: bytes, parsed: ParsedMessage, recipients: Sequence[str]) -> Verdict:
        time.sleep(0.2)
        return Verdict(0)

    raw = _parts()
    monkeypatch.setattr(guard, "_judge", is_slow)
    found = await Guard(timeout_s=0.01).look(raw, parse(raw), ["bob@b.test"])
    assert [each["rule"] for each in found] == ["ob_unseen"]


def test_mail_nobody_has_looked_at_waits_where_findings_do() -> None:
    reasons = why_held("guarded", None)
    assert reasons is not None
    assert [each["rule"] for each in reasons] == ["ob_unseen"]
    assert why_held("autonomous", None) is None
    assert why_held("monitored", None) is None
    assert why_held("gated", None) == [guard.GATED]
    assert why_held("gated", [{"rule": "x", "severity": "low"}]) == [guard.GATED, {"rule": "x", "severity": "low"}]
    assert why_held("guarded", [{"rule": "x", "severity": "medium"}]) is None
