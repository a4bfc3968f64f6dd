"""Organisations that register themselves: what they may do before and after a human vouches for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.home import Home, refused
from core.world import BOB
from posthouse.accounts import allowance, newcomers
from posthouse.accounts import keys as key_rules
from posthouse.accounts.challenges import Challenges, Proof, digest_of, has_zero_bits
from posthouse.accounts.newcomers import Registered
from posthouse.accounts.tokens import Tokens
from posthouse.kit.config import LADDER
from posthouse.kit.errors import Conflict, Forbidden, Gone, Invalid, OverQuota, TooMany, Unauthenticated
from posthouse.kit.principal import Principal
from posthouse.store import accounts, keys, webhooks
from posthouse.wire.address import Address
from store import builders
from store.builders import DOMAIN, mail

HUMAN = "hugo@people.example"


async def asking(home: Home, made: Registered) -> Principal:
    """The bearer of the key that registering made."""
    return await home.house.keys.check(made.secret, home.clock())


async def verified(home: Home, name: str = "newcomer", human: str = HUMAN) -> Registered:
    """An organisation whose human has vouched."""
    made: Registered = await home.register(human, name)
    await home.house.registrar.verify(await asking(home, made), await home.code_for(human))
    return made


async def test_registering_makes_an_organisation_of_its_own(home: Home) -> None:
    made = await home.register(HUMAN)
    who = await asking(home, made)
    assert (made.account.main_address, who.organization_id) == (f"newcomer@{DOMAIN}", made.account.organization_id)
    assert who.organization_id != home.organization_id
    assert (who.rights, who.is_owner) == (None, False)
    with refused(Conflict, "address_taken"):
        await home.register("other@people.example")


async def test_without_a_human_the_inbox_receives_only(home: Home) -> None:
    made = await home.register(None)
    assert made.code is None
    got = await home.receive(mail(to=made.account.main_address), account=made.account)
    assert await home.roles(got.id, made.account) == {"inbox"}
    for to in (BOB, HUMAN, home.ann.main_address, made.account.main_address):
        with refused(Forbidden, "unverified", field="to"):
            await home.send(to=to, account=made.account, by=await asking(home, made))
    with refused(Forbidden, "no_human"):
        await home.house.registrar.verify(await asking(home, made), "123456")


async def test_until_the_code_is_entered_mail_goes_to_the_human_alone(home: Home) -> None:
    made = await home.register(HUMAN)
    who = await asking(home, made)
    await home.send(to=HUMAN.upper(), account=made.account, by=who)
    for to in ([BOB], [HUMAN, BOB], [home.ann.main_address]):
        with refused(Forbidden, "unverified", field="to"):
            await home.send(to=to, account=made.account, by=who)
    await home.house.registrar.verify(who, f" {await home.code_for(HUMAN)} ")
    await home.send(account=made.account, by=who)


async def test_a_wrong_code_is_counted_and_tries_end(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers, "OTP_TRIES", 2)
    who = await asking(home, await home.register(HUMAN))
    code = await home.code_for(HUMAN)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for _ in range(2):
        with refused(Unauthenticated, "wrong_code", field="otp_code"):
            await home.house.registrar.verify(who, wrong)
    with refused(Forbidden, "too_many_tries"):
        await home.house.registrar.verify(who, code)
    # Asking again gives nobody more tries, until the code has had its time.
    assert (await home.house.registrar.attach(who, Address(HUMAN))).outcome == "used_up"
    home.clock.forward(hours=25)
    assert (await home.house.registrar.attach(who, Address(HUMAN))).outcome == "mailed"
    await home.house.registrar.verify(who, await home.code_for(HUMAN))


async def test_a_code_is_good_for_a_day(home: Home) -> None:
    who = await asking(home, await home.register(HUMAN))
    code = await home.code_for(HUMAN)
    home.clock.forward(hours=24)
    with refused(Gone):
        await home.house.registrar.verify(who, code)


async def test_a_code_opens_nothing_for_others(home: Home) -> None:
    await home.register(HUMAN)
    other = await asking(home, await home.register("other@people.example", "other"))
    with refused(Unauthenticated, "wrong_code", field="otp_code"):
        await home.house.registrar.verify(other, await home.code_for(HUMAN))
    with refused(Forbidden, "no_signup"):
        await home.house.registrar.verify(home.agent, await home.code_for(HUMAN))


async def test_naming_somebody_elses_human_opens_nothing_until_their_code_is_entered(home: Home) -> None:
    first = await home.register(HUMAN)
    await home.settle()
    second = await home.register(HUMAN, "whatever")
    assert second.account.id == first.account.id
    assert second.code.takes_over
    claimant = await asking(home, second)
    assert claimant.rights == frozenset()
    code = await home.code_for(HUMAN)
    endpoint = builders.endpoint("theirs", organization_id=first.account.organization_id)
    await home.db.write(lambda tx: webhooks.add(tx, endpoint))

    await home.house.registrar.verify(claimant, code)
    with refused(Unauthenticated, "unknown_key"):
        await asking(home, first)
    assert (await asking(home, second)).rights is None
    assert await home.db.read(lambda tx: webhooks.get(tx, first.account.organization_id, endpoint.id)) is None


async def test_the_code_of_a_takeover_is_not_the_first_ones(home: Home) -> None:
    first = await home.register(HUMAN)
    code = await home.code_for(HUMAN)
    second = await home.register(HUMAN, "whatever")
    with refused(Unauthenticated, "wrong_code", field="otp_code"):
        await home.house.registrar.verify(await asking(home, second), code)
    await home.house.registrar.verify(await asking(home, first), code)
    # The first one's human has spoken: the other's key is worth nothing.
    with refused(Unauthenticated, "unknown_key"):
        await asking(home, second)


async def test_a_human_who_has_vouched_is_named_by_nobody_else(home: Home) -> None:
    await verified(home)
    with refused(Conflict, "already_registered", field="human_email"):
        await home.register(HUMAN.upper(), "other")
    other = await asking(home, await home.register(None, "other"))
    with refused(Conflict, "already_registered", field="human_email"):
        await home.house.registrar.attach(other, Address(HUMAN))


async def test_there_are_so_many_claims_at_a_time(home: Home) -> None:
    await home.register(HUMAN)
    for index in range(newcomers.CLAIMS):
        await home.register(HUMAN, f"claim{index}")
    with refused(OverQuota, "too_many_claims", field="human_email"):
        await home.register(HUMAN, "another")
    home.clock.forward(hours=25)
    await home.register(HUMAN, "another")


async def test_an_agents_address_is_no_humans(home: Home) -> None:
    made = await home.register(None)
    who = await asking(home, made)
    for human in (made.account.main_address, f"newcomer+x@{DOMAIN}", f"nobody.yet@{DOMAIN}"):
        with refused(Invalid, "not_a_human", field="human_email"):
            await home.house.registrar.attach(who, Address(human))
    # Where the operator has put an inbox, there may be a person.
    assert (await home.house.registrar.attach(who, Address(home.ann.main_address))).outcome == "mailed"


async def test_a_human_is_replaced_so_often_and_never_once_they_have_vouched(home: Home) -> None:
    who = await asking(home, await home.register(HUMAN))
    await home.settle()
    code = await home.code_for(HUMAN)
    for index in range(newcomers.REPLACEMENTS):
        await home.house.registrar.attach(who, Address(f"h{index}@people.example"))
    with refused(OverQuota, "too_many_humans", field="human_email"):
        await home.house.registrar.attach(who, Address("more@people.example"))
    with refused(Unauthenticated, "wrong_code", field="otp_code"):
        await home.house.registrar.verify(who, code)
    last = f"h{newcomers.REPLACEMENTS - 1}@people.example"
    await home.house.registrar.verify(who, await home.code_for(last))
    with refused(Conflict, "already_verified"):
        await home.house.registrar.attach(who, Address(last))


async def test_a_key_to_a_part_attaches_no_human(home: Home) -> None:
    made = await verified(home)
    who = await asking(home, made)
    for given in (
        replace(who, account_id=made.account.id), replace(who, pod_id="p"), replace(who, rights=frozenset({"x"})),
    ):  # fmt: skip
        with refused(Forbidden, "missing_permission"):
            await home.house.registrar.attach(given, Address("more@people.example"))


async def test_what_an_unverified_organisation_may_have(home: Home) -> None:
    made = await home.register(HUMAN)
    id_, who = made.account.organization_id, await asking(home, made)
    kinds: tuple[allowance.Kind, ...] = ("domains", "pods", "keys", "list_entries", "webhooks")
    for kind in kinds:
        with refused(Forbidden, "not_verified"):
            await home.db.write(lambda tx, kind=kind: allowance.check(tx, id_, kind))
    with refused(Forbidden, "not_verified"):
        await home.key(organization_id=id_, creator=who)
    for index in range(allowance.UNVERIFIED.inboxes - 1):
        await home.account(f"more{index}", id_)
    with refused(OverQuota, "allowance"):
        await home.account("toomany", id_)


async def test_what_a_verified_organisation_may_have(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "SELF_REGISTERED", allowance.SELF_REGISTERED._replace(inboxes=2, keys=2))
    made = await verified(home)
    id_, who = made.account.organization_id, await asking(home, made)
    await home.account("more", id_)
    with refused(OverQuota, "allowance"):
        await home.account("toomany", id_)
    await home.account("byowner", id_, by_owner=True)
    await home.key(organization_id=id_, creator=who)
    with refused(OverQuota, "allowance"):
        await home.key(organization_id=id_, creator=who)


async def test_the_owners_organisation_may_have_as_much_as_it_will(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = allowance.Allowance(0, 0, 0, 0, 0, 0)
    monkeypatch.setattr(allowance, "SELF_REGISTERED", nothing)
    monkeypatch.setattr(allowance, "UNVERIFIED", nothing)
    await home.account("carl")
    await home.key(creator=Principal(home.organization_id))


async def test_a_newcomer_writes_to_few_people_elsewhere_and_to_more_as_it_grows_older(home: Home) -> None:
    home.submitter.limits = replace(home.submitter.limits, ladder=LADDER)
    made = await verified(home)
    who = await asking(home, made)
    people = (f"p{index}@elsewhere.example" for index in itertools.count())

    async def write(count: int) -> None:
        for address in itertools.islice(people, count):
            await home.send(to=address, account=made.account, by=who)

    (_, most), (_, more), (week, ten) = LADDER
    assert (most, more) == (3, 5)
    # A human has vouched: it stands on the last rung at once.
    await write(ten)
    with refused(TooMany, "newcomer"):
        await write(1)
    # Whom it has written to, whoever is in the house, and its human, count for nothing.
    await home.send(to=["p0@elsewhere.example", home.ann.main_address, HUMAN], account=made.account, by=who)
    home.clock.forward(seconds=week / 1000)
    await write(2)


async def test_what_was_refused_counts_for_nobody(home: Home) -> None:
    home.submitter.limits = replace(home.submitter.limits, ladder=((10**9, 2),))
    made = await verified(home)
    who = await asking(home, made)
    with refused(TooMany, "newcomer"):
        await home.send(to=["a@far.example", "b@far.example", "c@far.example"], account=made.account, by=who)
    await home.send(to=["d@far.example", "e@far.example"], account=made.account, by=who)


async def test_the_houses_own_code_goes_out_whatever_the_owner_has_tightened(home: Home) -> None:
    operator = await home.db.read(lambda tx: accounts.by_address(tx, home.house.settings.operator_address))
    assert operator is not None
    await home.set_level("read_only", operator)
    await home.list_entry(
        "send", "block", "people.example", on=home.organization_id, by=Principal(home.organization_id)
    )
    await home.register(HUMAN)
    await home.settle()
    (parcel,) = home.elsewhere.got(HUMAN)
    assert b"Auto-Submitted: auto-generated" in parcel.raw


async def test_a_bound_newcomer_has_one_inbox_and_a_key_to_it(home: Home) -> None:
    async def work(name: str = " Newbie.7 ") -> Registered:
        return await home.house.registrar.register(local_part=name, surface="atomicmail", has_worked=True)

    made = await work()
    who = key_rules.principal_of(made.key)
    assert (made.account.main_address, who.account_id) == (f"newbie.7@{DOMAIN}", made.account.id)
    assert made.secret.startswith("atm_")
    with refused(Conflict, "address_taken", field="username"):
        await work()
    for name in ("abcd", ".abcde", "a b c d", "postmaster", "x" * 22):
        with pytest.raises(Invalid):
            await work(name)


# --- Proof of work


@pytest.fixture
async def tokens(home: Home) -> Tokens:
    """What signs challenges."""
    return await Tokens.open(home.db, "https://agents.test", home.clock())


@pytest.fixture
def challenges(home: Home, tokens: Tokens) -> Iterator[Challenges]:
    """Puzzles of two bits."""
    made = Challenges(home.db, tokens, home.clock, salt="00", difficulty=2)
    yield made
    made.close()


def solve(home: Home, tokens: Tokens, token: str) -> Proof:
    """The first number that does it."""
    claims = tokens.read(token, "challenge", home.clock())
    for nonce in map(str, itertools.count()):
        digest = digest_of(claims["jti"], nonce, "00")
        if has_zero_bits(digest, claims["difficulty"]):
            return Proof(nonce, digest.hex())
    raise AssertionError


async def test_a_solved_challenge_is_taken_once(home: Home, challenges: Challenges, tokens: Tokens) -> None:
    token = challenges.issue("192.0.2.1")
    proof = solve(home, tokens, token)
    await challenges.solve(token, proof)
    with refused(Unauthenticated, "challenge_used"):
        await challenges.solve(token, proof)


async def test_a_wrong_proof_uses_the_challenge_up(home: Home, challenges: Challenges, tokens: Tokens) -> None:
    token = challenges.issue("192.0.2.1")
    proof = solve(home, tokens, token)
    with refused(Unauthenticated, "wrong_proof"):
        await challenges.solve(token, Proof(proof.nonce + "x", proof.pow_hex))
    with refused(Unauthenticated, "challenge_used"):
        await challenges.solve(token, proof)


async def test_a_challenge_has_its_time_and_its_kind(home: Home, challenges: Challenges, tokens: Tokens) -> None:
    token = challenges.issue("192.0.2.1")
    home.clock.forward(minutes=11)
    with refused(Unauthenticated, "token_expired"):
        await challenges.solve(token, Proof("0", "0" * 128))
    session = tokens.issue("session", {}, home.clock())
    with refused(Unauthenticated, "invalid_token"):
        await challenges.solve(session, Proof("0", "0" * 128))


async def test_whoever_asks_for_many_challenges_gets_harder_ones(
    home: Home, challenges: Challenges, tokens: Tokens
) -> None:
    def difficulty(address: str) -> int:
        return int(tokens.read(challenges.issue(address), "challenge", home.clock())["difficulty"])

    asked = [difficulty("192.0.2.1") for _ in range(100)]
    assert asked[0] == 2
    assert asked == sorted(asked)
    assert asked[-1] > asked[0]
    assert difficulty("192.0.2.2") == 2


async def test_keys_of_a_newcomer_are_counted_with_those_of_claims(home: Home) -> None:
    made = await home.register(HUMAN)
    await home.register(HUMAN, "claim")
    found = await home.db.read(lambda tx: keys.page(tx, made.account.organization_id))
    assert len(found) == 2
    assert await builders.count(home.db, "organization") == 2
