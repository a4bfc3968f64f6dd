"""A house without doors: the parts as `app.py` puts them together, a clock the test moves, a world that answers as told.

What the core is asked to do goes through the few verbs of `Home`, so that a change of a signature is one edit here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from core.world import BOB, Elsewhere, Zone
from flows.houses import Clock
from posthouse.accounts import accounts as account_rules
from posthouse.accounts import endpoints, installation
from posthouse.accounts import keys as key_rules
from posthouse.accounts import lists as list_rules
from posthouse.accounts.endpoints import Wanted
from posthouse.accounts.reach import Reach
from posthouse.app import House
from posthouse.events import outbox
from posthouse.events.webhooks import Breaker, Dialect
from posthouse.inbound import spool
from posthouse.inbound.spool import HandedIn, Incoming
from posthouse.kit.clock import MINUTE
from posthouse.kit.errors import Conflict, PosthouseError
from posthouse.kit.ids import new_id, new_secret
from posthouse.kit.principal import Principal
from posthouse.mail import drafts as draft_rules
from posthouse.mail import filing
from posthouse.mail.journal import changing
from posthouse.outbound import answers, approvals, scheduled, taking_back
from posthouse.outbound.request import Composition, Idempotency, RawMail, RecipientOptions, StoredMail, Submitted
from posthouse.store import (
    accounts,
    domains,
    events,
    holds,
    mailboxes,
    messages,
    organizations,
    submissions,
    webhooks,
)
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.domains import Domain
from posthouse.store.drafts import Draft
from posthouse.store.events import Event
from posthouse.store.holds import Hold
from posthouse.store.keys import ApiKey
from posthouse.store.lists import ListEntry
from posthouse.store.messages import Message, MessageBody
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.store.webhooks import WebhookDelivery, WebhookEndpoint
from posthouse.wire.address import Address
from posthouse.wire.compose import Outgoing
from posthouse.wire.message import ParsedMessage, parse
from store import builders
from store.builders import DOMAIN

# Where the owner reads mail.
OWNER = "olga@owners.example"
SURFACE = "agentmail"
# A key's surface, and that of the endpoints which are told in plain words.
PLAIN = "plain"


class Key(NamedTuple):
    """A key, the secret that is shown once, and who asks when it is presented."""

    row: ApiKey
    secret: str
    bearer: Principal


@contextmanager
def refused(kind: type[PosthouseError], reason: str | None = None, *, field: str | None = None) -> Iterator[None]:
    """The block is refused, for this reason and, where one is named, because of this field."""
    with pytest.raises(kind) as caught:
        yield
    assert type(caught.value) is kind
    assert caught.value.reason == reason
    assert field is None or caught.value.field == field


def people(given: str | Iterable[str]) -> tuple[Address, ...]:
    """Addresses out of one text or many."""
    return tuple(Address(each) for each in ([given] if isinstance(given, str) else given))


def outgoing(
    *,
    to: str | Iterable[str] = BOB,
    cc: str | Iterable[str] = (),
    bcc: str | Iterable[str] = (),
    reply_to: str | Iterable[str] = (),
    subject: str = "Hello",
    text: str | None = "Hi.\n",
    **more: Any,
) -> Outgoing:
    """What becomes a message; where it is sent, the send path sets its From and its date."""
    rest: dict[str, Any] = {
        "html": None, "attachments": (), "in_reply_to": None, "references": (), "headers": (), "message_id": None,
    }  # fmt: skip
    return Outgoing(
        from_=Address(f"ann@{DOMAIN}"), to=people(to), cc=people(cc), bcc=people(bcc),
        reply_to=people(reply_to), subject=subject, text=text, sent_at=0, **(rest | more),
    )  # fmt: skip


_OF_COMPOSITION = frozenset(Composition.__dataclass_fields__) - {"outgoing"}


def composition(**given: Any) -> Composition:
    """What to send, as a door understood it: words of `Composition`, and of `outgoing`."""
    beside = {name: given.pop(name) for name in list(given) if name in _OF_COMPOSITION}
    return Composition(outgoing(**given), **beside)


def raw_mail(raw: bytes, *recipients: str, mail_from: str = f"ann@{DOMAIN}", **more: Any) -> RawMail:
    """Bytes a client made, with their envelope."""
    return RawMail(raw, mail_from, [(each, RecipientOptions()) for each in recipients or (BOB,)], **more)


def stored_mail(message_id: str, *recipients: str, mail_from: str = f"ann@{DOMAIN}", **more: Any) -> StoredMail:
    """A message that lies in the account, with its envelope."""
    return StoredMail(message_id, mail_from, [(each, RecipientOptions()) for each in recipients or (BOB,)], **more)


def once(key: str = "k1", *, request: str = "r1", scope: str = "send") -> Idempotency:
    """A caller's key for a request."""
    return Idempotency(key, scope, request)


