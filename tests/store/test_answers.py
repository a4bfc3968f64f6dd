"""Whom an answer goes to, and what it names: nothing a stranger wrote refuses it."""

from __future__ import annotations

import pytest

from posthouse.accounts import identities
from posthouse.outbound import answers
from posthouse.store import accounts
from posthouse.store.database import Database
from posthouse.wire.address import Address
from posthouse.wire.compose import Outgoing, compose
from store.builders import AT, DOMAIN, house, mail, receive

ANN = f"ann@{DOMAIN}"


async def answer(db: Database, raw: bytes) -> answers.ReplyFields:
    """The fields of an answer to everyone; they can be composed, whatever they came from."""
    made = await receive(db, "ann", raw)
    fields = answers.reply(await db.read(lambda tx: answers.parent(tx, made)), everyone=True)
    compose(
        Outgoing(
            from_=Address(ANN), to=fields.to, cc=fields.cc, bcc=(), reply_to=(), subject=fields.subject,
            text=".", html=None, attachments=(), in_reply_to=fields.in_reply_to, references=fields.references,
            headers=(), message_id=None, sent_at=AT,
        )
    )  # fmt: skip
    return fields


def emails(people: tuple[Address, ...]) -> list[str]:
    return [person.email for person in people]


async def _alias(db: Database, address: str, account_id: str) -> None:
    await db.write(lambda tx: accounts.claim_address(tx, address, account_id, DOMAIN, AT))


async def test_every_address_that_leads_to_the_account_is_left_out(db: Database) -> None:
    await house(db, "ann", "bea")
    await _alias(db, f"sales@{DOMAIN}", "ann")
    await _alias(db, f"ann+bea@{DOMAIN}", "bea")
    to = f"Ann+Orders@{DOMAIN.upper()}, SALES+x+y@{DOMAIN}, <{ANN}>, ann+bea@{DOMAIN}, annette@{DOMAIN}"
    fields = await answer(db, mail(to=to, cc=f"sales@{DOMAIN}, dora@far.example"))
    assert emails(fields.to) == ["bob@example.org"]
    assert emails(fields.cc) == [f"ann+bea@{DOMAIN}", f"annette@{DOMAIN}", "dora@far.example"]
    own = await db.read(lambda tx: identities.own_among(tx, "ann", [f"Ann+t@{DOMAIN}", f"ann+bea@{DOMAIN}", "ann@x"]))
    assert own == {f"ann+t@{DOMAIN}"}


@pytest.mark.parametrize(
    ("reply_to", "wanted"),
    [
        (f"ann+list@{DOMAIN}", ["bob@example.org"]),
        (f"ann+list@{DOMAIN}, eve@far.example", ["eve@far.example"]),
        ("nobody", ["bob@example.org"]),
        ("root, <>, a@b@c d, list:;", ["bob@example.org"]),
        ("x@y..z, eve@far.example", ["eve@far.example"]),
    ],
)
async def test_a_reply_to_without_an_address_to_write_to_counts_as_absent(
    db: Database, reply_to: str, wanted: list[str]
) -> None:
    await house(db, "ann")
    assert emails((await answer(db, mail(extra=f"Reply-To: {reply_to}"))).to) == wanted


async def test_addresses_nobody_can_write_to_are_left_out(db: Database) -> None:
    await house(db, "ann")
    odd = ["root", "@far.example", "bob@", "eve@.far.example", "x@" + "y" * 300, "bob@far example", "a@b@", "i@[::"]
    fine = [
        '"odd user"@far.example',
        "a..b@far.example",
        "u@[192.0.2.7]",
        "u@sub_domain.far.example",
        "i@müller.example",
    ]
    fields = await answer(db, mail(cc=", ".join([*odd, *fine])))
    assert [email for email in emails(fields.cc) if email in fine] == fine
    assert not set(odd) & set(emails(fields.cc))


async def test_ids_and_subjects_that_cannot_be_written_down_do_no_harm(db: Database) -> None:
    await house(db, "ann")
    references = ["<fine@x>", "<übel@x>", f"<{'l' * 2000}@x>", "<a b@x>"]
    extra = "Message-ID: <ünter@x>\r\nReferences: " + " ".join(references)
    fields = await answer(db, mail("=?utf-8?q?a=00b=0D=0ABcc:_x=40y.example?=", extra=extra))
    assert fields.references[0] == "fine@x"
    assert all(each.isascii() and len(each) < 950 for each in fields.references)
    assert fields.in_reply_to is None
    assert "\n" not in fields.subject
    assert "\0" not in fields.subject
