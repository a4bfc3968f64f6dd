"""Submissions, identities, vacation responses (RFC 8621 §6–§8, RFC 3834)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from api.jmap.conftest import DOMAIN, Agent, Clock, mail
from posthouse.admin import events as admin_events
from posthouse.admin import keys as admin_keys
from posthouse.admin import levels as admin_levels
from posthouse.admin import oversight as admin_oversight
from posthouse.app import House
from posthouse.inbound import spool
from posthouse.inbound.spool import HandedIn, Incoming
from posthouse.inbound.vacation import MAX_A_DOMAIN, MAX_AN_HOUR
from posthouse.kit.errors import Conflict, Unavailable
from posthouse.kit.principal import Principal
from posthouse.outbound.holding import held_digest
from posthouse.outbound.request import RecipientOptions, StoredMail, Submitted
from posthouse.store import accounts, submissions
from posthouse.store.database import Tx
from posthouse.store.submissions import Delivery, StoredSubmission

Maker = Callable[..., Awaitable[Agent]]


async def send(agent: Agent, email_id: str, **more: Any) -> list[tuple[str, dict[str, Any], str]]:
    """Submit a stored email; `envelope` and other properties of the submission go into `s`."""
    submission = {"emailId": email_id, **more.pop("submission", {})}
    return await agent.batch(("EmailSubmission/set", {"create": {"s": submission}, **more}))


async def test_a_sent_draft_arrives_without_its_blind_copies_and_is_filed_once(ann: Agent, make_agent: Maker) -> None:
    eve, hid = await make_agent("eve"), await make_agent("hid")
    made = await ann.draft(to=[{"email": eve.address}], bcc=[{"email": hid.address}])
    answer = await send(
        ann,
        made["id"],
        onSuccessUpdateEmail={
            "#s": {"keywords/$draft": None, "keywords/$sent": True, "mailboxIds": {ann.boxes["sent"]: True}}
        },
    )
    assert [each[0] for each in answer] == ["EmailSubmission/set", "Email/set"]
    await ann.house.settle()
    mine = await ann.call(
        "Email/get", ids=(await ann.call("Email/query"))["ids"], properties=["mailboxIds", "keywords", "bcc"]
    )
    assert [list(each["mailboxIds"]) for each in mine["list"]] == [[ann.boxes["sent"]]]
    assert mine["list"][0]["keywords"] == {"$seen": True, "$sent": True}
    assert mine["list"][0]["bcc"] == [{"name": None, "email": hid.address}]
    for reader in (eve, hid):
        got = await reader.call(
            "Email/get", ids=(await reader.call("Email/query"))["ids"], properties=["bcc", "header:bcc", "subject"]
        )
        assert [(each["subject"], each["bcc"], each["header:bcc"]) for each in got["list"]] == [("Hello", None, None)]
    shown = (await ann.call("EmailSubmission/get"))["list"][0]
    assert {name: status["delivered"] for name, status in shown["deliveryStatus"].items()} == {
        eve.address: "yes",
        hid.address: "yes",
    }
    assert shown["undoStatus"] == "final"
    assert shown["emailId"] == made["id"]


async def test_an_answer_is_given_the_references_its_writer_left_out(ann: Agent, make_agent: Maker) -> None:
    eve = await make_agent("eve")
    await ann.receive(mail("plan", extra="Message-ID: <b@x>\r\nReferences: <a@x>"))
    made = await ann.draft(to=[{"email": eve.address}], inReplyTo=["b@x"], subject="Re: plan")
    await send(ann, made["id"])
    await ann.house.settle()
    got = await eve.call(
        "Email/get", ids=(await eve.call("Email/query"))["ids"], properties=["references", "inReplyTo"]
    )
    assert (got["list"][0]["references"], got["list"][0]["inReplyTo"]) == (["a@x", "b@x"], ["b@x"])  # D10


@pytest.mark.parametrize(
    ("draft", "submission", "kind"),
    [
        ({"from": [{"email": "stranger@example.org"}]}, {}, "forbiddenFrom"),
        ({}, {"envelope": {"mailFrom": {"email": "x@example.org"}, "rcptTo": [{"email": "b@example.org"}]}}, "forbiddenMailFrom"),
        ({"to": None}, {}, "noRecipients"),
        ({}, {"envelope": {"mailFrom": {"email": "ann@agents.test"}, "rcptTo": []}}, "noRecipients"),
        ({}, {"envelope": {"mailFrom": {"email": "ann@agents.test"}, "rcptTo": [{"email": "no address"}]}}, "invalidRecipients"),
        ({}, {"envelope": {"mailFrom": {"email": "ann@agents.test"},
                           "rcptTo": [{"email": f"b{n}@example.org"} for n in range(51)]}}, "tooManyRecipients"),
        ({}, {"envelope": {"mailFrom": {"email": "ann@agents.test"},
                           "rcptTo": [{"email": "b@example.org", "parameters": {"NOTIFY": "NEVER,SUCCESS"}}]}},
         "invalidProperties"),
        ({}, {"identityId": "nobody"}, "invalidProperties"),
        ({}, {"emailId": "nothing"}, "invalidProperties"),
    ],
)  # fmt: skip
async def test_what_may_not_be_sent_is_refused_in_the_standards_words(
    ann: Agent, draft: dict[str, Any], submission: dict[str, Any], kind: str
) -> None:
    made = await ann.draft(**draft)
    answer = await send(ann, made["id"], submission=submission)
    assert answer[0][1]["created"] is None
    assert answer[0][1]["notCreated"]["s"]["type"] == kind
    assert (await ann.call("EmailSubmission/query"))["ids"] == []
    shown = (await ann.call("Email/get", ids=[made["id"]], properties=["keywords"]))["list"][0]
    assert "$draft" in shown["keywords"]


async def test_a_delayed_submission_waits_and_can_be_taken_back(ann: Agent, make_agent: Maker, clock: Clock) -> None:
    eve = await make_agent("eve")

    def envelope(seconds: str) -> dict[str, Any]:
        sender = {"email": ann.address, "parameters": {"HOLDFOR": seconds}}
        return {"envelope": {"mailFrom": sender, "rcptTo": [{"email": eve.address, "name": "Eve"}]}}

    first, second = await ann.draft(), await ann.draft()
    taken_back = (await send(ann, first["id"], submission=envelope("600")))[0][1]["created"]["s"]
    goes = (await send(ann, second["id"], submission=envelope("600")))[0][1]["created"]["s"]
    assert taken_back["undoStatus"] == "pending"
    await ann.house.settle()
    assert (await eve.call("Email/query"))["ids"] == []
    done = await ann.call("EmailSubmission/set", update={taken_back["id"]: {"undoStatus": "canceled"}})
    assert taken_back["id"] in done["updated"]
    clock.at += 601_000
    await ann.house.settle()
    assert len((await eve.call("Email/query"))["ids"]) == 1
    late = await ann.call("EmailSubmission/set", update={goes["id"]: {"undoStatus": "canceled"}})
    assert late["notUpdated"][goes["id"]]["type"] == "cannotUnsend"
    states = {each["id"]: each["undoStatus"] for each in (await ann.call("EmailSubmission/get"))["list"]}
    assert states == {taken_back["id"]: "canceled", goes["id"]: "final"}
    found = await ann.call("EmailSubmission/query", filter={"undoStatus": "canceled"})
    assert found["ids"] == [taken_back["id"]]
    too_late = await send(ann, (await ann.draft())["id"], submission=envelope("99999999"))
    assert too_late[0][1]["notCreated"]["s"]["type"] == "invalidProperties"


async def test_a_held_submission_is_pending_until_the_owner_decides(
    ann: Agent, make_agent: Maker, house: House
) -> None:
    eve = await make_agent("eve")
    await admin_levels.set_level(house, level="gated", inbox=ann.address)
    made = await ann.draft(to=[{"email": eve.address}])
    answer = await send(ann, made["id"])
    held = answer[0][1]["created"]["s"]
    assert held["undoStatus"] == "pending"
    again = await send(ann, made["id"])
    assert again[0][1]["notCreated"]["s"]["type"] == "forbiddenToSend"
    waiting = (await admin_oversight.pending(house))["pending"]
    await admin_oversight.approve(house, id=waiting[0]["id"])
    await house.settle()
    assert (await ann.call("EmailSubmission/get", ids=[held["id"]]))["list"][0]["undoStatus"] == "final"
    assert len((await eve.call("Email/query"))["ids"]) == 1
    shown = (await ann.call("Email/get", ids=[made["id"]], properties=["mailboxIds", "keywords"]))["list"][0]
    assert (list(shown["mailboxIds"]), shown["keywords"]) == ([ann.boxes["sent"]], {"$seen": True})
    other = (await send(ann, (await ann.draft(to=[{"email": eve.address}]))["id"]))[0][1]["created"]["s"]
    await ann.call("EmailSubmission/set", update={other["id"]: {"undoStatus": "canceled"}})
    assert (await admin_oversight.pending(house))["pending"] == []


async def test_a_bounce_is_no_delivery_and_names_its_report(ann: Agent, house: House) -> None:
    state = (await ann.call("EmailSubmission/get", ids=[]))["state"]
    made = await ann.draft(to=[{"email": "nobody@agents.test"}])
    sent = (await send(ann, made["id"]))[0][1]["created"]["s"]
    await house.settle()
    shown = (await ann.call("EmailSubmission/get", ids=[sent["id"]]))["list"][0]
    status = shown["deliveryStatus"]["nobody@agents.test"]
    assert status["delivered"] == "no"
    assert status["smtpReply"].startswith("550 5.1.1")
    assert len(shown["dsnBlobIds"]) == 1
    report = await ann.call("Email/parse", blobIds=shown["dsnBlobIds"], properties=["from", "bodyStructure"])
    assert report["parsed"][shown["dsnBlobIds"][0]]["bodyStructure"]["type"] == "multipart/report"
    told = await ann.call("EmailSubmission/changes", sinceState=state)
    assert told["created"] == [sent["id"]]


async def test_an_empty_mail_from_is_the_null_path(ann: Agent, make_agent: Maker) -> None:
    eve = await make_agent("eve")
    made = await ann.draft(to=[{"email": eve.address}])
    envelope = {"mailFrom": {"email": ""}, "rcptTo": [{"email": eve.address}, {"email": "nobody@agents.test"}]}
    sent = (await send(ann, made["id"], submission={"envelope": envelope}))[0][1]["created"]["s"]
    await ann.house.settle()
    shown = (await ann.call("EmailSubmission/get", ids=[sent["id"]]))["list"][0]
    assert shown["envelope"]["mailFrom"]["email"] == ""
    assert {email: status["delivered"] for email, status in shown["deliveryStatus"].items()} == {
        eve.address: "yes", "nobody@agents.test": "no",
    }  # fmt: skip
    assert shown["dsnBlobIds"] == [], "nobody is told"


async def test_identities_are_those_of_the_accounts_addresses(ann: Agent) -> None:
    first = (await ann.call("Identity/get"))["list"]
    assert [(each["email"], each["mayDelete"]) for each in first] == [(ann.address, False)]
    made = await ann.call(
        "Identity/set",
        create={"a": {"email": "ann+sales@agents.test", "name": "Sales"}, "b": {"email": "x@example.org"}},
        update={first[0]["id"]: {"textSignature": "-- Ann"}},
        destroy=[first[0]["id"]],
    )
    assert made["notCreated"]["b"]["type"] == "forbiddenFrom"
    assert made["notDestroyed"][first[0]["id"]]["type"] == "forbidden" or made["notUpdated"]
    shown = {each["email"]: each for each in (await ann.call("Identity/get"))["list"]}
    assert shown["ann+sales@agents.test"]["name"] == "Sales"


async def test_a_vacation_response_answers_each_sender_once_a_week(ann: Agent, make_agent: Maker, clock: Clock) -> None:
    eve = await make_agent("eve")
    done = await ann.call(
        "VacationResponse/set", update={"singleton": {"isEnabled": True, "subject": "Away", "textBody": "Till Monday."}}
    )
    assert done["updated"] == {"singleton": None}

    async def write() -> list[dict[str, Any]]:
        made = await eve.draft(to=[{"email": ann.address}])
        await send(eve, made["id"])
        await eve.house.settle()
        ids = (await eve.call("Email/query", filter={"inMailbox": eve.boxes["inbox"]}))["ids"]
        names = ["subject", "from", "inReplyTo", "header:Auto-Submitted:asText", "header:Return-Path"]
        found: list[dict[str, Any]] = (await eve.call("Email/get", ids=ids, properties=names))["list"]
        return found

    answers = await write()
    assert [(each["subject"], each["from"][0]["email"]) for each in answers] == [("Away", ann.address)]
    assert answers[0]["header:Auto-Submitted:asText"] == "auto-replied"
    assert answers[0]["header:Return-Path"] == " <>"
    assert len(await write()) == 1
    clock.at += 8 * 86_400_000
    assert len(await write()) == 2


@pytest.mark.parametrize(
    ("mail_from", "values"),
    [
        ("", {}),
        ("owner-list@example.org", {}),
        ("mailer-daemon@example.org", {}),
        ("bob@example.org", {"extra": "Auto-Submitted: auto-generated"}),
        ("bob@example.org", {"extra": "List-Id: <l.example.org>"}),
        ("bob@example.org", {"extra": "Precedence: bulk"}),
        ("bob@example.org", {"to": "all@example.org"}),
        ("ann@agents.test", {}),
    ],
)
async def test_machines_lists_and_nobody_get_no_vacation_response(
    ann: Agent, mail_from: str, values: dict[str, str]
) -> None:
    await ann.call("VacationResponse/set", update={"singleton": {"isEnabled": True}})
    await ann.receive(mail("hi", **values), mail_from)
    assert len((await ann.call("Email/query", filter={"inMailbox": ann.boxes["inbox"]}))["ids"]) == 1
    assert (await ann.call("EmailSubmission/query"))["ids"] == []


async def test_forged_senders_get_few_vacation_responses(ann: Agent, clock: Clock) -> None:
    await ann.call("VacationResponse/set", update={"singleton": {"isEnabled": True}})
    for n in range(12):
        await ann.receive(mail("hi", from_=f"b{n}@one.example"), f"b{n}@one.example")
    assert len((await ann.call("EmailSubmission/query"))["ids"]) == MAX_A_DOMAIN
    for n in range(30):
        await ann.receive(mail("hi", from_=f"b@d{n}.example"), f"b@d{n}.example")
    assert len((await ann.call("EmailSubmission/query"))["ids"]) == MAX_AN_HOUR
    clock.at += 3_600_001
    await ann.receive(mail("hi", from_="new@far.example"), "new@far.example")
    assert len((await ann.call("EmailSubmission/query"))["ids"]) == MAX_AN_HOUR + 1


async def test_a_sender_nobody_vouches_for_gets_no_vacation_response(ann: Agent) -> None:
    await ann.call("VacationResponse/set", update={"singleton": {"isEnabled": True}})
    elsewhere = HandedIn("smtp", client_address="203.0.113.9", helo="mx.unknown.invalid")
    incoming = Incoming("bob@unknown.invalid", {ann.account_id: [ann.address]}, mail("hi"), elsewhere, DOMAIN)
    await spool.receive(ann.house.db, ann.house.blobs, incoming, ann.house.clock)
    await ann.house.settle()
    assert len((await ann.call("Email/query", filter={"inMailbox": ann.boxes["inbox"]}))["ids"]) == 1
    assert (await ann.call("EmailSubmission/query"))["ids"] == []


async def test_a_vacation_response_keeps_to_its_dates_and_is_one(ann: Agent) -> None:
    await ann.call("VacationResponse/set", update={"singleton": {"isEnabled": True, "toDate": "2020-01-01T00:00:00Z"}})
    await ann.receive(mail("hi"))
    assert (await ann.call("EmailSubmission/query"))["ids"] == []
    refused = await ann.call("VacationResponse/set", create={"a": {}}, destroy=["singleton"])
    assert refused["notCreated"]["a"]["type"] == refused["notDestroyed"]["singleton"]["type"] == "singleton"


async def test_a_submission_and_what_was_asked_for_in_it_are_written_together_or_not_at_all(ann: Agent) -> None:
    made = await ann.draft()
    house, before = ann.house, (await ann.call("Email/get", ids=[made["id"]], properties=["keywords", "mailboxIds"]))

    async def breaks(tx: Tx, done: Submitted) -> None:
        assert await submissions.get(tx, done.submission_id) is not None
        raise Unavailable("the disk is full")

    owner = Principal(
        (await house.db.read(lambda tx: accounts.get(tx, ann.account_id))).organization_id  # type: ignore[union-attr]
    )
    mail_ = StoredMail(made["id"], ann.address, [("bob@example.org", RecipientOptions())])
    with pytest.raises(Unavailable):
        await house.submitter.submit(owner, ann.account_id, mail_, also=breaks)
    assert (await ann.call("EmailSubmission/get"))["list"] == []
    after = await ann.call("Email/get", ids=[made["id"]], properties=["keywords", "mailboxIds"])
    assert after["list"] == before["list"]
    envelope = {"mailFrom": {"email": ann.address}, "rcptTo": [{"email": "bob@example.org"}]}
    assert (await send(ann, made["id"], submission={"envelope": envelope}))[0][1]["created"]
    shown = (await ann.call("EmailSubmission/get"))["list"][0]
    assert shown["envelope"]["rcptTo"] == [{"email": "bob@example.org", "parameters": None}]


async def _key(agent: Agent, level: str) -> tuple[Agent, str]:
    """The same account with another key, and the key's id."""
    made = await admin_keys.create(agent.house, surface="atomicmail", inbox=agent.address, level=level)
    return replace(agent, key=made["key"]), str(made["id"])


