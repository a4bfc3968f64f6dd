"""Email/parse: a message out of a blob, without storing it (RFC 8621 §4.9)."""

from __future__ import annotations

from posthouse.api.jmap import blobs, calls
from posthouse.api.jmap.budget import MAIL
from posthouse.api.jmap.calls import Answer, Call, Json
from posthouse.api.jmap.email import bodies
from posthouse.api.jmap.email import headers as header_forms
from posthouse.api.jmap.email.get import PROPERTIES, with_headers
from posthouse.api.jmap.email.importing import is_message
from posthouse.api.jmap.email.set import KIND, PARSED_INLINE_OCTETS
from posthouse.api.jmap.errors import MethodError
from posthouse.api.jmap.methods import check_properties
from posthouse.kit.budget import Budget
from posthouse.kit.errors import TooLarge
from posthouse.wire.canonical import canonical
from posthouse.wire.message import parse

_DEFAULTS = [
    "messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt",
    "hasAttachment", "preview", "bodyValues", "textBody", "htmlBody", "attachments",
]  # fmt: skip


async def parse_blobs(call: Call) -> Answer:
    """RFC 8621 §4.9. What only storing gives a message is null."""
    call.required("blobIds", list)
    blob_ids = call.strings("blobIds") or []
    if len(blob_ids) > calls.MAX_OBJECTS_IN_GET:
        raise MethodError("requestTooLarge", f"at most {calls.MAX_OBJECTS_IN_GET} blobs a call")
    properties = call.strings("properties")
    names = _DEFAULTS if properties is None else [name for name in check_properties(KIND, properties) if name != "id"]
    if properties is not None and "id" in properties:
        names.append("id")
    wanted = bodies.read_wanted(call)
    ids = {each: call.resolve(each) for each in blob_ids}
    found = await blobs.look_up(call.services.db, call.account_id, ids.values())
    call.budget.spend(MAIL, sum(found[id_].at_most_bytes for id_ in ids.values() if id_ in found))
    reader = blobs.reader(call)
    parsed: dict[str, Json] = {}
    not_parsable = []
    # Parts of one blob after each other: it is read once.
    for named, id_ in sorted(ids.items(), key=lambda each: each[1]):
        if id_ not in found:
            continue
        raw = await reader.read(found[id_])
        shown = await call.aside.run(len(raw), _shape, call.budget, id_, raw, names, wanted, above=PARSED_INLINE_OCTETS)
        if shown is None:
            not_parsable.append(named)
        else:
            parsed[named] = shown
    return [
        (
            call.method,
            {
                "accountId": call.account_id,
                "parsed": parsed or None,
                "notParsable": not_parsable or None,
                "notFound": [each for each in blob_ids if ids[each] not in found] or None,
            },
        )
    ]


def _shape(budget: Budget, blob_id: str, raw: bytes, names: list[str], wanted: bodies.Wanted) -> Json | None:
    # As it would be taken in: what a client is shown here is what `Email/import` makes of it.
    try:
        made = canonical(raw)
    except TooLarge:
        return None
    message = parse(made)
    if not is_message(message):
        return None
    span = blobs.read_id(blob_id)
    assert span is not None  # it has been loaded by it
    offset = span.start if span.encoding == "binary" and (made == raw or span.end is None) else None
    of_canonical = made != raw or span.of_canonical
    content = bodies.of_parsed(span.hash, message, made, offset, of_canonical=of_canonical)
    out: Json = with_headers(content, names, budget) | bodies.shape(content, names, wanted, budget)
    for name in names:
        if name == "blobId":
            out[name] = blob_id
        elif name == "size":
            out[name] = len(raw)
        elif name == "hasAttachment":
            out[name] = message.has_attachment
        elif name == "preview":
            out[name] = message.preview
        elif name in PROPERTIES and name not in out:
            out[name] = None
    assert not any(header_forms.is_property(name) and name not in out for name in names)
    return {name: out[name] for name in names if name in out}
