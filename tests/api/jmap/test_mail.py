"""Mailboxes, threads and emails over JMAP, with mail coming in by other doors meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from api.jmap.conftest import Agent, Clock, mail
from posthouse.admin import keys as admin_keys
from posthouse.api.jmap.calls import Call, Caller
from posthouse.api.jmap.email import importing
from posthouse.app import House
from posthouse.kit.principal import Principal
from posthouse.store import accounts, changes


async def test_a_received_mail_is_counted_listed_and_told_of(ann: Agent) -> None:
    before = {name: (await ann.call(f"{name}/get", ids=[]))["state"] for name in ("Mailbox", "Email", "Thread")}
    await ann.receive(mail("first"))
    box = await ann.box("inbox")
    assert (box["totalEmails"], box["unreadEmails"], box["totalThreads"], box["unreadThreads"]) == (1, 1, 1, 1)
    emails = await ann.call("Email/changes", sinceState=before["Email"])
    assert (len(emails["created"]), emails["updated"], emails["hasMoreChanges"]) == (1, [], False)
    threads = await ann.call("Thread/changes", sinceState=before["Thread"])
    assert len(threads["created"]) == 1
    boxes = await ann.call("Mailbox/changes", sinceState=before["Mailbox"])
    assert boxes["updated"] == [ann.boxes["inbox"]]
    assert sorted(boxes["updatedProperties"]) == ["totalEmails", "totalThreads", "unreadEmails", "unreadThreads"]
    shown = (await ann.call("Email/get", ids=emails["created"], properties=["from", "subject", "preview", "threadId"]))[
        "list"
    ][0]
    assert shown["from"] == [{"name": "Bob", "email": "bob@example.org"}]
    assert shown["threadId"] == threads["created"][0]


async def test_a_renamed_mailbox_is_no_mere_count(ann: Agent) -> None:
    state = (await ann.call("Mailbox/get", ids=[]))["state"]
    await ann.call("Mailbox/set", update={ann.boxes["archive"]: {"name": "Old"}})
    assert (await ann.call("Mailbox/changes", sinceState=state))["updatedProperties"] is None


async def test_unread_threads_look_at_the_whole_thread_and_apart_at_the_trash(ann: Agent) -> None:
    await ann.receive(mail("plan", extra="Message-ID: <a@x>"))
    await ann.receive(mail("Re: plan", extra="Message-ID: <b@x>\r\nIn-Reply-To: <a@x>"))
    ids = (await ann.call("Email/query", sort=[{"property": "receivedAt"}]))["ids"]
    assert (await ann.box("inbox"))["totalThreads"] == 1
    await ann.call("Email/set", update={ids[0]: {f"mailboxIds/{ann.boxes['archive']}": True, "keywords/$seen": True}})
    # Read itself, but the thread it is in is not.
    assert (await ann.box("archive"))["unreadThreads"] == 1
    await ann.call("Email/set", update={ids[1]: {"mailboxIds": {ann.boxes["trash"]: True}}})
    assert (await ann.box("archive"))["unreadThreads"] == 0
    assert (await ann.box("trash"))["unreadThreads"] == 1
    await ann.call("Email/set", destroy=[ids[1]])
    assert (await ann.box("trash"))["totalThreads"] == 0


async def test_changes_are_cut_at_the_number_asked_for_even_inside_one_unit(ann: Agent) -> None:
    for number in range(5):
        await ann.receive(mail(f"m{number}"))
    ids = (await ann.call("Email/query"))["ids"]
    state = (await ann.call("Email/get", ids=[]))["state"]
    await ann.call("Email/set", update={id_: {"keywords/$flagged": True} for id_ in ids})
    seen: list[str] = []
    while True:
        part = await ann.call("Email/changes", sinceState=state, maxChanges=2)
        assert len(part["updated"]) <= 2
        seen += part["updated"]
        state = part["newState"]
        if not part["hasMoreChanges"]:
            break
    assert sorted(seen) == sorted(ids)
    assert state == (await ann.call("Email/get", ids=[]))["state"]


async def test_what_changed_is_fetched_by_reference_in_the_same_request(ann: Agent) -> None:
    since = (await ann.call("Email/get", ids=[]))["state"]
    await ann.receive(mail("news"))
    reference = {"resultOf": "0", "name": "Email/changes", "path": "/created"}  # RFC 8620 §3.7
    told, got = await ann.batch(
        ("Email/changes", {"accountId": ann.account_id, "sinceState": since}),
        ("Email/get", {"accountId": ann.account_id, "#ids": reference, "properties": ["subject"]}),
    )
    assert got[1].get("list") == [{"id": told[1]["created"][0], "subject": "news"}], got


async def test_a_state_the_log_has_forgotten_cannot_be_calculated_from(ann: Agent) -> None:
    state = (await ann.call("Email/get", ids=[]))["state"]
    await ann.receive(mail())
    await ann.house.db.write(lambda tx: changes.prune(tx, ann.house.clock() + 1))
    assert (await ann.call("Email/changes", sinceState=state))["error"]["type"] == "cannotCalculateChanges"
    assert (await ann.call("Email/changes", sinceState="nonsense"))["error"]["type"] == "cannotCalculateChanges"
    now = (await ann.call("Email/get", ids=[]))["state"]
    assert (await ann.call("Email/changes", sinceState=now))["created"] == []


async def test_query_changes_lead_from_the_old_results_to_the_new(ann: Agent, clock: Clock) -> None:
    for number in range(6):
        clock.at += 1_000
        await ann.receive(mail(f"m{number}"))
    asked = {"filter": {"inMailbox": ann.boxes["inbox"]}, "sort": [{"property": "receivedAt", "isAscending": False}]}
    before = await ann.call("Email/query", **asked)
    assert before["canCalculateChanges"] is True
    ids = before["ids"]
    clock.at += 1_000
    await ann.receive(mail("new"))
    await ann.call("Email/set", update={ids[1]: {"mailboxIds": {ann.boxes["archive"]: True}}}, destroy=[ids[3]])
    told = await ann.call("Email/queryChanges", sinceQueryState=before["queryState"], calculateTotal=True, **asked)
    result = [id_ for id_ in ids if id_ not in told["removed"]]
    for added in sorted(told["added"], key=lambda each: each["index"]):
        result.insert(added["index"], added["id"])
    assert result == (await ann.call("Email/query", **asked))["ids"]
    assert told["total"] == len(result) == 5


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"filter": {"text": "hello"}}, False),
        ({"filter": {"someInThreadHaveKeyword": "$seen"}}, False),
        ({"sort": [{"property": "hasKeyword", "keyword": "$seen"}]}, False),
        ({"sort": [{"property": "size"}]}, True),
        ({"filter": {"hasKeyword": "$seen"}}, True),
        ({}, True),
    ],
)
async def test_changes_are_calculated_where_they_can_be(ann: Agent, asked: dict[str, Any], expected: bool) -> None:
    answer = await ann.call("Email/query", **asked)
    assert answer["canCalculateChanges"] is expected
    again = await ann.call("Email/queryChanges", sinceQueryState=answer["queryState"], **asked)
    assert ("error" in again) is not expected


async def test_collapsed_threads_page_count_and_change_alike(ann: Agent, clock: Clock) -> None:
    for number in range(4):
        for reply in range(3):
            clock.at += 1_000
            extra = f"Message-ID: <{number}.{reply}@x>" + (f"\r\nIn-Reply-To: <{number}.0@x>" if reply else "")
            await ann.receive(mail(f"topic {number}", extra=extra))
    asked = {"filter": {"inMailbox": ann.boxes["inbox"]}, "collapseThreads": True}
    first = await ann.call("Email/query", calculateTotal=True, limit=3, **asked)
    assert (first["total"], len(first["ids"])) == (4, 3)
    rest = await ann.call("Email/query", position=3, limit=3, **asked)
    assert len(set(first["ids"]) | set(rest["ids"])) == 4
    # The latest of a thread goes: the one before it stands for the thread now.
    await ann.call("Email/set", destroy=[first["ids"][0]])
    told = await ann.call("Email/queryChanges", sinceQueryState=first["queryState"], **asked)
    result = [id_ for id_ in [*first["ids"], *rest["ids"]] if id_ not in told["removed"]]
    for added in told["added"]:
        result.insert(added["index"], added["id"])
    assert result == (await ann.call("Email/query", **asked))["ids"]


async def test_a_search_finds_what_has_just_come_in(ann: Agent) -> None:
    await ann.receive(mail("Quarterly figures", body="The dragon sleeps."))
    await ann.receive(mail("Lunch", body="Soup today."))

    async def found(**filter_: Any) -> int:
        return len((await ann.call("Email/query", filter=filter_))["ids"])

    assert await found(text="dragons") == 1
    assert await found(subject="figures") == 1
    assert await found(body="figures") == 0
    assert await found(**{"from": "bob@example"}) == 2
    assert await found(text="'dragon sleeps'") == 1
    assert await found(text="'sleeps dragon'") == 0
    assert await found(header=["subject", "lunch"]) == 1
    assert await found(header=["X-None"]) == 0
    assert await found(operator="NOT", conditions=[{"text": "dragon"}]) == 1
    assert await found(operator="OR", conditions=[{"text": "dragon"}, {"subject": "lunch"}]) == 2
    ids = (await ann.call("Email/query", filter={"text": "dragon"}))["ids"]
    snippet = (await ann.call("SearchSnippet/get", emailIds=ids, filter={"text": "dragon"}))["list"][0]
    assert snippet == {"emailId": ids[0], "subject": None, "preview": "The <mark>dragon</mark> sleeps."}


async def test_every_form_of_a_header_is_read(ann: Agent) -> None:
    extra = (
        "Cc: Team: Al <al@x.org>, bo@x.org;, cy@x.org\r\nX-Odd: =?utf-8?q?caf=C3=A9?=\r\nX-Odd: two\r\n"
        "List-Unsubscribe: <https://x.org/u>, <mailto:u@x.org>\r\nMessage-ID: <m@x>"
    )
    await ann.receive(mail("forms", extra=extra))
    ids = (await ann.call("Email/query"))["ids"]
    names = [
        "header:cc:asGroupedAddresses", "header:X-Odd:asText", "header:X-Odd:asText:all", "header:X-Odd",
        "header:List-Unsubscribe:asURLs", "header:Message-ID:asMessageIds", "header:Date:asDate", "header:X-No:all",
        "header:X-No", "headers", "sender",
    ]  # fmt: skip
    shown = (await ann.call("Email/get", ids=ids, properties=names))["list"][0]
    assert shown["header:cc:asGroupedAddresses"] == [
        {"name": "Team", "addresses": [{"name": "Al", "email": "al@x.org"}, {"name": None, "email": "bo@x.org"}]},
        {"name": None, "addresses": [{"name": None, "email": "cy@x.org"}]},
    ]
    assert shown["header:X-Odd:asText"] == "two"
    assert shown["header:X-Odd:asText:all"] == ["café", "two"]
    assert shown["header:X-Odd"] == " two"
    assert shown["header:List-Unsubscribe:asURLs"] == ["https://x.org/u", "mailto:u@x.org"]
    assert shown["header:Message-ID:asMessageIds"] == ["m@x"]
    assert shown["header:Date:asDate"] == "2026-11-21T10:00:00Z"
    assert (shown["header:X-No:all"], shown["header:X-No"], shown["sender"]) == ([], None, None)
    wrong = await ann.call("Email/get", ids=ids, properties=["header:Subject:asAddresses"])
    assert wrong["error"]["type"] == "invalidArguments"


async def test_a_draft_with_its_own_tree_comes_back_as_it_was_made(ann: Agent) -> None:
    uploaded = await ann.http.post(
        f"/jmap/upload/{ann.account_id}/", content=b"\x00\x01PNG", headers=ann.headers | {"content-type": "image/png"}
    )
    assert uploaded.status_code == 201
    blob_id = uploaded.json()["blobId"]
    made = await ann.draft(
        **{
            "textBody": None,
            "bcc": [{"email": "secret@example.org"}],
            "header:X-Kind:asText": "Größe",
            "bodyStructure": {
                "type": "multipart/mixed",
                "subParts": [
                    {
                        "type": "multipart/alternative",
                        "subParts": [{"type": "text/plain", "partId": "t"}, {"type": "text/html", "partId": "h"}],
                    },
                    {
                        "type": "image/png",
                        "blobId": blob_id,
                        "name": "grün.png",
                        "disposition": "attachment",
                        "cid": "i@x",
                    },
                ],
            },
            "bodyValues": {"t": {"value": "Ünïcode\n"}, "h": {"value": "<p>Ü</p>"}},
        }
    )
    shown = (
        await ann.call(
            "Email/get",
            ids=[made["id"]],
            properties=["bodyStructure", "bodyValues", "textBody", "htmlBody", "attachments", "hasAttachment", "bcc",
                        "header:x-kind:asText", "blobId", "size"],
            fetchAllBodyValues=True,
        )
    )["list"][0]  # fmt: skip
    assert shown["bodyStructure"]["type"] == "multipart/mixed"
    assert shown["hasAttachment"] is True
    values = {shown["bodyValues"][part["partId"]]["value"] for part in (*shown["textBody"], *shown["htmlBody"])}
    assert values == {"Ünïcode\n", "<p>Ü</p>"}
    attachment = shown["attachments"][0]
    assert (attachment["name"], attachment["cid"], attachment["size"]) == ("grün.png", "i@x", 5)
    assert shown["bcc"] == [{"name": None, "email": "secret@example.org"}]
    assert shown["header:x-kind:asText"] == "Größe"
    got = await ann.http.get(
        f"/jmap/download/{ann.account_id}/{attachment['blobId']}/a.png?accept=image/png", headers=ann.headers
    )
    assert (got.content, got.headers["content-type"]) == (b"\x00\x01PNG", "image/png")


async def test_blobs_of_others_are_not_there(ann: Agent, make_agent: Callable[..., Awaitable[Agent]]) -> None:
    other = await make_agent("eve")
    await ann.receive(mail("secret"))
    shown = await ann.call("Email/get", ids=(await ann.call("Email/query"))["ids"], properties=["blobId", "textBody"])
    for blob_id in (shown["list"][0]["blobId"], shown["list"][0]["textBody"][0]["blobId"]):
        mine = await ann.http.get(f"/jmap/download/{ann.address}/{blob_id}/x", headers=ann.headers)
        assert mine.status_code == 200
        theirs = await ann.http.get(f"/jmap/download/{other.account_id}/{blob_id}/x", headers=other.headers)
        assert theirs.status_code == 404
        assert (await other.call("Blob/get", ids=[blob_id]))["notFound"] == [blob_id]
    foreign = await ann.http.get(f"/jmap/download/{other.account_id}/{blob_id}/x", headers=ann.headers)
    assert foreign.status_code == 404
    assert (await other.call("Email/get", ids=[shown["list"][0]["id"]]))["notFound"]


async def test_labels_of_other_surfaces_survive_a_change_of_keywords(ann: Agent, house: House) -> None:
    await ann.receive(mail())
    id_ = (await ann.call("Email/query"))["ids"][0]
    from posthouse.mail import filing
    from posthouse.mail.journal import changing
    from posthouse.store import messages

    async def unit(tx: Any) -> None:
        async with changing(tx, ann.account_id, house.clock()) as journal:
            message = await messages.get(tx, ann.account_id, id_)
            assert message is not None
            await filing.set_keywords(tx, journal, message, {"Two Words", "Important"})

    await house.db.write(unit)
    shown = (await ann.call("Email/get", ids=[id_], properties=["keywords"]))["list"][0]
    assert shown["keywords"] == {"important": True}
    assert len((await ann.call("Email/query", filter={"hasKeyword": "IMPORTANT"}))["ids"]) == 1
    await ann.call("Email/set", update={id_: {"keywords": {"$seen": True, "important": True}}})
    message = await house.db.read(lambda tx: messages.get(tx, ann.account_id, id_))
    assert message is not None
    assert list(message.keywords) == ["$seen", "Important", "Two Words"]


async def test_a_draft_edited_at_another_door_keeps_its_keywords_and_places(ann: Agent, house: House) -> None:
    made = await ann.draft(keywords={"$draft": True, "$flagged": True, "$seen": True})
    await ann.call("Email/set", update={made["id"]: {f"mailboxIds/{ann.boxes['archive']}": True}})
    key = (await admin_keys.create(house, surface="agentmail", inbox=ann.address))["key"]
    drafts, headers = f"/v0/inboxes/{ann.address}/drafts", {"authorization": f"Bearer {key}"}
    (shown,) = (await ann.http.get(drafts, headers=headers)).json()["drafts"]
    changed = await ann.http.patch(f"{drafts}/{shown['draft_id']}", headers=headers, json={"text": "Other words."})
    assert changed.status_code == 200, changed.text
    (now,) = (await ann.call("Email/get", ids=(await ann.call("Email/query"))["ids"]))["list"]
    assert now["id"] != made["id"], "a message never changes"
    assert set(now["keywords"]) == {"$draft", "$flagged", "$seen"}
    assert set(now["mailboxIds"]) == {ann.boxes["drafts"], ann.boxes["archive"]}


async def test_what_is_marked_as_a_draft_is_one_at_every_door(ann: Agent, house: House) -> None:
    await ann.receive(mail("unfinished"))
    (id_,) = (await ann.call("Email/query"))["ids"]
    key = (await admin_keys.create(house, surface="agentmail", inbox=ann.address))["key"]
    inbox, headers = f"/v0/inboxes/{ann.address}", {"authorization": f"Bearer {key}"}

    async def listed() -> tuple[int, int]:
        found = [(await ann.http.get(f"{inbox}/{what}", headers=headers)).json() for what in ("messages", "drafts")]
        return found[0]["count"], found[1]["count"]

    assert await listed() == (1, 0)
    for _ in range(2):
        await ann.call("Email/set", update={id_: {"keywords/$draft": True}})
        assert await listed() == (0, 1)
    await ann.call("Email/set", update={id_: {"keywords/$draft": None}})
    assert await listed() == (1, 0)


async def test_one_bad_object_of_a_call_leaves_nothing_half_done(ann: Agent) -> None:
    await ann.receive(mail())
    id_ = (await ann.call("Email/query"))["ids"][0]
    state = (await ann.call("Email/get", ids=[]))["state"]
    done = await ann.call(
        "Email/set",
        update={
            id_: {"keywords/$flagged": True, "mailboxIds/nowhere": True},
            "nosuch": {"keywords/$seen": True},
            "not an id!": {},
        },
        create={"x": {"mailboxIds": {"nowhere": True}}, "y": {"subject": "no mailbox"}},
        destroy=["nosuch2"],
    )
    assert done["updated"] is done["created"] is done["destroyed"] is None
    assert done["notUpdated"][id_]["type"] == "invalidProperties"
    assert done["notUpdated"]["nosuch"]["type"] == done["notUpdated"]["not an id!"]["type"] == "notFound"
    assert (await ann.call("Email/get", ids=[]))["state"] == state == done["newState"]
    shown = (await ann.call("Email/get", ids=[id_], properties=["keywords"]))["list"][0]
    assert shown["keywords"] == {}


async def test_mailbox_trees_are_made_and_destroyed_in_one_call(ann: Agent) -> None:
    made = await ann.call(
        "Mailbox/set",
        create={"b": {"name": "Inner", "parentId": "#a"}, "a": {"name": "Outer"}, "c": {"name": "Outer"}},
    )
    assert sorted(made["created"]) == ["a", "b"]
    assert made["notCreated"]["c"]["type"] == "alreadyExists"
    outer, inner = made["created"]["a"]["id"], made["created"]["b"]["id"]
    looped = await ann.call("Mailbox/set", update={outer: {"parentId": inner}})
    assert looped["notUpdated"][outer]["properties"] == ["parentId"]
    gone = await ann.call("Mailbox/set", destroy=[outer, inner, ann.boxes["inbox"]])
    assert sorted(gone["destroyed"]) == sorted([outer, inner])
    assert gone["notDestroyed"][ann.boxes["inbox"]]["type"] == "forbidden"


async def test_quota_moves_with_the_mail_and_is_enforced(ann: Agent, house: House) -> None:
    before = (await ann.call("Quota/get"))["list"][0]
    state = (await ann.call("Quota/get"))["state"]
    await ann.receive(mail())
    after = (await ann.call("Quota/get"))["list"][0]
    assert after["used"] > before["used"]
    assert (await ann.call("Quota/changes", sinceState=state))["updated"] == ["storage"]
    await house.db.write(lambda tx: tx.run("UPDATE account SET quota_bytes = 10 WHERE id = :id", id=ann.account_id))
    full = await ann.call("Email/set", create={"d": {"mailboxIds": {ann.boxes["drafts"]: True}, "subject": "x"}})
    assert full["notCreated"]["d"]["type"] == "overQuota"


async def test_an_email_is_copied_between_two_accounts_of_one_caller(
    ann: Agent, make_agent: Callable[..., Awaitable[Agent]], house: House
) -> None:
    other = await make_agent("eve")
    await ann.receive(mail("to copy"))
    id_ = (await ann.call("Email/query"))["ids"][0]
    account = await house.db.read(lambda tx: accounts.get(tx, ann.account_id))
    assert account is not None
    assert house.services is not None
    principal = Principal(account.organization_id)
    caller = Caller(principal, {other.account_id: other.address, ann.account_id: ann.address}, "http://mail.test")
    args = {
        "fromAccountId": ann.account_id,
        "create": {"c": {"id": id_, "mailboxIds": {other.boxes["inbox"]: True}}},
        "onSuccessDestroyOriginal": True,
    }
    call = Call(house.services, caller, "Email/copy", args, frozenset(), other.account_id)
    answer = await importing.copy(call)
    assert [name for name, _ in answer] == ["Email/copy", "Email/set"]
    assert (await ann.call("Email/query"))["ids"] == []
    copied = answer[0][1]["created"]["c"]["id"]
    shown = (await other.call("Email/get", ids=[copied], properties=["subject"]))["list"]
    assert shown == [{"id": copied, "subject": "to copy"}]
    same = replace(call, account_id=ann.account_id)
    with pytest.raises(Exception, match="invalidArguments"):
        await importing.copy(same)