async def _later(agent: Agent, to: Agent, subject: str = "Hello") -> dict[str, Any]:
    sender = {"email": agent.address, "parameters": {"HOLDFOR": "600"}}
    envelope = {"envelope": {"mailFrom": sender, "rcptTo": [{"email": to.address}]}}
    made = await agent.draft(to=[{"email": to.address}], subject=subject)
    answer: dict[str, Any] = (await send(agent, made["id"], submission=envelope))[0][1]["created"]["s"]
    return answer | {"email": made["id"]}


async def test_a_delayed_submission_is_asked_about_when_it_leaves(ann: Agent, make_agent: Maker, clock: Clock) -> None:
    eve, house = await make_agent("eve"), ann.house
    spare, spare_id = await _key(ann, "monitored")
    of_spare = await _later(spare, eve, "of a key that is revoked")
    planned = await _later(ann, eve, "of a key that lives")
    shown = (await ann.call("Email/get", ids=[planned["email"]], properties=["mailboxIds"]))["list"][0]
    assert ann.boxes["sent"] not in shown["mailboxIds"], "it has not been sent yet"
    types = [event["type"] for event in (await admin_events.latest(house))["events"]]
    assert "message.sent" not in types
    await admin_keys.revoke(house, id=spare_id)
    await admin_levels.set_level(house, level="gated", inbox=ann.address)
    clock.at += 601_000
    await house.settle()
    assert (await eve.call("Email/query"))["ids"] == []
    (hold,) = (await admin_oversight.pending(house))["pending"]
    assert hold["subject"] == "of a key that lives"
    states = {each["id"]: each["undoStatus"] for each in (await ann.call("EmailSubmission/get"))["list"]}
    assert states == {of_spare["id"]: "canceled", planned["id"]: "pending"}
    await admin_oversight.approve(house, id=hold["id"])
    await house.settle()
    assert len((await eve.call("Email/query"))["ids"]) == 1
    shown = (await ann.call("Email/get", ids=[planned["email"]], properties=["mailboxIds"]))["list"][0]
    assert list(shown["mailboxIds"]) == [ann.boxes["sent"]]


