"""A filter as SQL: each condition becomes a condition on the table `message`."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from posthouse.store import index_query
from posthouse.store.database import Tx
from posthouse.store.filters import TEXT_FIELDS, TEXTS, Condition, Filter, Operator
from posthouse.store.records import dump
from posthouse.wire.headers import decode_text


class Sql:
    """A statement being written: its values by the names they have in it."""

    def __init__(self, engine: str, account_id: str) -> None:
        self.engine = engine
        self.account_id = account_id
        self.values: dict[str, Any] = {}
        # Messages with a header field, looked for beforehand.
        self.headers: dict[tuple[str, ...], list[str]] = {}

    def value(self, value: Any) -> str:
        """Take a value; its name as the statement has it."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}..." if isinstance(value, list) else f":{name}"


# A list on a row is JSON text, and a quote inside one of its strings is escaped: what is left is the keyword itself.
# The same words as in the index `message_unread`.
UNREAD = "(length(replace(message.keywords, '\"$seen\"', '')) = length(message.keywords))"


def like(text: str) -> str:
    """A pattern that a text matches which has this one in it."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"


def has_keyword(sql: Sql, keyword: str, message: str = "message") -> str:
    """Keywords are compared without regard to case (RFC 8621 §4.1.1); those of the system are lower-case.

    They are looked for in the row's own list: every subquery holds a cursor, and SQLite closes one by walking
    through all, so that hundreds of them cost the square of their number.
    """
    if keyword == "$seen":
        return f"NOT {UNREAD}".replace("message.", f"{message}.")
    column = f"{message}.keywords" if keyword.startswith("$") else f"lower({message}.keywords)"
    return f"{column} LIKE {sql.value(like(dump(keyword)))} ESCAPE '\\'"


def in_thread(sql: Sql, keyword: str, *, every: bool) -> str:
    """Whether every message of the thread has a keyword, or any."""
    inner = has_keyword(sql, keyword, "other")
    exists = "NOT EXISTS" if every else "EXISTS"
    test = f"NOT ({inner})" if every else inner
    return f"{exists} (SELECT 1 FROM message other WHERE other.thread_id = message.thread_id AND {test})"


# A list on a row is JSON text: one `],["` less than it has parts, and each part's disposition is its own word.
# Inside a string both would have their quotes escaped.
HAS_ATTACHMENT = """(message.attachments <> '[]' AND
  (length(message.attachments) - length(replace(message.attachments, '],["', ''))) / 4 + 1 >
  (length(message.attachments) - length(replace(message.attachments, ',"inline",', ''))) / 10)"""


def words_of(c: Condition) -> list[index_query.Words]:
    """What a condition asks of the text index."""
    return [index_query.Words(text, field) for name, field in TEXTS if (text := getattr(c, name)) is not None]


def as_words(node: Filter) -> index_query.Words | index_query.Combined | None:
    """A filter that asks the text index for everything it wants to know; None when it wants more."""
    if isinstance(node, Condition):
        words = words_of(node)
        return index_query.Combined("AND", words) if words and node.without(*TEXT_FIELDS) == Condition() else None
    nodes = [as_words(each) for each in node.conditions]
    known = [each for each in nodes if each is not None]
    return index_query.Combined(node.operator, known) if known and len(known) == len(nodes) else None


def indexed(sql: Sql, words: index_query.Words | index_query.Combined) -> str:
    """A condition on the message: the text index finds it."""
    found = index_query.match(sql.engine, sql.account_id, words, f"t{len(sql.values)}")
    if found is None:
        return "FALSE"
    sql.values |= found.values
    return index_query.among(sql.engine, found)


# The columns are in byte order, where `lower` knows ASCII only; a value's `lower` would follow the server's locale.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def _contains(sql: Sql, column: str, text: str, *, quoted: bool) -> str:
    sought = (dump(text)[1:-1] if quoted else text).translate(_LOWER)
    return f"lower({column}) LIKE {sql.value(like(sought))} ESCAPE '\\'"


def _among(sql: Sql, values: Sequence[str]) -> str:
    return ", ".join(sql.value(value) for value in values)


def _places(sql: Sql, c: Condition) -> Iterator[str]:
    member = (
        "EXISTS (SELECT 1 FROM membership p WHERE p.message_id = message.id AND p.expunged_modseq IS NULL AND {test})"
    )
    if c.in_mailbox is not None:
        yield member.format(test=f"p.mailbox_id = {sql.value(c.in_mailbox)}")
    if c.in_mailbox_other_than is not None:
        others = sql.value(list(c.in_mailbox_other_than))
        yield member.format(test=f"p.mailbox_id NOT IN ({others})")
    for role in c.roles:
        yield f"message.roles LIKE {sql.value(f'% {role} %')}"
    for role in c.without_roles:
        yield f"message.roles NOT LIKE {sql.value(f'% {role} %')}"


def _row(sql: Sql, c: Condition) -> Iterator[str]:
    for value, test in (
        (c.before, "message.received_at < {}"),
        (c.after, "message.received_at >= {}"),
        (c.min_size, "message.size_bytes >= {}"),
        (c.max_size, "message.size_bytes < {}"),
    ):
        if value is not None:
            yield test.format(sql.value(value))
    if c.directions:
        yield f"message.direction IN ({_among(sql, c.directions)})"
    if c.delivery_states:
        yield f"message.delivery_state IN ({_among(sql, c.delivery_states)})"
    if c.without_delivery_states:
        yield f"coalesce(message.delivery_state, '') NOT IN ({_among(sql, c.without_delivery_states)})"
    if c.has_attachment is not None:
        yield HAS_ATTACHMENT if c.has_attachment else f"NOT {HAS_ATTACHMENT}"


def _marks(sql: Sql, c: Condition) -> Iterator[str]:
    if c.all_in_thread is not None:
        yield in_thread(sql, c.all_in_thread, every=True)
    if c.some_in_thread is not None:
        yield in_thread(sql, c.some_in_thread, every=False)
    if c.none_in_thread is not None:
        yield "NOT " + in_thread(sql, c.none_in_thread, every=False)
    if c.has_keyword is not None:
        yield has_keyword(sql, c.has_keyword)
    if c.not_keyword is not None:
        # Most rows have an empty list, and no index is asked for those.
        yield (
            UNREAD
            if c.not_keyword == "$seen"
            else f"(message.keywords = '[]' OR NOT ({has_keyword(sql, c.not_keyword)}))"
        )
    for keyword in c.keywords:
        yield (
            "EXISTS (SELECT 1 FROM message_keyword k WHERE k.account_id = message.account_id "
            f"AND k.keyword = {sql.value(keyword)} AND k.received_at = message.received_at "
            "AND k.message_id = message.id)"
        )
    if c.without_keywords:
        # The list is JSON text on the row itself: most rows have an empty one, and no index is asked.
        yield (
            "(message.keywords = '[]' OR NOT EXISTS (SELECT 1 FROM message_keyword k "
            f"WHERE k.message_id = message.id AND k.keyword IN ({_among(sql, c.without_keywords)})))"
        )


def _texts(sql: Sql, c: Condition) -> Iterator[str]:
    words = words_of(c)
    if words:
        yield indexed(sql, index_query.Combined("AND", words))
    if c.header is not None:
        yield f"message.id IN ({sql.value(sql.headers[c.header])})"
    for text in c.from_contains:
        yield _contains(sql, "message.from_list", text, quoted=True)
    for text in c.to_contains:
        columns = ("message.to_list", "message.cc_list", "message.bcc_list")
        yield "(" + " OR ".join(_contains(sql, column, text, quoted=True) for column in columns) + ")"
    for text in c.subject_contains:
        yield _contains(sql, "message.subject", text, quoted=False)


def _condition(sql: Sql, c: Condition) -> str:
    parts = [part for say in (_places, _row, _marks, _texts) for part in say(sql, c)]
    return "(" + " AND ".join(parts) + ")" if parts else "TRUE"


def condition_of(sql: Sql, node: Filter) -> str:
    """A filter as a condition on `message`."""
    words = as_words(node)
    if words is not None:
        return indexed(sql, words)
    if isinstance(node, Condition):
        return _condition(sql, node)
    inner = [condition_of(sql, each) for each in node.conditions]
    if node.operator == "NOT":
        return "NOT (" + " OR ".join(inner) + ")" if inner else "TRUE"
    if not inner:
        return "TRUE" if node.operator == "AND" else "FALSE"
    return "(" + f" {node.operator} ".join(inner) + ")"


_pairs = msgspec.json.Decoder(list[tuple[str, str]])


async def _with_header(tx: Tx, account_id: str, header: tuple[str, ...]) -> list[str]:
    """Messages that have a header field, perhaps with a text in its value. Looks at every message."""
    name = header[0].lower()
    rows = await tx.all(
        """SELECT message_body.message_id, message_body.headers FROM message_body
           JOIN message ON message.id = message_body.message_id
           WHERE message.account_id = :account_id AND lower(message_body.headers) LIKE :pattern ESCAPE '\\'""",
        account_id=account_id, pattern="%[" + like(dump(name))[1:-1] + ",%",
    )  # fmt: skip
    if len(header) == 1:
        return [row["message_id"] for row in rows]
    sought = header[1].casefold()
    return [
        row["message_id"]
        for row in rows
        if any(
            key.lower() == name and sought in decode_text(value).casefold()
            for key, value in _pairs.decode(row["headers"])
        )
    ]


async def new_sql(tx: Tx, account_id: str, node: Filter | None) -> Sql:
    """A statement about a filter, with what has to be looked up for it first."""
    sql = Sql(tx.engine, account_id)
    for condition in node.leaves() if node is not None else ():
        if condition.header is not None:
            sql.headers[condition.header] = await _with_header(tx, account_id, condition.header)
    return sql


def split_mailbox(node: Filter | None) -> tuple[str | None, Filter | None]:
    """The one mailbox a filter asks for at its top, and the rest of the filter (None: nothing else)."""
    if isinstance(node, Condition) and node.in_mailbox is not None:
        rest = node.without("in_mailbox")
        return node.in_mailbox, None if rest == Condition() else rest
    if isinstance(node, Operator) and node.operator == "AND":
        for index, each in enumerate(node.conditions):
            mailbox_id, rest_of = split_mailbox(each)
            if mailbox_id is not None:
                others = [*node.conditions[:index], *([rest_of] if rest_of else []), *node.conditions[index + 1 :]]
                return mailbox_id, Operator("AND", tuple(others)) if others else None
    return None, None if node == Condition() else node


class Source(NamedTuple):
    """Where messages are read from: the tables and the condition that joins and narrows them."""

    tables: str
    where: str


def source_of(sql: Sql, node: Filter | None) -> Source:
    """All messages under a filter; those of one mailbox by its members."""
    mailbox_id, rest = split_mailbox(node)
    if mailbox_id is not None:
        where = f"message.id = m.message_id AND m.mailbox_id = {sql.value(mailbox_id)} AND m.expunged_modseq IS NULL"
        where += f" AND m.account_id = {sql.value(sql.account_id)}"
        tables = "membership m CROSS JOIN message"
    else:
        tables, where = "message", f"message.account_id = {sql.value(sql.account_id)}"
    return Source(tables, where + (f" AND {condition_of(sql, rest)}" if rest is not None else ""))
