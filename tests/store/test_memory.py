"""What is remembered for a while: answers, suppressions, holds, events, graves."""

import asyncio
from typing import Any

from posthouse.store import accounts, events, graveyard, holds, idempotency, organizations, submissions, suppressions
from posthouse.store.database import Database, Tx
from posthouse.store.events import Event
from posthouse.store.graveyard import Grave
from posthouse.store.holds import Hold
from posthouse.store.idempotency import Remembered
from posthouse.store.submissions import StoredSubmission
from posthouse.store.suppressions import Suppression
from store.builders import AT, house, mail, organization, receive

# --- idempotency


async def _remember(db: Database, key: str, answer: str, *, at: int = AT, expires_at: int = AT + 10) -> bool:
    return await db.write(
        lambda tx: idempotency.put(tx, "org", key, "send", f"digest {answer}", {"id": answer}, at, expires_at)
    )


async def test_the_first_answer_to_a_key_stays_until_it_expires(db: Database) -> None:
    await house(db)
    assert await _remember(db, "k", "one")
    assert not await _remember(db, "k", "two", at=AT + 9)
    kept = await db.read(lambda tx: idempotency.get(tx, "org", "k", AT + 9))
    assert kept == Remembered("org", "k", "send", "digest one", {"id": "one"}, AT, AT + 10)
    assert await db.read(lambda tx: idempotency.get(tx, "org", "k", AT + 10)) is None
    assert await _remember(db, "k", "two", at=AT + 10, expires_at=AT + 20)
    kept = await db.read(lambda tx: idempotency.get(tx, "org", "k", AT + 10))
    assert kept is not None
    assert (kept.digest, kept.answer) == ("digest two", {"id": "two"})


async def test_of_many_who_use_a_key_at_once_one_is_first(db: Database) -> None:
    await house(db)
    outcomes = await asyncio.gather(*(_remember(db, "k", str(n)) for n in range(8)))
    assert outcomes.count(True) == 1
    kept = await db.read(lambda tx: idempotency.get(tx, "org", "k", AT))
    assert kept is not None
    assert kept.answer == {"id": str(outcomes.index(True))}


async def test_keys_of_two_organisations_do_not_meet_and_what_expired_is_forgotten(db: Database) -> None:
    await house(db)
    await db.write(lambda tx: organizations.add(tx, organization("other")))
    await _remember(db, "k", "one")
    assert await db.read(lambda tx: idempotency.get(tx, "other", "k", AT)) is None
    assert await db.write(lambda tx: idempotency.put(tx, "other", "k", "s", "d", {}, AT, AT + 99))
    assert await db.write(lambda tx: idempotency.prune(tx, AT + 9)) == 0
    assert await db.write(lambda tx: idempotency.prune(tx, AT + 10)) == 1
    assert await db.read(lambda tx: idempotency.get(tx, "other", "k", AT + 10)) is not None


# --- suppressions


async def _suppress(db: Database, reason: str, *, expires_at: int | None = None, at: int = AT) -> None:
    await db.write(lambda tx: suppressions.add(tx, "ann", "x@y", reason, f"why {reason}", at, expires_at))


async def _suppressed(db: Database, at: int = AT, account_id: str = "ann") -> Suppression | None:
    found = await db.read(lambda tx: suppressions.among(tx, account_id, ["x@y", "z@y"], at))
    assert set(found) <= {"x@y"}
    return found.get("x@y")


async def test_a_suppression_that_stays_is_never_shortened(db: Database) -> None:
    await house(db, "ann", "bob")
    await _suppress(db, "complaint")
    await _suppress(db, "bounce", expires_at=AT + 5)
    await _suppress(db, "manual")
    assert await _suppressed(db, AT + 10**12) == Suppression("ann", "x@y", "complaint", "why complaint", AT, None)
    assert await _suppressed(db, account_id="bob") is None