async def test_a_delayed_submission_of_an_account_that_may_only_read_now_never_leaves(
    ann: Agent, make_agent: Maker, clock: Clock
) -> None:
    eve, house = await make_agent("eve"), ann.house
    planned = await _later(ann, eve)
    await admin_levels.set_level(house, level="read_only", inbox=ann.address)
    clock.at += 601_000
    await house.settle()
    await admin_levels.set_level(house, level="monitored", inbox=ann.address)
    clock.at += 86_400_000
    await house.settle()
    assert (await eve.call("Email/query"))["ids"] == []
    assert (await ann.call("EmailSubmission/get", ids=[planned["id"]]))["list"][0]["undoStatus"] == "canceled"


async def test_an_approved_mail_that_was_planned_leaves_at_its_time(
    ann: Agent, make_agent: Maker, clock: Clock
) -> None:
    eve, house = await make_agent("eve"), ann.house
    await admin_levels.set_level(house, level="gated", inbox=ann.address)
    await _later(ann, eve)
    await admin_oversight.approve(house, id=(await admin_oversight.pending(house))["pending"][0]["id"])
    await house.settle()
    assert (await eve.call("Email/query"))["ids"] == []
    clock.at += 601_000
    await house.settle()
    assert len((await eve.call("Email/query"))["ids"]) == 1


