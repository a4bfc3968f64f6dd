"""The owner is asked about held mail by mail, and answers by mail."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from core.home import OWNER, Home
from core.world import BOB
from posthouse.outbound.courier import Parcel
from posthouse.store import accounts, keys
from posthouse.store.accounts import Account
from posthouse.wire.compose import Attachment

ABROAD = "198.51.100.7"
SECRET = "The orders are at postgres://app:Tr0ub4dor-3x@db.corp.example:5432/orders\n"


@pytest.fixture
def more_settings() -> dict[str, str]:
    return {"owner_email": OWNER, "outbound": "mx"}


@pytest.fixture
async def home(home: Home) -> Home:
    """A house whose inbox is guarded, and whose owner's domain says who may send for it."""
    await home.set_level("guarded")
    home.zone.texts["_dmarc.owners.example"] = ["v=DMARC1; p=reject"]
    home.zone.texts["owners.example"] = [f"v=spf1 ip4:{ABROAD} -all"]
    return home


async def _operator(home: Home) -> Account:
    found = await home.db.read(lambda tx: accounts.by_address(tx, home.house.settings.operator_address))
    assert found is not None
    return found


def _questions(home: Home) -> list[Parcel]:
    return [parcel for parcel in home.elsewhere.got(OWNER) if b"Message-ID: <hold." in parcel.raw]


def _read(parcel: Parcel) -> EmailMessage:
    read = message_from_bytes(parcel.raw, policy=default)
    assert isinstance(read, EmailMessage)
    return read


async def _asked(home: Home) -> EmailMessage:
    """Something is held, and the owner is asked; the question."""
    await home.send(subject="Orders", text=SECRET, bcc="eve@far.example", attachments=(
        Attachment("list.txt", "text/plain", b"one, two"),
    ))  # fmt: skip
    await home.settle()
    (question,) = _questions(home)
    return _read(question)


async def _answer(
    home: Home, question: EmailMessage, text: str, *, sender: str = OWNER, client: str = ABROAD, refers: str | None = None,
    extra: str = "",
) -> None:  # fmt: skip
    operator = await _operator(home)
    raw = (
        f"From: Olga <{sender}>\r\nTo: {operator.main_address}\r\nSubject: Re: {question['Subject']}\r\n"
        f"Message-ID: <answer.{len(text)}@owners.example>\r\n"
        f"In-Reply-To: {refers or question['Message-ID']}\r\nReferences: {refers or question['Message-ID']}\r\n"
        f"{extra}\r\n{text}\r\n"
    )
    await home.receive(raw.encode(), account=operator, sender=sender, client=client)
    await home.settle()


def _told(home: Home) -> str:
    """What the owner was told last."""
    last = _read(home.elsewhere.got(OWNER)[-1])
    assert last["Auto-Submitted"] == "auto-replied"
    return str(last.get_content())


async def test_the_question_shows_all_that_would_leave(home: Home) -> None:
    question = await _asked(home)
    (hold,) = await home.pending()
    assert str(question["Subject"]).startswith('[Approval Required] Blocked email from "')
    text = question.get_content()
    for word in (
        "ob_connection_string", "[CRITICAL]", BOB, "eve@far.example", "Subject: Orders", "list.txt", hold.id,
        "Reply approve to send, or reject to discard",
    ):  # fmt: skip
        assert word in text, word
    _, hold_id, secret = str(hold.asked_id).partition("@")[0].split(".")
    assert (question["Message-ID"], hold_id) == (f"<{hold.asked_id}>", hold.id)
    assert len(secret) >= 32 and secret not in text
    assert "postgres://app:Tr0ub4dor" in text, "the owner is shown what he decides on, whole"
    operator = await _operator(home)
    assert [each.subject for each in await home.messages(operator)] == [], "the house keeps no copy of its question"


@pytest.mark.parametrize("words", ["approve", "  Yes!\r\n\r\nOlga", "LGTM.", "\r\n\r\nok\r\n> old words"])
async def test_approve_sends_the_very_bytes(home: Home, words: str) -> None:
    question = await _asked(home)
    (hold,) = await home.pending()
    await _answer(home, question, words)
    assert await home.pending() == []
    (parcel,) = home.elsewhere.got(BOB)
    assert SECRET.encode().strip() in parcel.raw
    assert "Approved" in _told(home)
    assert (await home.decided(hold.id)).decided_by == "owner-reply"


async def test_reject_discards(home: Home) -> None:
    await _answer(home, await _asked(home), "Don\u2019t send.")
    assert await home.pending() == []
    assert home.elsewhere.got(BOB) == []
    assert "Rejected" in _told(home)


@pytest.mark.parametrize(
    "words", ["ok, but leave the password out", "> approve", "I approve of lunch", "approve reject"]
)
async def test_what_is_not_plainly_an_answer_leaves_it_waiting_and_says_what_would_count(
    home: Home, words: str
) -> None:
    await _answer(home, await _asked(home), words)
    assert len(await home.pending()) == 1
    assert home.elsewhere.got(BOB) == []
    assert "does not plainly say" in _told(home)


async def test_nobody_else_answers(home: Home) -> None:
    question = await _asked(home)
    before = len(home.elsewhere.got(OWNER))
    home.zone.texts["_dmarc.owner.example"] = ["v=DMARC1; p=reject"]
    home.zone.texts["owner.example"] = [f"v=spf1 ip4:{ABROAD} -all"]
    await _answer(home, question, "approve", client="203.0.113.9")  # forged: SPF and DMARC fail
    await _answer(home, question, "approve", sender="olga@owner.example")  # a look-alike
    await _answer(home, question, "approve", refers="<hold.guess@agents.test>")
    await _answer(home, question, "approve", extra="Auto-Submitted: auto-replied\r\n")
    await _answer(home, question, "approve", client="127.0.0.1")  # from this machine: nobody was asked
    assert len(await home.pending()) == 1
    assert home.elsewhere.got(BOB) == []
    assert len(home.elsewhere.got(OWNER)) == before


async def test_an_answer_that_comes_twice_or_late_does_nothing(home: Home) -> None:
    question = await _asked(home)
    await _answer(home, question, "approve")
    await _answer(home, question, "reject it")
    await _answer(home, question, "reject")
    assert len(home.elsewhere.got(BOB)) == 1
    assert "decided on already" in _told(home)


async def test_bytes_changed_in_the_store_are_not_sent(home: Home) -> None:
    sent = await home.send(text="Hi. " + SECRET)
    await home.settle()
    (asked,) = _questions(home)
    question = _read(asked)
    await home.tamper_with(sent)
    await _answer(home, question, "approve")
    assert home.elsewhere.got(BOB) == []
    assert "Nothing was done" in _told(home)


async def test_what_nobody_answers_is_rejected_never_approved(home: Home) -> None:
    await _asked(home)
    (hold,) = await home.pending()
    await home.later(days=14, minutes=1)
    assert await home.pending() == []
    assert home.elsewhere.got(BOB) == []
    decided = await home.decided(hold.id)
    assert (decided.state, decided.decided_by) == ("rejected", "expiry")


async def test_an_inbox_is_open_once_a_key_reaches_it(home: Home) -> None:
    """An owner whose inbox here is open to others decides elsewhere."""
    inside = await home.account("olga")

    async def is_open() -> bool:
        where = inside.organization_id, inside.pod_id, inside.id
        return await home.db.read(lambda tx: keys.is_open(tx, *where, home.clock()))

    await home.key(home.ann)
    assert not await is_open()
    await home.key()
    assert await is_open()
