"""Finding messages by words, in one account or many, best first, and showing where in them the words are.

For whoever types words into a box: pages of hits that stay whole while mail arrives, each hit with pieces of its text.
Where words are one condition among others, and the order is another, it is a `windows.Query`. The ranks come from
`store.search`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from posthouse.kit.aside import aside
from posthouse.mail import indexing, reading
from posthouse.mail.reading import FullThread
from posthouse.store import accounts, index_query, messages, search
from posthouse.store.database import Database, Tx
from posthouse.store.messages import Message, MessageBody, Person
from posthouse.store.search import Ranked
from posthouse.wire.html import to_text

Position = tuple[int, int, str]
Visible = Callable[[Message], bool]

# Hits looked at for one page: most are shown, unless the caller may not see them.
_BATCH = 100
_MAX_BATCHES = 50
_SNIPPET_CHARS = 160
_SNIPPETS = 3
_WORD = re.compile(r"[^\W_]+")
# What is looked at of one hit; words beyond it are found and not shown.
_SHOWN_CHARS = 50_000
_SHOWN_HTML_CHARS = 300_000
_SHOWN_PEOPLE = 200
_MAX_QUERY_CHARS = 4_000
_MAX_KNOWN_WORDS = 50_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A message found."""

    message: Message
    body: MessageBody


async def index(db: Database, account_ids: Sequence[str]) -> None:
    """Bring the index up to date first: a search finds what a list shows."""
    for account_id in await db.read(lambda tx: accounts.unindexed(tx, account_ids)):
        await indexing.drain(db, account_id)


async def find_messages(
    tx: Tx,
    account_ids: Sequence[str],
    query: str,
    *,
    visible: Visible,
    after: int | None,
    before: int | None,
    position: Position | None,
    limit: int,
) -> tuple[list[Hit], Position | None]:
    """A page of messages that have all the words, best first, and where to go on when there are more."""
    ranked, more = await _scan(
        tx, account_ids, query, visible=visible, after=after, before=before, position=position, limit=limit
    )
    return await _hits(tx, [message for _, message in ranked]), more


async def find_threads(
    tx: Tx,
    account_ids: Sequence[str],
    query: str,
    *,
    visible: Visible,
    after: int | None,
    before: int | None,
    position: Position | None,
    limit: int,
) -> tuple[list[tuple[FullThread, Hit]], Position | None]:
    """A page of threads with a message that has all the words, each at the place of its best message."""

    async def only_best(found: list[tuple[Ranked, Message]]) -> list[tuple[Ranked, Message]]:
        kept = []
        for account_id in sorted({message.account_id for _, message in found}):
            mine = [(rank, message) for rank, message in found if message.account_id == account_id]
            threads = sorted({message.thread_id for _, message in mine})
            members = await messages.of_threads(tx, account_id, threads)
            thread_of = {each.id: each.thread_id for each in members if visible(each)}
            ranks = await search.page(
                tx, [account_id], query, position=None, after=after, before=before, message_ids=list(thread_of),
                limit=len(thread_of),
            )  # fmt: skip
            best: dict[str, str] = {}
            for rank in ranks:
                best.setdefault(thread_of[rank.message_id], rank.message_id)
            kept += [(rank, message) for rank, message in mine if best.get(message.thread_id) == rank.message_id]
        return sorted(kept, key=lambda pair: _order(pair[0]))

    ranked, more = await _scan(
        tx, account_ids, query, visible=visible, after=after, before=before, position=position, limit=limit,
        keep=only_best,
    )  # fmt: skip
    hits = await _hits(tx, [message for _, message in ranked])
    return [(await reading.get_thread(tx, hit.message.account_id, hit.message.thread_id), hit) for hit in hits], more


def _order(rank: Ranked) -> tuple[int, int, tuple[int, ...]]:
    return rank.tier, -rank.received_at, tuple(-ord(c) for c in rank.message_id)


async def _hits(tx: Tx, found: Sequence[Message]) -> list[Hit]:
    bodies: dict[str, MessageBody] = {}
    for account_id in {message.account_id for message in found}:
        mine = [message.id for message in found if message.account_id == account_id]
        bodies |= await messages.get_bodies(tx, account_id, mine)
    return [Hit(message, bodies[message.id]) for message in found]  # the same snapshot has them


async def _scan(
    tx: Tx,
    account_ids: Sequence[str],
    query: str,
    *,
    visible: Visible,
    after: int | None,
    before: int | None,
    position: Position | None,
    limit: int,
    keep: Callable[[list[tuple[Ranked, Message]]], object] | None = None,
) -> tuple[list[tuple[Ranked, Message]], Position | None]:
    found: list[tuple[Ranked, Message]] = []
    for _ in range(_MAX_BATCHES):
        batch = await search.page(tx, account_ids, query, position=position, after=after, before=before, limit=_BATCH)
        shown = [(rank, message) for rank, message in await _stored(tx, batch) if visible(message)]
        if keep is not None:
            shown = await keep(shown)  # type: ignore[misc]
        found += shown
        if len(found) > limit:
            last = found[limit - 1][0]
            return found[:limit], (last.tier, last.received_at, last.message_id)
        if len(batch) < _BATCH:
            return found, None
        end = batch[-1]
        position = (end.tier, end.received_at, end.message_id)
    return found, position


