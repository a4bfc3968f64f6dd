"""Files and dates of real mail, through AgentMail: all that came is there, and nothing breaks the list around it."""

from __future__ import annotations

import asyncio
import smtplib
from email import message_from_bytes, policy
from typing import Any

import aiohttp

from api.agentmail.conftest import Whole
from unit.wire import containers

SENDER = "pat@elsewhere.example"


async def receive(whole: Whole, inbox: str, rest: bytes, *, date: str = "Tue, 5 Mar 2024 10:15:00 +0100") -> Any:
    """A stranger's mail of these octets behind its header, filed; as the API shows it."""
    head = f"From: Pat <{SENDER}>\nTo: {inbox}\nSubject: Files\nDate: {date}\nMIME-Version: 1.0\n".encode()

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", whole.inside.house.ports["smtp"], timeout=30) as client:
            client.sendmail(SENDER, [inbox], (head + rest).replace(b"\n", b"\r\n"))

    await asyncio.to_thread(send)
    await whole.inside.settle()
    newest = (await whole.api.get(f"/v0/inboxes/{inbox}/messages", limit="1"))["messages"][0]
    whole.inside.clock.forward(seconds=1)
    return await whole.api.get(f"/v0/inboxes/{inbox}/messages/{newest['message_id']}")


async def fetch(whole: Whole, path: str) -> bytes:
    """The bytes behind the link that a path gives."""
    link = await whole.api.get(path)
    async with aiohttp.ClientSession() as session, session.get(link["download_url"]) as answer:
        assert answer.status == 200
        return await answer.read()


async def files(whole: Whole, inbox: str, message: Any) -> dict[str, bytes]:
    """Names and contents of a message's attachments."""
    path = f"/v0/inboxes/{inbox}/messages/{message['message_id']}/attachments"
    return {
        each["filename"]: await fetch(whole, f"{path}/{each['attachment_id']}")
        for each in message.get("attachments", ())
    }


async def forwarded(whole: Whole, inbox: str, message: Any) -> Any:
    """What a forward of the message carries: names, dispositions and contents of its parts."""
    path = f"/v0/inboxes/{inbox}/messages"
    sent = await whole.api.post(f"{path}/{message['message_id']}/forward", {"to": SENDER})
    raw = await fetch(whole, f"{path}/{sent['message_id']}/raw")
    return message_from_bytes(raw, policy=policy.default)


async def test_all_that_a_mail_holds_is_listed_fetched_and_forwarded(whole: Whole) -> None:
    inbox = await whole.inbox()
    mixed = b"Content-Type: multipart/mixed; boundary=m\n\n--m\n%s\n--m\n%s\n--m--\n"
    text = b"Content-Type: text/plain\n\nSee here."
    photo = b"Content-Type: image/jpeg; name=p.jpg\nContent-Disposition: inline; filename=p.jpg\nContent-Transfer-Encoding: base64\n\nSlBFRw=="
    html = b'Content-Type: text/html\n\n<p>See <img src="cid:s@x">'
    sign = b"Content-Type: image/png; name=s.png\nContent-ID: <s@x>\nContent-Disposition: attachment\n\nPNG"
    stream = containers.tnef(("Übersicht.pdf", b"%PDF-tnef"), ("b.txt", b"b"), body="See here.")
    inner = mixed % (text, b"Content-Type: application/zip; name=c.zip\nContent-Transfer-Encoding: base64\n\nUEsD")
    for rest, expected in (
        (mixed % (text, photo), {"p.jpg": b"JPEG"}),
        (photo, {"p.jpg": b"JPEG"}),
        (mixed % (text, containers.as_part("application/ms-tnef; name=winmail.dat", stream)),
         {"Übersicht.pdf": b"%PDF-tnef", "b.txt": b"b"}),
        (containers.as_part("application/pkcs7-mime; name=smime.p7m", containers.signed(inner)), {"c.zip": b"PK\3"}),
    ):  # fmt: skip
        message = await receive(whole, inbox, rest)
        assert await files(whole, inbox, message) == expected
        assert not any(each["inline"] for each in message["attachments"])
        out = await forwarded(whole, inbox, message)
        assert {
            part.get_filename(): part.get_content_disposition() for part in out.iter_attachments()
        } == dict.fromkeys(expected, "attachment")
    assert "signature_unchecked" in message["labels"]
    assert message["text"] == "See here."

    message = await receive(
        whole, inbox, b"Content-Type: multipart/related; boundary=m\n\n--m\n%s\n--m\n%s\n--m--\n" % (html, sign)
    )
    (shown,) = message["attachments"]
    assert (shown["inline"], shown["content_disposition"], shown["content_id"]) == (True, "inline", "s@x")
    out = await forwarded(whole, inbox, message)
    assert [part["Content-ID"] for part in out.walk() if part.get_content_disposition() == "inline"] == ["<s@x>"]
    message = await receive(whole, inbox, mixed % (text, b"Content-Type: application/pdf; name=o.pdf\n\nPDF"))
    (offer,) = message["attachments"]
    assert (offer["inline"], offer.get("content_disposition")) == (False, None)


async def test_no_date_breaks_a_list_or_a_forward(whole: Whole) -> None:
    inbox = await whole.inbox()
    dates = ["Mon, 01 Jan 0001 00:00:00 +1400", "Fri, 31 Dec 9999 23:59:59 -0001", "99 Foo 99999 99:99", "\x00\x7f"]
    for date in dates:
        message = await receive(whole, inbox, b"\nText\n", date=date)
        out = await forwarded(whole, inbox, message)
        assert "\nDate:" not in out.get_body(("plain",)).get_content()
    assert len((await whole.api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]) == 2 * len(dates)
    for bound in ("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"):
        status, error = await whole.api.call("GET", f"/v0/inboxes/{inbox}/messages", params={"before": bound})
        assert (status, error["code"]) == (400, "validation_error")
