"""Which thread a message joins: by references, by subject within its bounds, and never twice in its life."""

import asyncio
import time

import pytest

from posthouse.kit.clock import DAY
from posthouse.mail.threading import references_of, renamed
from posthouse.store import messages, threads
from posthouse.store.database import Database
from posthouse.wire.message import parse
from store.builders import AT, DOMAIN, destroy, house, mail, receive

ANN = f"ann@{DOMAIN}"


async def test_a_reply_joins_the_thread_of_its_references_whatever_its_subject(db: Database) -> None:
    await house(db, "ann")
    first = await receive(db, "ann", mail("lunch", message_id="1@x"))
    by_references = await receive(db, "ann", mail("dinner", message_id="2@x", references=["1@x"]), at=AT + 1)
    by_reply_to = await receive(
        db, "ann", mail("", message_id="3@x", in_reply_to=["2@x"], from_="new@x.test"), at=AT + 2
    )
    assert {first.thread_id} == {by_references.thread_id, by_reply_to.thread_id}
    thread = await db.read(lambda tx: threads.get(tx, "ann", first.thread_id))
    assert thread is not None
    assert (thread.subject, thread.message_count, thread.last_message_at) == ("lunch", 3, AT + 2)


async def test_the_nearest_known_ancestor_decides(db: Database) -> None:
    await house(db, "ann")
    root = await receive(db, "ann", mail("root", message_id="root@x"))
    near = await receive(db, "ann", mail("near", message_id="near@x"))
    assert root.thread_id != near.thread_id
    reply = await receive(db, "ann", mail("z", references=["root@x", "near@x", "unknown@x"]))
    assert reply.thread_id == near.thread_id
    reply = await receive(db, "ann", mail("z", references=["near@x"], in_reply_to=["root@x"]))
    assert reply.thread_id == root.thread_id


async def test_siblings_find_each_other_by_a_parent_nobody_has_seen(db: Database) -> None:
    await house(db, "ann")
    one = await receive(db, "ann", mail("a", message_id="1@x", references=["lost@x"]))
    two = await receive(db, "ann", mail("b", message_id="2@x", references=["lost@x"]))
    assert one.thread_id == two.thread_id


async def test_a_late_parent_joins_the_thread_that_waits_for_it(db: Database) -> None:
    await house(db, "ann")
    child = await receive(db, "ann", mail("Re: a", message_id="child@x", references=["parent@x"]))
    parent = await receive(db, "ann", mail("a", message_id="parent@x"), at=AT - 5)
    assert parent.thread_id == child.thread_id
    thread = await db.read(lambda tx: threads.get(tx, "ann", child.thread_id))
    assert thread is not None
    assert (thread.message_count, thread.last_message_at) == (2, AT)


async def test_a_late_parent_merges_nothing_and_no_thread_id_ever_changes(db: Database) -> None:
    await house(db, "ann")
    left = await receive(db, "ann", mail("a", message_id="left@x", references=["one@x"]))
    right = await receive(db, "ann", mail("b", message_id="right@x", references=["two@x"]))
    late = await receive(db, "ann", mail("c", message_id="two@x", references=["one@x"]))
    assert left.thread_id != right.thread_id
    assert late.thread_id == left.thread_id
    stored = await db.read(lambda tx: messages.get_many(tx, "ann", [left.id, right.id]))
    assert {one.thread_id for one in stored.values()} == {left.thread_id, right.thread_id}
    # What two@x led to before it came it leads to still.
    again = await receive(db, "ann", mail("d", references=["two@x"]))
    assert again.thread_id == right.thread_id


async def test_the_copy_that_comes_back_lies_beside_the_one_that_was_sent(db: Database) -> None:
    await house(db, "ann")
    raw = mail("note to myself", message_id="self@x", from_=ANN, to=ANN)
    sent = await receive(db, "ann", raw, direction="out", mailbox_roles=["sent"])
    back = await receive(db, "ann", raw, at=AT + 1)
    assert sent.thread_id == back.thread_id


