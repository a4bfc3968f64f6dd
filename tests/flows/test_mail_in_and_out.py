"""A mail comes in, is read and answered, and the answer goes out: on a real server, over real sockets."""

from __future__ import annotations

import smtplib
from email import message_from_bytes
from email.policy import default

import pytest

from flows.server import Server, mail, unique, until


async def test_a_strangers_mail_is_listed_read_and_answered(server: Server) -> None:
    agent = await server.agent()
    subject = unique("Question")
    header_id = server.send("ann@elsewhere.example", agent.address, subject, "What time is it?\n")

    question = await agent.received(subject)
    assert question["from"] == "ann@elsewhere.example"
    assert question["to"] == [agent.address]
    assert question["text"].strip() == "What time is it?"
    assert question["labels"] == ["received", "unread"]
    assert question["headers"]["Message-ID"] == header_id

    sent = await agent.post(f"messages/{question['message_id']}/reply", {"text": "Half past nine."})
    assert sent["thread_id"] == question["thread_id"]
    answer = await agent.labelled(sent["message_id"], "delivered")
    assert answer["subject"] == f"Re: {subject}"
    assert answer["to"] == ["ann@elsewhere.example"]
    assert answer["in_reply_to"] == question["message_id"]
    assert answer["references"] == [question["message_id"]]
    assert set(answer["labels"]) == {"sent", "delivered"}


async def test_outside_mail_is_caught_and_names_whom_it_was_for(server: Server) -> None:
    agent, owner = await server.agent(), await server.agent("catch")
    subject = unique("Out")
    sent = await agent.send(["bob@far.example", "eve@further.example"], subject=subject)

    await agent.labelled(sent["message_id"], "delivered")

    async def both() -> bool:
        return len([m for m in await owner.inbox() if m.get("subject") == subject]) == 2

    await until(both, "a caught copy for each domain")
    events = (await server.command("events", limit=200))["events"]
    delivered = [e for e in events if e["type"] == "message.delivered" and e["inbox"] == agent.address]
    assert sorted(r for event in delivered for r in event["recipients"]) == ["bob@far.example", "eve@further.example"]


async def test_agents_of_one_house_write_to_each_other_in_one_thread(server: Server) -> None:
    one, two = await server.agent(), await server.agent()
    subject = unique("Plan")
    first = await one.send(two.address, subject=subject)
    got = await two.received(subject)
    answer = await two.post(f"messages/{got['message_id']}/reply", {"text": "Agreed."})
    assert answer["thread_id"] == got["thread_id"]
    back = await one.received(f"Re: {subject}")
    assert back["thread_id"] == first["thread_id"]

    thread = await one.get(f"threads/{first['thread_id']}")
    assert [m["message_id"] for m in thread["messages"]] == [first["message_id"], back["message_id"]]
    assert thread["message_count"] == 2
    assert set(thread["participants"]) == {one.address, two.address}
    assert set(thread["labels"]) >= {"sent", "received"}

    await two.post(f"messages/{got['message_id']}/reply", {"text": "One more thing."})

    async def three() -> bool:
        return bool((await one.get(f"threads/{first['thread_id']}"))["message_count"] == 3)

    await until(three, "the third message in the same thread")


async def test_a_reply_is_read_without_what_it_quotes(server: Server) -> None:
    agent = await server.agent()
    subject = unique("Re: Quoted")
    text = "Yes, please.\n\nOn Mon, 5 Jan 2026 at 10:00, Agent <a@b.example> wrote:\n> Shall I?\n"
    server.send("ann@elsewhere.example", agent.address, subject, text)
    got = await agent.received(subject)
    assert got["extracted_text"].strip() == "Yes, please."
    assert "Shall I?" in got["text"]


async def test_reply_all_answers_everyone_but_ourselves(server: Server) -> None:
    agent = await server.agent()
    subject = unique("All")
    message = mail("ann@elsewhere.example", [agent.address, "bob@far.example"], subject, Cc="eve@far.example")
    server.send_raw("ann@elsewhere.example", [agent.address], message.as_bytes())
    got = await agent.received(subject)
    sent = await agent.post(f"messages/{got['message_id']}/reply-all", {"text": "To all."})
    found = await agent.message(sent["message_id"])
    everyone = set(found["to"]) | set(found.get("cc", []))
    assert everyone == {"ann@elsewhere.example", "bob@far.example", "eve@far.example"}