async def test_a_vacation_response_leaves_under_the_level_of_who_wrote_it(ann: Agent, make_agent: Maker) -> None:
    eve, house = await make_agent("eve"), ann.house
    reader, _ = await _key(ann, "read_only")
    gated, gated_id = await _key(ann, "gated")
    away = {"isEnabled": True, "textBody": "Send it to me at home."}
    refused = await reader.call("VacationResponse/set", update={"singleton": away})
    assert refused["notUpdated"]["singleton"]["type"] == "forbidden"
    await gated.call("VacationResponse/set", update={"singleton": away})
    await ann.call("VacationResponse/set", update={"singleton": {"subject": "Off", "isEnabled": False}})
    assert (await gated.call("VacationResponse/set", update={"singleton": {"subject": "Away"}}))["updated"]
    await ann.call("VacationResponse/set", update={"singleton": {"isEnabled": True}})

    async def write_to_ann() -> None:
        await send(eve, (await eve.draft(to=[{"email": ann.address}]))["id"])
        await house.settle()

    await write_to_ann()
    assert (await eve.call("Email/query", filter={"inMailbox": eve.boxes["inbox"]}))["ids"] == []
    (hold,) = (await admin_oversight.pending(house))["pending"]
    assert (hold["subject"], hold["to"]) == ("Away", [eve.address])
    await gated.call("VacationResponse/set", update={"singleton": {"subject": "Away again"}})
    await admin_keys.revoke(house, id=gated_id)
    eve = await make_agent("eva")
    await write_to_ann()
    assert (await eve.call("Email/query", filter={"inMailbox": eve.boxes["inbox"]}))["ids"] == []
    assert len((await admin_oversight.pending(house))["pending"]) == 1, (
        "a response ends with the key it was written with"
    )
    words = {"isEnabled": True, "subject": "Away", "textBody": "Till Monday.", "htmlBody": None}
    await ann.call("VacationResponse/set", update={"singleton": words})
    eve = await make_agent("evi")
    await write_to_ann()
    assert len((await eve.call("Email/query", filter={"inMailbox": eve.boxes["inbox"]}))["ids"]) == 1


