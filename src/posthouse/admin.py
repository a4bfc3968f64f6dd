"""The owner's commands, as functions of a `House`: what the command line and the control socket both run.

Each takes and answers plain values that survive JSON. Errors are the core's own.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography import x509

from posthouse import tenancy
from posthouse.accounts import accounts as account_rules
from posthouse.accounts import keys as key_rules
from posthouse.accounts import undelete
from posthouse.accounts.installation import Initialized, initialize
from posthouse.api.surfaces import BY_NAME
from posthouse.app import House
from posthouse.kit import private
from posthouse.kit.clock import iso, to_datetime
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound
from posthouse.kit.principal import LEVELS, Principal
from posthouse.mail import indexing
from posthouse.net import tls
from posthouse.outbound import approvals
from posthouse.store import (
    accounts,
    domains,
    events,
    graveyard,
    holds,
    jobs,
    keys,
    organizations,
    spool,
)
from posthouse.store.database import Tx
from posthouse.store.holds import Hold
from posthouse.store.organizations import Organization
from posthouse.store.sqlite import SqliteDatabase
from posthouse.wire.address import normalize, split
from posthouse.wire.dkim_sign import dns_name, dns_record, load_key

Command = Callable[..., Awaitable[dict[str, Any]]]

# Names of surfaces that this version lacks are known, and refused with a sentence.
KNOWN_SURFACES = tuple(sorted({*BY_NAME, "mailgi", "agenticmail", "commune"}))
# Held mails on a page, characters of a body where not all was asked for, and of all bodies on a page.
MAX_PENDING, SHOWN_CHARS = 100, 4_000
_MAX_PAGE_CHARS = 4_000_000


class NotBuilt(Invalid):
    """Known, and not part of this version."""

    code = "not_built"


async def init(house: House) -> Initialized:
    """Make what the data folder lacks: keys, organisation, domain, the owner's key (kept in `owner.key`)."""
    settings = house.settings
    cert, key = settings.data_dir / "tls-cert.pem", settings.data_dir / "tls-key.pem"
    if settings.tls_cert is None and not (cert.exists() and key.exists()):
        names = [settings.domain, "localhost", "127.0.0.1", "::1"]
        await asyncio.to_thread(tls.make_self_signed, names, key, cert)
    made = await initialize(
        house.db,
        domain=settings.domain,
        operator_address=settings.operator_address,
        makes_owner_key=not settings.master_key,
        inbound_secret=settings.inbound_secret,
        at=house.clock(),
    )
    if made.owner_key is not None:
        write_secret(settings.data_dir / "owner.key", made.owner_key)
    return made