async def test_a_forward_carries_text_and_attachments_of_the_original(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    subject = unique("Report")
    message = mail("ann@elsewhere.example", [agent.address], subject, "See the file.\n")
    message.add_attachment(b"\x00\x01data", maintype="application", subtype="x-test", filename="r\u00e9sum\u00e9.bin")
    server.send_raw("ann@elsewhere.example", [agent.address], message.as_bytes())
    got = await agent.received(subject)
    await agent.post(f"messages/{got['message_id']}/forward", {"to": other.address, "text": "For you."})
    forwarded = await other.received(f"Fwd: {subject}")
    assert "For you." in forwarded["text"]
    assert "See the file." in forwarded["text"]
    assert forwarded["attachments"][0]["filename"] == "r\u00e9sum\u00e9.bin"
    assert forwarded["attachments"][0]["size"] == 6


async def test_postmaster_and_its_kin_reach_the_owner(server: Server) -> None:
    owner = await server.agent("catch")
    for recipient in (f"postmaster@{server.domain}", f"Abuse@{server.domain}", "postmaster"):
        subject = unique("Complaint")
        message = mail("ann@elsewhere.example", [f"postmaster@{server.domain}"], subject)
        with smtplib.SMTP("127.0.0.1", server.smtp, timeout=30) as client:
            client.ehlo()
            assert client.docmd("MAIL FROM:<ann@elsewhere.example>")[0] == 250
            assert client.docmd(f"RCPT TO:<{recipient}>")[0] == 250
            assert client.data(message.as_bytes())[0] == 250
        await owner.received(subject)


async def test_a_tag_after_plus_leads_to_the_same_inbox(server: Server) -> None:
    agent = await server.agent()
    local, _, domain = agent.address.partition("@")
    subject = unique("Tagged")
    server.send("ann@elsewhere.example", f"{local}+shop@{domain}", subject)
    got = await agent.received(subject)
    assert got["to"] == [f"{local}+shop@{domain}"]


async def test_one_mail_to_an_inbox_by_two_addresses_is_filed_once(server: Server) -> None:
    agent = await server.agent()
    local, _, domain = agent.address.partition("@")
    subject = unique("Twice")
    server.send("ann@elsewhere.example", [agent.address, f"{local}+two@{domain}"], subject)
    await agent.received(subject)
    assert len([m for m in await agent.inbox() if m["subject"] == subject]) == 1


async def test_an_unknown_recipient_is_refused_and_the_others_get_theirs(server: Server) -> None:
    agent = await server.agent()
    subject = unique("Mixed")
    nobody = f"nobody@{server.domain}"
    message = mail("ann@elsewhere.example", [agent.address, nobody], subject)
    refused = server.send_raw("ann@elsewhere.example", [agent.address, nobody], message.as_bytes())
    assert refused[nobody][0] == 550
    assert refused[nobody][1].startswith(b"5.1.1")
    await agent.received(subject)


def test_mail_for_elsewhere_is_not_relayed(server: Server) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        server.send("ann@elsewhere.example", "bob@far.example")
    code, text = refusal.value.recipients["bob@far.example"]
    assert code in (550, 554)
    assert text.startswith(b"5.7.1")


async def test_a_mail_that_goes_round_in_circles_is_refused(server: Server) -> None:
    agent = await server.agent()
    subject = unique("Loop")
    raw = mail("ann@elsewhere.example", [agent.address], subject).as_bytes()
    hop = b"Received: from a by b; Mon, 5 Jan 2026 10:00:00 +0000\n"
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        server.send_raw("ann@elsewhere.example", [agent.address], hop * 51 + raw)
    assert refusal.value.smtp_code == 554
    assert refusal.value.smtp_error[:5] == b"5.4.6"
    server.send_raw("ann@elsewhere.example", [agent.address], hop * 50 + raw)
    await agent.received(subject)


async def test_the_raw_message_is_what_came_with_the_trace_before_it(server: Server) -> None:
    agent = await server.agent()
    subject = unique("Raw")
    raw = mail("ann@elsewhere.example", [agent.address], subject, "Line one.\n\n.Dot line.\n").as_bytes()
    raw = raw.replace(b"\n", b"\r\n")
    server.send_raw("ann@elsewhere.example", [agent.address], raw)
    got = await agent.received(subject)
    link = await agent.get(f"messages/{got['message_id']}/raw")
    async with server.api("no-key") as api:
        status, data = await api.call("GET", link["download_url"].removeprefix(server.url))
    assert status == 200
    assert len(data) == link["size"] == got["size"]
    assert data.endswith(raw)
    trace = message_from_bytes(data[: -len(raw)], policy=default)
    assert trace["Return-Path"] == "<ann@elsewhere.example>"
    assert f"for <{agent.address}>" in " ".join(trace["Received"].split())


async def test_what_was_taken_while_nobody_files_is_filed_later(server: Server) -> None:
    agent = await server.agent()
    subject = unique("Kept")
    server.send("", agent.address, subject)
    got = await agent.received(subject)
    assert (await agent.get(f"messages/{got['message_id']}"))["headers"]["Return-Path"] == "<>"


@pytest.mark.parametrize("size_first", [True, False])
async def test_a_mail_over_the_limit_is_refused_early_by_its_size_or_at_its_end(
    server: Server, size_first: bool
) -> None:
    agent = await server.agent()
    big = 26 * 1024 * 1024
    with smtplib.SMTP("127.0.0.1", server.smtp, timeout=60) as client:
        client.ehlo()
        assert int(client.esmtp_features["size"]) < big
        if size_first:
            assert client.docmd(f"MAIL FROM:<a@b.example> SIZE={big}")[0] == 552
            return
        client.docmd("MAIL FROM:<a@b.example>")
        assert client.docmd(f"RCPT TO:<{agent.address}>")[0] == 250
        assert client.data(b"Subject: big\r\n\r\n" + (b"x" * 998 + b"\r\n") * (big // 1000))[0] == 552
    assert await agent.inbox() == []