async def test_words_of_a_tighter_key_wait_for_the_owner_whoever_submits_them(ann: Agent, make_agent: Maker) -> None:
    eve = await make_agent("eve")
    for level in ("gated", "read_only"):
        key, _ = await _key(ann, level)
        made = await key.draft(to=[{"email": eve.address}], subject=level)
        assert (await send(ann, made["id"]))[0][1]["created"]["s"]["undoStatus"] == "pending"
    assert [hold["subject"] for hold in (await admin_oversight.pending(ann.house))["pending"]] == ["gated", "read_only"]


async def test_a_parameter_that_is_not_served_is_refused(ann: Agent) -> None:
    made = await ann.draft()
    for where in ("mailFrom", "rcptTo"):
        parameters = {"parameters": {"BY": "60;R"}}
        envelope: dict[str, Any] = {"mailFrom": {"email": ann.address}, "rcptTo": [{"email": "bob@example.org"}]}
        (envelope["mailFrom"] if where == "mailFrom" else envelope["rcptTo"][0]).update(parameters)
        answer = await send(ann, made["id"], submission={"envelope": envelope})
        assert answer[0][1]["notCreated"]["s"]["type"] == "invalidProperties"


async def test_marks_of_the_house_are_neither_set_nor_taken_off(ann: Agent, house: House) -> None:
    for mark in ("$held", "$blocked", "$unauthenticated"):
        values = {"mailboxIds": {ann.boxes["inbox"]: True}, "keywords": {mark: True}}
        made = await ann.call("Email/set", create={"a": values})
        assert made["notCreated"]["a"]["type"] == "invalidProperties"
    await admin_levels.set_level(house, level="gated", inbox=ann.address)
    held = await ann.draft()
    await send(ann, held["id"])
    for patch in ({"keywords": {"$flagged": True}}, {"keywords/$held": None}):
        await ann.call("Email/set", update={held["id"]: patch})
        shown = (await ann.call("Email/get", ids=[held["id"]], properties=["keywords"]))["list"][0]
        assert "$held" in shown["keywords"]
    done = await ann.call("Email/set", update={held["id"]: {"keywords/$blocked": True}})
    assert done["notUpdated"][held["id"]]["type"] == "invalidProperties"


