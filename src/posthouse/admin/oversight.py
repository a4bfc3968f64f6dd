"""What waits for the owner's decision, and the decisions."""

from __future__ import annotations

from typing import Any

from posthouse.admin import organizations
from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.kit.errors import Forbidden, Invalid, NotFound
from posthouse.outbound import approvals
from posthouse.store.holds import Hold

# Held mails on a page, characters of a body where not all was asked for, and of all bodies on a page.
MAX_PENDING, SHOWN_CHARS = 100, 4_000
_MAX_PAGE_CHARS = 4_000_000


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
    owner = await organizations.owner(house)
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
    hold = await approvals.approve(house.db, house.blobs, await organizations.owner(house), id, house.clock)
    return {"id": hold.id, "state": hold.state}


async def reject(house: House, *, id: str, reason: str | None = None) -> dict[str, Any]:
    """Never send what was held."""
    hold = await approvals.reject(house.db, await organizations.owner(house), id, reason, house.clock)
    return {"id": hold.id, "state": hold.state}
