"""What becomes a message through JMAP is made canonical when it becomes one; blobs stay as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from api.jmap.conftest import Agent, mail

Maker = Callable[..., Awaitable[Agent]]


async def upload(agent: Agent, data: bytes) -> str:
    answer = await agent.http.post(f"/jmap/upload/{agent.account_id}/", content=data, headers=agent.headers)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["blobId"])


async def download(agent: Agent, blob_id: str) -> bytes:
    answer = await agent.http.get(f"/jmap/download/{agent.account_id}/{blob_id}/x", headers=agent.headers)
    assert answer.status_code == 200, answer.text
    return answer.content


async def import_(agent: Agent, data: bytes, role: str = "drafts") -> dict[str, Any]:
    given = {"blobId": await upload(agent, data), "mailboxIds": {agent.boxes[role]: True}, "keywords": {"$draft": True}}
    return await agent.call("Email/import", emails={"m": given})


async def test_a_second_author_in_an_import_is_seen_and_not_sent(ann: Agent) -> None:
    for end in (b"\r", b"\n", b"\r\x00\n", b"\x00\r"):
        raw = mail("Two", from_=ann.address).replace(b"\r\nDate:", end + b"From: boss@bank.example\r\nDate:", 1)
        made = (await import_(ann, raw))["created"]["m"]
        found = await ann.call("Email/get", ids=[made["id"]], properties=["header:from:asAddresses:all", "blobId"])
        authors = found["list"][0]["header:from:asAddresses:all"]
        assert [[each["email"] for each in field] for field in authors] == [[ann.address], ["boss@bank.example"]]
        sent = await ann.call("EmailSubmission/set", create={"s": {"emailId": made["id"]}})
        assert sent["notCreated"]["s"]["type"] in ("invalidEmail", "invalidProperties", "forbiddenFrom"), sent
        stored = await download(ann, found["list"][0]["blobId"])
        assert stored.count(b"\r") == stored.count(b"\n") == stored.count(b"\r\n") and b"\x00" not in stored


async def test_a_header_over_the_limits_is_no_message_and_a_blob_keeps_every_octet(ann: Agent) -> None:
    for header in (b"a: b\r\n" * 2_001, b"X: " + b"y" * 600_000 + b"\r\n"):
        refused = (await import_(ann, header + mail()))["notCreated"]["m"]
        assert refused["type"] == "tooLarge"
        assert "header" in refused["description"]
    blob_id = await upload(ann, b"a:\r\n" * 200_000 + mail())
    answer = await ann.call("Email/parse", blobIds=[blob_id], properties=["subject", "headers"])
    shown = (answer["parsed"] or {}).get(blob_id)
    assert shown is None or len(shown["headers"]) < 3_000
    data = b"\xef\xbb\xbfa\rb\nc\x00d\r\r\n"
    assert await download(ann, await upload(ann, data)) == data


async def test_an_imported_message_with_bare_line_ends_is_sent_as_it_lies_there(ann: Agent, make_agent: Maker) -> None:
    eve = await make_agent("eve")
    raw = mail("Bare", from_=ann.address, to=eve.address, body="one\rtwo\nthree\x00").replace(b"\r\n", b"\n")
    made = (await import_(ann, raw))["created"]["m"]
    sent = await ann.call("EmailSubmission/set", create={"s": {"emailId": made["id"]}})
    assert sent["created"], sent
    await ann.house.settle()
    # It came without a Message-ID: the writer's own copy has the one it left with.
    (own,) = (await ann.call("Email/get", ids=(await ann.call("Email/query"))["ids"], properties=["blobId"]))["list"]
    stored = await download(ann, own["blobId"])
    got = await eve.call("Email/get", ids=(await eve.call("Email/query"))["ids"], properties=["blobId"])
    arrived = await download(eve, got["list"][0]["blobId"])
    assert arrived.endswith(stored.partition(b"From:")[2]) and stored.endswith(b"one\r\ntwo\r\nthree\r\n")


async def test_a_blob_is_parsed_as_it_would_be_taken_in(ann: Agent) -> None:
    parts = (
        "--b\r\nContent-Type: text/plain\r\n\r\nWords.\r\n--b\r\nContent-Type: application/x-a\r\n\r\na file\r\n--b--"
    )
    whole = mail("Same", body=parts).replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=b")
    for change in (
        lambda raw: raw,
        lambda raw: raw.replace(b"\r\n", b"\n"),
        lambda raw: raw.replace(b"\r\n", b"\r"),
        lambda raw: raw.replace(b"Subject:", b"junk\rSubject:"),
        lambda raw: b"\xef\xbb\xbf" + raw.replace(b"Words", b"W\x00ords"),
        lambda raw: b"From someone\n" + raw,
    ):
        raw = change(whole)
        blob_id = await upload(ann, raw)
        names = ["subject", "from", "attachments", "textBody", "bodyValues", "headers"]
        answer = await ann.call("Email/parse", blobIds=[blob_id], properties=[*names, "size"], fetchTextBodyValues=True)
        parsed = answer["parsed"][blob_id]
        made = (await import_(ann, raw))["created"]["m"]
        stored = (await ann.call("Email/get", ids=[made["id"]], properties=names, fetchTextBodyValues=True))["list"][0]
        assert parsed.pop("size") == len(raw)
        ids = [parsed["attachments"][0].pop("blobId"), stored["attachments"][0].pop("blobId")]
        for each in (parsed, stored):
            each["textBody"][0].pop("blobId")
            each.pop("id", None)
        assert parsed == stored
        assert [await download(ann, id_) for id_ in ids] == [b"a file", b"a file"]