def write_secret(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(secret + "\n", "utf-8")


async def _organization(tx: Tx, named: str | None = None) -> Organization:
    return await tenancy.organization(tx, named)


async def _owner(house: House) -> Principal:
    organization = await house.db.read(_organization)
    return Principal(organization.id, is_owner=True)


def check_level(level: str | None) -> str | None:
    """A level.

    Raises:
        Invalid: no level of ours.
    """
    if level is None:
        return None
    if level not in LEVELS:
        raise Invalid(f"the levels are {', '.join(LEVELS)}", field="level")
    return level


async def inbox_create(house: House, *, address: str, organization: str | None = None) -> dict[str, Any]:
    """Make an inbox in the default organisation, or in the one named; one that exists is answered as it is.

    Raises:
        Conflict: it exists in another organisation than the one named.
    """
    local, _, domain = address.strip().rpartition("@")
    if not local:
        local, domain = domain, house.settings.domain

    async def unit(tx: Tx) -> dict[str, Any]:
        owner = await _organization(tx, organization)
        existing = await accounts.by_address(tx, normalize(f"{local}@{domain}"))
        if existing is None:
            created = await account_rules.create(
                tx,
                owner.id,
                at=house.clock(),
                default_domain=house.settings.domain,
                local_part=local,
                domain=domain,
                by_owner=True,
            )
            existing = created.account
        elif organization is not None and existing.organization_id != owner.id:
            raise Conflict(f"{existing.main_address} belongs to another organisation", reason="address_taken")
        return {"address": existing.main_address, "id": existing.id}

    return await house.db.write(unit)


async def key_create(
    house: House,
    *,
    surface: str,
    inbox: str | None = None,
    scopes: list[str] | None = None,
    level: str | None = None,
    name: str = "",
    organization: str | None = None,
) -> dict[str, Any]:
    """Make a key for a surface, for one inbox or for a whole organisation: the one named, else the default one."""
    if surface not in KNOWN_SURFACES:
        raise Invalid(f"the surfaces are {', '.join(KNOWN_SURFACES)}", field="surface")
    spoken = BY_NAME.get(surface)
    if spoken is None:
        raise NotBuilt(f"this version does not speak {surface} yet", field="surface")
    unknown = sorted(set(scopes or ()) - spoken.permissions.keys())
    if unknown:
        raise Invalid(f"{unknown[0]!r} is no permission of {surface}", field="scopes")
    checked = check_level(level)

    async def unit(tx: Tx) -> dict[str, Any]:
        account = await accounts.by_address(tx, normalize(inbox)) if inbox else None
        owner = await _organization(tx, account.organization_id if account and not organization else organization)
        if inbox:
            if account is None or account.organization_id != owner.id:
                raise Invalid(f"there is no inbox {inbox}; make it with `posthouse inbox create`", field="inbox")
        elif spoken.is_of_one_account:
            domain = house.settings.domain
            created = await account_rules.create(tx, owner.id, at=house.clock(), default_domain=domain, by_owner=True)
            account = created.account
        key, secret = await key_rules.create(
            tx,
            organization_id=owner.id,
            surface=surface,
            name=name or "made on the command line",
            pod_id=account.pod_id if account else None,
            account_id=account.id if account else None,
            rights=None if scopes is None else spoken.rights_of(scopes),
            level=checked,
            at=house.clock(),
        )
        return {
            "key": secret,
            "id": key.id,
            "surface": surface,
            "inbox": account.main_address if account else None,
            "organization": owner.id,
        }

    return await house.db.write(unit)


async def key_list(house: House, *, organization: str | None = None) -> dict[str, Any]:
    """The keys of the default organisation or of the one named, newest first; never the secrets."""

    async def unit(tx: Tx) -> dict[str, Any]:
        found = await keys.page(tx, (await _organization(tx, organization)).id)
        known = await accounts.get_many(tx, [key.account_id for key in found if key.account_id])
        return {
            "keys": [
                {
                    "id": key.id,
                    "prefix": key.prefix,
                    "surface": key.surface,
                    "name": key.name,
                    "inbox": known[key.account_id].main_address if key.account_id in known else None,
                    "level": key.level,
                    "created_at": iso(key.created_at),
                    "used_at": iso(key.used_at) if key.used_at else None,
                }
                for key in found
            ]
        }

    await house.keys.flush()
    return await house.db.read(unit)


async def key_revoke(house: House, *, id: str) -> dict[str, Any]:
    """Make a key worthless from now on, whosever it is."""

    async def unit(tx: Tx) -> dict[str, Any]:
        organization_id = await keys.organization_of(tx, id)
        if organization_id is None or not await key_rules.revoke(tx, organization_id, id, house.clock()):
            raise NotFound(f"there is no key {id}; `posthouse key list` shows them")
        return {"revoked": id}

    return await house.db.write(unit)


async def level_set(
    house: House, *, level: str, inbox: str | None = None, organization: str | None = None
) -> dict[str, Any]:
    """Change the oversight level of an inbox, or of the organisation named, else of the default one."""
    checked = check_level(level)
    assert checked is not None

    async def unit(tx: Tx) -> dict[str, Any]:
        at = house.clock()
        if inbox is None:
            owner = await _organization(tx, organization)
            await organizations.set_level(tx, owner.id, checked, at)
            await account_rules.note_organization(tx, owner.id, "Organization", owner.id, "updated", at)
        else:
            account = await tenancy.inbox(tx, inbox)
            await accounts.set_level(tx, account.id, checked, at)
            await account_rules.note_organization(tx, account.organization_id, "Account", account.id, "updated", at)
        return {"level": checked, "inbox": inbox, "organization": owner.id if inbox is None else None}

    return await house.db.write(unit)


async def pending(
    house: House,
    *,
    id: str | None = None,
    full: bool = False,
    short: bool = False,
    after: str | None = None,
    limit: int = 20,
) -> dict[str, Any]:
    """What waits for the owner's decision, what waits longest first: everything that would leave.

    Args:
        id: this one alone, whole.
        full: with whole bodies; else the first `SHOWN_CHARS` of each.
        short: what a list needs, without bodies.
        after: the `next` of the page before.
    """
    owner = await _owner(house)
    if id is not None:
        found, total, full = [await approvals.find(house.db, owner, id)], 1, True
    else:
        found, total = await approvals.waiting(
            house.db, owner, after=_position(after), limit=max(1, min(limit, MAX_PENDING)) + 1
        )
    page: list[dict[str, Any]] = []
    size = 0
    for hold in found[:MAX_PENDING] if id is not None else found[: max(1, min(limit, MAX_PENDING))]:
        if size > _MAX_PAGE_CHARS:
            break
        page.append(await _held(house, hold, full=full, short=short))
        size += len(page[-1].get("text", "")) + len(page[-1].get("html_text") or "")
    more = found[len(page) - 1] if page and len(page) < len(found) else None
    return {"pending": page, "total": total, "next": f"{more.created_at}.{more.id}" if more else None}


def _position(after: str | None) -> tuple[int, str] | None:
    if after is None:
        return None
    at, _, hold_id = after.partition(".")
    if not (at.isascii() and at.isdecimal() and len(at) < 18 and hold_id):
        raise Invalid("expected the `next` of a page before", field="after")
    return int(at), hold_id


async def _held(house: House, hold: Hold, *, full: bool, short: bool) -> dict[str, Any]:
    """One held mail; where it can no longer be shown, why."""
    try:
        shown = await approvals.shown(house.db, house.blobs, hold)
    except (NotFound, Forbidden) as error:
        return {"id": hold.id, "created_at": iso(hold.created_at), "error": error.message}
    entry: dict[str, Any] = {
        "id": hold.id,
        "from": shown.inbox,
        "to": list(shown.recipients),
        "subject": shown.subject,
        "preview": shown.preview,
        "findings": hold.findings,
        "created_at": iso(hold.created_at),
        "send_at": iso(shown.send_at) if shown.send_at is not None else None,
        "reply_to": list(shown.reply_to),
        "attachments": [
            {"name": file.name, "type": file.content_type, "size": file.size_bytes, "sha256": file.sha256}
            for file in shown.attachments
        ],
        "hidden_parts": len(shown.hidden),
        "size": shown.size_bytes,
        "sha256": shown.digest,
        "surface": shown.surface,
        "key": hold.key_id,
    }
    if short:
        return entry
    cut = None if full else SHOWN_CHARS
    return entry | {
        "mail_from": shown.mail_from,
        "suppressed": list(shown.suppressed),
        "header": {"From": list(shown.from_), "To": list(shown.to), "Cc": list(shown.cc), "Bcc": list(shown.bcc),
                   "Reply-To": list(shown.reply_to)},
        "text": shown.text[:cut],
        "html_text": None if shown.html_text is None else shown.html_text[:cut],
        "cut_chars": sum(len((text or "")[cut:]) for text in (shown.text, shown.html_text)) if cut else 0,
        "hidden": [{"what": what, "text": text[:cut]} for what, text in shown.hidden[:cut]],
        "directing": [list(field) for field in shown.directing],
        "headers": [list(field) for field in shown.headers] if full else None,
        "defects": list(shown.defects),
    }  # fmt: skip


async def approve(house: House, *, id: str) -> dict[str, Any]:
    """Send what was held."""
    hold = await approvals.approve(house.db, house.blobs, await _owner(house), id, house.clock)
    return {"id": hold.id, "state": hold.state}


async def reject(house: House, *, id: str, reason: str | None = None) -> dict[str, Any]:
    """Never send what was held."""
    hold = await approvals.reject(house.db, await _owner(house), id, reason, house.clock)
    return {"id": hold.id, "state": hold.state}


async def events_latest(house: House, *, limit: int = 50, organization: str | None = None) -> dict[str, Any]:
    """The latest events of the default organisation or of the one named, oldest first."""

    async def unit(tx: Tx) -> dict[str, Any]:
        found = await events.latest(tx, (await _organization(tx, organization)).id, limit)
        known = await accounts.get_many(tx, sorted({event.account_id for event in found if event.account_id}))
        return {
            "events": [
                {
                    "id": event.id,
                    "at": iso(event.at),
                    "type": event.type,
                    "inbox": known[event.account_id].main_address if event.account_id in known else None,
                    "message_id": event.message_id,
                    **event.payload,
                }
                for event in reversed(found)
            ]
        }

    return await house.db.read(unit)


async def undelete_list(house: House, *, organization: str | None = None) -> dict[str, Any]:
    """What can still be brought back, newest first, of the default organisation or of the one named."""

    async def unit(tx: Tx) -> dict[str, Any]:
        owner = await _organization(tx, organization)
        return {
            "graves": [
                {
                    "id": grave.id,
                    "kind": grave.kind,
                    "what": grave.payload.get("subject") or grave.payload.get("main_address") or "",
                    "destroyed_at": iso(grave.destroyed_at),
                    "until": iso(grave.expires_at),
                }
                for grave in await graveyard.page(tx, owner.id)
            ]
        }

    return await house.db.read(unit)


async def undelete_one(house: House, *, id: str) -> dict[str, Any]:
    """Bring back a message, or an inbox with its mail, whosever it was."""
    organization_id = await house.db.read(lambda tx: graveyard.organization_of(tx, id))
    total = await undelete.bring_back(house.db, house.blobs, organization_id or "", id, house.clock())
    return {"id": id, "messages": total}


async def reindex(house: House) -> dict[str, Any]:
    """Build the text index anew."""
    return {"messages": await indexing.rebuild(house.db)}


async def jobs_list(house: House) -> dict[str, Any]:
    """Jobs that are dead or failed when they were last tried."""
    found = await house.db.read(jobs.troubled)
    return {
        "jobs": [
            {
                "id": job.id,
                "kind": job.kind,
                "state": job.state,
                "attempts": job.attempts,
                "error": job.last_error,
                "created_at": iso(job.created_at),
                "due_at": iso(job.due_at) if job.state == "ready" else None,
            }
            for job in found
        ]
    }


async def jobs_retry(house: House, *, id: str | None = None) -> dict[str, Any]:
    """Try a dead job again, or all of them."""
    at = house.clock()
    revived = await house.db.write(lambda tx: jobs.revive(tx, None if id is None else [id], at))
    if id is not None and not revived:
        raise NotFound(f"there is no dead job {id}; `posthouse jobs list` shows them")
    return {"retried": revived}


async def backup(house: House, *, path: str) -> dict[str, Any]:
    """Copy database, blobs and keys, as of one instant, into a new folder.

    Blobs never change and are copied after the database, so that whatever it names is there.
    """
    target = Path(path)
    if target.exists() and any(target.iterdir()):
        raise Invalid(f"{target} is not empty", field="path")
    if not isinstance(house.db, SqliteDatabase):
        raise Invalid("this database is on a server: back it up with pg_dump, and copy the folder blobs")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    await house.db.backup(target / "posthouse.db")
    source = house.settings.data_dir

    def copy() -> int:
        total = 0
        for name in ("tls-cert.pem", "tls-key.pem", "owner.key", "posthouse.toml"):
            if (source / name).exists():
                private.create(target / name)
                shutil.copyfile(source / name, target / name)
        if (source / "blobs").exists():
            shutil.copytree(source / "blobs", target / "blobs", ignore=shutil.ignore_patterns(".new-*"))
            total = sum(1 for file in (target / "blobs").rglob("*") if file.is_file())
        return total

    return {"path": str(target), "blob_files": await asyncio.to_thread(copy)}


async def doctor(house: House) -> dict[str, Any]:
    """What is well and what is not: each check with a sentence that says what to do."""
    settings = house.settings
    checks: list[dict[str, Any]] = []

    def note(name: str, ok: bool, text: str) -> None:
        checks.append({"check": name, "ok": ok, "text": text})

    async def look(tx: Tx) -> tuple[int, int | None, int, list[domains.Domain]]:
        organization = await _organization(tx)
        waiting = await holds.count(tx, organization_id=organization.id)
        return (
            await spool.count(tx),
            await spool.next_due(tx),
            waiting,
            await domains.all_proved(tx),
        )

    spooled, oldest, waiting, known = await house.db.read(look)
    note("database", True, f"{house.db.engine} answers")
    late = oldest is not None and house.clock() - oldest > 60_000
    note("spool", not late, f"{spooled} mails wait to be filed" + (": is a worker running?" if late else ""))
    mode = settings.data_dir.stat().st_mode & 0o077
    note("data folder", not mode, "only its owner reads it" if not mode else "others can read it: chmod 700")
    names = ", ".join(sorted(path.name for path in private.exposed(settings.data_dir)))
    note("files", not names, "only their owner reads them" if not names else f"others can read {names}: chmod go= them")
    free = shutil.disk_usage(settings.data_dir).free
    note("disk", free > 1 << 30, f"{free >> 20} MB free")
    note(
        "outbound",
        settings.outbound != "catch",
        "outside mail leaves this machine"
        if settings.outbound != "catch"
        else f"outside mail stays here, in {settings.operator_address}: set OUTBOUND to mx or a smarthost",
    )
    note(
        "approvals",
        not waiting or bool(settings.owner_email),
        f"{waiting} messages wait for the owner"
        + ("" if settings.owner_email else "; no OWNER_EMAIL is set: look with `posthouse pending`"),
    )
    cert = settings.tls_cert or settings.data_dir / "tls-cert.pem"
    if cert.exists():
        not_after = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc
        days = (not_after - to_datetime(house.clock())).days
        note("certificate", days > 14, f"good for {days} days")
    for domain in known:
        await _check_dkim(house, domain.name, note)
    return {"ok": all(check["ok"] for check in checks), "checks": checks}


async def _check_dkim(house: House, name: str, note: Callable[[str, bool, str], None]) -> None:
    stored = await house.db.read(lambda tx: domains.signing_keys(tx, name))
    local = name.endswith((".localhost", ".test", ".local", ".internal")) or "." not in name
    for key in stored:
        loaded = load_key(name, key.selector, key.private_key.encode("ascii"))
        where, wanted = dns_name(loaded), dns_record(loaded)
        if local:
            continue
        try:
            found = [record.decode("utf-8", "replace") for record in await house.resolver.txt(where)]
        except Exception:  # any failure of DNS is the same news here
            found = []
        ok = "".join(wanted.split()) in {"".join(record.split()) for record in found}
        note(f"DKIM {name}", ok, "published" if ok else f"publish TXT {where}: {wanted}")
    if local:
        note(f"domain {name}", True, "is for this machine only")


async def whoami(house: House) -> dict[str, Any]:
    """Where this server listens."""
    return {"ports": house.ports, "domain": split(house.settings.operator_address)[1]}


# What the control socket answers.
COMMANDS: dict[str, Command] = {
    "inbox_create": inbox_create,
    "key_create": key_create,
    "key_list": key_list,
    "key_revoke": key_revoke,
    "level_set": level_set,
    "organization_list": tenancy.organization_list,
    "suppression_list": tenancy.suppression_list,
    "suppression_add": tenancy.suppression_add,
    "suppression_lift": tenancy.suppression_lift,
    "pending": pending,
    "approve": approve,
    "reject": reject,
    "events": events_latest,
    "undelete_list": undelete_list,
    "undelete": undelete_one,
    "reindex": reindex,
    "jobs_list": jobs_list,
    "jobs_retry": jobs_retry,
    "backup": backup,
    "doctor": doctor,
    "whoami": whoami,
}
