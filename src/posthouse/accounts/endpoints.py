"""Endpoints that are told of events: made, changed, ended, and what each of them was told.

An endpoint belongs to the reach it was made in, and to the surface whose words it is told in. It hears of no more
mail than whoever made it may read; whoever may read less neither changes it nor has it told anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import allowance, hearing, pods
from posthouse.accounts.accounts import note_organization
from posthouse.accounts.reach import Reach
from posthouse.accounts.rights import READS_MAIL, hidden_from, may
from posthouse.events import outbox
from posthouse.events.webhooks import Dialect
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound
from posthouse.kit.ids import new_id
from posthouse.kit.pages import Page, PageRequest, cut
from posthouse.kit.principal import Principal
from posthouse.net.dialer import OWN_HEADERS, DialRefused, GuardedDialer
from posthouse.store import webhook_health, webhooks
from posthouse.store.database import Tx
from posthouse.store.webhook_health import WebhookHealth
from posthouse.store.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

_MAX_URL = 2_048
_MAX_FILTER = 10
_MAX_HEADERS = 20
_TOKEN = frozenset("!#$%&'*+-.^_`|~")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An endpoint to be made.

    Attributes:
        event_types: what it is to hear; none: what the dialect calls standard, as far as its maker may read that.
        inbox_ids, pod_ids: only of these, as the caller names them.
        headers: sent along with each delivery.
        client_id: the same one finds the endpoint made before.
    """

    url: str
    event_types: Sequence[str] = ()
    inbox_ids: Sequence[str] = ()
    pod_ids: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    client_id: str | None = None
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change of a list: `instead` takes its place, then some are added and some taken out."""

    instead: Sequence[str] | None = None
    added: Sequence[str] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change of an endpoint; what is empty or None stays."""

    url: str | None = None
    is_enabled: bool | None = None
    event_types: Sequence[str] = ()
    inbox_ids: Edit = Edit()
    pod_ids: Edit = Edit()


@dataclass(frozen=True, slots=True)
class Made:
    """An endpoint, and whether this call made it (a repeated `client_id` finds the first one)."""

    endpoint: WebhookEndpoint
    is_new: bool


@dataclass(frozen=True, slots=True)
class Telling:
    """What an endpoint was or is to be told, with the tries there have been."""

    delivery: WebhookDelivery
    attempts: Sequence[WebhookAttempt]


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint has been answering, and how many of its tellings are in each state. `answers` None: never."""

    endpoint: WebhookEndpoint
    answers: WebhookHealth | None
    deliveries: dict[str, int]


# --- What may be said


def check_url(dialer: GuardedDialer, url: str) -> None:
    """Raises `Invalid` for a URL that is never called."""
    if len(url) > _MAX_URL:
        raise Invalid(f"at most {_MAX_URL} characters", field="url")
    try:
        dialer.check_url(url)
    except DialRefused as error:
        raise Invalid(error.message, field="url") from error


def check_headers(dialect: Dialect, headers: Mapping[str, str]) -> dict[str, str]:
    """Headers to send along with each delivery.

    Raises:
        Invalid: a name that is no token or is the server's own, a value that is not one line, or too many.
    """
    if len(headers) > _MAX_HEADERS:
        raise Invalid(f"at most {_MAX_HEADERS} headers", field="headers")
    for name, value in headers.items():
        token = name and all(c.isascii() and (c.isalnum() or c in _TOKEN) for c in name)
        taken = name.lower() in OWN_HEADERS or name.lower().startswith(("content-", *dialect.own_headers))
        if not token or len(name) > 100 or taken:
            raise Invalid(f"{name!r} cannot be sent along", field=f"headers.{name}")
        if len(value) > 2_000 or any(ord(c) < 32 or ord(c) > 126 for c in value):
            raise Invalid("one line of ASCII, at most 2,000 characters", field=f"headers.{name}")
    return dict(headers)


def _check_filter(ids: Sequence[str], name: str) -> list[str]:
    found = list(dict.fromkeys(ids))
    if len(found) > _MAX_FILTER:
        raise Invalid(f"at most {_MAX_FILTER}", field=name)
    return found


def _check_may_hear(principal: Principal, types: Sequence[str]) -> None:
    right = hearing.lacking(principal, types)
    if right is not None:
        raise Forbidden(f"this key may not hear of that: it lacks the right {right}", reason="missing_permission")


def _heard(principal: Principal, dialect: Dialect, named: Sequence[str]) -> list[str]:
    """The types to be kept with an endpoint; none stands for `outbox.STANDARD`."""
    heard = list(dict.fromkeys(named)) or hearing.readable(principal, dialect.standard)
    return [] if not named and heard == list(outbox.STANDARD) else heard


# --- Making, finding, changing, ending


async def create(
    tx: Tx, principal: Principal, within: Reach, wanted: Wanted, *, surface: str, dialect: Dialect, at: int
) -> Made:
    """Have events of a reach told. The URL has been looked at already (`check_url`).

    Raises:
        Forbidden: the caller may not hear of what is named (reason `missing_permission`).
        Invalid: headers or filters.
        NotFound: an account or a pod that the caller cannot see, or that lies outside the reach.
        Conflict: the `client_id` is another endpoint's (reason `client_id_taken`).
        Forbidden, OverQuota: the organisation may have no more (`allowance.check`).
    """
    _check_may_hear(principal, wanted.event_types)
    headers = check_headers(dialect, wanted.headers)
    inbox_ids, pod_ids = _check_filter(wanted.inbox_ids, "inbox_ids"), _check_filter(wanted.pod_ids, "pod_ids")
    if wanted.client_id is not None:
        known = await webhooks.by_client_id(tx, within.organization_id, wanted.client_id)
        if known is not None:
            if known.surface != surface or not within.has_bound(known.pod_id, known.account_id):
                raise Conflict("this client_id is in use", field="client_id", reason="client_id_taken")
            return Made(known, is_new=False)
    await allowance.check(tx, within.organization_id, "webhooks")
    endpoint = WebhookEndpoint(
        id=new_id(),
        organization_id=within.organization_id,
        pod_id=within.pod_id,
        account_id=within.account_id,
        surface=surface,
        url=wanted.url,
        secret=dialect.new_secret(),
        is_enabled=wanted.is_enabled,
        event_types=_heard(principal, dialect, wanted.event_types),
        account_ids=await _account_ids(tx, principal, within, inbox_ids),
        pod_ids=await _pod_ids(tx, principal, pod_ids),
        headers=headers,
        client_id=wanted.client_id,
        hidden=sorted(hidden_from(principal)),
        created_at=at,
        updated_at=at,
    )
    await webhooks.add(tx, endpoint)
    await note_organization(tx, endpoint.organization_id, "WebhookEndpoint", endpoint.id, "created", at)
    return Made(endpoint, is_new=True)


async def page(tx: Tx, within: Reach, surface: str, asked: PageRequest) -> Page[WebhookEndpoint]:
    """A surface's endpoints that were made within a reach."""
    found = await webhooks.page(
        tx, within.organization_id, surface=surface, pod_id=within.pod_id, account_id=within.account_id,
        after=asked.after, ascending=asked.ascending, limit=asked.size + 1,
    )  # fmt: skip
    return cut(found, asked.size)