async def _email(agent: Agent, email_id: str, *names: str) -> dict[str, Any]:
    properties = ["mailboxIds", "keywords", *names]
    shown: dict[str, Any] = (await agent.call("Email/get", ids=[email_id], properties=properties))["list"][0]
    return shown | {"mailboxIds": list(shown["mailboxIds"]), "keywords": sorted(shown["keywords"])}


async def test_the_writers_own_copy_of_an_answer_is_the_one_that_was_sent(ann: Agent, make_agent: Maker) -> None:
    eve, hid = await make_agent("eve"), await make_agent("hid")
    await ann.receive(mail("plan", extra="Message-ID: <b@x>\r\nReferences: <a@x>"))
    state = (await ann.call("Email/get", ids=[]))["state"]
    draft = {
        "mailboxIds": {ann.boxes["drafts"]: True}, "keywords": {"$draft": True, "plan": True},
        "from": [{"email": ann.address}], "to": [{"email": eve.address}], "bcc": [{"email": hid.address}],
        "inReplyTo": ["b@x"], "subject": "Re: plan",
    }  # fmt: skip
    patch = {"mailboxIds": {ann.boxes["sent"]: True}, "keywords/$draft": None}
    answers = await ann.batch(
        ("Email/set", {"create": {"d": draft}}),
        ("EmailSubmission/set", {"create": {"s": {"emailId": "#d"}}, "onSuccessUpdateEmail": {"#s": patch}}),
        ("Email/get", {"ids": ["#d"], "properties": ["references", "bcc", "threadId", "mailboxIds", "keywords"]}),
    )
    first, sent = answers[0][1]["created"]["d"], answers[1][1]["created"]["s"]
    assert [each[0] for each in answers] == ["Email/set", "EmailSubmission/set", "Email/set", "Email/get"]
    own = answers[3][1]["list"][0]
    assert own["id"] == sent["emailId"] != first["id"]
    assert own["references"] == ["a@x", "b@x"]
    assert own["bcc"] == [{"name": None, "email": hid.address}]
    assert (list(own["mailboxIds"]), list(own["keywords"])) == ([ann.boxes["sent"]], ["plan"])
    assert own["threadId"] == first["threadId"]
    told = await ann.call("Email/changes", sinceState=state)
    assert (told["created"], told["destroyed"]) == ([own["id"]], [])
    shown = (await ann.call("EmailSubmission/get", ids=[sent["id"]]))["list"][0]
    assert (shown["emailId"], shown["threadId"]) == (own["id"], own["threadId"])
    await ann.house.settle()
    ids = (await eve.call("Email/query"))["ids"]
    assert (await _email(eve, ids[0], "references", "bcc"))["references"] == ["a@x", "b@x"]
    used = (await ann.call("Quota/get"))["list"][0]["used"]
    kept = (await ann.call("Email/get", ids=(await ann.call("Email/query"))["ids"], properties=["size"]))["list"]
    assert used == sum(each["size"] for each in kept)


