"""Page tokens: opaque to the caller, bound to the listing they were given under."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from posthouse.kit.errors import Invalid
from posthouse.kit.pages import Position as Position


def page_token(position: Position | None, filters: Mapping[str, Any]) -> str | None:
    """An opaque token for the page after a keyset position; bound to the filters it was given under."""
    if position is None:
        return None
    body = msgspec.json.encode([position[0], position[1], _fingerprint(filters)])
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode("ascii")


def read_page_token(token: str | None, filters: Mapping[str, Any]) -> Position | None:
    """The position a token stands for.

    Raises:
        Invalid: not a token of ours, or of another listing.
    """
    if not token:
        return None
    try:
        body = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        at, object_id, fingerprint = msgspec.json.decode(body, type=tuple[int, str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Invalid("the page token is not one of ours", field="page_token") from error
    if fingerprint != _fingerprint(filters):
        raise Invalid("the page token belongs to a listing with other filters", field="page_token")
    # SQLite and PostgreSQL hold 64-bit integers; a forged larger one is no position.
    if not -(2**63) <= at < 2**63 or "\x00" in object_id:
        raise Invalid("the page token is not one of ours", field="page_token")
    return at, object_id


def _fingerprint(filters: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in sorted(filters.items()) if value not in (None, (), [], "", False)}
    digest = binascii.crc32(msgspec.json.encode(kept))
    return f"{digest:08x}"