async def find(tx: Tx, within: Reach, surface: str, endpoint_id: str) -> WebhookEndpoint:
    """An endpoint within a reach. Raises `NotFound`."""
    endpoint = await webhooks.get(tx, within.organization_id, endpoint_id)
    if endpoint is None or endpoint.surface != surface or not within.has_bound(endpoint.pod_id, endpoint.account_id):
        raise NotFound("there is no such webhook", field="webhook_id")
    return endpoint


async def find_to_change(
    tx: Tx, principal: Principal, within: Reach, surface: str, endpoint_id: str
) -> WebhookEndpoint:
    """An endpoint to be changed or made to speak.

    Raises:
        NotFound: there is none within the reach.
        Forbidden: it hears of mail that the caller may not see (reason `permission_escalation`).
    """
    endpoint = await find(tx, within, surface, endpoint_id)
    if hidden_from(principal) - set(endpoint.hidden) or not may(principal, READS_MAIL):
        raise Forbidden("this webhook hears of mail that this key may not see", reason="permission_escalation")
    return endpoint


async def change(
    tx: Tx, principal: Principal, within: Reach, endpoint: WebhookEndpoint, changes: Changes, at: int
) -> WebhookEndpoint:
    """Change an endpoint found by `find_to_change`; returns it as it is now.

    Raises:
        Forbidden, Invalid, NotFound: as `create` does. A filter may be rid of an account that is gone.
    """
    _check_may_hear(principal, changes.event_types)
    accounts, pods_ = changes.inbox_ids, changes.pod_ids
    account_ids = list(endpoint.account_ids)
    if accounts.instead is not None:
        account_ids = await _account_ids(tx, principal, within, accounts.instead)
    account_ids += await _account_ids(tx, principal, within, accounts.added)
    gone = {await _account_or_none(tx, principal, inbox_id) for inbox_id in accounts.removed}
    pod_ids = list(endpoint.pod_ids) if pods_.instead is None else await _pod_ids(tx, principal, pods_.instead)
    pod_ids += await _pod_ids(tx, principal, pods_.added)
    changed = replace(
        endpoint,
        url=changes.url or endpoint.url,
        is_enabled=endpoint.is_enabled if changes.is_enabled is None else changes.is_enabled,
        event_types=list(dict.fromkeys(changes.event_types)) or endpoint.event_types,
        account_ids=_check_filter([each for each in account_ids if each not in gone], "inbox_ids"),
        pod_ids=_check_filter([each for each in pod_ids if each not in pods_.removed], "pod_ids"),
        updated_at=at,
    )
    await webhooks.replace(tx, changed)
    await note_organization(tx, endpoint.organization_id, "WebhookEndpoint", endpoint.id, "updated", at)
    return changed


