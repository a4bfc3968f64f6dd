"""VacationResponse (RFC 8621 §8): an account's one object of this type; while it is enabled, mail is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from posthouse.api.jmap import states
from posthouse.api.jmap.calls import Call, Fields, Json
from posthouse.api.jmap.email.get import utc
from posthouse.api.jmap.errors import SetError
from posthouse.api.jmap.methods import Kind, Work
from posthouse.kit.clock import parse_iso
from posthouse.mail.journal import VACATION
from posthouse.outbound import automatic
from posthouse.store.database import Tx
from posthouse.store.vacations import Vacation

ID = "singleton"
PROPERTIES = ("id", "isEnabled", "fromDate", "toDate", "subject", "textBody", "htmlBody")
_TEXTS = {"subject": "subject", "textBody": "text_body", "htmlBody": "html_body"}
_DATES = {"fromDate": "from_at", "toDate": "to_at"}
_MAX_CHARS = 262_144
_MAX_SUBJECT_CHARS = 1_000


def _shape(vacation: Vacation) -> Json:
    return {
        "id": ID,
        "isEnabled": vacation.is_enabled,
        "fromDate": None if vacation.from_at is None else utc(vacation.from_at),
        "toDate": None if vacation.to_at is None else utc(vacation.to_at),
        "subject": vacation.subject,
        "textBody": vacation.text_body,
        "htmlBody": vacation.html_body,
    }


async def read(call: Call, ids: list[str] | None, properties: Sequence[str]) -> tuple[str, list[Json]]:
    """Read the account's vacation response: a `Kind.read`."""

    async def unit(tx: Tx) -> tuple[str, Vacation]:
        return await states.current(tx, call.account_id, VACATION), await automatic.response_of(tx, call.account_id)

    state, found = await call.services.db.read(unit)
    shown = [_shape(found)] if ids is None or ID in ids else []
    return state, [{name: each[name] for name in properties} for each in shown]


async def update(work: Work, id_: str, patch: Json) -> Json | None:
    """Change the vacation response: a `Kind.update`.

    When it is switched on, everybody is answered again, also who was answered the last time it was on.
    """
    if id_ != ID:
        raise SetError("notFound")
    before = await automatic.response_of(work.tx, work.call.account_id)
    shown = _shape(before)
    given = {name: value for name, value in patch.items() if not (name == "id" and value == ID)}
    fields = Fields(given, frozenset(PROPERTIES[1:]))
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name == "isEnabled":
            if not isinstance(value, bool):
                fields.fail(name)
            values["is_enabled"] = value
        elif name in _TEXTS:
            text = fields.get(name, str)
            if text is not None and len(text) > (_MAX_SUBJECT_CHARS if name == "subject" else _MAX_CHARS):
                fields.fail(name)
            if name == "subject" and text and ("\n" in text or "\r" in text):
                fields.fail(name)
            values[_TEXTS[name]] = text
        elif name in _DATES:
            date = fields.get(name, str)
            try:
                values[_DATES[name]] = None if date is None else parse_iso(date)
            except (ValueError, OverflowError):
                fields.fail(name)
    fields.check()
    after = replace(before, **values)
    await automatic.change(work.tx, work.journal, work.call.caller.principal, before, after, rewritten=set(values))
    same = _shape(after)
    changed = {name: same[name] for name in given if name in same and same[name] != given[name] and shown != same}
    return changed or None


KIND = Kind(
    name=VACATION, properties=frozenset(PROPERTIES), defaults=PROPERTIES, read=read, update=update, singleton=True
)
