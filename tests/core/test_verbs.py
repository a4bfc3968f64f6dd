"""What an organisation has: accounts, pods, lists, domains, identities, submissions, by the verbs a surface uses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.home import Home, refused, stored_mail
from core.world import BOB
from posthouse.accounts import accounts as account_rules
from posthouse.accounts import identities, members, metrics, organizations, pods
from posthouse.accounts import keys as key_rules
from posthouse.accounts import lists as list_rules
from posthouse.accounts.members import Wanted
from posthouse.accounts.reach import Reach
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota
from posthouse.kit.pages import PageRequest
from posthouse.kit.principal import Principal
from posthouse.mail import uploads
from posthouse.mail.filing import DRAFT
from posthouse.mail.journal import changing
from posthouse.outbound import submitted
from posthouse.store.database import Tx
from posthouse.store.identities import Identity
from store import builders
from store.builders import DOMAIN


@pytest.fixture
def whole(home: Home) -> Reach:
    """All of the organisation."""
    return Reach(home.organization_id, None, None)


async def actions(home: Home, object_id: str) -> list[str]:
    """What the organisation's log says of a thing."""
    rows = await builders.rows(
        home.db, "SELECT action FROM change_log WHERE scope_id = :scope AND object_id = :id ORDER BY modseq",
        scope=home.organization_id, id=object_id,
    )  # fmt: skip
    return [row["action"] for row in rows]


async def test_accounts_of_a_reach_are_made_once_listed_changed_and_taken_down(home: Home, whole: Reach) -> None:
    by = Principal(home.organization_id)

    async def make(within: Reach = whole, **given: str) -> tuple[members.Member, bool]:
        wanted = Wanted(**given)  # type: ignore[arg-type]
        return await home.db.write(
            lambda tx: members.create(tx, by, within, wanted, default_domain=DOMAIN, at=home.clock())
        )

    home.clock.forward(seconds=1)
    carl, is_new = await make(local_part="carl", client_id="one", status="paused")
    assert (is_new, carl.is_paused) == (True, True)
    again, is_new = await make(client_id="one")
    assert (is_new, again.account.id) == (False, carl.account.id)
    with refused(Conflict, "client_id_taken", field="client_id"):
        await make(home.of_ann, client_id="one")
    page = await home.db.read(lambda tx: members.page(tx, whole, PageRequest(1)))
    assert ([member.account.id for member in page.items], page.more is None) == ([carl.account.id], False)
    found = await home.db.read(lambda tx: members.page(tx, whole, PageRequest(9), text="carl"))
    assert [member.account.id for member in found.items] == [carl.account.id]
    within = Reach(home.organization_id, carl.account.pod_id, carl.account)
    changed = await home.db.write(
        lambda tx: members.change(
            tx, by, within, display_name="Carl", metadata={"a": 1}, status="active", at=home.clock()
        )
    )
    assert (changed.account.display_name, changed.account.metadata, changed.is_paused) == ("Carl", {"a": 1}, False)
    with refused(Forbidden, "cannot_delete"):
        await home.db.write(
            lambda tx: members.destroy(tx, within, operator_address=carl.account.main_address, at=home.clock())
        )
    await home.db.write(lambda tx: members.destroy(tx, within, operator_address="", at=home.clock()))
    logged = await actions(home, carl.account.id)
    assert (logged[0], logged[-1]) == ("created", "destroyed")
    with refused(NotFound, field="inbox_id"):
        await home.db.read(lambda tx: members.get(tx, whole))


async def test_pods_are_made_by_whoever_has_the_whole_organisation(home: Home) -> None:
    by, at = Principal(home.organization_id), home.clock()
    made = await home.db.write(lambda tx: pods.create(tx, by, name="Two", client_id="two", at=at))
    again = await home.db.write(lambda tx: pods.create(tx, by, name="Three", client_id="two", at=at))
    assert (made.is_new, again.is_new, again.pod) == (True, False, made.pod)
    for bound in (home.agent, replace(by, pod_id=made.pod.id)):
        with refused(Forbidden, "missing_permission"):
            await home.db.write(lambda tx, bound=bound: pods.create(tx, bound, name="x", client_id=None, at=at))
    shown = await home.db.read(lambda tx: pods.page(tx, by, PageRequest(9)))
    assert {pod.id for pod in shown.items} == {home.ann.pod_id, made.pod.id}
    assert (await home.db.read(lambda tx: pods.page(tx, home.agent, PageRequest(9)))).items == []
    assert await actions(home, made.pod.id) == ["created"]


