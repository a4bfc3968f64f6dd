"""Messages: what is stored is what is read, scoped to the account; keywords in the table and in the row agree."""

from typing import Any

from posthouse.store import drafts, messages, records
from posthouse.store.database import Database, Tx
from posthouse.store.drafts import Draft
from posthouse.store.messages import Message, MessageBody, Person, StoredAttachment
from store.builders import AT, deliver, house, mail, mark, receive, rows


def _message(id_: str, thread_id: str, **values: Any) -> Message:
    given: dict[str, Any] = {
        "account_id": "ann", "blob_hash": "h", "size_bytes": 2**33, "direction": "in", "header_message_id": None,
        "in_reply_to": (), "refs": (), "subject": "", "from_list": (), "to_list": (), "cc_list": (), "bcc_list": (),
        "reply_to_list": (), "preview": "", "sent_at": None, "received_at": AT, "keywords": (), "attachments": (),
        "delivery_state": None, "origin_mailbox_id": None, "modseq": 1, "created_at": AT, "updated_at": AT,
    }  # fmt: skip
    return Message(id=id_, thread_id=thread_id, **(given | values))


async def _stored_keywords(db: Database, message_id: str) -> list[str]:
    found = await rows(db, "SELECT keyword FROM message_keyword WHERE message_id = :id ORDER BY keyword", id=message_id)
    return [row["keyword"] for row in found]


async def test_every_field_survives_both_ways(db: Database) -> None:
    await house(db, "ann")
    thread_id = (await receive(db, "ann")).thread_id
    quotes = 'it\'s "a" \\ %s :name ::x 日本 🏤'
    full = _message(
        "m", thread_id, header_message_id=quotes, in_reply_to=(quotes,), refs=("a", quotes), subject=quotes,
        from_list=(Person(quotes, "a@b"),), to_list=(Person("", "c@d"), Person("", "")), cc_list=(Person("c", ""),),
        bcc_list=(Person("b", "b@b"),), reply_to_list=(Person("r", "r@r"),), preview=quotes, sent_at=-1,
        keywords=("$seen", quotes), delivery_state="queued",
        attachments=(StoredAttachment("2", "text/x", quotes, None, "cid", 0, "base64", 1, 2**40),),
    )  # fmt: skip
    body = MessageBody(
        "m", [("A", " b\r\n c"), ("A", quotes)], records.dump({"parts": [None, 1, quotes]}), quotes, "", None, quotes, [quotes],
        {"tls": quotes},
    )  # fmt: skip
    await db.write(lambda tx: messages.add(tx, full, body))
    assert await db.read(lambda tx: messages.get(tx, "ann", "m")) == full
    assert await db.read(lambda tx: messages.get_bodies(tx, "ann", ["m"])) == {"m": body}
    bare = _message("n", thread_id)
    await db.write(lambda tx: messages.add(tx, bare, MessageBody("n", [], "null", None, None, None, None, [], {})))
    assert await db.read(lambda tx: messages.get_many(tx, "ann", ["m", "n", "o"])) == {"m": full, "n": bare}


async def test_no_other_account_reaches_a_message(db: Database) -> None:
    await house(db, "ann", "bob")
    made = await receive(db, "ann", mail(message_id="1@x"))
    for account_id, expected in (("ann", 1), ("bob", 0)):

        async def unit(tx: Tx, account_id: str = account_id) -> list[Any]:
            return [
                await messages.get(tx, account_id, made.id),
                (await messages.get_bodies(tx, account_id, [made.id])).get(made.id),
                await messages.by_header_message_id(tx, account_id, "1@x"),
                *await messages.of_threads(tx, account_id, [made.thread_id]),
                *(await messages.get_many(tx, account_id, [made.id])).values(),
                *await messages.ids_by_header(tx, account_id, ["1@x"]),
                *await messages.ids_of_account(tx, account_id),
            ]

        found = await db.read(unit)
        assert sum(one is not None for one in found) == 7 * expected
    await db.write(lambda tx: messages.delete(tx, "bob", made.id))
    assert await db.read(lambda tx: messages.get(tx, "ann", made.id)) == made


