"""Keys: what one may do, who may make which, and when it ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from core.home import Home, refused
from posthouse.accounts import keys as key_rules
from posthouse.accounts.keys import KeyRing
from posthouse.accounts.leases import Lease, Leases
from posthouse.accounts.rights import Right
from posthouse.kit.errors import Forbidden, Invalid, Unauthenticated
from posthouse.kit.ids import secret_digest
from posthouse.kit.principal import LEVELS, Principal
from posthouse.store import keys
from store import builders


async def test_a_key_opens_what_it_was_made_for(home: Home) -> None:
    key = await home.key(home.ann, rights=[Right.MESSAGE_READ], level="gated", name="reader")
    found = await home.house.keys.check(key.secret, home.clock())
    assert found == key.bearer
    assert (found.account_id, found.pod_id) == (home.ann.id, home.ann.pod_id)
    assert (found.rights, found.level, found.surface) == (frozenset({Right.MESSAGE_READ}), "gated", "agentmail")
    assert (found.may(Right.MESSAGE_READ), found.may(Right.MESSAGE_SEND), found.is_owner) == (True, False, False)


async def test_only_a_digest_of_a_key_is_kept(home: Home) -> None:
    key = await home.key()
    (row,) = await builders.rows(home.db, "SELECT * FROM api_key WHERE id = :id", id=key.row.id)
    assert row["digest"] == secret_digest(key.secret)
    assert not any(key.secret in str(value) for value in row.values())
    assert key.secret.startswith(row["prefix"])
    assert len(row["prefix"]) < len(key.secret) // 2


async def test_each_surfaces_keys_begin_as_people_know_them(home: Home) -> None:
    for surface, prefix in key_rules.PREFIXES.items():
        key = await home.key(surface=surface)
        assert key.secret.startswith(prefix)
        assert len(key.secret) >= 48


async def test_an_unknown_key_an_expired_and_a_revoked_one_are_refused_alike(home: Home) -> None:
    expired = await home.key(expires_at=home.clock() + 1_000)
    revoked = await home.key()
    for key in (expired, revoked):
        await home.house.keys.check(key.secret, home.clock())
    assert await home.revoke(revoked)
    home.clock.forward(seconds=1)
    said = set()
    for secret in (expired.secret, revoked.secret, "am_" + "0" * 64, ""):
        with pytest.raises(Unauthenticated) as refusal:
            await home.house.keys.check(secret, home.clock())
        said.add((refusal.value.message, refusal.value.reason))
    assert len(said) == 1
    assert not await home.revoke(revoked)


async def test_a_change_of_a_key_is_known_at_the_next_call(home: Home) -> None:
    key = await home.key(home.ann, rights=[Right.MESSAGE_READ])
    await home.house.keys.check(key.secret, home.clock())
    await home.restrict(key, [])
    assert (await home.house.keys.check(key.secret, home.clock())).rights == frozenset()


async def test_a_key_of_the_owners_from_the_settings_is_good_without_being_stored(home: Home) -> None:
    ring = KeyRing(home.db, "mk_owner")
    found = await ring.check("mk_owner", home.clock())
    assert (found.organization_id, found.is_owner, found.key_id) == (home.organization_id, True, None)
    with refused(Unauthenticated, "unknown_key"):
        await home.house.keys.check("mk_owner", home.clock())
    assert await builders.count(home.db, "api_key") == 0


async def test_when_a_key_was_used_is_written_at_leisure(home: Home) -> None:
    key = await home.key()
    begun = home.clock()
    await home.house.keys.check(key.secret, begun)
    home.clock.forward(seconds=30)
    await home.house.keys.check(key.secret, home.clock())
    await home.house.keys.flush()
    found = await home.db.read(lambda tx: keys.get(tx, home.organization_id, key.row.id))
    assert found is not None
    assert found.used_at == begun


async def test_the_level_and_the_expiry_of_a_key_are_checked(home: Home) -> None:
    with refused(Invalid, field="level"):
        await home.key(level="loose")
    for at in (home.clock(), 0):
        with refused(Invalid, field="expires_at"):
            await home.key(expires_at=at)


async def test_a_key_makes_none_that_may_do_more(home: Home) -> None:
    maker = (await home.key(rights=[Right.MESSAGE_READ])).bearer
    with refused(Forbidden, "unrestricted_key_required"):
        await home.key(creator=maker)
    for rights in ([Right.MESSAGE_SEND], [Right.MESSAGE_READ, Right.MESSAGE_SEND]):
        with refused(Forbidden, "permission_escalation"):
            await home.key(creator=maker, rights=rights)
    assert (await home.key(creator=maker, rights=[Right.MESSAGE_READ])).row.rights == [Right.MESSAGE_READ]
    assert (await home.key(creator=maker, rights=[])).row.rights == []


async def test_a_key_makes_none_that_is_watched_less(home: Home) -> None:
    for own, wanted in itertools.product((None, *LEVELS), repeat=2):
        made = await home.key(creator=Principal(home.organization_id, level=own), level=wanted)
        given = [LEVELS.index(level) for level in (own, wanted) if level is not None]
        assert made.row.level == (LEVELS[min(given)] if given else None)


async def test_a_key_outlives_none_that_it_makes(home: Home) -> None:
    end = home.clock() + 1_000_000
    maker = (await home.key(expires_at=end)).bearer
    assert (await home.key(creator=maker)).row.expires_at == end
    assert (await home.key(creator=maker, expires_at=end - 1)).row.expires_at == end - 1
    with refused(Forbidden, "permission_escalation", field="expires_at"):
        await home.key(creator=maker, expires_at=end + 1)


async def test_the_owner_makes_any_key(home: Home) -> None:
    bound = replace(home.owner, rights=frozenset(), level="gated")
    made = await home.key(creator=bound, rights=None, level="autonomous")
    assert (made.row.rights, made.row.level) == (None, "autonomous")


async def test_a_key_changes_only_those_it_could_have_made(home: Home) -> None:
    whole = await home.key()
    reader = await home.key(rights=[Right.MESSAGE_READ])
    gated = await home.key(level="gated")
    for changer, other in ((reader, whole), (gated, whole), (gated, reader), (reader, gated)):
        with refused(Forbidden, "permission_escalation"):
            await home.restrict(other, [], by=changer.bearer)
        with refused(Forbidden, "permission_escalation"):
            await home.db.write(
                lambda tx, changer=changer, other=other: key_rules.revoke_by(
                    tx, changer.bearer, other.row, home.clock()
                )
            )
    with refused(Forbidden, "permission_escalation"):
        await home.restrict(reader, [Right.MESSAGE_READ, Right.MESSAGE_SEND], by=reader.bearer)
    await home.restrict(reader, [], by=reader.bearer)
    await home.restrict(gated, [], by=whole.bearer)
    await home.db.write(lambda tx: key_rules.revoke_by(tx, home.owner, whole.row, home.clock()))
    assert (await home.house.keys.check(reader.secret, home.clock())).rights == frozenset()


async def test_what_was_asked_for_earlier_is_done_with_the_keys_rights_of_today(home: Home) -> None:
    key = await home.key(home.ann, rights=[Right.MESSAGE_SEND], level="monitored", expires_at=home.clock() + 10_000)

    async def later(level: str | None = None, key_id: str | None = key.row.id) -> Principal:
        at = home.clock()
        return await home.db.read(
            lambda tx: key_rules.bearer_later(tx, home.organization_id, key_id, surface="agentmail", level=level, at=at)
        )

    assert await later() == key.bearer
    assert (await later("gated")).level == "gated"
    assert (await later("autonomous")).level == "monitored"
    assert (await later(key_id=None)).rights is None
    await home.restrict(key, [])
    assert (await later()).rights == frozenset()
    home.clock.forward(seconds=10)
    with refused(Unauthenticated, "unknown_key"):
        await later()


async def _while_it_is(lease: Lease, so: Callable[[Principal], bool]) -> Principal:
    """Who asks, once it is so no longer."""
    async with asyncio.timeout(10):
        while so(principal := await lease.check()):
            await asyncio.sleep(0.01)
    return principal


async def test_a_lease_ends_with_its_key(home: Home) -> None:
    leases = Leases(home.db, home.clock)
    try:
        revoked, expired, owners = (
            leases.take((await home.key()).bearer),
            leases.take((await home.key(expires_at=home.clock() + 1_000)).bearer),
            leases.take(home.owner),
        )
        for lease in (revoked, expired, owners):
            await lease.check()
        assert revoked.key_id is not None
        await home.db.write(lambda tx: key_rules.revoke(tx, home.organization_id, revoked.key_id or "", home.clock()))
        home.clock.forward(seconds=1)
        for lease in (revoked, expired):
            # Word of the change comes within a second.
            with refused(Unauthenticated, "unknown_key"):
                await _while_it_is(lease, lambda _: True)
            await lease.ended()
            assert lease.is_over
        assert await owners.check() == home.owner
    finally:
        await leases.aclose()


async def test_a_lease_says_what_the_key_may_do_now(home: Home) -> None:
    leases = Leases(home.db, home.clock)
    try:
        key = await home.key(home.ann)
        lease = leases.take(key.bearer)
        assert (await lease.check()).rights is None
        await home.restrict(key, [Right.MESSAGE_READ])
        now = await _while_it_is(lease, lambda principal: principal.rights is None)
        assert (now.rights, now.account_id) == (frozenset({Right.MESSAGE_READ}), home.ann.id)
    finally:
        await leases.aclose()


async def test_making_and_ending_a_key_is_written_into_the_organisations_log(home: Home) -> None:
    key = await home.key()
    await home.revoke(key)
    rows = await builders.rows(
        home.db, "SELECT type, action FROM change_log WHERE object_id = :id ORDER BY modseq", id=key.row.id
    )
    assert [(row["type"], row["action"]) for row in rows] == [("ApiKey", "created"), ("ApiKey", "destroyed")]


async def test_a_surface_whose_keys_nobody_knows_gives_them_its_name(home: Home) -> None:
    assert (await home.key(surface="toy")).secret.startswith("toy_")
    assert (await home.key(surface="agentmail")).secret.startswith("am_")