class Home:
    """A house with one inbox, ann's, and a principal that is bound to her.

    Attributes:
        owner: who alone decides on what is held.
        elsewhere: takes what leaves the house.
        zone: the DNS.
    """

    def __init__(self, house: House, clock: Clock, elsewhere: Elsewhere, zone: Zone, organization_id: str) -> None:
        self.house = house
        self.db = house.db
        self.blobs = house.blobs
        self.submitter = house.submitter
        self.clock = clock
        self.elsewhere = elsewhere
        self.zone = zone
        self.organization_id = organization_id
        self.owner = Principal(organization_id, is_owner=True)
        self.ann: Account

    @classmethod
    async def begin(cls, house: House, clock: Clock, zone: Zone) -> Home:
        """Furnish an empty house."""
        elsewhere = Elsewhere()
        house.router.outside = elsewhere
        house.dialects[PLAIN] = DIALECT
        # Named before the house begins, the shared domain has no keys: making some takes longer than most tests.
        shared = Domain(
            new_id(), DOMAIN, None, None, None, "VERIFIED", feedback_enabled=True, subdomains_enabled=False,
            verified_at=clock(), created_at=clock(), updated_at=clock(),
        )  # fmt: skip
        await house.db.write(lambda tx: domains.add(tx, shared))
        made = await installation.initialize(
            house.db, domain=DOMAIN, operator_address=house.settings.operator_address, makes_owner_key=False,
            inbound_secret="inbound", at=clock(),
        )  # fmt: skip
        home = cls(house, clock, elsewhere, zone, made.organization_id)
        home.ann = await home.account("ann")
        return home

    # -- who there is

    @property
    def agent(self) -> Principal:
        """Whoever is bound to ann's account, with all rights in it."""
        return self.bound(self.ann)

    @property
    def of_ann(self) -> Reach:
        """Ann's account alone."""
        return Reach(self.organization_id, self.ann.pod_id, self.ann)

    def bound(self, account: Account, **more: Any) -> Principal:
        """Whoever is bound to an account."""
        return Principal(account.organization_id, pod_id=account.pod_id, account_id=account.id, surface=SURFACE, **more)

    async def account(self, name: str, organization_id: str = "", **given: Any) -> Account:
        """A new inbox."""
        made = await self.db.write(
            lambda tx: account_rules.create(
                tx, organization_id or self.organization_id, at=self.clock(), default_domain=DOMAIN, local_part=name,
                **given,
            )
        )  # fmt: skip
        return made.account

    async def organization(self, id_: str = "other", **given: Any) -> str:
        """Another organisation, with its default pod."""

        async def unit(tx: Tx) -> None:
            await organizations.add(tx, builders.organization(id_, at=self.clock(), **given))
            await organizations.add_pod(tx, builders.pod(f"{id_}-pod", id_, at=self.clock()))

        await self.db.write(unit)
        return id_

    async def set_level(self, level: str | None, account: Account | None = None) -> None:
        """How closely an account, ann's, is watched from now on."""
        await self.db.write(lambda tx: accounts.set_level(tx, (account or self.ann).id, level, self.clock()))

    async def key(self, account: Account | None = None, *, creator: Principal | None = None, **given: Any) -> Key:
        """A key: to an account, or with `pod_id` to a pod, or to the whole organisation."""
        values: dict[str, Any] = {"organization_id": self.organization_id, "surface": SURFACE, "at": self.clock()}
        if account is not None:
            values |= {
                "organization_id": account.organization_id, "pod_id": account.pod_id, "account_id": account.id,
            }  # fmt: skip
        row, secret = await self.db.write(lambda tx: key_rules.create(tx, creator=creator, **(values | given)))
        return Key(row, secret, key_rules.principal_of(row))

    async def restrict(self, key: Key, rights: Sequence[str], *, by: Principal | None = None) -> None:
        """Leave a key no more than these rights."""
        await self.db.write(
            lambda tx: key_rules.change(tx, by or self.owner, key.row, name=None, rights=rights, at=self.clock())
        )

    async def revoke(self, key: Key) -> bool:
        """End a key."""
        return await self.db.write(lambda tx: key_rules.revoke(tx, key.row.organization_id, key.row.id, self.clock()))

    async def list_entry(
        self, direction: str, kind: str, entry: str, *, by: Principal | None = None, on: str | None = None
    ) -> ListEntry:
        """Put an address or a domain on a list: on ann's own, or that of `on`, by whom it is said."""
        within = {
            self.ann.id: self.of_ann,
            self.ann.pod_id: Reach(self.organization_id, self.ann.pod_id, None),
            self.organization_id: Reach(self.organization_id, None, None),
        }[on or self.ann.id]
        return await self.db.write(
            lambda tx: list_rules.put(tx, by or self.agent, within, direction, kind, entry, None, self.clock())
        )

    # -- sending

    async def submit(
        self,
        mail: Composition | RawMail | StoredMail,
        *,
        by: Principal | None = None,
        account: Account | None = None,
        **more: Any,
    ) -> Submitted:
        """Hand something over to be sent, as ann unless said otherwise."""
        return await self.submitter.submit(by or self.agent, (account or self.ann).id, mail, **more)

    async def send(
        self,
        *,
        by: Principal | None = None,
        account: Account | None = None,
        once: Idempotency | None = None,
        **given: Any,
    ) -> Submitted:
        """`submit` a composition."""
        return await self.submit(composition(**given), by=by, account=account, once=once)

    async def answer(self, to: Message, *, everyone: bool = False, text: str = "Yes.\n", **more: Any) -> Submitted:
        """Answer a message of ann's."""
        parent = await self.db.read(lambda tx: answers.parent(tx, to))
        fields = answers.reply(parent, everyone=everyone)
        written = Outgoing(
            from_=Address(""), to=fields.to, cc=fields.cc, bcc=(), reply_to=(), subject=fields.subject, text=text,
            html=None, attachments=(), in_reply_to=fields.in_reply_to, references=fields.references, headers=(),
            message_id=None, sent_at=0,
        )  # fmt: skip
        mail = Composition(written, thread_id=to.thread_id, answered_message_id=to.id)
        return await self.submit(mail, **more)

    async def pending(self) -> list[Hold]:
        """What waits for the owner."""
        return (await approvals.waiting(self.db, self.owner, limit=1_000))[0]

    async def approve(self, hold_id: str | None, *, by: Principal | None = None) -> Hold:
        """Have held mail sent."""
        return await approvals.approve(self.db, self.blobs, by or self.owner, hold_id or "", self.clock)

    async def reject(self, hold_id: str | None, why: str | None = None, *, by: Principal | None = None) -> Hold:
        """Have held mail never sent."""
        return await approvals.reject(self.db, by or self.owner, hold_id or "", why, self.clock)

    async def shown(self, hold_id: str | None) -> approvals.Shown:
        """Held mail as the owner is shown it."""
        hold = await approvals.find(self.db, self.owner, hold_id or "")
        return await approvals.shown(self.db, self.blobs, hold)

    async def take_back(self, sent: Submitted) -> bool:
        """The sender takes a submission back; False when it is too late."""

        async def unit(tx: Tx) -> None:
            async with changing(tx, self.ann.id, self.clock()) as journal:
                await taking_back.take_back(tx, journal, self.agent, sent.submission_id)

        try:
            await self.db.write(unit)
        except Conflict:
            return False
        return True

    async def tamper_with(self, sent: Submitted) -> None:
        """Somebody changes the stored bytes of what was taken on."""
        hash_ = (await self.submission(sent)).blob_hash
        raw = (await self.blobs.read(hash_)).replace(b"Hi.", b"Ha.")
        await self.db.write(lambda tx: tx.run("UPDATE blob SET data = :data WHERE hash = :hash", data=raw, hash=hash_))

    async def destroy(self, message: Message) -> None:
        """Somebody destroys a message of ann's."""

        async def unit(tx: Tx) -> None:
            async with changing(tx, self.ann.id, self.clock()) as journal:
                await filing.destroy(tx, journal, message)

        await self.db.write(unit)

    # -- drafts

    async def draft(
        self,
        *,
        by: Principal | None = None,
        send_at: int | None = None,
        kind: str = "new",
        parent: Message | None = None,
        labels: Sequence[str] = (),
        **given: Any,
    ) -> Draft:
        """Save a draft of ann's, to be sent at an instant where one is given."""
        writer = by or self.agent
        text = await draft_rules.prepare(self.blobs, outgoing(**given))

        async def unit(tx: Tx) -> Draft:
            plan = None
            if send_at is not None:
                plan = await scheduled.plan_for(tx, writer, self.ann, send_at)
            return await draft_rules.create(
                tx, self.ann, text, kind=kind, parent=parent, labels=labels, client_id=None, plan=plan,
                level=writer.level, at=self.clock(),
            )  # fmt: skip

        return await self.db.write(unit)

    async def written(self, draft: Draft) -> draft_rules.Written:
        """A draft as it is now."""
        return await self.db.read(lambda tx: draft_rules.get(tx, self.ann.id, draft.id))

    async def rewrite(
        self, before: draft_rules.Written, *, by: Principal | None = None, labels: Sequence[str] = (), **given: Any
    ) -> Draft:
        """Give a draft another text."""
        text = await draft_rules.prepare(self.blobs, outgoing(**given)) if given else None
        level = (by or self.agent).level
        return await self.db.write(
            lambda tx: draft_rules.rewrite(tx, self.ann, before, text, labels, level=level, at=self.clock())
        )

    async def send_draft(self, draft: Draft, *, by: Principal | None = None, **more: Any) -> Submitted:
        """Send a draft now."""
        return await self.house.drafts.send(by or self.agent, self.ann.id, draft.id, **more)

    # -- time, and what comes in

    async def settle(self) -> None:
        """File, carry, tell: all that is due."""
        await self.house.settle()

    async def later(self, **span: float) -> None:
        """Move the clock, then settle."""
        self.clock.forward(**span)
        await self.settle()

    async def receive(
        self,
        raw: bytes | None = None,
        *,
        account: Account | None = None,
        sender: str = BOB,
        came_to: str = "",
        client: str = "127.0.0.1",
    ) -> Message:
        """Take a mail in for ann from a host, and file it."""
        account = account or self.ann
        known = {message.id for message in await self.messages(account)}
        incoming = Incoming(
            sender, {account.id: [came_to or account.main_address]}, builders.mail() if raw is None else raw,
            HandedIn("smtp", "ESMTP", client_address=client, helo="mx.elsewhere.example"), DOMAIN,
        )  # fmt: skip
        await spool.receive(self.db, self.blobs, incoming, self.clock)
        await self.settle()
        new = [each for each in await self.messages(account) if each.id not in known and each.direction == "in"]
        assert new, "nothing was filed"
        return new[0]

    async def register(self, human: str | None = None, name: str = "newcomer") -> Any:
        """An organisation that registers itself."""
        return await self.house.registrar.register(
            human_email=Address(human) if human else None, local_part=name, surface=SURFACE, source=None, referrer=None
        )

    async def code_for(self, human: str) -> str:
        """The code that was mailed to a human last."""
        await self.settle()
        found = re.search(rb"The code is (\d{6})", self.elsewhere.got(human)[-1].raw)
        assert found is not None
        return found[1].decode()

    # -- what there is afterwards

    async def message(self, message_id: str, account: Account | None = None) -> Message:
        """A message as it is now."""
        found = await self.db.read(lambda tx: messages.get(tx, (account or self.ann).id, message_id))
        assert found is not None
        return found

    async def whole(self, message_id: str) -> tuple[Message, MessageBody]:
        """A message of ann's with its body."""
        found = await self.db.read(lambda tx: messages.get_whole(tx, self.ann.id, message_id))
        assert found is not None
        return found

    async def messages(self, account: Account | None = None, role: str = "") -> list[Message]:
        """An account's messages, or those in its mailbox of a role, in the order in which they were made."""

        async def unit(tx: Tx) -> list[Message]:
            owner = (account or self.ann).id
            ids = await messages.ids_of_account(tx, owner)
            if role:
                mailbox = await mailboxes.by_role(tx, owner, role)
                assert mailbox is not None
                places = await mailboxes.places(tx, owner, ids)
                ids = [id_ for id_ in ids if mailbox.id in {place.mailbox_id for place in places[id_]}]
            return sorted((await messages.get_many(tx, owner, ids)).values(), key=lambda message: message.id)

        return await self.db.read(unit)

    async def roles(self, message_id: str, account: Account | None = None) -> set[str | None]:
        """The roles of the mailboxes a message lies in."""

        async def unit(tx: Tx) -> set[str | None]:
            owner = (account or self.ann).id
            roles = {mailbox.id: mailbox.role for mailbox in await mailboxes.all_of(tx, owner)}
            return {roles[place.mailbox_id] for place in (await mailboxes.places(tx, owner, [message_id]))[message_id]}

        return await self.db.read(unit)

    async def bytes_of(self, message: Message) -> bytes:
        """The message itself."""
        return await self.blobs.read(message.blob_hash)

    async def parsed(self, message_id: str, account: Account | None = None) -> ParsedMessage:
        """A message as its bytes say it."""
        return parse(await self.bytes_of(await self.message(message_id, account)))

    async def submission(self, sent: Submitted) -> StoredSubmission:
        """What is remembered of a submission."""
        found = await self.db.read(lambda tx: submissions.get(tx, sent.submission_id))
        assert found is not None
        return found

    async def deliveries(self, sent: Submitted) -> dict[str, Delivery]:
        """The journey of each recipient."""
        found = await self.db.read(lambda tx: submissions.deliveries(tx, sent.submission_id))
        return {delivery.recipient: delivery for delivery in found}

    async def decided(self, hold_id: str) -> Hold:
        """A hold, decided or not."""
        found = await self.db.read(lambda tx: holds.get(tx, self.organization_id, hold_id))
        assert found is not None
        return found

    async def states(self, sent: Submitted) -> dict[str, str]:
        """What became of each recipient."""
        return {address: delivery.state for address, delivery in (await self.deliveries(sent)).items()}

    async def events(self, account: Account | None = None) -> list[Event]:
        """What an account was told of, in order."""
        return await self.db.read(lambda tx: events.of_account(tx, (account or self.ann).id, (0, ""), 1_000))

    async def told(self, account: Account | None = None) -> list[str]:
        """The types of what an account was told of."""
        return [event.type for event in await self.events(account)]

    # -- endpoints

    async def endpoint(
        self, url: str, *, by: Principal | None = None, within: Reach | None = None, **given: Any
    ) -> WebhookEndpoint:
        """Have events posted to a URL, in plain words: of the whole organisation, or of what lies within."""
        whole = Reach(self.organization_id, None, None)
        wanted = Wanted(url, **given)
        made = await self.db.write(
            lambda tx: endpoints.create(
                tx, by or Principal(self.organization_id), within or whole, wanted, surface=PLAIN, dialect=DIALECT,
                at=self.clock(),
            )
        )  # fmt: skip
        return made.endpoint

    async def tellings(self, endpoint: WebhookEndpoint) -> list[WebhookDelivery]:
        """What was or is to be told to an endpoint."""
        rows = await builders.rows(
            self.db, "SELECT id FROM webhook_delivery WHERE endpoint_id = :id ORDER BY created_at, id", id=endpoint.id
        )
        found = [
            await self.db.read(lambda tx, id_=row["id"]: webhooks.get_delivery(tx, endpoint.id, id_)) for row in rows
        ]
        return [telling for telling in found if telling is not None]


async def _render(tx: Tx, endpoint: WebhookEndpoint, event: Event) -> bytes | None:
    return json.dumps({"type": event.type, "id": event.id, "message_id": event.message_id}).encode()


DIALECT = Dialect(
    render=_render,
    headers=lambda endpoint, telling, at, body: {"telling": telling.id, "attempt": str(telling.attempts)},
    audience=lambda endpoint: (),
    sample=lambda event_type, event_id, at: json.dumps({"type": event_type, "id": event_id}).encode(),
    new_secret=lambda: new_secret("", 8),
    standard=outbox.STANDARD,
    own_headers=(),
    retry_ms=(1_000, 60_000),
    timeout_s=15.0,
    breaker=Breaker(failures=10, pause_ms=MINUTE),
)
