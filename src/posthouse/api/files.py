"""`/files/{token}`: bytes behind a signed link, always as a download and never to run in a browser."""

from __future__ import annotations

from urllib.parse import quote

from posthouse.accounts import keys as key_rules
from posthouse.api.services import Services
from posthouse.kit.aside import aside
from posthouse.kit.errors import Gone, NotFound
from posthouse.mail import files
from posthouse.store.database import Tx
from posthouse.store.messages import Message, StoredAttachment

_SAFE_HEADERS = {
    "x-content-type-options": "nosniff",
    # Should a browser show it all the same: no scripts, no frames, no forms, no origin.
    "content-security-policy": "sandbox; default-src 'none'",
    "cache-control": "private, no-store",
    "cross-origin-resource-policy": "cross-origin",
    "referrer-policy": "no-referrer",
}


async def serve(services: Services, token: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for a token."""
    try:
        target = services.links.open(token, services.clock())

        async def look(tx: Tx) -> tuple[Message, StoredAttachment | None]:
            if target.key_id and not await key_rules.is_known(tx, target.key_id):
                raise Gone("the file is no longer there")
            return await files.find(tx, target.account_id, target.message_id, target.part)

        message, part = await services.db.read(look)
        raw = await services.blobs.read(message.blob_hash)
    except Gone as error:
        return 410, {"content-type": "text/plain; charset=utf-8"}, error.message.encode()
    except NotFound as error:
        return 404, {"content-type": "text/plain; charset=utf-8"}, error.message.encode()
    if part is None:
        return 200, _headers("message/rfc822", f"{message.id}.eml"), raw
    data = await aside(part.end - part.start, files.content, raw, part)
    return 200, _headers(part.content_type, part.filename or f"attachment-{part.part_id}"), data


def _headers(content_type: str, filename: str) -> dict[str, str]:
    ascii_name = "".join(c if 32 <= ord(c) < 127 and c not in '"\\' else "_" for c in filename)
    return {
        "content-type": content_type,
        # RFC 6266 §4.3 with RFC 8187
        "content-disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(filename, safe='')}",
        **_SAFE_HEADERS,
    }