async def test_keywords_in_the_row_and_in_the_table_agree_after_every_change(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", keywords=["b", "$seen"])
    for wanted in (["b"], [], ["$seen", "z", "é", "Z"], ["Z", "a"], ["a", "Z"], ["$flagged"]):
        await mark(db, "ann", made.id, wanted)
        found = await db.read(lambda tx: messages.get(tx, "ann", made.id))
        assert found is not None
        assert found.keywords == tuple(sorted(wanted))
        assert await _stored_keywords(db, made.id) == sorted(wanted)


async def test_setting_the_same_keywords_is_no_change(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", keywords=["a", "b"])
    await mark(db, "ann", made.id, ["b", "a", "b"], at=AT + 5)
    assert await db.read(lambda tx: messages.get(tx, "ann", made.id)) == made


async def test_of_several_messages_with_one_message_id_the_first_is_found(db: Database) -> None:
    await house(db, "ann")
    late = await receive(db, "ann", mail(message_id="1@x"), at=AT + 1)
    early = await receive(db, "ann", mail(message_id="1@x"), at=AT)
    assert await db.read(lambda tx: messages.by_header_message_id(tx, "ann", "1@x")) == early
    found = await db.read(lambda tx: messages.ids_by_header(tx, "ann", ["1@x", "2@x"]))
    assert found == {"1@x": min(late.id, early.id)}


async def test_messages_of_threads_come_oldest_first(db: Database) -> None:
    await house(db, "ann")
    one = await receive(db, "ann", mail(message_id="1@x"), at=AT + 5)
    two = await receive(db, "ann", mail(references=["1@x"]), at=AT)
    other = await receive(db, "ann", mail("x"), at=AT + 1)
    found = await db.read(lambda tx: messages.of_threads(tx, "ann", [one.thread_id, other.thread_id]))
    assert [message.id for message in found if message.thread_id == one.thread_id] == [two.id, one.id]
    assert {message.id for message in found} == {one.id, two.id, other.id}


async def test_a_message_that_is_deleted_leaves_no_rows(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", keywords=["a"])

    async def unit(tx: Tx) -> None:
        await drafts.add(tx, _draft("d", made.id))
        await messages.delete(tx, "ann", made.id)

    await db.write(unit)
    for table in ("message", "message_body", "message_keyword", "draft"):
        assert await rows(db, f"SELECT * FROM {table}") == [], table


# --- drafts


def _draft(id_: str, message_id: str, **values: Any) -> Draft:
    given: dict[str, Any] = {
        "kind": "new", "parent_message_id": None, "client_id": None, "send_at": None, "send_status": None,
    }  # fmt: skip
    return Draft(id=id_, account_id="ann", message_id=message_id, created_at=AT, updated_at=AT, **(given | values))


async def _drafted(db: Database) -> tuple[Message, Draft]:
    made = await receive(db, "ann", direction="draft", mailbox_roles=["drafts"], keywords=["$draft", "$seen"])
    draft = _draft("d", made.id, kind="reply", parent_message_id="p", client_id="c")
    await db.write(lambda tx: drafts.add(tx, draft))
    return made, draft


async def test_a_draft_keeps_its_id_while_each_edit_makes_a_new_message(db: Database) -> None:
    await house(db, "ann", "bob")
    first, draft = await _drafted(db)
    assert await db.read(lambda tx: drafts.get(tx, "ann", "d")) == draft
    assert await db.read(lambda tx: drafts.get(tx, "bob", "d")) is None

    async def edit(tx: Tx) -> str:
        second = await deliver(tx, "ann", mail("new"), direction="draft", mailbox_roles=["drafts"])
        await drafts.replace_message(tx, "ann", "d", second.id, None, AT + 5)
        await messages.delete(tx, "ann", first.id)
        return second.id

    second_id = await db.write(edit)
    found = await db.read(lambda tx: drafts.get(tx, "ann", "d"))
    assert found is not None
    assert (found.message_id, found.updated_at, found.created_at, found.kind) == (second_id, AT + 5, AT, "reply")


async def test_a_plan_to_send_can_be_made_and_taken_back(db: Database) -> None:
    await house(db, "ann")
    await _drafted(db)
    for send_at, status in ((AT + 9, "scheduled"), (None, None)):
        await db.write(lambda tx, s=send_at, t=status: drafts.set_schedule(tx, "ann", "d", s, t, AT + 1))
        found = await db.read(lambda tx: drafts.get(tx, "ann", "d"))
        assert found is not None
        assert (found.send_at, found.send_status) == (send_at, status)


async def test_only_its_own_account_changes_or_deletes_a_draft(db: Database) -> None:
    await house(db, "ann", "bob")
    made, draft = await _drafted(db)
    await db.write(lambda tx: drafts.set_schedule(tx, "bob", "d", AT, "scheduled", AT))
    await db.write(lambda tx: drafts.replace_message(tx, "bob", "d", "x", None, AT))
    assert not await db.write(lambda tx: drafts.delete(tx, "bob", "d"))
    assert await db.read(lambda tx: drafts.get(tx, "ann", "d")) == draft
    assert await db.write(lambda tx: drafts.delete(tx, "ann", "d"))
    assert not await db.write(lambda tx: drafts.delete(tx, "ann", "d"))
    assert await db.read(lambda tx: messages.get(tx, "ann", made.id)) == made
