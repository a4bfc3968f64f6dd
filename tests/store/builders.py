"""Small worlds for the tests of the store: an organisation, accounts, mail in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from posthouse.mail import filing
from posthouse.mail.journal import Journal, changing
from posthouse.mail.mailboxes import provision
from posthouse.store import accounts, blobs, mailboxes, messages, organizations, webhooks
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blob
from posthouse.store.database import Database, Row, Tx
from posthouse.store.mailboxes import Mailbox
from posthouse.store.messages import Message
from posthouse.store.organizations import Organization, Pod
from posthouse.store.spool import Spooled
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.store.webhooks import WebhookDelivery, WebhookEndpoint
from posthouse.wire.message import ParsedMessage, parse

AT = 1_700_000_000_000
DOMAIN = "agents.test"


def organization(id_: str = "org", *, at: int = AT, **values: Any) -> Organization:
    """An organisation; `values` replace the defaults."""
    given = {"name": id_, "slug": None, "level": "monitored", "modseq": 0, "self_registered": False}
    return Organization(id=id_, created_at=at, updated_at=at, **(given | values))


def pod(id_: str = "org-pod", organization_id: str = "org", *, at: int = AT, **values: Any) -> Pod:
    """A pod, the default one unless said otherwise."""
    given = {"name": id_, "client_id": None, "is_default": True}
    return Pod(id=id_, organization_id=organization_id, created_at=at, updated_at=at, **(given | values))


def account(id_: str, organization_id: str = "org", *, at: int = AT, **values: Any) -> Account:
    """An account in the organisation's default pod."""
    given: dict[str, Any] = {
        "pod_id": f"{organization_id}-pod", "main_address": f"{id_}@{DOMAIN}", "display_name": None,
        "client_id": None, "metadata": None, "level": None, "modseq": 0, "indexed_modseq": 0, "used_bytes": 0,
        "quota_bytes": None,
    }  # fmt: skip
    return Account(id=id_, organization_id=organization_id, created_at=at, updated_at=at, **(given | values))


def spooled(id_: str, *, at: int = AT, **values: Any) -> Spooled:
    """A mail for ann in the spool, due when it came in."""
    given: dict[str, Any] = {
        "account_id": "ann", "blob_hash": "h", "mail_from": "b@x", "recipients": ["a@x", "ü@x"],
        "handed_in": {"via": "smtp"}, "size_bytes": 9, "attempts": 0, "leased": False, "last_error": None,
    }  # fmt: skip
    return Spooled(id=id_, received_at=at, due_at=at, **(given | values))


def submission(id_: str = "s", **values: Any) -> StoredSubmission:
    """A submission of ann's."""
    given: dict[str, Any] = {
        "organization_id": "org", "account_id": "ann", "message_id": "m", "thread_id": "t", "blob_hash": "h",
        "header_message_id": "1@x", "mail_from": "b+1@x", "envelope_id": "e", "dsn_return": "HDRS", "state": "queued",
        "key_id": None, "surface": "smtp", "created_at": AT, "expires_at": AT + 100,
    }  # fmt: skip
    return StoredSubmission(id=id_, **(given | values))


def delivery(id_: str, *, due_at: int | None = AT, **values: Any) -> Delivery:
    """A delivery of that submission."""
    given: dict[str, Any] = {
        "submission_id": "s", "account_id": "ann", "recipient": f"{id_}@y", "original_recipient": f"rfc822;{id_}@y",
        "notify": "", "domain": "y", "state": "queued", "attempts": 0, "leased": False, "delay_noticed": False,
        "status": None, "diagnostic": None, "remote_mta": None, "created_at": AT, "updated_at": AT,
    }  # fmt: skip
    return Delivery(id=id_, due_at=due_at, **(given | values))


def endpoint(id_: str = "w", **values: Any) -> WebhookEndpoint:
    """A webhook endpoint of the organisation."""
    given: dict[str, Any] = {
        "organization_id": "org", "pod_id": None, "account_id": None, "surface": "agentmail", "url": "https://h.test/",
        "secret": "s", "is_enabled": True, "event_types": ["message.received"], "account_ids": [], "pod_ids": [],
        "headers": {"X-A": "ü"}, "client_id": None, "hidden": [], "created_at": AT, "updated_at": AT,
    }  # fmt: skip
    return WebhookEndpoint(id=id_, **(given | values))


def telling(id_: str, *, at: int = AT, **values: Any) -> WebhookDelivery:
    """A delivery to that endpoint, due at once."""
    given: dict[str, Any] = {
        "endpoint_id": "w", "organization_id": "org", "account_id": "ann", "event_id": f"e-{id_}",
        "event_type": "message.received", "body": None, "state": "pending", "attempts": 0, "leased": False,
        "last_status": None, "last_error": None,
    }  # fmt: skip
    return WebhookDelivery(id=id_, due_at=at, created_at=at, updated_at=at, **(given | values))


