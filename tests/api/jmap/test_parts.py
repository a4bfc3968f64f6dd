"""Parts and dates of real mail, over JMAP."""

from __future__ import annotations

from typing import Any

import pytest

from api.jmap.conftest import DOMAIN, Agent
from unit.wire import containers

HEAD = f"From: Bob <bob@example.org>\nTo: ann@{DOMAIN}\nSubject: s\nMIME-Version: 1.0\n"


async def newest(agent: Agent, raw: bytes, *names: str, **more: object) -> dict[str, Any]:
    """The properties of a mail that is taken in."""
    before = set((await agent.call("Email/query"))["ids"])
    await agent.receive(raw.replace(b"\n", b"\r\n"))
    (new,) = set((await agent.call("Email/query"))["ids"]) - before
    answer = await agent.call("Email/get", ids=[*before, new], properties=["id", *names], **more)
    assert len(answer["list"]) == len(before) + 1
    shown: dict[str, Any] = next(each for each in answer["list"] if each["id"] == new)
    return shown


async def test_dates_keep_the_zone_of_their_header_and_none_breaks_a_page(ann: Agent) -> None:
    for date, wanted in (
        ("Tue, 5 Mar 2024 10:15:00 +0530", "2024-03-05T10:15:00+05:30"),
        ("Tue, 5 Mar 2024 10:15:00 -0800", "2024-03-05T10:15:00-08:00"),
        ("Tue, 5 Mar 2024 10:15:00 +0000", "2024-03-05T10:15:00Z"),
        ("Mon, 01 Jan 0001 00:00:00 +0001", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
        ("Sat, 01 Jan 0001 00:00:00 +0000", "0001-01-01T00:00:00Z"),
    ):
        shown = await newest(ann, f"{HEAD}Date: {date}\n\nx".encode(), "sentAt", "header:Date:asDate")
        assert (shown["sentAt"], shown["header:Date:asDate"]) == (wanted, wanted)
    made = await ann.draft(sentAt="2024-03-05T10:15:00+05:30")
    answer = await ann.call("Email/get", ids=[made["id"]], properties=["sentAt", "header:Date"])
    assert answer["list"][0]["sentAt"] == "2024-03-05T10:15:00+05:30"
    assert answer["list"][0]["header:Date"] == " Tue, 5 Mar 2024 10:15:00 +0530"


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
async def test_a_date_out_of_range_is_refused_of_callers(ann: Agent, date: str) -> None:
    given = {"mailboxIds": {ann.boxes["drafts"]: True}, "sentAt": date}
    made = await ann.call(
        "Email/set", create={"d": given, "e": {"mailboxIds": {ann.boxes["drafts"]: True}, "receivedAt": date}}
    )
    assert [made["notCreated"][each]["properties"] for each in "de"] == [["sentAt"], ["receivedAt"]]
    found = await ann.call("Email/query", filter={"before": date})
    assert found["error"]["type"] == "invalidArguments"


async def test_a_charset_beside_a_part_id_is_refused(ann: Agent) -> None:
    for body in (
        {"textBody": [{"partId": "t", "type": "text/plain", "charset": "utf-8"}]},
        {"bodyStructure": {"partId": "t", "type": "text/plain", "charset": "us-ascii"}},
    ):
        given = {"mailboxIds": {ann.boxes["drafts"]: True}, "bodyValues": {"t": {"value": "x"}}, **body}
        made = await ann.call("Email/set", create={"d": given})
        assert made["notCreated"]["d"]["properties"] == ["charset"]


async def test_what_lies_in_a_container_is_read_and_fetched(ann: Agent) -> None:
    inner = b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZQ==\n"
    tnef = containers.as_part("application/ms-tnef; name=winmail.dat", containers.tnef(("a.pdf", b"%PDF")))
    both = b"Content-Type: multipart/mixed; boundary=i\n\n--i\n" + inner + b"--i\n" + tnef + b"--i--\n"
    raw = HEAD.encode() + containers.as_part("application/pkcs7-mime; name=smime.p7m", containers.signed(both))
    names = ("textBody", "bodyValues", "attachments", "bodyStructure", "hasAttachment", "keywords", "preview")
    shown = await newest(ann, raw, *names, fetchTextBodyValues=True)
    (text,) = shown["textBody"]
    assert shown["bodyValues"][text["partId"]]["value"] == "Grüße"
    assert shown["preview"] == "Grüße"
    assert shown["bodyStructure"]["type"] == "application/pkcs7-mime"
    assert "$signature-unchecked" in shown["keywords"]
    await ann.call("Email/set", update={shown["id"]: {"keywords": {"$seen": True}}})
    answer = await ann.call("Email/get", ids=[shown["id"]], properties=["keywords"])
    assert set(answer["list"][0]["keywords"]) == {"$seen", "$signature-unchecked"}
    assert shown["hasAttachment"] is True
    attachments = {each["name"]: each for each in shown["attachments"]}
    assert list(attachments) == ["smime.p7m", "winmail.dat", "a.pdf"]
    for part, content in ((attachments["a.pdf"], b"%PDF"), (text, "Grüße".encode())):
        url = f"/jmap/download/{ann.account_id}/{part['blobId']}/x?accept=application/octet-stream"
        fetched = await ann.http.get(url, headers=ann.headers)
        assert (fetched.status_code, fetched.content) == (200, content)
    # And it goes into a new mail like any other blob.
    made = await ann.draft(
        attachments=[{"blobId": attachments["a.pdf"]["blobId"], "name": "a.pdf", "type": "application/pdf"}]
    )
    assert made["id"]


async def test_html_is_read_in_the_charset_it_names(ann: Agent) -> None:
    raw = f"{HEAD}Content-Type: text/html\n\n<meta charset=windows-1251>Привет".encode("cp1251")
    shown = await newest(ann, raw, "bodyValues", "htmlBody", fetchHTMLBodyValues=True)
    (part,) = shown["htmlBody"]
    assert shown["bodyValues"][part["partId"]]["value"].strip().endswith("Привет")
    assert part["charset"] == "us-ascii"