async def _stored(tx: Tx, batch: Sequence[Ranked]) -> list[tuple[Ranked, Message]]:
    by_account: dict[str, list[str]] = {}
    for rank in batch:
        by_account.setdefault(rank.account_id, []).append(rank.message_id)
    known: dict[str, Message] = {}
    for account_id, ids in by_account.items():
        known |= await messages.get_many(tx, account_id, ids)
    return [(rank, known[rank.message_id]) for rank in batch if rank.message_id in known]


# --- Where the words are ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Highlights:
    """Pieces of a message with the words that were sought between `**`; empty where there are none."""

    from_: tuple[str, ...]
    recipients: tuple[str, ...]
    subject: tuple[str, ...]
    text: tuple[str, ...]


async def highlights(hits: Sequence[Hit], query: str) -> list[Highlights]:
    """Where the query's words are in messages. Words are compared by their beginnings, as the index stems them."""
    size = sum(len(_stored_text(hit.body)) or len(hit.body.html_body or "") for hit in hits)
    return await aside(size, _all_highlights, hits, query)


def _all_highlights(hits: Sequence[Hit], query: str) -> list[Highlights]:
    sought, texts = _Sought(query), ShownTexts()
    return [_highlights(hit, sought, texts) for hit in hits]


def _highlights(hit: Hit, sought: _Sought, texts: ShownTexts) -> Highlights:
    message = hit.message
    pieces = next((found for text in texts.of(hit.body) if (found := _snippets(text, sought))), ())
    return Highlights(
        from_=_marked(sought, message.from_list),
        recipients=_marked(sought, (*message.to_list, *message.cc_list, *message.bcc_list)),
        subject=tuple(piece for piece in (_mark(message.subject, sought),) if piece),
        text=pieces,
    )


def _stored_text(body: MessageBody) -> str:
    return body.text_body or body.extracted_text or ""


class ShownTexts:
    """The texts hits are shown in: what is stored first. What HTML is read besides is bounded for all hits together."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _SHOWN_HTML_CHARS

    def of(self, body: MessageBody) -> Iterator[str]:
        """The texts of a message, each to be looked at where the one before has not the words."""
        stored = _stored_text(body)
        if stored:
            yield stored[:_SHOWN_CHARS]
        if not body.text_body and body.html_body and self._left > 0:
            html = body.html_body[: self._left]
            self._left -= len(html)
            yield to_text(html)[:_SHOWN_CHARS]


class _Sought:
    """The words of a query, and which words of messages count as one of them: each is compared once."""

    __slots__ = ("_known", "terms")

    def __init__(self, query: str) -> None:
        self.terms = {term for term in index_query.words(query[:_MAX_QUERY_CHARS]) if term}
        self._known: dict[str, bool] = {}

    def has(self, word: str) -> bool:
        found = self._known.get(word)
        if found is None:
            found = any(map(self._is_term, index_query.words(word)))
            if len(self._known) < _MAX_KNOWN_WORDS:
                self._known[word] = found
        return found

    def _is_term(self, key: str) -> bool:
        if key in self.terms:
            return True
        # "invoices" for "invoice": the index has cut the endings.
        return len(key) > 3 and any(
            len(term) > 3 and (key.startswith(term) or term.startswith(key)) and abs(len(key) - len(term)) <= 3
            for term in self.terms
        )


def _marked(sought: _Sought, people: Sequence[Person]) -> tuple[str, ...]:
    shown = (f"{person.name} <{person.email}>" if person.name else person.email for person in people[:_SHOWN_PEOPLE])
    return tuple(piece for piece in (_mark(text, sought) for text in shown) if piece)


def _mark(text: str, sought: _Sought) -> str:
    """The text with the sought words between `**`; "" when it has none."""
    out, end, any_found = [], 0, False
    for match in _WORD.finditer(text):
        if sought.has(match.group()):
            out += [text[end : match.start()], "**", match.group(), "**"]
            end, any_found = match.end(), True
    return "".join([*out, text[end:]]) if any_found else ""


def _snippets(text: str, sought: _Sought) -> tuple[str, ...]:
    found: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        if len(found) >= _SNIPPETS:
            break
        if match.start() < end or not sought.has(match.group()):
            continue
        start = max(end, match.start() - _SNIPPET_CHARS // 2)
        end = match.end() + _SNIPPET_CHARS // 2
        found.append(_mark(" ".join(text[start:end].split()), sought))
    return tuple(piece for piece in found if piece)