async def settle_in(tx: Tx, *names: str, organization_id: str = "org") -> None:
    """Make accounts with their mailboxes, reached at `name@agents.test`, and the organisation they need."""
    if await organizations.get(tx, organization_id) is None:
        await organizations.add(tx, organization(organization_id))
        await organizations.add_pod(tx, pod(f"{organization_id}-pod", organization_id))
    for name in names:
        await accounts.add(tx, account(name, organization_id))
        assert await accounts.claim_address(tx, f"{name}@{DOMAIN}", name, DOMAIN, AT)
        async with changing(tx, name, AT) as journal:
            await provision(tx, journal)


async def house(db: Database, *names: str, organization_id: str = "org") -> None:
    """`settle_in` in a unit of its own."""
    await db.write(lambda tx: settle_in(tx, *names, organization_id=organization_id))


def mail(
    subject: str = "hello",
    *,
    message_id: str | None = None,
    references: Sequence[str] = (),
    in_reply_to: Sequence[str] = (),
    from_: str = "bob@example.org",
    to: str = f"ann@{DOMAIN}",
    cc: str = "",
    bcc: str = "",
    body: str = "words",
    extra: str = "",
) -> bytes:
    """A message of one text part."""
    lines = [f"From: {from_}", f"To: {to}", f"Subject: {subject}"]
    if cc:
        lines.append(f"Cc: {cc}")
    if bcc:
        lines.append(f"Bcc: {bcc}")
    if message_id:
        lines.append(f"Message-ID: <{message_id}>")
    if in_reply_to:
        lines.append("In-Reply-To: " + " ".join(f"<{one}>" for one in in_reply_to))
    if references:
        lines.append("References: " + " ".join(f"<{one}>" for one in references))
    lines += [extra] if extra else []
    lines += ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", ""]
    return "\r\n".join([*lines, body, ""]).encode()


def blob_of(raw: bytes) -> Blob:
    """The blob of a small message."""
    return Blob(blobs.digest(raw), len(raw), raw)


async def file(tx: Tx, journal: Journal, raw: bytes, **values: Any) -> Message:
    """File a received message into the inbox; `values` replace fields of `NewMessage`."""
    parsed: ParsedMessage = values.pop("parsed", None) or parse(raw)
    given: dict[str, Any] = {"direction": "in", "mailbox_roles": ["inbox"], "received_at": journal.at}
    return await filing.file(tx, journal, filing.NewMessage(parsed, blob_of(raw), **(given | values)))


async def deliver(tx: Tx, account_id: str, raw: bytes, *, at: int = AT, **values: Any) -> Message:
    """File a message under a change number of its own."""
    async with changing(tx, account_id, at, added_bytes=len(raw)) as journal:
        return await file(tx, journal, raw, **values)


async def receive(db: Database, account_id: str, raw: bytes | None = None, *, at: int = AT, **values: Any) -> Message:
    """`deliver` in a unit of its own."""
    return await db.write(lambda tx: deliver(tx, account_id, mail() if raw is None else raw, at=at, **values))


async def mark(db: Database, account_id: str, message_id: str, keywords: Collection[str], *, at: int = AT) -> None:
    """Replace a message's keywords, as it is when the account's turn has come."""

    async def unit(tx: Tx) -> None:
        async with changing(tx, account_id, at) as journal:
            found = await messages.get(tx, account_id, message_id)
            assert found is not None
            await filing.set_keywords(tx, journal, found, keywords)

    await db.write(unit)


async def destroy(db: Database, message: Message, *, at: int = AT, bury: bool = True) -> None:
    """Destroy a message under a change number of its own."""

    async def unit(tx: Tx) -> None:
        async with changing(tx, message.account_id, at) as journal:
            await filing.destroy(tx, journal, message, bury=bury)

    await db.write(unit)


async def role(db: Database, account_id: str, name: str) -> Mailbox:
    """The account's mailbox with a role."""
    found = await db.read(lambda tx: mailboxes.by_role(tx, account_id, name))
    assert found is not None
    return found


async def rows(db: Database, sql: str, **values: Any) -> list[Row]:
    """What a query gives, as dictionaries."""

    async def unit(tx: Tx) -> list[Row]:
        return [dict(row) for row in await tx.all(sql, **values)]

    return await db.read(unit)


async def count(db: Database, table: str) -> int:
    """How many rows a table has."""
    return int((await rows(db, f"SELECT count(*) AS total FROM {table}"))[0]["total"])


async def claim_tellings(tx: Tx, now: int, lease_until: int, limit: int) -> list[WebhookDelivery]:
    """Take tellings that are due, whomever they are for."""
    return await webhooks.take(tx, [each for each, _ in await webhooks.due(tx, now, limit)], lease_until)