async def test_a_passing_suppression_ends_may_become_lasting_and_is_never_cut_short(db: Database) -> None:
    await house(db, "ann")
    await _suppress(db, "bounce", expires_at=AT + 50)
    assert await _suppressed(db, AT + 49) is not None
    assert await _suppressed(db, AT + 50) is None
    await _suppress(db, "bounce", expires_at=AT + 20, at=AT + 1)
    assert await _suppressed(db, AT + 49) is not None
    await _suppress(db, "bounce", expires_at=AT + 90, at=AT + 60)
    assert await _suppressed(db, AT + 89) is not None
    await _suppress(db, "complaint", at=AT + 61)
    kept = await _suppressed(db, AT + 10**12)
    assert kept is not None
    assert (kept.reason, kept.expires_at) == ("complaint", None)


async def test_an_address_can_be_allowed_again(db: Database) -> None:
    await house(db, "ann")
    await _suppress(db, "bounce")
    assert not await db.write(lambda tx: suppressions.remove(tx, "bob", "x@y"))
    assert await db.write(lambda tx: suppressions.remove(tx, "ann", "x@y"))
    assert not await db.write(lambda tx: suppressions.remove(tx, "ann", "x@y"))
    assert await _suppressed(db) is None


# --- holds


def _hold(id_: str, at: int = AT) -> Hold:
    findings = [{"rule": "secret", "span": [1, 2]}]
    return Hold(id_, "org", "ann", f"s-{id_}", "digest", findings, "pending", None, None, None, at)


async def _held(db: Database, *made: Hold) -> None:
    async def unit(tx: Tx) -> None:
        for hold in made:
            await submissions.add(
                tx,
                StoredSubmission(
                    hold.submission_id,
                    "org",
                    "ann",
                    "m",
                    "t",
                    "h",
                    "1@x",
                    "a@x",
                    "e",
                    "FULL",
                    "held",
                    None,
                    "smtp",
                    AT,
                    AT,
                ),
            )
            await holds.add(tx, hold)

    await db.write(unit)


async def test_a_hold_is_decided_once(db: Database) -> None:
    await house(db, "ann")
    await _held(db, _hold("h"))
    assert await db.read(lambda tx: holds.get(tx, "org", "h")) == _hold("h")
    assert await db.read(lambda tx: holds.get(tx, "other", "h")) is None
    outcomes = await asyncio.gather(
        *(
            db.write(lambda tx, n=n: holds.decide(tx, "h", "approved" if n % 2 else "rejected", f"u{n}", None, AT + n))
            for n in range(6)
        )
    )
    assert outcomes.count(True) == 1
    winner = outcomes.index(True)
    found = await db.read(lambda tx: holds.get(tx, "org", "h"))
    assert found is not None
    assert (found.state, found.decided_by, found.decided_at) == (
        "approved" if winner % 2 else "rejected", f"u{winner}", AT + winner,
    )  # fmt: skip
    assert await db.read(lambda tx: holds.pending(tx, "org")) == []


async def test_what_waits_longest_for_a_decision_comes_first(db: Database) -> None:
    await house(db, "ann")
    await _held(db, _hold("a", AT), _hold("b", AT + 1), _hold("c", AT + 1))
    await db.write(lambda tx: holds.decide(tx, "b", "rejected", "owner", "no", AT + 2))
    assert [hold.id for hold in await db.read(lambda tx: holds.pending(tx, "org"))] == ["a", "c"]
    assert [hold.id for hold in await db.read(lambda tx: holds.pending(tx, "org", limit=1))] == ["a"]
    assert await db.read(lambda tx: holds.pending(tx, "other")) == []


# --- events


def _event(id_: str, modseq: int = 1, **values: Any) -> Event:
    given: dict[str, Any] = {
        "organization_id": "org", "pod_id": None, "account_id": "ann", "type": "message.received", "message_id": None,
        "payload": {"subject": "ü"}, "at": AT,
    }  # fmt: skip
    return Event(id=id_, modseq=modseq, **(given | values))


