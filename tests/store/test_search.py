"""Search finds the same mail on both engines: stems, diacritics, scripts without blanks, phrases, fields, scope."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from posthouse.mail import indexing
from posthouse.mail.journal import changing
from posthouse.store import accounts, changes, messages, search
from posthouse.store.database import Database, Tx
from posthouse.store.search import Entry, prepare
from store.builders import AT, DOMAIN, account, deliver, destroy, file, house, mail, receive

ANN = f"ann@{DOMAIN}"


async def _subjects(db: Database, query: str, *, field: str | None = None, of: tuple[str, ...] = ("ann",)) -> list[str]:
    for account_id in of:
        await indexing.drain(db, account_id)

    async def unit(tx: Tx) -> list[str]:
        found = []
        for hit in await search.find(tx, of, query, field=field, limit=100):
            message = await messages.get(tx, hit.account_id, hit.message_id)
            assert message is not None
            found.append(message.subject)
        return sorted(found)

    return await db.read(unit)


MAIL = {
    "Quarterly report": "The reports were running late; we apologise for generalizations.",
    "Lunch on Friday": "Bring the red apples, not the green ones.",
    "Café déjà vu": "Straße nach München, naïve Zoë, ŁÓDŹ, ΑΘΉΝΑ, ИЖЕВСК",
    "会議のお知らせ": "東京都で会議を開きます。你好世界 안녕하세요 สวัสดี",
    "Invoice 2024-17": "Total 1,234.50 EUR, order #AB12-cd34, contact billing@shop.example, x86_64 3.5e10 0x1F",
    "Ümlaut and signs": "don't stop!! C++ / a&b <tag> 'quoted' \"double\" (paren) 100% under_score ² ½ ﬁne",
}

QUERIES = [
    # English stems, either way round.
    ("report", ["Quarterly report"]), ("reporting", ["Quarterly report"]), ("run", ["Quarterly report"]),
    ("apologised", ["Quarterly report"]), ("apple", ["Lunch on Friday"]), ("APPLES", ["Lunch on Friday"]),
    ("generality", ["Quarterly report"]), ("quart", []),
    # No word is too common.
    ("the", ["Lunch on Friday", "Quarterly report"]), ("not on", ["Lunch on Friday"]),
    # Case and diacritics.
    ("cafe", ["Café déjà vu"]), ("DÉJÀ", ["Café déjà vu"]), ("strasse", ["Café déjà vu"]),
    ("munchen zoe naive", ["Café déjà vu"]), ("łodz", ["Café déjà vu"]), ("lodz", []),
    ("αθηνα", ["Café déjà vu"]), ("ижевск", ["Café déjà vu"]), ("umlaut", ["Ümlaut and signs"]),
    ("fine", ["Ümlaut and signs"]),
    # Scripts without blanks: what stands together is found together.
    ("会議", ["会議のお知らせ"]), ("京都", ["会議のお知らせ"]), ("都京", []), ("你好", ["会議のお知らせ"]),
    ("世界 你好", ["会議のお知らせ"]), ("안녕", ["会議のお知らせ"]), ("สวัส", ["会議のお知らせ"]), ("お知らせ", ["会議のお知らせ"]),
    # Numbers, codes, addresses.
    ("2024", ["Invoice 2024-17"]), ("2024-17", ["Invoice 2024-17"]), ("17-2024", []), ("1,234.50", ["Invoice 2024-17"]),
    ("AB12-CD34", ["Invoice 2024-17"]), ("billing@shop.example", ["Invoice 2024-17"]), ("x86_64", ["Invoice 2024-17"]),
    ("3.5e10", ["Invoice 2024-17"]), ("0x1f", ["Invoice 2024-17"]),
    # Signs part words, and none of them is an operator.
    ("don't", ["Ümlaut and signs"]), ("a&b", ["Ümlaut and signs"]), ("c++", ["Ümlaut and signs"]),
    ("<tag>", ["Ümlaut and signs"]), ("under_score", ["Ümlaut and signs"]), ("apple OR report", []),
    ("apple NOT red", ["Lunch on Friday"]), ("apple NOT blue", []), ("lunc*", []), ("subject:lunch", []), ("red:A", []), ("!apple", ["Lunch on Friday"]),
    ("apple | report", []), ("(apple) & (red)", ["Lunch on Friday"]), ("^lunch", ["Lunch on Friday"]),
    ("NEAR(red apples)", []), ("\\", []), ("' :ABC", []), ("'apple':*", ["Lunch on Friday"]),
    # Phrases.
    ('"red apples"', ["Lunch on Friday"]), ('"red apple" green', ["Lunch on Friday"]), ('"apples red"', []),
    ('"red green"', []), ("red green", ["Lunch on Friday"]), ('"red apples', ["Lunch on Friday"]), ('""', []),
    ("", []), ("  ", []), ("...", []),
    # A phrase lies within one field: the subject's last word and the next field's first are no neighbours.
    ('"Friday bob"', []), ('"Friday Bring"', []), ("Friday bring bob", ["Lunch on Friday"]),
    ('"lunch on friday"', ["Lunch on Friday"]),
]  # fmt: skip


async def test_the_same_mail_is_found_for_the_same_words_on_either_engine(db: Database) -> None:
    await house(db, "ann")
    for subject, body in MAIL.items():
        await receive(db, "ann", mail(subject, body=body, from_="Bob Brown <bob@example.org>"))
    for query, expected in QUERIES:
        assert await _subjects(db, query) == sorted(expected), query


async def test_a_field_narrows_where_words_are_looked_for(db: Database) -> None:
    await house(db, "ann")
    await receive(db, "ann", mail("zebra", from_="Wolf Lion <bear@zoo.test>", body="tiger"))
    await receive(db, "ann", mail("tiger", from_="zebra@zoo.test", to=f"Puma <{ANN}>", cc="elk@zoo.test", body="lion"))
    for query, field, expected in (
        ("zebra", "subject", ["zebra"]), ("zebra", "people", ["tiger"]), ("zebra", "body", []),
        ("tiger", "body", ["zebra"]), ("lion", "people", ["zebra"]), ("lion", "body", ["tiger"]),
        ("puma", "people", ["tiger"]), ("elk@zoo.test", "people", ["tiger"]), ('"wolf lion"', "people", ["zebra"]),
        ("zebra tiger", "subject", []), ("zebra tiger", None, ["tiger", "zebra"]),
    ):  # fmt: skip
        assert await _subjects(db, query, field=field) == expected, (query, field)


async def test_names_of_attachments_are_found(db: Database) -> None:
    await house(db, "ann")
    raw = (
        b"From: b@x\r\nTo: a@x\r\nSubject: files\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>only <b>markup</b></p>\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=contract.pdf\r\n\r\nx\r\n--b--\r\n"
    )
    await receive(db, "ann", raw)
    assert await _subjects(db, "contract.pdf") == ["files"]
    assert await _subjects(db, "only markup", field="body") == ["files"]


async def test_the_better_match_comes_first(db: Database) -> None:
    await house(db, "ann")
    await receive(db, "ann", mail("filler", body="zebra " + "other words " * 50))
    best = await receive(db, "ann", mail("zebra", body="words"), at=AT - 5)
    for n in range(3):
        await receive(db, "ann", mail(f"noise {n}", body="nothing here"))
    await indexing.drain(db, "ann")
    found = await db.read(lambda tx: search.find(tx, ["ann"], "zebra", limit=9))
    assert found[0].message_id == best.id
    assert len(found) == 2
    assert found[0].rank <= found[1].rank
    assert [hit.message_id for hit in await db.read(lambda tx: search.find(tx, ["ann"], "zebra", limit=1))] == [best.id]


async def test_a_search_stays_within_the_accounts_it_is_for(db: Database) -> None:
    # Names chosen so that a stemmer, or leaving out the hyphens, would make them one.
    names = ("ann", "anns", "an-n", "bob")
    await house(db, *names)
    for name in names:
        await receive(db, name, mail(f"zebra {name}"))
    for name in names:
        assert await _subjects(db, "zebra", of=(name,)) == [f"zebra {name}"]
    assert await _subjects(db, "zebra", of=("ann", "bob")) == ["zebra ann", "zebra bob"]
    assert await db.read(lambda tx: search.find(tx, [], "zebra", limit=9)) == []
    for query in ("scopeann", "scopebob", "account_id"):
        assert await _subjects(db, query, of=names) == []


async def test_a_query_of_many_words_over_many_accounts_is_answered(db: Database) -> None:
    await house(db, "ann")
    await receive(db, "ann", mail("numbers", body=" ".join(f"w{n}" for n in range(1_000))))
    await indexing.drain(db, "ann")
    many = ["ann", *(f"a{n}" for n in range(500))]
    query = " ".join(f"w{n}" for n in range(1_000))
    for text, hits in ((query, 1), (f'"{query}"', 1), (query + " w1000", 0)):
        assert len(await db.read(lambda tx, text=text: search.find(tx, many, text, limit=9))) == hits


async def test_words_of_any_length_neither_break_the_index_nor_the_query(db: Database) -> None:
    await house(db, "ann")
    long = "x" * 3_000
    await receive(db, "ann", mail("long", body=f"before {long} after"))
    assert await _subjects(db, "after") == ["long"]
    assert await _subjects(db, long) == ["long"]
    assert await _subjects(db, long + "y") == []


@pytest.mark.parametrize(
    "alphabet",
    ["абвгдежзиклмнопрстуф", "bcdfghjklmnpqrstvwxz", "αβγδεζηθικλμνξοπρτυφ"],
    ids=["cyrillic", "latin", "greek"],
)
async def test_a_mail_of_more_words_than_an_index_can_hold_is_found_by_its_first(db: Database, alphabet: str) -> None:
    await house(db, "ann")

    def word(n: int) -> str:
        return "".join(alphabet[n // 20**place % 20] for place in range(5))

    body = " ".join(word(n) for n in range(90_000))
    await db.write(lambda tx: _index(tx, "huge", subject=body[:300_000][::-1], people=body, body=body))
    await receive(db, "ann", mail("next", body="zebra"))
    assert await _subjects(db, "zebra") == ["next"]
    assert await _subjects(db, word(7)) == ["huge"]


async def _index(tx: Tx, subject_stored: str, *, subject: str, people: str, body: str) -> None:
    made = await deliver(tx, "ann", mail(subject_stored))
    await search.add(tx, [prepare(Entry(made.id, "ann", subject, people, body))])


async def test_what_is_destroyed_is_found_no_more_and_its_place_in_the_index_can_be_used_again(db: Database) -> None:
    await house(db, "ann")
    for turn in range(3):
        made = await receive(db, "ann", mail(f"zebra {turn}"))
        assert await _subjects(db, "zebra") == [f"zebra {turn}"]
        await destroy(db, made)
        assert await _subjects(db, "zebra") == []


async def test_an_account_that_goes_takes_its_words_with_it(db: Database) -> None:
    await house(db, "ann", "bob")
    for name in ("ann", "bob"):
        await receive(db, name, mail(f"zebra {name}"))
    assert await _subjects(db, "zebra", of=("ann", "bob")) == ["zebra ann", "zebra bob"]

    async def leave(tx: Tx) -> None:
        await search.remove(tx, await messages.ids_of_account(tx, "ann"))
        await accounts.delete(tx, "ann")

    await db.write(leave)
    assert await _subjects(db, "zebra", of=("bob",)) == ["zebra bob"]
    await db.write(lambda tx: accounts.add(tx, account("ann")))
    found = await db.read(lambda tx: search.find(tx, ["ann", "bob"], "zebra", limit=9))
    assert [hit.account_id for hit in found] == ["bob"]


async def test_indexing_the_same_message_again_changes_nothing(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", mail("zebra"))
    await indexing.drain(db, "ann")
    entries = [Entry(made.id, "ann", "other", "", ""), Entry("gone", "ann", "x", "", "")]
    await db.write(lambda tx: search.add(tx, [prepare(entry) for entry in entries]))
    assert await _subjects(db, "zebra") == ["zebra"]
    assert await _subjects(db, "other") == []


async def test_an_emptied_index_is_built_anew(db: Database) -> None:
    await house(db, "ann", "bob")
    for n in range(3):
        await receive(db, "ann" if n else "bob", mail(f"zebra {n}"))
    await indexing.drain(db, "ann")
    await db.write(search.clear)
    assert await _subjects(db, "zebra") == []
    assert await indexing.rebuild(db) == 3
    assert await _subjects(db, "zebra", of=("ann", "bob")) == ["zebra 0", "zebra 1", "zebra 2"]
    assert await indexing.rebuild(db) == 3
    assert await _subjects(db, "zebra", of=("ann", "bob")) == ["zebra 0", "zebra 1", "zebra 2"]


# --- pages


async def test_pages_of_hits_go_by_place_then_time_and_stay_whole_while_mail_arrives(db: Database) -> None:
    await house(db, "ann", "bob")
    dice = random.Random(5)
    expected: list[tuple[int, int, str]] = []
    for n in range(20):
        subject, from_, body = (dice.choice(["zebra crossing", "other", "zebra"]) for _ in range(3))
        body = dice.choice([body, "crossing"])
        made = await receive(db, "ann", mail(subject, from_=f"{from_} <b@x.test>", body=body), at=AT + n // 3)
        tier = next((t for t, text in enumerate((subject, from_, f"{subject} {from_} {body}"))
                     if "zebra" in text and "crossing" in text), None)  # fmt: skip
        if tier is not None:
            expected.append((tier, -(AT + n // 3), made.id))
    await receive(db, "bob", mail("zebra crossing"))
    await indexing.drain(db, "bob")

    async def page(position: tuple[int, int, str] | None, **values: Any) -> list[search.Ranked]:
        await indexing.drain(db, "ann")
        return await db.read(
            lambda tx: search.page(tx, ["ann"], "crossing ZEBRAS", position=position, limit=3, **values)
        )

    seen: list[tuple[int, int, str]] = []
    position = None
    while found := await page(position):
        seen += [(hit.tier, -hit.received_at, hit.message_id) for hit in found]
        position = (found[-1].tier, found[-1].received_at, found[-1].message_id)
        await receive(db, "ann", mail("zebra crossing"), at=AT + 99)
    assert {hit.tier for hit in await page(None)} == {0}
    assert {tier for tier, _, _ in expected} == {0, 1, 2}
    ids = {one: n for n, one in enumerate(sorted(one[2] for one in expected))}
    assert seen == sorted(expected, key=lambda one: (one[0], one[1], -ids[one[2]]))
    late = await page(None, after=AT + 1, before=AT + 2)
    assert {hit.received_at for hit in late} == {AT + 1}
    some = expected[0][2]
    assert [hit.message_id for hit in await page(None, message_ids=[some, "none"])] == [some]
    assert await page(None, message_ids=[]) == []


# --- the backlog


async def _marks(db: Database) -> tuple[int, int]:
    found = await db.read(lambda tx: accounts.get(tx, "ann"))
    assert found is not None
    return found.indexed_modseq, found.modseq


async def test_draining_follows_the_log_in_batches_to_the_present(db: Database) -> None:
    await house(db, "ann")

    async def many(tx: Tx) -> None:
        for n in range(125):
            async with changing(tx, "ann", AT) as journal:
                await file(tx, journal, mail(f"m{n}"))
                await file(tx, journal, mail(f"n{n}"))

    await db.write(many)
    assert await indexing.drain(db, "ann") == 250
    indexed, current = await _marks(db)
    assert indexed == current
    assert await indexing.drain(db, "ann") == 0
    assert len(await db.read(lambda tx: search.find(tx, ["ann"], "bob", limit=999))) == 250


async def test_changes_that_make_no_message_leave_no_backlog(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann")
    await destroy(db, made)
    assert await indexing.drain(db, "ann") == 0
    indexed, current = await _marks(db)
    assert indexed == current
    assert await indexing.drain(db, "nobody") == 0


async def test_what_is_filed_is_found_whoever_drains_and_destroys_meanwhile(db: Database) -> None:
    await house(db, "ann")
    made = [await receive(db, "ann", mail(f"zebra {n}")) for n in range(30)]
    await asyncio.gather(
        *(indexing.drain(db, "ann") for _ in range(4)),
        *(destroy(db, message) for message in made[::2]),
        *(receive(db, "ann", mail(f"zebra new {n}")) for n in range(10)),
        *(indexing.drain(db, "ann") for _ in range(4)),
    )
    found = await _subjects(db, "zebra")
    assert found == sorted([*(f"zebra {n}" for n in range(1, 30, 2)), *(f"zebra new {n}" for n in range(10))])


async def test_a_message_destroyed_while_it_is_being_indexed_is_passed_over(db: Database) -> None:
    await house(db, "ann")
    for _ in range(5):
        made = await receive(db, "ann", mail("zebra"))
        entry = prepare(Entry(made.id, "ann", "zebra", "", ""))
        await asyncio.gather(destroy(db, made), db.write(lambda tx, entry=entry: search.add(tx, [entry])))
    assert await _subjects(db, "zebra") == []


async def test_the_log_knows_every_message_the_index_lacks(db: Database) -> None:
    await house(db, "ann")
    ids = [(await receive(db, "ann", mail(f"m{n}"))).id for n in range(3)]
    indexed, _ = await _marks(db)
    assert await db.read(lambda tx: changes.created_after(tx, "ann", "Email", indexed, 9)) == (ids, None)


async def test_an_index_made_anew_finds_what_the_log_no_longer_names(db: Database) -> None:
    await house(db, "ann")
    for n in range(3):
        await receive(db, "ann", mail(f"zebra {n}"))
    assert await _subjects(db, "zebra") == ["zebra 0", "zebra 1", "zebra 2"]

    async def anew(tx: Tx) -> None:
        await search.clear(tx)
        await changes.prune(tx, 1 << 60)
        await tx.run("UPDATE account SET indexed_modseq = -1")

    await db.write(anew)
    assert await db.read(lambda tx: search.find(tx, ["ann"], "zebra", limit=9)) == []
    assert await _subjects(db, "zebra") == ["zebra 0", "zebra 1", "zebra 2"]
    await receive(db, "ann", mail("zebra 3"))
    assert len(await _subjects(db, "zebra")) == 4
    assert await indexing.drain(db, "ann") == 0


async def test_words_of_a_deleted_account_are_nobody_elses(db: Database) -> None:
    await house(db, "ann", "bob")
    await receive(db, "ann", mail("zebra"))
    assert await _subjects(db, "zebra") == ["zebra"]
    await db.write(lambda tx: accounts.delete(tx, "ann"))
    # In the same second: it takes the place in the index that has become free.
    await receive(db, "bob", mail("tiger"))
    assert await _subjects(db, "tiger", of=("bob",)) == ["tiger"]
    assert await _subjects(db, "zebra", of=("bob",)) == []


async def test_pages_of_a_search_are_whole_when_many_messages_came_in_one_second(db: Database) -> None:
    await house(db, "ann")
    chance = random.Random(2)
    made = [await receive(db, "ann", mail("zebra"), at=AT + chance.randrange(3) * 300) for _ in range(30)]
    await indexing.drain(db, "ann")
    expected = [m.id for m in sorted(made, key=lambda m: (m.received_at, m.id), reverse=True)]
    for size in (1, 4, 7):
        found: list[str] = []
        position = None
        while True:
            page = await db.read(
                lambda tx, position=position, size=size: search.page(
                    tx, ["ann"], "zebra", position=position, limit=size
                )
            )
            found += [hit.message_id for hit in page]
            if len(page) < size:
                break
            position = (page[-1].tier, page[-1].received_at, page[-1].message_id)
        assert found == expected, size