async def test_held_mail_lies_in_drafts_whatever_is_asked_for_on_success(
    ann: Agent, make_agent: Maker, house: House
) -> None:
    eve = await make_agent("eve")
    await admin_levels.set_level(house, level="gated", inbox=ann.address)
    patch = {"mailboxIds": {ann.boxes["sent"]: True}, "keywords/$draft": None, "keywords/x": True}
    drafts, sent = ann.boxes["drafts"], ann.boxes["sent"]
    for decide, where in ((admin_oversight.reject, drafts), (admin_oversight.approve, sent)):
        made = await ann.draft(to=[{"email": eve.address}])
        await send(ann, made["id"], onSuccessUpdateEmail={"#s": patch}, onSuccessDestroyEmail=["#s"])
        assert await _email(ann, made["id"]) == {
            "id": made["id"], "mailboxIds": [drafts], "keywords": ["$held", "$seen", "x"],
        }  # fmt: skip
        if where == drafts:
            await ann.call("Email/set", update={made["id"]: {"mailboxIds": {sent: True}}})
        await decide(house, id=(await admin_oversight.pending(house))["pending"][0]["id"])
        assert (await _email(ann, made["id"]))["mailboxIds"] == [where]
        assert "$held" not in (await _email(ann, made["id"]))["keywords"]
    states = [each["undoStatus"] for each in (await ann.call("EmailSubmission/get"))["list"]]
    assert sorted(states) == ["canceled", "final"]


async def test_what_is_taken_back_is_a_draft_again(ann: Agent, make_agent: Maker, house: House) -> None:
    eve = await make_agent("eve")
    await admin_levels.set_level(house, level="gated", inbox=ann.address)
    made = await ann.draft(to=[{"email": eve.address}])
    held = (await send(ann, made["id"]))[0][1]["created"]["s"]
    await ann.call("EmailSubmission/set", update={held["id"]: {"undoStatus": "canceled"}})
    again = await _email(ann, made["id"])
    assert (again["mailboxIds"], again["keywords"]) == ([ann.boxes["drafts"]], ["$draft", "$seen"])
    key = (await admin_keys.create(house, surface="agentmail", inbox=ann.address))["key"]
    answer = await ann.http.get(f"/v0/inboxes/{ann.address}/drafts", headers={"authorization": f"Bearer {key}"})
    assert [each["subject"] for each in answer.json()["drafts"]] == ["Hello"]
    await admin_levels.set_level(house, level="monitored", inbox=ann.address)
    assert (await send(ann, made["id"]))[0][1]["created"]["s"]["undoStatus"] == "pending", "its words wait still"
    await admin_oversight.approve(house, id=(await admin_oversight.pending(house))["pending"][0]["id"])
    await house.settle()
    assert len((await eve.call("Email/query"))["ids"]) == 1


