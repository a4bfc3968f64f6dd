"""Email/set: making drafts, marking, moving, destroying (RFC 8621 §4.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from posthouse.api.jmap import blobs, methods
from posthouse.api.jmap.budget import MAIL
from posthouse.api.jmap.calls import Call, Json
from posthouse.api.jmap.email import compose, get, keywords
from posthouse.api.jmap.email import headers as header_forms
from posthouse.api.jmap.errors import SetError
from posthouse.api.jmap.methods import Kind, Work
from posthouse.kit.clock import parse_iso
from posthouse.kit.principal import tighter
from posthouse.mail import drafts, filing, mailbox_rules, saving
from posthouse.mail.journal import EMAIL
from posthouse.store.blobfiles import Blob
from posthouse.store.mailboxes import Mailbox
from posthouse.store.messages import Message
from posthouse.wire.address import Address
from posthouse.wire.message import ParsedMessage, parse

# Parsing makes some megabytes a second of the worst mail.
PARSED_INLINE_OCTETS = 8_192
_GIVEN = frozenset({"mailboxIds", "keywords", "receivedAt"})


@dataclass(frozen=True, slots=True)
class NewEmail:
    """A message about to be filed."""

    parsed: ParsedMessage
    blob: Blob
    mailbox_ids: frozenset[str]
    keywords: frozenset[str]
    received_at: int | None
    bcc: tuple[Address, ...] = ()


def read_mailbox_ids(call: Call, given: Any) -> frozenset[str]:
    """A map of mailbox ids to true, creation ids resolved.

    Raises:
        SetError: `invalidProperties`.
    """
    if not isinstance(given, dict) or not given or not all(value is True for value in given.values()):
        raise SetError("invalidProperties", "mailboxIds is a map of at least one id to true", ["mailboxIds"])
    return frozenset(call.resolve(each) for each in given)


def read_received_at(given: Any) -> int | None:
    """An instant as a caller gives it.

    Raises:
        SetError: `invalidProperties`.
    """
    if given is None:
        return None
    try:
        at = parse_iso(given)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SetError("invalidProperties", "receivedAt is a UTCDate", ["receivedAt"]) from error
    if at < 0:
        raise SetError("invalidProperties", "receivedAt lies before 1970", ["receivedAt"])
    return at


async def prepare(call: Call, value: Json) -> NewEmail:
    """Compose a message out of its properties."""
    unknown = [name for name in value if name not in _GIVEN and not compose.is_known(name)]
    if unknown:
        raise SetError("invalidProperties", f"{', '.join(unknown)} cannot be given", unknown)
    mailbox_ids = read_mailbox_ids(call, value.get("mailboxIds"))
    marked = keywords.check(value.get("keywords") or {})
    keywords.check_marks(marked)
    received_at = read_received_at(value.get("receivedAt"))
    raw = await compose.build(call, value)
    limit = call.services.settings.max_message_bytes
    if len(raw) > limit:
        raise SetError("tooLarge", "the message is too large", maxSize=limit)
    call.budget.spend(MAIL, len(raw))
    parsed = await call.aside.run(len(raw), parse, raw, above=PARSED_INLINE_OCTETS)
    return NewEmail(parsed, await call.services.blobs.prepare(raw), mailbox_ids, frozenset(marked), received_at)


async def create(work: Work, new: NewEmail) -> Json:
    """File it.

    Raises:
        SetError: `invalidProperties` (no such mailbox).
        OverQuota: there is no room for it.
    """
    known = await known_mailboxes(work)
    check_mailboxes(new.mailbox_ids, known)
    message = await saving.save(
        work.tx,
        work.journal,
        new.parsed,
        new.blob,
        [known[each] for each in new.mailbox_ids],
        keywords=new.keywords,
        received_at=new.received_at,
        bcc=new.bcc,
        quota_bytes=work.call.services.settings.quota_bytes,
        level=tighter(work.call.caller.principal.level),
    )
    return {
        "id": message.id,
        "blobId": blobs.whole(message.blob_hash),
        "threadId": message.thread_id,
        "size": message.size_bytes,
    }


async def note_draft(work: Work, message: Message, *levels: str | None) -> None:
    """A `$draft` message is a draft on every surface; it keeps the strictest of the levels and the caller's."""
    await drafts.note(work.tx, work.journal, message, tighter(work.call.caller.principal.level, *levels))


