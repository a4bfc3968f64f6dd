"""What comes back, and whom it keeps the account from writing to."""

from __future__ import annotations

from core.home import Home, refused
from core.world import BOB
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound
from posthouse.outbound import bounces, suppressions
from posthouse.outbound.courier import Parcel
from posthouse.outbound.request import Submitted
from posthouse.store import submissions
from posthouse.wire.dsn import Action, DsnRecipient, build_dsn
from store.builders import DOMAIN

CAT = "cat@elsewhere.example"


def report(parcel: Parcel, recipient: str, *, action: Action = "failed", status: str = "5.1.1") -> bytes:
    """What a host elsewhere says of a mail it had."""
    return build_dsn(
        recipients=[DsnRecipient(recipient, action, status, diagnostic="550 gone", diagnostic_type="smtp")],
        original=parcel.raw, to=parcel.mail_from, postmaster="postmaster@elsewhere.example",
        reporting_mta="mx.elsewhere.example", message_id="report@elsewhere.example", at=1_700_000_000_000,
    )  # fmt: skip


def complaint(parcel: Parcel, kind: str = "abuse") -> bytes:
    """What a recipient's provider says when they press the button (RFC 5965)."""
    lines = [
        "From: fbl@elsewhere.example", f"To: {parcel.mail_from}", "Subject: complaint", "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"', "",
        "--b", "Content-Type: text/plain", "", "A complaint.",
        "--b", "Content-Type: message/feedback-report", "", f"Feedback-Type: {kind}", "User-Agent: x/1", "Version: 1",
        f"Original-Mail-From: <{parcel.mail_from}>", "",
        "--b", "Content-Type: message/rfc822", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n" + parcel.raw + b"\r\n--b--\r\n"


async def carried(home: Home, *recipients: str) -> tuple[Submitted, list[Parcel]]:
    """A mail that has been taken by the hosts of its recipients."""
    sent = await home.send(to=recipients or (BOB,))
    await home.settle()
    return sent, [home.elsewhere.got(each)[-1] for each in recipients or (BOB,)]


async def is_suppressed(home: Home, address: str) -> str | None:
    found = await home.db.read(lambda tx: suppressions.among(tx, home.ann.id, [address], home.clock()))
    return found[address].reason if address in found else None


async def test_a_report_marks_the_recipient_it_came_for_and_no_other(home: Home) -> None:
    sent, (to_bob, _) = await carried(home, BOB, CAT)
    got = await home.receive(report(to_bob, BOB), sender="", came_to=to_bob.mail_from)
    assert await home.states(sent) == {BOB: "bounced", CAT: "delivered"}
    assert (await home.deliveries(sent))[BOB].status == "5.1.1"
    assert (await home.message(sent.message_id)).delivery_state == "bounced"
    assert await home.roles(got.id) == {"inbox"}
    (detail,) = await home.db.read(lambda tx: submissions.details(tx, home.ann.id, [sent.submission_id]))
    assert detail.reports == (("dsn", got.blob_hash),)
    assert "message.bounced" in await home.told()


async def test_a_report_that_names_another_recipient_settles_the_one_it_was_sent_to(home: Home) -> None:
    sent, (to_bob, _) = await carried(home, BOB, CAT)
    await home.receive(report(to_bob, CAT), sender="", came_to=to_bob.mail_from)
    assert await home.states(sent) == {BOB: "bounced", CAT: "delivered"}


async def test_a_hard_bounce_suppresses_and_a_soft_one_does_not(home: Home) -> None:
    sent, (to_bob, to_cat) = await carried(home, BOB, CAT)
    await home.receive(report(to_bob, BOB, status="5.1.1"), sender="", came_to=to_bob.mail_from)
    await home.receive(report(to_cat, CAT, status="5.2.2"), sender="", came_to=to_cat.mail_from)
    assert set((await home.states(sent)).values()) == {"bounced"}
    assert (await is_suppressed(home, BOB), await is_suppressed(home, CAT)) == ("bounce", None)
    with refused(Forbidden, "suppressed"):
        await home.send(to=BOB)
    await home.send(to=CAT)


async def test_a_report_of_delay_changes_nothing(home: Home) -> None:
    sent, (parcel,) = await carried(home)
    await home.receive(report(parcel, BOB, action="delayed", status="4.4.7"), sender="", came_to=parcel.mail_from)
    assert await home.states(sent) == {BOB: "delivered"}


async def test_a_report_without_the_token_is_kept_as_mail_and_suppresses_nobody(home: Home) -> None:
    sent, (parcel,) = await carried(home)
    forged = report(parcel, BOB).replace(parcel.mail_from.encode(), home.ann.main_address.encode())
    got = await home.receive(forged, sender="")
    assert await home.roles(got.id) == {"inbox"}
    assert await home.states(sent) == {BOB: "delivered"}
    assert await is_suppressed(home, BOB) is None


async def test_a_report_with_a_token_of_another_account_is_nothing(home: Home) -> None:
    sent, (parcel,) = await carried(home)
    carl = await home.account("carl")
    await home.receive(report(parcel, BOB), account=carl, sender="", came_to=parcel.mail_from)
    assert await home.states(sent) == {BOB: "delivered"}
    assert await is_suppressed(home, BOB) is None


async def test_a_second_report_changes_nothing_more(home: Home) -> None:
    _, (parcel,) = await carried(home)
    for status in ("5.2.2", "5.1.1"):
        await home.receive(report(parcel, BOB, status=status), sender="", came_to=parcel.mail_from)
    assert (await home.told()).count("message.bounced") == 1


async def test_a_failure_told_in_the_dialogue_suppresses_and_is_reported(home: Home) -> None:
    home.elsewhere.answers[BOB] = ("failed", "5.1.1")
    sent = await home.send(to=[BOB, CAT])
    await home.settle()
    assert await home.states(sent) == {BOB: "bounced", CAT: "delivered"}
    assert await is_suppressed(home, BOB) == "bounce"
    (told,) = await home.messages(role="inbox")
    read = await home.parsed(told.id)
    assert b"5.1.1" in await home.bytes_of(told)
    assert read.structure.content_type == "multipart/report"
    assert (await home.whole(told.id))[1].handed_in["mail_from"] == ""


async def test_a_refusal_of_one_mail_suppresses_nobody(home: Home) -> None:
    for status in ("5.7.1", "5.3.4", "5.6.0", "5.2.2"):
        home.elsewhere.answers[BOB] = ("failed", status)
        await home.send()
        await home.settle()
    assert await is_suppressed(home, BOB) is None


async def test_a_complaint_suppresses(home: Home) -> None:
    for kind in ("abuse", "fraud", "opt-out", "virus", "other"):
        who = f"{kind}@elsewhere.example"
        sent, (parcel,) = await carried(home, who)
        await home.receive(complaint(parcel, kind), sender="fbl@elsewhere.example", came_to=parcel.mail_from)
        assert await home.states(sent) == {who: "complained"}
        assert await is_suppressed(home, who) == "complaint"
    told = [event.payload for event in await home.events() if event.type == "message.complained"]
    assert told[0]["recipients"] == ["abuse@elsewhere.example"]
    assert [each["type"] for each in told] == ["abuse", "fraud", "opt-out", "virus", "other"]


async def test_praise_is_no_complaint(home: Home) -> None:
    sent, (parcel,) = await carried(home)
    await home.receive(complaint(parcel, "not-spam"), sender="fbl@elsewhere.example", came_to=parcel.mail_from)
    assert await home.states(sent) == {BOB: "delivered"}
    assert await is_suppressed(home, BOB) is None


async def test_a_bounce_keeps_one_account_from_writing_and_no_other(home: Home) -> None:
    _, (parcel,) = await carried(home)
    await home.receive(report(parcel, BOB), sender="", came_to=parcel.mail_from)
    carl = await home.account("carl")
    await home.send(account=carl, by=home.bound(carl))


async def test_a_suppression_is_lifted_by_who_has_it(home: Home) -> None:
    at = home.clock()
    await home.db.write(lambda tx: suppressions.add(tx, home.ann, BOB, "we asked", at))
    await home.db.write(lambda tx: suppressions.add(tx, None, CAT, "manual", at))
    listed = await home.db.read(lambda tx: suppressions.listed(tx, home.ann, at, 10))
    assert {(each.address, each.reason, each.diagnostic) for each in listed} == {
        (BOB, "manual", "we asked"), (CAT, "manual", None),
    }  # fmt: skip
    assert await home.db.write(lambda tx: suppressions.lift(tx, home.ann, "BOB@elsewhere.example", at)) == 1
    with refused(Conflict, "house_wide", field="address"):
        await home.db.write(lambda tx: suppressions.lift(tx, home.ann, CAT, at))
    with refused(NotFound, field="address"):
        await home.db.write(lambda tx: suppressions.lift(tx, home.ann, BOB, at))
    assert await home.db.write(lambda tx: suppressions.lift(tx, None, CAT, at)) == 1
    await home.send(to=[BOB, CAT])


async def test_only_an_address_is_suppressed(home: Home) -> None:
    for text in ("bob", "Bob <bob@elsewhere.example>", ""):
        with refused(Invalid):
            await home.db.write(lambda tx, text=text: suppressions.add(tx, home.ann, text, "manual", home.clock()))
    with refused(Invalid, field="reason"):
        await home.db.write(lambda tx: suppressions.add(tx, home.ann, BOB, "x" * 501, home.clock()))


def test_a_reverse_path_has_its_token_and_is_known_without_it() -> None:
    path = bounces.return_path(f"ann@{DOMAIN}", "0123456789abcdef")
    assert path == f"ann+b-0123456789abcdef@{DOMAIN}"
    assert bounces.untagged(path) == f"ann@{DOMAIN}"
    long = "a" * 60 + f"@{DOMAIN}"
    assert bounces.return_path(long, "0123456789abcdef") == long
    assert bounces.return_path("", "0123456789abcdef") == ""
    assert bounces.return_path(f"ann@{DOMAIN}", None) == f"ann@{DOMAIN}"