async def test_entries_of_a_list_are_put_renewed_and_taken_off(home: Home, whole: Reach) -> None:
    by = Principal(home.organization_id)

    async def put(reason: str | None = None, entry: str = BOB, who: Principal = by) -> str:
        return (
            await home.db.write(lambda tx: list_rules.put(tx, who, whole, "send", "block", entry, reason, home.clock()))
        ).id

    first = await put("spam")
    assert await put("worse", BOB.upper()) == first
    with refused(Invalid, field="reason"):
        await put("x" * 501)
    with refused(Forbidden):
        await put(who=home.agent)
    page = await home.db.read(lambda tx: list_rules.page(tx, whole, "send", "block", PageRequest(9)))
    assert [(entry.entry, entry.reason) for entry in page.items] == [(BOB, "worse")]
    with refused(Forbidden):
        await home.db.write(lambda tx: list_rules.remove(tx, home.agent, whole, "send", "block", BOB, home.clock()))
    await home.db.write(lambda tx: list_rules.remove(tx, by, whole, "send", "block", BOB, home.clock()))
    for gone in (BOB, "no entry"):
        with refused(NotFound, field="entry"):
            await home.db.read(lambda tx, gone=gone: list_rules.find(tx, whole, "send", "block", gone))
    assert (await actions(home, first))[-1] == "destroyed"


async def test_keys_are_found_within_a_reach_and_by_their_own_surface(home: Home, whole: Reach) -> None:
    key = await home.key(home.ann)
    owners = await home.key(is_owner=True)
    page = await home.db.read(lambda tx: key_rules.page(tx, whole, key.row.surface, PageRequest(9)))
    assert [each.id for each in page.items] == [key.row.id]
    other = Reach(home.organization_id, home.ann.pod_id, await home.account("carl"))
    for within, surface, id_ in (
        (other, "agentmail", key.row.id), (whole, "atomicmail", key.row.id), (whole, "agentmail", owners.row.id),
    ):  # fmt: skip
        with refused(NotFound, field="api_key_id"):
            await home.db.read(
                lambda tx, within=within, surface=surface, id_=id_: key_rules.find(tx, within, surface, id_)
            )


async def test_an_organisation_and_what_happened_in_it_are_counted(home: Home, whole: Reach) -> None:
    found = await home.db.read(lambda tx: organizations.overview(tx, Principal(home.organization_id)))
    assert (found.organization.id, found.domains) == (home.organization_id, 0)
    with refused(NotFound):
        await home.db.read(lambda tx: organizations.overview(tx, home.agent))
    start = home.clock()
    await home.receive()
    window = metrics.Window(start, start + 1_000, 1_000)
    counts = await home.db.read(lambda tx: metrics.events_by_period(tx, whole, ["message.received"], window))
    assert (window.count, counts) == (1, {"message.received": {0: 1}})
    grown = (await home.db.read(lambda tx: metrics.growth(tx, home.of_ann, ["message_count"], window)))["message_count"]
    assert grown == metrics.Growth(0, {0: 1})


async def test_what_is_taken_back_is_a_draft_again(home: Home) -> None:
    draft = await home.draft()
    sent = await home.submit(stored_mail(draft.message_id, send_at=home.clock() + 3_600_000))
    assert await home.take_back(sent)
    message = await home.message(sent.message_id)
    assert (message.direction, DRAFT in message.keywords) == ("draft", True)
    assert await home.roles(message.id) == {"drafts"}
    known = await home.db.read(lambda tx: submitted.all_of(tx, home.ann.id))
    assert [detail.submission.state for detail in known] == ["canceled"]

    async def forget(tx: Tx) -> None:
        async with changing(tx, home.ann.id, home.clock()) as journal:
            await submitted.forget(tx, journal, sent.submission_id)

    await home.db.write(forget)
    with refused(NotFound):
        await home.db.read(lambda tx: submitted.find(tx, home.ann.id, sent.submission_id))
    named = await home.db.read(lambda tx: submitted.message_ids(tx, home.ann.id, [sent.submission_id]))
    assert named == {sent.submission_id: sent.message_id}


async def test_identities_are_of_the_accounts_addresses(home: Home) -> None:
    (own,) = await home.db.read(lambda tx: identities.all_of(tx, home.ann.id))
    assert (own.email, own.may_delete) == (home.ann.main_address, False)

    async def create(tx: Tx, email: str = f"ann+x@{DOMAIN}") -> Identity:
        async with changing(tx, home.ann.id, home.clock()) as journal:
            return await identities.create(tx, journal, identities.new(home.ann.id, email, home.clock()))

    made = await home.db.write(create)
    with refused(Forbidden, "sender_not_allowed", field="email"):
        await home.db.write(lambda tx: create(tx, BOB))
    every = await home.db.read(lambda tx: identities.all_of(tx, home.ann.id))
    assert [identities.of_address(every, email) for email in (f"ANN+x@{DOMAIN}", f"ann+y@{DOMAIN}", BOB)] == [
        made, own, None,
    ]  # fmt: skip


async def test_what_a_caller_keeps_counts_against_the_accounts_room(home: Home) -> None:
    async def keep(data: bytes) -> str:
        return await uploads.keep(
            home.db, home.blobs, home.ann.id, [data], "text/plain", quota_bytes=10, at=home.clock()
        )

    hash_ = await keep(b"12345678")
    with refused(OverQuota):
        await keep(b"123")
    carl = await home.account("carl")
    assert await home.db.read(lambda tx: uploads.readable(tx, home.ann.id, [hash_])) == {hash_: 8}
    assert await home.db.read(lambda tx: uploads.readable(tx, carl.id, [hash_])) == {}
    named = await home.db.read(lambda tx: account_rules.main_addresses(tx, [carl.id, None, "gone"]))
    assert named == {carl.id: carl.main_address}
