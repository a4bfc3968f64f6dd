"""Who may be written to, and whose mail is let through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.home import Home, refused
from core.world import BOB
from posthouse.accounts import lists as list_rules
from posthouse.kit.errors import Forbidden, Invalid
from posthouse.kit.principal import Principal
from posthouse.mail.filing import BLOCKED
from posthouse.store import lists
from store.builders import DOMAIN, mail

CAT = "cat@elsewhere.example"
DAN = "dan@far.example"


@pytest.fixture
def widths(home: Home) -> dict[str, tuple[str, Principal]]:
    """By width: whose list, and who speaks."""
    pod = Principal(home.organization_id, pod_id=home.ann.pod_id)
    return {
        "organization": (home.organization_id, Principal(home.organization_id)),
        "pod": (home.ann.pod_id, pod),
        "account": (home.ann.id, home.agent),
    }


async def barred(home: Home, direction: list_rules.Direction, *addresses: str) -> set[str]:
    return await home.db.read(lambda tx: list_rules.barred(tx, home.ann, direction, addresses))


@pytest.mark.parametrize("width", list_rules.WIDTHS)
async def test_whoever_sets_a_block_it_holds(home: Home, width: str, widths: dict[str, tuple[str, Principal]]) -> None:
    on, by = widths[width]
    await home.list_entry("send", "block", BOB, on=on, by=by)
    with refused(Forbidden, "list_blocked", field="to"):
        await home.send()
    await home.send(to=CAT)


@pytest.mark.parametrize("width", list_rules.WIDTHS)
async def test_whoever_sets_a_list_of_those_allowed_it_keeps_out_the_rest(
    home: Home, width: str, widths: dict[str, tuple[str, Principal]]
) -> None:
    on, by = widths[width]
    await home.list_entry("send", "allow", "elsewhere.example", on=on, by=by)
    await home.send(to=[BOB, CAT])
    with refused(Forbidden, "list_blocked"):
        await home.send(to=[BOB, DAN])


async def test_a_domain_is_not_its_subdomains_nor_what_ends_alike(home: Home) -> None:
    await home.list_entry("send", "block", "@elsewhere.example")
    asked = [BOB, "b@mail.elsewhere.example", "b@notelsewhere.example", "B@ELSEWHERE.EXAMPLE"]
    assert await barred(home, "send", *asked) == {BOB, "b@elsewhere.example"}


async def test_within_a_list_block_beats_allow(home: Home) -> None:
    await home.list_entry("send", "allow", "elsewhere.example")
    await home.list_entry("send", "block", BOB)
    assert await barred(home, "send", BOB, CAT) == {BOB}


async def test_of_one_speakers_lists_the_most_specific_with_an_entry_decides(
    home: Home, widths: dict[str, tuple[str, Principal]]
) -> None:
    on, by = widths["organization"]
    await home.list_entry("send", "block", BOB, on=on, by=by)
    await home.list_entry("send", "allow", BOB, on=home.ann.id, by=by)
    assert await barred(home, "send", BOB) == set()


async def test_nobody_narrower_lets_in_whom_somebody_wider_keeps_out(
    home: Home, widths: dict[str, tuple[str, Principal]]
) -> None:
    on, by = widths["organization"]
    await home.list_entry("send", "block", BOB, on=on, by=by)
    await home.list_entry("send", "allow", BOB)
    assert await barred(home, "send", BOB) == {BOB}


async def test_somebody_narrower_may_keep_out_whom_somebody_wider_lets_in(
    home: Home, widths: dict[str, tuple[str, Principal]]
) -> None:
    on, by = widths["pod"]
    await home.list_entry("send", "allow", "elsewhere.example", on=on, by=by)
    await home.list_entry("send", "block", BOB)
    assert await barred(home, "send", BOB, CAT) == {BOB}


async def test_a_list_is_of_one_direction(home: Home) -> None:
    await home.list_entry("receive", "block", BOB)
    assert await barred(home, "send", BOB) == await barred(home, "reply", BOB) == set()
    await home.send()


async def test_a_list_is_of_one_account_pod_and_organisation(home: Home) -> None:
    carl = await home.account("carl")
    await home.list_entry("send", "block", BOB)
    await home.send(account=carl, by=home.bound(carl))
    far = await home.account("far", await home.organization())
    await home.list_entry("send", "block", CAT, on=home.organization_id, by=Principal(home.organization_id))
    await home.send(to=CAT, account=far, by=home.bound(far))


async def test_mail_that_a_list_keeps_out_is_stored_out_of_sight(home: Home) -> None:
    await home.list_entry("receive", "block", "example.org")
    got = await home.receive(mail(from_="Bob <bob@example.org>"))
    assert await home.roles(got.id) == {"junk"}
    assert BLOCKED in got.keywords
    assert await home.told() == ["message.received.blocked"]


async def test_the_author_is_asked_about_not_the_envelope(home: Home) -> None:
    await home.list_entry("receive", "block", "elsewhere.example")
    assert BLOCKED not in (await home.receive(mail(from_="bob@example.org"), sender=BOB)).keywords
    assert BLOCKED in (await home.receive(mail(from_=BOB), sender="b@example.org")).keywords


async def test_one_of_several_authors_who_is_kept_out_is_enough(home: Home) -> None:
    await home.list_entry("receive", "block", BOB)
    assert BLOCKED in (await home.receive(mail(from_=f"{DAN}, {BOB}"))).keywords


async def test_an_answer_is_looked_up_in_the_lists_of_answers_alone(home: Home) -> None:
    await home.list_entry("receive", "allow", "trusted.example")
    sent = await home.send()
    await home.settle()
    stranger = await home.receive(mail(from_=BOB))
    answer = await home.receive(mail(from_=BOB, in_reply_to=[sent.header_message_id]))
    forged = await home.receive(mail(from_=DAN, in_reply_to=[sent.header_message_id]))
    assert [BLOCKED in each.keywords for each in (stranger, answer, forged)] == [True, False, True]
    await home.list_entry("reply", "block", BOB)
    again = await home.receive(mail("again", from_=BOB, in_reply_to=[sent.header_message_id]))
    assert BLOCKED in again.keywords


async def test_an_answer_to_what_never_left_opens_no_door(home: Home) -> None:
    await home.set_level("gated")
    sent = await home.send()
    await home.list_entry("receive", "allow", "trusted.example")
    assert BLOCKED in (await home.receive(mail(from_=BOB, in_reply_to=[sent.header_message_id]))).keywords


async def test_a_report_on_own_mail_comes_through_any_list(home: Home) -> None:
    await home.list_entry("receive", "allow", "trusted.example")
    home.elsewhere.answers[BOB] = ("failed", "5.1.1")
    await home.send()
    await home.settle()
    (report,) = await home.messages(role="inbox")
    assert BLOCKED not in report.keywords


async def test_mail_within_the_house_is_asked_about_too(home: Home) -> None:
    carl = await home.account("carl")
    await home.list_entry("receive", "block", f"carl@{DOMAIN}")
    await home.send(to=home.ann.main_address, account=carl, by=home.bound(carl))
    await home.settle()
    (got,) = await home.messages()
    assert BLOCKED in got.keywords


async def test_an_entry_is_changed_by_who_is_as_wide_as_who_set_it(
    home: Home, widths: dict[str, tuple[str, Principal]]
) -> None:
    entry = await home.list_entry("send", "block", BOB)
    for set_by in list_rules.WIDTHS:
        for width, (_, principal) in widths.items():
            said = replace(entry, set_by=set_by)
            if list_rules.WIDTHS.index(set_by) < list_rules.WIDTHS.index(width):
                with refused(Forbidden):
                    list_rules.check_may_change(principal, said)
            else:
                list_rules.check_may_change(principal, said)


async def test_an_entry_taken_off_holds_no_more(home: Home) -> None:
    await home.list_entry("send", "block", BOB)
    assert await home.db.write(lambda tx: lists.delete(tx, home.ann.id, "send", "block", BOB))
    await home.send()
    assert not await home.db.write(lambda tx: lists.delete(tx, home.ann.id, "send", "block", BOB))


def test_an_entry_is_an_address_or_a_domain() -> None:
    assert list_rules.check_entry(" Bob@Elsewhere.Example ") == (BOB, "email")
    assert list_rules.check_entry("@Elsewhere.Example") == ("elsewhere.example", "domain")
    assert list_rules.check_entry("bücher.example") == ("xn--bcher-kva.example", "domain")
    for text in ("", "@", "Bob <bob@elsewhere.example>", "not a domain", "a@b@"):
        with pytest.raises(Invalid):
            list_rules.check_entry(text)