async def known_mailboxes(work: Work) -> dict[str, Mailbox]:
    """The account's mailboxes by id, looked up once a unit."""
    known: dict[str, Mailbox] | None = work.cache.get("mailboxes")
    if known is None:
        known = await mailbox_rules.all_of(work.tx, work.call.account_id)
        work.cache["mailboxes"] = known
    return known


def check_mailboxes(wanted: frozenset[str] | set[str], known: dict[str, Mailbox]) -> None:
    """Raises `SetError("invalidProperties")` when no mailbox is left or one is not the account's."""
    if not wanted:
        raise SetError("invalidProperties", "an email lies in at least one mailbox", ["mailboxIds"])
    if wanted - known.keys():
        raise SetError("invalidProperties", "there is no such mailbox", ["mailboxIds"])


async def _look_up(work: Work, id_: str) -> tuple[Message, frozenset[str]]:
    """The message and where it lies; those of one call are looked up together."""
    found: dict[str, tuple[Message, frozenset[str]]] | None = work.cache.get("messages")
    if found is None:
        named = [work.call.resolve(each) for each in work.call.objects("update")]
        named += [work.call.resolve(each) for each in work.call.strings("destroy") or ()]
        named = list(dict.fromkeys([*named, id_]))
        found = await saving.find(work.tx, work.call.account_id, named)
        work.cache["messages"] = found
    if id_ not in found:
        raise SetError("notFound")
    return found[id_]


async def update(work: Work, id_: str, patch: Json) -> Json | None:
    """Change keywords and mailboxes: nothing else of an email ever changes."""
    message, here = await _look_up(work, id_)
    shown = set(keywords.shown_keywords(message.keywords))
    marked, wanted = set(shown), set(here)
    bad: list[str] = []
    for path, value in patch.items():
        name, slash, rest = path.partition("/")
        step = methods.unescape(rest)
        if path == "keywords":
            marked = keywords.check({} if value is None else value)
        elif path == "mailboxIds":
            wanted = set(read_mailbox_ids(work.call, value))
        elif name == "keywords" and slash and (value is True or value is None) and keywords.is_keyword(step):
            (marked.add if value else marked.discard)(step.lower())
        elif name == "mailboxIds" and slash and (value is True or value is None):
            (wanted.add if value else wanted.discard)(work.call.resolve(step))
        elif not (path == "id" and value == id_):
            bad.append(path)
    if bad:
        raise SetError("invalidProperties", f"{', '.join(bad)} cannot be changed, or not so", bad)
    if len(marked) > keywords.MAX_KEYWORDS:
        raise SetError("tooManyKeywords")
    check_mailboxes(wanted, await known_mailboxes(work))
    if marked != shown:
        stored = keywords.merged(message.keywords, marked)
        level = tighter(work.call.caller.principal.level)
        message = await saving.mark(work.tx, work.journal, message, stored, level=level)
    # `$junk` has moved it already; what the patch says of mailboxes counts all the same.
    if wanted != here:
        await filing.move(work.tx, work.journal, message, wanted)
    return None


async def destroy(work: Work, id_: str) -> None:
    """Take it out of every surface; the owner can bring it back for a while, a draft excepted."""
    message, _ = await _look_up(work, id_)
    await saving.destroy(work.tx, work.journal, message)
    del work.cache["messages"][id_]


KIND = Kind(
    name=EMAIL,
    properties=get.PROPERTIES,
    defaults=get.DEFAULTS,
    read=get.read,
    prepare=prepare,
    create=create,
    update=update,
    destroy=destroy,
    is_property=header_forms.is_property,
)