async def test_threads_of_two_accounts_never_meet(db: Database) -> None:
    await house(db, "ann", "bob")
    raw = mail("Re: a", message_id="1@x", references=["0@x"])
    ours, theirs = await receive(db, "ann", raw), await receive(db, "bob", raw)
    assert ours.thread_id != theirs.thread_id
    assert await db.read(lambda tx: threads.get(tx, "bob", ours.thread_id)) is None


async def test_a_caller_that_knows_the_thread_is_believed_while_it_is_there(db: Database) -> None:
    await house(db, "ann", "bob")
    known, other = (
        await receive(db, "ann", mail("a", message_id="1@x")),
        await receive(db, "ann", mail("b", message_id="2@x")),
    )
    reply = await receive(db, "ann", mail("c", references=["2@x"]), thread_id=known.thread_id)
    assert reply.thread_id == known.thread_id
    assert (await receive(db, "ann", mail("c", references=["2@x"]), thread_id="gone")).thread_id == other.thread_id
    foreign = await receive(db, "bob", mail("a"))
    assert (await receive(db, "ann", mail("d"), thread_id=foreign.thread_id)).thread_id != foreign.thread_id


SUBJECT_CASES = [
    ("a reply of the same person", "Re: lunch", {}, True),
    ("in another person's words for reply", "AW: Re: LUNCH", {}, True),
    ("without a reply mark", "lunch", {}, False),
    ("another subject", "Re: dinner", {}, False),
    ("a stranger", "Re: lunch", {"from_": "eve@evil.test"}, False),
    (
        "a stranger who writes to somebody of the thread",
        "Re: lunch",
        {"from_": "eve@x.test", "cc": "BOB@Example.org"},
        True,
    ),
    ("the account itself", "Re: lunch", {"from_": ANN, "to": ANN}, False),
    ("the account itself to the other", "Re: lunch", {"from_": ANN, "to": "bob@example.org"}, True),
    ("known ancestors elsewhere", "Re: lunch", {"extra": "References: <other@x>"}, False),
]


async def test_by_subject_joins_only_a_reply_among_the_same_people(db: Database) -> None:
    for number, (case, subject, values, joins) in enumerate(SUBJECT_CASES):
        name = f"ann{number}"
        await house(db, name)
        given = {key: value.replace(ANN, f"{name}@{DOMAIN}") for key, value in values.items()}
        to = given.pop("to", f"{name}@{DOMAIN}")
        await receive(db, name, mail("something else", message_id="other@x", from_="eve@evil.test"))
        first = await receive(db, name, mail("Lunch", to=to))
        then = await receive(db, name, mail(subject, to=to, **given), at=AT + DAY)
        assert (then.thread_id == first.thread_id) is joins, case


@pytest.mark.parametrize(("age", "joins"), [(30 * DAY, True), (30 * DAY + 1, False)])
async def test_by_subject_joins_a_thread_that_moved_within_thirty_days(db: Database, age: int, joins: bool) -> None:
    await house(db, "ann")
    first = await receive(db, "ann", mail("lunch", message_id="1@x"))
    moved = await receive(db, "ann", mail("x", references=["1@x"]), at=AT + DAY)
    assert moved.thread_id == first.thread_id
    then = await receive(db, "ann", mail("Re: lunch"), at=AT + DAY + age)
    assert (then.thread_id == first.thread_id) is joins


async def test_an_empty_subject_joins_nothing(db: Database) -> None:
    await house(db, "ann")
    first = await receive(db, "ann", mail(""))
    assert (await receive(db, "ann", mail("Re:"))).thread_id != first.thread_id


async def test_of_many_candidates_by_subject_the_latest_with_the_same_people_wins(db: Database) -> None:
    await house(db, "ann")
    bob = [await receive(db, "ann", mail("lunch"), at=AT + n) for n in range(2)]
    cy = await receive(db, "ann", mail("lunch", from_="cy@x.test"), at=AT + 9)
    assert len({one.thread_id for one in (*bob, cy)}) == 3
    assert (await receive(db, "ann", mail("Re: lunch"), at=AT + 10)).thread_id == bob[1].thread_id


