"""Whether an account's lists keep a mail out.

An answer to what the account sent is looked up in its `reply` lists alone, other mail in its `receive` lists.
It is an answer only when it names a message that really went to the address it comes from: an In-Reply-To
that anybody can write opens no door.
"""

from __future__ import annotations

from posthouse.accounts import lists
from posthouse.outbound import bounces
from posthouse.store import submissions
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import normalize
from posthouse.wire.message import ParsedMessage

_MAX_PARENTS = 5
# A delivery in one of these states has been with the next host, or may have been.
_SENT = ("delivered", "deferred", "complained")


async def is_barred(
    tx: Tx, account: Account, parsed: ParsedMessage, mail_from: str, report: bounces.Report | None
) -> bool:
    """Whether the mail is to be put aside. Reports on the account's own mail always come through."""
    if report is not None and await bounces.is_about_ours(tx, account, report):
        return False
    authors = [author.email for author in parsed.from_ if "@" in author.email] or [mail_from]
    direction: lists.Direction = "reply" if await _is_answer(tx, account, parsed, authors) else "receive"
    return bool(await lists.barred(tx, account, direction, authors))


async def _is_answer(tx: Tx, account: Account, parsed: ParsedMessage, authors: list[str]) -> bool:
    keys = {normalize(author) for author in authors if author}
    for header_id in parsed.in_reply_to[:_MAX_PARENTS]:
        submission = await submissions.by_header_message_id(tx, account.id, header_id)
        if submission is None:
            continue
        for delivery in await submissions.deliveries(tx, submission.id):
            if normalize(delivery.recipient) in keys and delivery.state in _SENT:
                return True
    return False
