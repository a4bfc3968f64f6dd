"""A request that is repeated is done once."""

from __future__ import annotations

import asyncio

import pytest

from core.home import Home, composition, once, raw_mail, refused, stored_mail
from core.world import BOB
from posthouse.kit.errors import Conflict, Forbidden, Invalid
from posthouse.kit.principal import Principal
from posthouse.outbound.request import Composition, RawMail, StoredMail
from posthouse.store import idempotency
from store.builders import DOMAIN, mail

ANN = f"ann@{DOMAIN}"


@pytest.mark.parametrize("form", ["composition", "raw", "stored"])
async def test_a_repeated_request_is_given_the_first_answer(home: Home, form: str) -> None:
    draft = await home.draft()
    forms: dict[str, Composition | RawMail | StoredMail] = {
        "composition": composition(), "raw": raw_mail(mail(from_=ANN, to=BOB)), "stored": stored_mail(draft.message_id),
    }  # fmt: skip
    given = forms[form]
    first = await home.submit(given, once=once())
    again = await home.submit(given, once=once())
    assert (first.replayed, again.replayed) == (False, True)
    for field in ("submission_id", "message_id", "thread_id", "header_message_id", "held", "suppressed", "hold_id"):
        assert getattr(again, field) == getattr(first, field)
    await home.settle()
    assert len(home.elsewhere.got()) == 1


async def test_the_same_key_for_another_request_is_a_conflict(home: Home) -> None:
    await home.send(once=once(request="r1"))
    with refused(Conflict, "idempotency"):
        await home.send(once=once(request="r2"))
    with refused(Conflict, "idempotency"):
        await home.send(once=once(request="r1", scope="reply:false:m1"))
    assert len(await home.messages()) == 1


async def test_another_key_is_another_request(home: Home) -> None:
    first, second = await home.send(once=once("k1")), await home.send(once=once("k2"))
    assert first.submission_id != second.submission_id


async def test_nobody_elses_key_is_in_the_way(home: Home) -> None:
    carl = await home.account("carl")
    far = await home.account("far", await home.organization())
    answers = [
        await home.send(once=once(request="ann")),
        await home.send(once=once(request="carl"), account=carl, by=home.bound(carl)),
        await home.send(once=once(request="far"), account=far, by=home.bound(far)),
        await home.send(once=once(request="pod"), by=Principal(home.organization_id, pod_id=home.ann.pod_id)),
        await home.send(once=once(request="all"), by=Principal(home.organization_id)),
    ]
    assert not any(answer.replayed for answer in answers)
    assert len({answer.submission_id for answer in answers}) == 5


async def test_keys_that_reach_as_far_share_their_requests(home: Home) -> None:
    one, other = (await home.key(home.ann)).bearer, (await home.key(home.ann)).bearer
    first, again = await home.send(once=once(), by=one), await home.send(once=once(), by=other)
    assert again.replayed
    assert again.submission_id == first.submission_id


async def test_a_refused_request_is_not_remembered(home: Home) -> None:
    with refused(Invalid, "no_recipients"):
        await home.send(to=(), once=once())
    await home.set_level("read_only")
    with refused(Forbidden, "read_only"):
        await home.send(once=once())
    await home.set_level(None)
    assert not (await home.send(once=once())).replayed


async def test_an_answer_is_remembered_for_a_day(home: Home) -> None:
    first = await home.send(once=once())
    home.clock.forward(hours=23, minutes=59)
    assert (await home.send(once=once())).replayed
    home.clock.forward(minutes=1)
    second = await home.send(once=once(request="other"))
    assert not second.replayed
    assert second.submission_id != first.submission_id
    home.clock.forward(days=2)
    assert await home.db.write(lambda tx: idempotency.prune(tx, home.clock())) == 1


async def test_a_request_made_many_times_at_once_is_done_once(home: Home) -> None:
    answers = await asyncio.gather(*(home.send(once=once()) for _ in range(8)), return_exceptions=True)
    done = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert all(isinstance(answer, Conflict) for answer in answers if isinstance(answer, BaseException))
    assert len({answer.submission_id for answer in done}) == 1
    assert len(await home.messages()) == 1


async def test_a_replay_runs_nothing_of_the_doors(home: Home) -> None:
    run = []

    async def also(tx: object, sent: object) -> None:
        run.append(sent)

    await home.submit(composition(), once=once(), also=also)
    await home.submit(composition(), once=once(), also=also)
    assert len({id(each) for each in run}) == len(run) == 1


async def test_a_replay_is_given_even_where_sending_is_no_longer_allowed(home: Home) -> None:
    first = await home.send(once=once())
    await home.set_level("read_only")
    again = await home.send(once=once())
    assert (again.replayed, again.message_id) == (True, first.message_id)


async def test_the_earlier_answer_can_be_asked_for_without_sending(home: Home) -> None:
    assert await home.submitter.earlier(home.agent, once()) is None
    first = await home.send(once=once())
    found = await home.submitter.earlier(home.agent, once())
    assert found is not None
    assert (found.message_id, found.replayed) == (first.message_id, True)
    with refused(Conflict, "idempotency"):
        await home.submitter.earlier(home.agent, once(request="r2"))


async def test_a_draft_is_sent_once_by_its_key(home: Home) -> None:
    draft = await home.draft()
    first = await home.send_draft(draft, once=once())
    again = await home.send_draft(draft, once=once())
    assert (again.replayed, again.message_id) == (True, first.message_id)
    await home.settle()
    assert len(home.elsewhere.got()) == 1