async def test_a_thread_ends_with_its_last_message_and_its_references_lead_nowhere(db: Database) -> None:
    await house(db, "ann")
    first = await receive(db, "ann", mail("a", message_id="1@x"))
    await destroy(db, first)
    reply = await receive(db, "ann", mail("Re: a", references=["1@x"]))
    assert reply.thread_id != first.thread_id
    assert await db.read(lambda tx: threads.get(tx, "ann", first.thread_id)) is None


async def test_replies_that_arrive_at_once_make_one_thread(db: Database) -> None:
    await house(db, "ann")
    made = await asyncio.gather(
        *(receive(db, "ann", mail(f"s{n}", message_id=f"{n}@x", references=["root@x"])) for n in range(12))
    )
    assert len({one.thread_id for one in made}) == 1
    thread = await db.read(lambda tx: threads.get(tx, "ann", made[0].thread_id))
    assert thread is not None
    assert thread.message_count == 12


async def test_hostile_references_are_cut_and_still_stored(db: Database) -> None:
    await house(db, "ann")
    many = [f"{n}@x" for n in range(3_000)]
    parsed = parse(mail("a", references=many))
    assert references_of(parsed) == ["0@x", *many[-49:]]
    long = "x" * 900 + "@x"
    first = await receive(db, "ann", mail("s" * 5_000, message_id=long, references=[*many, "y" * 900 + "@y"]))
    reply = await receive(db, "ann", mail("b", references=[long]))
    assert reply.thread_id == first.thread_id


def test_references_name_each_message_once_with_the_parent_last() -> None:
    parsed = parse(mail(references=["a@x", "b@x", "a@x", "c@x"], in_reply_to=["b@x"]))
    assert references_of(parsed) == ["a@x", "c@x", "b@x"]
    assert references_of(parse(mail())) == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["by subject", "read"])
async def test_filing_costs_the_same_however_long_the_conversation(db: Database, kind: str) -> None:
    await house(db, "ann")
    keywords = ["$seen"] if kind == "read" else []

    async def grow(first: int, last: int) -> None:
        for n in range(first, last):
            references = [] if kind == "by subject" or not n else [f"{n - 1}@x"]
            raw = mail("Re: topic" if n else "topic", message_id=f"{n}@x", references=references)
            made = await receive(db, "ann", raw, keywords=keywords)
            found.add(made.thread_id)

    async def cost() -> float:
        nonlocal length
        start = time.process_time()
        await grow(length, length + 30)
        length += 30
        return time.process_time() - start

    found: set[str] = set()
    length = 0
    costs = []
    for size in (40, 160, 640):
        await grow(length, size)
        length = size
        costs.append(await cost())
    assert len(found) == 1
    assert costs[2] < 3 * max(costs[0], 0.05)


@pytest.mark.parametrize("given", [["0100018e-aaaa-bbbb-000001"], ["0100018e-aaaa-bbbb-000001@relay.example"]])
async def test_an_answer_to_the_name_a_relay_gave_joins_the_thread(db: Database, given: list[str]) -> None:
    await house(db, "ann")
    first = await receive(db, "ann", mail("order", message_id="own1@x"), direction="out")
    second = await receive(db, "ann", mail("order", message_id="own2@x"), direction="out")
    await db.write(lambda tx: renamed(tx, "ann", first.thread_id, given))
    await db.write(lambda tx: renamed(tx, "ann", "gone", given))
    theirs = "0100018e-aaaa-bbbb-000001@relay.example"
    joined = await receive(db, "ann", mail("Twelve", in_reply_to=[theirs], references=[theirs], from_="new@x.test"))
    assert joined.thread_id == first.thread_id != second.thread_id
    other = await receive(db, "ann", mail("Twelve", references=["0100018e-aaaa-bbbb-000002@relay.example"]))
    assert other.thread_id != first.thread_id
