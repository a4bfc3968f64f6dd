"""What the surfaces share: the parts they are handed, page tokens, URLs, lists of values in a query."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from posthouse.accounts.directory import Directory
from posthouse.accounts.keys import KeyRing
from posthouse.accounts.leases import Leases
from posthouse.api.limits import OpenStreams, RateLimiter
from posthouse.api.links import Links
from posthouse.events.streams import Streams
from posthouse.kit.clock import Clock
from posthouse.kit.config import Settings
from posthouse.kit.errors import Invalid
from posthouse.net.dialer import GuardedDialer
from posthouse.outbound.registration import Registrar
from posthouse.outbound.scheduled import DraftSender
from posthouse.outbound.submission import Submitter
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database


@dataclass(frozen=True, slots=True)
class Services:
    """What `app.py` hands to every surface."""

    settings: Settings
    db: Database
    blobs: Blobs
    keys: KeyRing
    leases: Leases
    directory: Directory
    submitter: Submitter
    dialer: GuardedDialer
    links: Links
    limiter: RateLimiter
    open_streams: OpenStreams
    clock: Clock
    drafts: DraftSender
    streams: Streams
    registrar: Registrar
    hostname: str


Position = tuple[int, str]


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


def list_of(values: Iterable[str] | None, field: str) -> tuple[str, ...]:
    """Values of a repeated query parameter: repeated, joined by commas, or one JSON array.

    Raises:
        Invalid: it begins like a JSON array and is none.
    """
    found: list[str] = []
    for value in values or ():
        if value.lstrip().startswith("["):
            try:
                found.extend(msgspec.json.decode(value, type=list[str]))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise Invalid("expected an array of strings", field=field) from error
        else:
            found.extend(part.strip() for part in value.split(",") if part.strip())
    if len(found) > 100:
        raise Invalid("at most 100 values", field=field)
    return tuple(found)


def base_url(settings: Settings, scheme: str, host: str) -> str:
    """Where callers reach us: the setting, else what this request came by. For answers to this caller only.

    Whatever is stored or mailed uses `settings.public_base_url` alone, never a Host header.
    """
    return settings.public_base_url or f"{scheme}://{host}"


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The credential of an `Authorization: Bearer` header, the scheme in any case; None without one."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credential = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and credential.strip():
                return credential.strip()
    return None