async def test_events_of_an_account_come_in_order_after_a_position(db: Database) -> None:
    await house(db, "ann")
    heard: list[str] = []
    arrived = asyncio.Event()

    def hear(topic: str) -> None:
        heard.append(topic)
        arrived.set()

    db.listen("events:org", hear)
    made = [_event("b", 1), _event("a", 2), _event("c", 1, at=AT + 1), _event("z", 1, account_id="bob")]

    async def unit(tx: Tx) -> None:
        for event in made:
            await events.add(tx, event)

    await db.write(unit)
    await asyncio.wait_for(arrived.wait(), 5)
    assert heard == ["events:org"]
    ordered = [made[0], made[2], made[1]]
    assert await db.read(lambda tx: events.of_account(tx, "ann", (0, ""), 9)) == ordered
    assert await db.read(lambda tx: events.of_account(tx, "ann", (1, "b"), 1)) == [made[2]]
    assert await db.read(lambda tx: events.of_account(tx, "ann", (2, "a"), 9)) == []
    assert [one.id for one in await db.read(lambda tx: events.latest(tx, "org", 2))] == ["c", "z"]
    assert await db.read(lambda tx: events.get(tx, "org", "a")) == made[1]
    assert await db.read(lambda tx: events.get(tx, "other", "a")) is None
    assert await db.write(lambda tx: events.prune(tx, AT + 1)) == 3
    assert await db.read(lambda tx: events.of_account(tx, "ann", (0, ""), 9)) == [made[2]]


# --- graves


async def test_a_grave_is_found_by_its_organisation_until_its_time_is_over(db: Database) -> None:
    made = [
        Grave(f"g{n}", "org", "ann", "message", None if n else "h", {"n": [n]}, AT + n, AT + 100 + n) for n in range(3)
    ]
    for grave in made:
        await db.write(lambda tx, grave=grave: graveyard.add(tx, grave))
    assert await db.read(lambda tx: graveyard.page(tx, "org")) == made[::-1]
    assert await db.read(lambda tx: graveyard.page(tx, "org", limit=1)) == [made[2]]
    assert await db.read(lambda tx: graveyard.page(tx, "other")) == []
    assert await db.read(lambda tx: graveyard.get(tx, "org", "g0")) == made[0]
    assert await db.read(lambda tx: graveyard.get(tx, "other", "g0")) is None
    assert await db.read(lambda tx: graveyard.of_account(tx, "ann")) == made
    await db.write(lambda tx: graveyard.delete(tx, "g2"))
    assert await db.write(lambda tx: graveyard.prune(tx, AT + 100)) == 1
    assert await db.read(lambda tx: graveyard.of_account(tx, "ann")) == [made[1]]


async def test_an_account_is_buried_with_all_its_mail_but_its_drafts(db: Database) -> None:
    await house(db, "ann", "bob")
    one = await receive(db, "ann", mail("one", bcc="Cy <cy@x>"), at=AT + 1, keywords=["k"])
    two = await receive(db, "ann", mail("two"), direction="out", mailbox_roles=["sent"], delivery_state="delivered")
    await receive(db, "ann", mail("draft"), direction="draft", mailbox_roles=["drafts"])
    await receive(db, "bob")

    async def unit(tx: Tx) -> int:
        account = await accounts.get(tx, "ann")
        assert account is not None
        total = await graveyard.bury_account(tx, account, ["ann@a", "a@a"], AT + 5, AT + 50)
        await accounts.delete(tx, "ann")
        return total

    assert await db.write(unit) == 2
    graves = await db.read(lambda tx: graveyard.of_account(tx, "ann"))
    assert {(grave.destroyed_at, grave.expires_at, grave.organization_id) for grave in graves} == {
        (AT + 5, AT + 50, "org")
    }
    [house_] = [grave for grave in graves if grave.kind == "account"]
    assert house_.payload == {
        "main_address": "ann@agents.test", "addresses": ["ann@a", "a@a"], "pod_id": "org-pod", "display_name": None,
        "metadata": None, "level": None,
    }  # fmt: skip
    kept = {grave.payload["subject"]: grave for grave in graves if grave.kind == "message"}
    assert {subject: grave.blob_hash for subject, grave in kept.items()} == {"one": one.blob_hash, "two": two.blob_hash}
    assert kept["one"].payload["keywords"] == ["k"]
    assert kept["one"].payload["bcc"] == [["Cy", "cy@x"]]
    assert kept["one"].payload["received_at"] == AT + 1
    assert kept["two"].payload["delivery_state"] == "delivered"
    assert await db.read(lambda tx: graveyard.of_account(tx, "bob")) == []
