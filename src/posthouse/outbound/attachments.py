"""The files of a mail to be sent: what came along, and what is fetched from the URLs that stand in for content.

What one request may have fetched is bounded by what one message may hold, before a fetch and while it runs, and
so is the time; few requests fetch at once.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from posthouse.kit.aside import aside
from posthouse.kit.errors import Forbidden, Invalid, PosthouseError, TooLarge
from posthouse.net.dialer import GuardedDialer, TooLong
from posthouse.wire.compose import Attachment

_TIMEOUT_S = 20.0
_ALL_TIMEOUT_S = 60.0
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[ -~]*)?")


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file as a caller gives it: `content` in base64, or a `url` that the server fetches it from."""

    content: str | None = None
    url: str | None = None
    filename: str | None = None
    content_type: str | None = None
    content_disposition: str | None = None
    content_id: str | None = None


async def gather(
    dialer: GuardedDialer, organization_id: str, given: Sequence[GivenFile], *, message_bytes: int
) -> tuple[Attachment, ...]:
    """The files to send, in the order given.

    Args:
        organization_id: whose turn at fetching it takes.
        message_bytes: the most that a message may have.

    Raises:
        Invalid: neither content nor URL, or both; content that is not base64.
        TooLarge: together they are more than a message holds.
        Forbidden: a URL that cannot be fetched (reason `attachment_url`).
        Unavailable: too many are fetching just now.
    """
    # All of them, before anything is fetched for a request that will be refused.
    for index, attachment in enumerate(given):
        if (attachment.content is None) == (attachment.url is None):
            raise Invalid("give either content or url", field=f"attachments.{index}")
    found = [
        await aside(len(attachment.content or ""), _decoded_content, attachment, index)
        if attachment.url is None
        else None
        for index, attachment in enumerate(given)
    ]
    # Base64 is a third longer than what it carries.
    left = message_bytes * 3 // 4 - sum(len(each.data) for each in found if each is not None)
    if None in found:
        async with dialer.turns.one(organization_id):
            try:
                async with asyncio.timeout(_ALL_TIMEOUT_S):
                    for index, attachment in enumerate(given):
                        if attachment.url is not None:
                            found[index] = made = await _fetch(
                                dialer, attachment, attachment.url, index, left, message_bytes
                            )
                            left -= len(made.data)
            except TimeoutError as error:
                raise Forbidden(
                    f"the attachments could not be fetched within {_ALL_TIMEOUT_S:g} s", reason="attachment_url"
                ) from error
    return tuple(each for each in found if each is not None)


async def _fetch(
    dialer: GuardedDialer, given: GivenFile, url: str, index: int, max_bytes: int, message_bytes: int
) -> Attachment:
    field = f"attachments.{index}.url"
    try:
        answer = await dialer.get(url, timeout_s=_TIMEOUT_S, max_bytes=max(0, max_bytes))
    except TooLong as error:
        raise TooLarge(f"with this attachment the message has more than {message_bytes} octets", field=field) from error
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
    return _made(replace(given, filename=name or None, content_type=kind or None), answer.body, index)


def _decoded_content(given: GivenFile, index: int) -> Attachment:
    """An attachment whose content came along.

    Raises:
        Invalid: the content is not base64.
    """
    try:
        data = _decoded((given.content or "").encode("ascii"))
    except (binascii.Error, ValueError) as error:
        raise Invalid("the content is not base64", field=f"attachments.{index}.content") from error
    return _made(given, data, index)


# A multiple of four letters. A decoder lets nobody else in until it is done: by the quarter of a megabyte, it soon is.
_LETTERS = 262_144
_BLANKS = b" \t\r\n\v\f"


def _decoded(encoded: bytes) -> bytes:
    """Base64 with blanks anywhere, and nothing else in it. Raises `binascii.Error`."""
    out: list[bytes] = []
    left, has_ended = b"", False
    for start in range(0, len(encoded), _LETTERS):
        letters = left + encoded[start : start + _LETTERS].translate(None, _BLANKS)
        if has_ended and letters:
            raise binascii.Error("there is more behind its end")
        whole = len(letters) & ~3
        out.append(base64.b64decode(letters[:whole], validate=True))
        left, has_ended = letters[whole:], has_ended or letters[:whole].endswith(b"=")
    if left:
        raise binascii.Error("its end is missing")
    return b"".join(out)


def _made(given: GivenFile, data: bytes, index: int) -> Attachment:
    """An attachment with the bytes it is to have."""
    if given.content_disposition not in (None, "inline", "attachment"):
        raise Invalid("inline or attachment", field=f"attachments.{index}.content_disposition")
    if given.content_type and not _MEDIA_TYPE.fullmatch(given.content_type):
        raise Invalid("a media type such as text/plain", field=f"attachments.{index}.content_type")
    content_id = given.content_id.strip().strip("<>") if given.content_id else None
    return Attachment(
        filename=given.filename or f"attachment-{index + 1}",
        content_type=given.content_type or "application/octet-stream",
        data=data,
        disposition=given.content_disposition or ("inline" if content_id else "attachment"),
        content_id=content_id,
    )