async def set_headers(
    tx: Tx, dialect: Dialect, endpoint: WebhookEndpoint, given: Mapping[str, str], gone: Sequence[str], at: int
) -> None:
    """Set headers to send along with each delivery, and take some away.

    Raises:
        Invalid: one is both set and taken away, or as `check_headers`.
    """
    away, set_ = {name.lower() for name in gone}, {name.lower() for name in given}
    if away & set_:
        raise Invalid("a header is both set and taken away", field="remove_headers")
    kept = {name: value for name, value in endpoint.headers.items() if name.lower() not in away | set_}
    headers = check_headers(dialect, {**kept, **given})
    await webhooks.set_headers(tx, endpoint.organization_id, endpoint.id, headers, at)
    await note_organization(tx, endpoint.organization_id, "WebhookEndpoint", endpoint.id, "updated", at)


async def end(tx: Tx, endpoint: WebhookEndpoint, at: int) -> None:
    """Delete an endpoint with what it has not been told."""
    await webhooks.delete(tx, endpoint.organization_id, endpoint.id)
    await note_organization(tx, endpoint.organization_id, "WebhookEndpoint", endpoint.id, "destroyed", at)


async def _account_ids(tx: Tx, principal: Principal, within: Reach, named: Sequence[str]) -> list[str]:
    found = []
    for inbox_id in named:
        account = await account_rules.find_in_scope(tx, principal, inbox_id)
        if not within.has(account):
            raise NotFound("there is no such inbox", field="inbox_ids")
        found.append(account.id)
    return found


async def _account_or_none(tx: Tx, principal: Principal, inbox_id: str) -> str | None:
    try:
        return (await account_rules.find_in_scope(tx, principal, inbox_id)).id
    except NotFound:
        return None


async def _pod_ids(tx: Tx, principal: Principal, named: Sequence[str]) -> list[str]:
    return [(await pods.find_in_scope(tx, principal, pod_id)).id for pod_id in named]


# --- What it was told


async def tellings(tx: Tx, endpoint: WebhookEndpoint, asked: PageRequest) -> Page[Telling]:
    """What an endpoint was told, each with its tries."""
    found = await webhooks.deliveries(
        tx, endpoint.id, after=asked.after, ascending=asked.ascending, limit=asked.size + 1
    )
    shown = cut(found, asked.size)
    attempts = await webhooks.attempts(tx, [each.id for each in shown.items]) if shown.items else {}
    return shown.map(lambda delivery: Telling(delivery, attempts[delivery.id]))


async def telling(tx: Tx, endpoint: WebhookEndpoint, delivery_id: str) -> Telling:
    """One of them. Raises `NotFound`."""
    delivery = await webhooks.get_delivery(tx, endpoint.id, delivery_id)
    if delivery is None:
        raise NotFound("there is no such delivery", field="delivery_id")
    return Telling(delivery, (await webhooks.attempts(tx, [delivery.id]))[delivery.id])


async def replay(tx: Tx, endpoint: WebhookEndpoint, delivery_id: str, at: int) -> Telling:
    """Have it told once more, the same bytes under the same id; the circuit closes. Raises `NotFound`."""
    delivery = (await telling(tx, endpoint, delivery_id)).delivery
    await webhook_health.reset(tx, endpoint.id)
    await webhooks.replay(tx, delivery.id, at)
    return await telling(tx, endpoint, delivery_id)


async def try_out(tx: Tx, endpoint: WebhookEndpoint, dialect: Dialect, event_type: str, at: int) -> Telling:
    """Have an endpoint told a made-up event; it is no event of any account."""
    event_id = new_id()
    delivery = WebhookDelivery(
        id=new_id(), endpoint_id=endpoint.id, organization_id=endpoint.organization_id,
        account_id=endpoint.account_id, event_id=event_id, event_type=event_type,
        body=dialect.sample(event_type, event_id, at), state="pending", attempts=0, due_at=at, leased=False,
        last_status=None, last_error=None, created_at=at, updated_at=at,
    )  # fmt: skip
    await webhooks.add_rendered(tx, delivery)
    return Telling(delivery, ())


async def health(tx: Tx, endpoint: WebhookEndpoint) -> Health:
    """How an endpoint has been answering."""
    answers = await webhook_health.get(tx, endpoint.id)
    return Health(endpoint, answers, await webhooks.count_by_state(tx, endpoint.id))
