"""SearchSnippet (RFC 8621 §5): where in a message a search found its words."""

from __future__ import annotations

from html import escape

from posthouse.api.jmap import calls
from posthouse.api.jmap.budget import TEXTS
from posthouse.api.jmap.calls import Answer, Call, Json, is_id
from posthouse.api.jmap.email.query import read_filter
from posthouse.api.jmap.errors import MethodError
from posthouse.mail import fields, sought
from posthouse.store.database import Tx
from posthouse.store.messages import Message, Texts

# RFC 8621 §5: a preview has at most 255 octets.
_PREVIEW_OCTETS = 255
_BEFORE_CHARS = 60
# Of one text, not more is looked at; of HTML, of which rendering takes far longer, not more than of another length.
_LOOKED_AT_CHARS = 262_144
_LOOKED_AT_HTML = 65_536
_HTML_COUNTS = 4
# Texts are read for so many messages at once.
_TOGETHER = 25
_INLINE_OCTETS = 4_096


def mark(text: str, terms: set[str]) -> str | None:
    """The text as HTML with the terms between `<mark>` and `</mark>`; None when none occurs."""
    spans = sought.spans(text, terms) if terms else []
    return _marked(text, spans) if spans else None


def _marked(text: str, spans: list[tuple[int, int]]) -> str:
    out, position = [], 0
    for start, end in spans:
        out += [escape(text[position:start]), "<mark>", escape(text[start:end]), "</mark>"]
        position = end
    return "".join([*out, escape(text[position:])])


def preview(text: str, terms: set[str]) -> str | None:
    """A piece of the body around the first term, of at most 255 octets."""
    text = " ".join(text.split())
    spans = sought.spans(text, terms, _PREVIEW_OCTETS) if terms else []
    if not spans:
        return None
    start = max(0, spans[0][0] - _BEFORE_CHARS)
    if start:
        start = text.find(" ", start, spans[0][0]) + 1 or spans[0][0]
    end = min(len(text), start + _PREVIEW_OCTETS)
    while True:
        inside = [(a - start, b - start) for a, b in spans if a >= start and b <= end]
        shown = _marked(text[start:end], inside)
        over = len(shown.encode("utf-8")) - _PREVIEW_OCTETS
        if over <= 0:
            return shown
        end -= max(1, over // 8)


def _snippet(message: Message, text: str | None, html: str | None, in_subject: set[str], in_body: set[str]) -> Json:
    body = sought.readable(text, html)
    return {"emailId": message.id, "subject": mark(message.subject, in_subject), "preview": preview(body, in_body)}


async def get(call: Call) -> Answer:
    """RFC 8621 §5.1."""
    call.required("emailIds", list)
    ids = [call.resolve(each) for each in call.strings("emailIds") or []]
    if len(ids) > calls.MAX_OBJECTS_IN_GET:
        raise MethodError("requestTooLarge")
    filter_ = read_filter(call)
    in_subject, in_body = sought.terms(filter_, ("text", "subject")), sought.terms(filter_, ("text", "body"))
    wanted = [each for each in dict.fromkeys(ids) if is_id(each)]
    found: dict[str, Json] = {}
    for start in range(0, len(wanted), _TOGETHER):
        some = wanted[start : start + _TOGETHER]

        async def unit(tx: Tx, some: list[str] = some) -> tuple[dict[str, Message], Texts]:
            return await fields.beginnings(tx, call.account_id, some, _LOOKED_AT_CHARS if in_body else 0)

        subjects, texts = await call.services.db.read(unit)
        for id_, message in subjects.items():
            text, html = texts.get(id_, (None, None))
            html = html and html[:_LOOKED_AT_HTML]
            octets = len(message.subject) + len(text or "") + _HTML_COUNTS * len(html or "")
            call.budget.spend(TEXTS, octets)
            found[id_] = await call.aside.run(
                octets, _snippet, message, text, html, in_subject, in_body, above=_INLINE_OCTETS
            )
    shown = [found[id_] for id_ in ids if id_ in found]
    return [
        (
            call.method,
            {
                "accountId": call.account_id,
                "list": shown,
                "notFound": [each for each in ids if each not in found] or None,
            },
        )
    ]
