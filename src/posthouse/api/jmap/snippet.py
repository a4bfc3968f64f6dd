"""SearchSnippet (RFC 8621 §5): where in a message a search found its words."""

from __future__ import annotations

from html import escape

from posthouse.api.jmap import calls
from posthouse.api.jmap.calls import Answer, Call, Json, is_id
from posthouse.api.jmap.email.query import read_filter
from posthouse.api.jmap.errors import MethodError
from posthouse.store import index_query, matching, messages
from posthouse.store.database import Tx
from posthouse.store.messages import Message, MessageBody
from posthouse.wire.html import to_text

# RFC 8621 §5: a preview has at most 255 octets.
_PREVIEW_OCTETS = 255
_BEFORE_CHARS = 60
_ENDINGS = ("ings", "ing", "ies", "edly", "ed", "es", "ly", "s", "e", "y")


def _stem(word: str) -> str:
    """A rough stem: the index has a better one, and here it only decides what is marked."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _terms(filter_: matching.Filter | None, names: tuple[str, ...]) -> set[str]:
    if filter_ is None:
        return set()
    found: set[str] = set()
    for condition in matching.conditions_of(filter_):
        for name in names:
            text = getattr(condition, name)
            if text:
                found |= {_stem(word) for word in index_query.words(text)}
    return found


def _spans(text: str, terms: set[str]) -> list[tuple[int, int]]:
    spans = []
    start = 0
    while start < len(text):
        if not text[start].isalnum():
            start += 1
            continue
        end = start
        while end < len(text) and text[end].isalnum():
            end += 1
        if any(_stem(word) in terms for word in index_query.words(text[start:end])):
            spans.append((start, end))
        start = end
    return spans


def mark(text: str, terms: set[str]) -> str | None:
    """The text as HTML with the terms between `<mark>` and `</mark>`; None when none occurs."""
    spans = _spans(text, terms) if terms else []
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
    spans = _spans(text[:400_000], terms) if terms else []
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


async def get(call: Call) -> Answer:
    """RFC 8621 §5.1."""
    call.required("emailIds", list)
    ids = [call.resolve(each) for each in call.strings("emailIds") or []]
    if len(ids) > calls.MAX_OBJECTS_IN_GET:
        raise MethodError("requestTooLarge")
    given = call.get("filter", dict)
    filter_ = None if given is None else read_filter(call, given, 0)
    wanted = [each for each in ids if is_id(each)]

    async def unit(tx: Tx) -> tuple[dict[str, Message], dict[str, MessageBody]]:
        return (
            await messages.get_many(tx, call.account_id, wanted),
            await messages.get_bodies(tx, call.account_id, wanted),
        )

    found, texts = await call.services.db.read(unit)
    in_subject, in_body = _terms(filter_, ("text", "subject")), _terms(filter_, ("text", "body"))
    shown: list[Json] = []
    for id_ in ids:
        if id_ in found:
            body = texts[id_]
            text = body.text_body if body.text_body is not None else to_text(body.html_body or "")
            shown.append(
                {
                    "emailId": id_,
                    "subject": mark(found[id_].subject, in_subject),
                    "preview": preview(text, in_body),
                }
            )
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