async def test_junk_is_the_same_at_every_door(ann: Agent, house: House) -> None:
    await ann.receive(mail("win"))
    (id_,) = (await ann.call("Email/query"))["ids"]
    key = (await admin_keys.create(house, surface="agentmail", inbox=ann.address))["key"]
    headers = {"authorization": f"Bearer {key}"}
    base = f"/v0/inboxes/{ann.address}/messages"
    listed = (await ann.http.get(f"{base}?include_spam=true", headers=headers)).json()["messages"]
    path = f"{base}/{listed[0]['message_id']}"
    inbox, junk = ann.boxes["inbox"], ann.boxes["junk"]

    async def labels() -> list[str]:
        return list((await ann.http.get(path, headers=headers)).json()["labels"])

    async def patch(**values: Any) -> tuple[list[str], list[str], bool]:
        if "path" in values:
            await ann.http.patch(path, headers=headers, json=values["path"])
        else:
            assert (await ann.call("Email/set", update={id_: values["jmap"]}))["updated"]
        shown = await _email(ann, id_)
        return shown["mailboxIds"], shown["keywords"], "spam" in await labels()

    as_junk: tuple[list[str], list[str], bool] = ([junk], ["$junk"], True)
    as_mail: tuple[list[str], list[str], bool] = ([inbox], [], False)
    assert await patch(jmap={"keywords/$junk": True}) == as_junk
    assert await patch(path={"remove_labels": ["spam"]}) == as_mail
    assert await patch(path={"add_labels": ["spam"]}) == as_junk
    assert await patch(jmap={"keywords/$junk": None}) == as_mail
    assert await patch(jmap={"mailboxIds": {junk: True}}) == as_junk
    assert await patch(jmap={"keywords/$notjunk": True}) == ([inbox], ["$notjunk"], False)
    assert await patch(jmap={"keywords": {"$junk": True}}) == as_junk
    assert await patch(jmap={"mailboxIds": {inbox: True}}) == as_mail
    taken = await ann.draft(keywords={"$junk": True}, mailboxIds={inbox: True})
    assert (await _email(ann, taken["id"]))["mailboxIds"] == [junk]


@pytest.mark.parametrize(("old", "new"), [(b"Subject: Hello\r\n", b"Subject: Hello\rX: y\r\n"), (b"day.", b"day.\nOr not."),
                                          (b"day.", b"d\x00ay."), (b"To:", b"no field at all\r\nTo:")])  # fmt: skip
async def test_held_mail_that_can_be_read_in_two_ways_says_so_and_never_leaves(
    ann: Agent, make_agent: Maker, house: House, old: bytes, new: bytes
) -> None:
    # As a version held it that did not make mail canonical yet.
    eve = await make_agent("eve")
    await admin_levels.set_level(house, level="gated", inbox=ann.address)
    made = await ann.draft(to=[{"email": eve.address}])
    await send(ann, made["id"])
    (hold,) = (await admin_oversight.pending(house))["pending"]

    async def find(tx: Tx) -> tuple[StoredSubmission, list[Delivery]]:
        row = await tx.one("SELECT submission_id FROM hold WHERE id = :id", id=hold["id"])
        assert row is not None
        submission = await submissions.get(tx, row["submission_id"])
        assert submission is not None
        return submission, await submissions.deliveries(tx, submission.id)

    submission, deliveries = await house.db.read(find)
    raw = await house.blobs.read(submission.blob_hash)
    assert old in raw
    blob = await house.blobs.prepare(raw.replace(old, new, 1))
    digest = held_digest(replace(submission, blob_hash=blob.hash), deliveries)

    async def change(tx: Tx) -> None:
        await blob.store(tx, house.clock())
        await tx.run("UPDATE submission SET blob_hash = :hash WHERE id = :id", hash=blob.hash, id=submission.id)
        await tx.run("UPDATE hold SET digest = :digest WHERE id = :id", digest=digest, id=hold["id"])

    await house.db.write(change)
    (hold,) = (await admin_oversight.pending(house))["pending"]
    assert "two ways" in hold["defects"][0]
    with pytest.raises(Conflict, match="two ways"):
        await admin_oversight.approve(house, id=hold["id"])
    await house.settle()
    assert (await eve.call("Email/query"))["ids"] == []
    await admin_oversight.reject(house, id=hold["id"])
    assert (await admin_oversight.pending(house))["pending"] == []
