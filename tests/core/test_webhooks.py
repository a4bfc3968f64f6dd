"""Endpoints: made, told, told again, left alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from core.home import DIALECT, PLAIN, Home, refused
from flows.sinks import WebhookReceiver, webhook_receiver
from posthouse.accounts import endpoints
from posthouse.accounts.reach import Reach
from posthouse.accounts.rights import READS_MAIL
from posthouse.events import outbox
from posthouse.kit.errors import Forbidden, Invalid
from posthouse.kit.pages import PageRequest
from posthouse.kit.principal import Principal
from posthouse.store import organizations, webhook_health, webhooks
from posthouse.store.webhooks import WebhookEndpoint
from store import builders


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """A receiver of webhooks."""
    async with webhook_receiver() as found:
        yield found


def types(receiver: WebhookReceiver) -> list[str]:
    """What was told."""
    return [json.loads(call.body)["type"] for call in receiver.calls]


async def states(home: Home, endpoint: WebhookEndpoint) -> list[tuple[str, int]]:
    """State and attempts of each telling."""
    return [(telling.state, telling.attempts) for telling in await home.tellings(endpoint)]


async def test_an_endpoint_is_told_what_happened(home: Home, receiver: WebhookReceiver) -> None:
    endpoint = await home.endpoint(receiver.url, event_types=[], headers={"X-Mine": "1"})
    got = await home.receive()
    (call,) = receiver.calls
    (event,) = await home.events()
    assert json.loads(call.body) == {"type": "message.received", "id": event.id, "message_id": got.id}
    assert (call.headers["x-mine"], call.headers["attempt"]) == ("1", "1")
    assert await states(home, endpoint) == [("delivered", 1)]


async def test_what_was_refused_is_told_to_nobody(home: Home, receiver: WebhookReceiver) -> None:
    endpoint = await home.endpoint(receiver.url, event_types=[])
    await home.set_level("read_only")
    with pytest.raises(Exception, match="read and not send"):
        await home.send()
    await home.settle()
    assert await home.tellings(endpoint) == []


async def test_an_endpoint_hears_the_types_it_names(home: Home, receiver: WebhookReceiver) -> None:
    await home.endpoint(receiver.url, event_types=["message.sent", "message.held"])
    await home.receive()
    await home.send()
    await home.set_level("gated")
    await home.send()
    await home.settle()
    assert sorted(types(receiver)) == ["message.held", "message.sent"]


async def test_what_others_sort_out_is_heard_only_by_name(home: Home, receiver: WebhookReceiver) -> None:
    await home.endpoint(receiver.url, event_types=[])
    await home.list_entry("receive", "block", "example.org")
    await home.set_level("gated")
    await home.receive()
    await home.send()
    await home.settle()
    assert types(receiver) == []
    await home.endpoint(receiver.url, event_types=["message.received.blocked"])
    await home.receive()
    assert types(receiver) == ["message.received.blocked"]


async def test_an_endpoint_hears_of_its_scope_alone(home: Home, receiver: WebhookReceiver) -> None:
    carl = await home.account("carl")
    far = await home.account("far", await home.organization())
    pod = builders.pod("pod2", home.organization_id, at=home.clock(), is_default=False)
    await home.db.write(lambda tx: organizations.add_pod(tx, pod))
    pat = await home.account("pat", pod_id="pod2")
    made: dict[str, dict[str, Any]] = {
        "all": {}, "ann": {"within": home.of_ann}, "pod": {"within": Reach(home.organization_id, home.ann.pod_id, None)},
        "of carl": {"inbox_ids": [carl.id]}, "of pod2": {"pod_ids": ["pod2"]},
        "of both": {"inbox_ids": [home.ann.main_address], "pod_ids": ["pod2"]}, "off": {"is_enabled": False},
    }  # fmt: skip
    endpoints = {name: await home.endpoint(receiver.url, event_types=[], **given) for name, given in made.items()}
    for account in (home.ann, carl, pat, far):
        await home.receive(account=account)
    names = {home.ann.id: "ann", carl.id: "carl", pat.id: "pat", far.id: "far"}
    heard = {
        name: sorted(names[telling.account_id or ""] for telling in await home.tellings(endpoint))
        for name, endpoint in endpoints.items()
    }
    assert heard == {
        "all": ["ann", "carl", "pat"], "ann": ["ann"], "pod": ["ann", "carl"], "of carl": ["carl"],
        "of pod2": ["pat"], "of both": ["ann", "pat"], "off": [],
    }  # fmt: skip


async def test_what_was_not_heard_is_told_again_the_same(home: Home, receiver: WebhookReceiver) -> None:
    receiver.statuses = [500, 302]
    endpoint = await home.endpoint(receiver.url, event_types=[])
    await home.receive()
    assert await states(home, endpoint) == [("failed", 1)]
    await home.settle()
    assert len(receiver.calls) == 1
    await home.later(seconds=2)
    assert await states(home, endpoint) == [("failed", 2)]
    await home.later(seconds=80)
    assert await states(home, endpoint) == [("delivered", 3)]
    assert len({(call.body, call.headers["telling"]) for call in receiver.calls}) == 1
    assert [call.headers["attempt"] for call in receiver.calls] == ["1", "2", "3"]


async def test_a_telling_has_its_tries_and_is_dead_after_the_last(home: Home, receiver: WebhookReceiver) -> None:
    receiver.statuses = [500] * 3
    endpoint = await home.endpoint(receiver.url, event_types=[])
    await home.receive()
    for _ in range(5):
        await home.later(seconds=80)
    assert await states(home, endpoint) == [("dead", 3)]
    (telling,) = await home.tellings(endpoint)
    assert (telling.last_status, telling.last_error, telling.due_at) == (500, "answered 500", None)
    tries = (await home.db.read(lambda tx: webhooks.attempts(tx, [telling.id])))[telling.id]
    assert [each.status for each in tries] == [500, 500, 500]
    await home.db.write(lambda tx: endpoints.replay(tx, endpoint, telling.id, home.clock()))
    await home.settle()
    assert (await states(home, endpoint))[0][0] == "delivered"
    assert receiver.calls[-1].body == receiver.calls[0].body


async def test_a_url_that_is_never_called_is_dead_at_once(home: Home) -> None:
    endpoint = await home.endpoint("ftp://127.0.0.1/hook", event_types=[])
    await home.receive()
    assert await states(home, endpoint) == [("dead", 1)]


async def test_an_endpoint_that_is_gone_or_switched_off_hears_nothing_more(
    home: Home, receiver: WebhookReceiver
) -> None:
    receiver.statuses = [500, 500]
    gone = await home.endpoint(receiver.url, event_types=[])
    off = await home.endpoint(receiver.url, event_types=[])
    await home.receive()
    await home.db.write(lambda tx: endpoints.end(tx, gone, home.clock()))
    await home.db.write(
        lambda tx: tx.run("UPDATE webhook_endpoint SET is_enabled = :off WHERE id = :id", off=False, id=off.id)
    )
    await home.later(minutes=2)
    assert len(receiver.calls) == 2
    assert await home.tellings(gone) == []
    assert (await states(home, off))[0][0] == "dead"


async def test_an_endpoint_that_fails_on_and_on_is_left_alone_and_tried_with_one(
    home: Home, receiver: WebhookReceiver
) -> None:
    receiver.statuses = [500] * (DIALECT.breaker.failures + 1)
    endpoint = await home.endpoint(receiver.url, event_types=["message.sent"])
    for _ in range(DIALECT.breaker.failures):
        await home.send(to=home.ann.main_address)
    await home.settle()
    assert len(receiver.calls) == DIALECT.breaker.failures
    await home.later(seconds=30)
    await home.send(to=home.ann.main_address)
    await home.settle()
    assert len(receiver.calls) == DIALECT.breaker.failures
    # The pause is over: one telling finds out, and fails. Nobody else is sent after it.
    await home.later(seconds=40)
    assert len(receiver.calls) == DIALECT.breaker.failures + 1
    health = await home.db.read(lambda tx: webhook_health.get(tx, endpoint.id))
    assert health is not None
    assert health.failures == DIALECT.breaker.failures + 1
    assert health.paused_until > home.clock()
    for _ in range(6):
        await home.later(seconds=70)
    assert {state for state, _ in await states(home, endpoint)} == {"delivered"}
    health = await home.db.read(lambda tx: webhook_health.get(tx, endpoint.id))
    assert health is not None
    assert (health.failures, health.paused_until) == (0, 0)


async def test_one_endpoint_that_fails_keeps_no_other_waiting(home: Home, receiver: WebhookReceiver) -> None:
    async with webhook_receiver() as broken:
        broken.statuses = [500] * 50
        await home.endpoint(broken.url, event_types=["message.sent"])
        await home.endpoint(receiver.url, event_types=["message.sent"])
        for _ in range(DIALECT.breaker.failures + 2):
            await home.send(to=home.ann.main_address)
        await home.settle()
        assert len(receiver.calls) == DIALECT.breaker.failures + 2


async def test_endpoints_of_an_organisation_that_was_taken_over_are_gone(home: Home, receiver: WebhookReceiver) -> None:
    endpoint = await home.endpoint(receiver.url, event_types=[])
    await home.db.write(lambda tx: webhooks.delete_all(tx, home.organization_id))
    await home.receive()
    assert receiver.calls == []
    whole = Principal(home.organization_id)
    assert await home.db.read(lambda tx: webhooks.get(tx, whole.organization_id, endpoint.id)) is None


async def test_a_key_that_may_not_see_some_mail_has_nobody_told_of_it(home: Home, receiver: WebhookReceiver) -> None:
    few = replace(home.agent, rights=READS_MAIL)
    with refused(Forbidden, "missing_permission"):
        await home.endpoint(receiver.url, by=few, within=home.of_ann, event_types=["message.received.spam"])
    with refused(Forbidden, "missing_permission"):
        await home.endpoint(receiver.url, by=few, within=home.of_ann, event_types=["domain.verified"])
    with refused(Forbidden, "missing_permission"):
        await home.endpoint(receiver.url, by=replace(few, rights=frozenset()), within=home.of_ann)
    made = await home.endpoint(receiver.url, by=few, within=home.of_ann)
    assert set(made.event_types) == set(outbox.STANDARD) - {outbox.DOMAIN_VERIFIED}
    seeing = await home.endpoint(receiver.url)
    assert seeing.event_types == []
    with refused(Forbidden, "permission_escalation"):
        await home.db.read(
            lambda tx: endpoints.find_to_change(tx, few, Reach(home.organization_id, None, None), PLAIN, seeing.id)
        )


async def test_a_dialect_says_what_is_heard_without_a_name_and_which_headers_are_its_own(
    home: Home, receiver: WebhookReceiver
) -> None:
    dialect = replace(DIALECT, standard=("message.held", "message.sent"), own_headers=("x-plain-",))
    within = Reach(home.organization_id, None, None)

    async def make(**given: Any) -> endpoints.Made:
        wanted = endpoints.Wanted(receiver.url, **given)
        return await home.db.write(
            lambda tx: endpoints.create(
                tx, Principal(home.organization_id), within, wanted, surface=PLAIN, dialect=dialect, at=home.clock()
            )
        )

    with refused(Invalid, field="headers.X-Plain-Time"):
        await make(headers={"X-Plain-Time": "1"})
    made = await make(client_id="one")
    again = await make(client_id="one")
    assert (made.is_new, again.is_new, made.endpoint.id == again.endpoint.id) == (True, False, True)
    assert made.endpoint.event_types == ["message.held", "message.sent"]
    await home.set_level("gated")
    await home.receive()
    await home.send()
    await home.settle()
    assert types(receiver) == ["message.held"]


async def test_an_endpoint_is_changed_and_tried_and_the_organisations_log_says_so(
    home: Home, receiver: WebhookReceiver
) -> None:
    whole, within = Principal(home.organization_id), Reach(home.organization_id, None, None)
    made = await home.endpoint("http://127.0.0.1:9/", inbox_ids=[home.ann.id])
    changes = endpoints.Changes(receiver.url, inbox_ids=endpoints.Edit(removed=[home.ann.main_address]))
    changed = await home.db.write(lambda tx: endpoints.change(tx, whole, within, made, changes, home.clock()))
    assert (changed.url, changed.account_ids, changed.event_types) == (receiver.url, [], made.event_types)
    tried = await home.db.write(lambda tx: endpoints.try_out(tx, changed, DIALECT, "message.sent", home.clock()))
    await home.settle()
    assert types(receiver) == ["message.sent"]
    health = await home.db.read(lambda tx: endpoints.health(tx, changed))
    assert health.deliveries == {"delivered": 1}
    told = await home.db.read(lambda tx: endpoints.tellings(tx, changed, PageRequest(10)))
    assert [(each.delivery.id, len(each.attempts)) for each in told.items] == [(tried.delivery.id, 1)]
    logged = await builders.rows(
        home.db, "SELECT action FROM change_log WHERE object_id = :id ORDER BY modseq", id=made.id
    )
    assert [row["action"] for row in logged] == ["created", "updated"]
