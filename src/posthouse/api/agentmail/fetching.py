"""The files of a mail to be sent: what came along, and what is fetched from the URLs that stand in for content.

What one request may have fetched is bounded by what one message may hold, before a fetch and while it runs, and
so is the time; few requests fetch at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from posthouse.api.agentmail.shapes import messages as shapes
from posthouse.api.services import Services
from posthouse.kit.aside import aside
from posthouse.kit.errors import Forbidden, Invalid, PosthouseError, TooLarge
from posthouse.net.dialer import TooLong
from posthouse.store.accounts import Account
from posthouse.wire.compose import Attachment

_TIMEOUT_S = 20.0
_ALL_TIMEOUT_S = 60.0


async def attachments_of(
    services: Services, account: Account, given: Sequence[shapes.SendAttachment] | None
) -> tuple[Attachment, ...]:
    """The files to send, in the order given.

    Raises:
        Invalid: neither content nor URL, or both; content that is not base64.
        TooLarge: together they are more than a message holds.
        Forbidden: a URL that cannot be fetched (reason `attachment_url`).
        Unavailable: too many are fetching just now.
    """
    given = given or ()
    # All of them, before anything is fetched for a request that will be refused.
    for index, attachment in enumerate(given):
        if (attachment.content is None) == (attachment.url is None):
            raise Invalid("give either content or url", field=f"attachments.{index}")
    found = [
        await aside(len(attachment.content or ""), shapes.decode_content, attachment, index)
        if attachment.url is None
        else None
        for index, attachment in enumerate(given)
    ]
    # Base64 is a third longer than what it carries.
    left = services.submitter.limits.message_bytes * 3 // 4 - sum(len(each.data) for each in found if each is not None)
    if None in found:
        async with services.dialer.turns.one(account.organization_id):
            try:
                async with asyncio.timeout(_ALL_TIMEOUT_S):
                    for index, attachment in enumerate(given):
                        if attachment.url is not None:
                            found[index] = made = await _fetch(services, attachment, attachment.url, index, left)
                            left -= len(made.data)
            except TimeoutError as error:
                raise Forbidden(
                    f"the attachments could not be fetched within {_ALL_TIMEOUT_S:g} s", reason="attachment_url"
                ) from error
    return tuple(each for each in found if each is not None)


async def _fetch(services: Services, given: shapes.SendAttachment, url: str, index: int, max_bytes: int) -> Attachment:
    field = f"attachments.{index}.url"
    try:
        answer = await services.dialer.get(url, timeout_s=_TIMEOUT_S, max_bytes=max(0, max_bytes))
    except TooLong as error:
        most = services.submitter.limits.message_bytes
        raise TooLarge(f"with this attachment the message has more than {most} octets", field=field) from error
    except PosthouseError as error:
        raise Forbidden(
            f"the attachment could not be fetched: {error.message}", field=field, reason="attachment_url"
        ) from error
    if not 200 <= answer.status < 300:
        raise Forbidden(
            f"the attachment could not be fetched: its host answered {answer.status}",
            field=field,
            reason="attachment_url",
        )
    name = given.filename or url.partition("?")[0].rpartition("/")[2]
    kind = given.content_type or answer.headers.get("content-type", "").partition(";")[0].strip()
    return shapes.outgoing_attachment(
        msgspec.structs.replace(given, filename=name or None, content_type=kind or None), answer.body, index
    )
